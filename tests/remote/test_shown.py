"""What a person sees of a worker at work."""

import io
import logging

import pytest

from flazy.remote.settings import Snapshot
from flazy.remote.shown import Beside, Journal, Rate, Rates, Terminal, amount, line, news, totals

WORKING = Snapshot("working", "gpu1:5555", 8, 96_512, 5_800_000_000, ("map(decode)", "random_map(augment)"))
RATE = Rate(1240.4, 74_400_000.0)


def test_line_says_it_all_where_there_is_room():
    expected = (
        "working | gpu1:5555 | 8 processes | 1,240 samples/s | 96,512 done | 74.4 MB/s | "
        "map(decode), random_map(augment)"
    )

    assert expected == line(WORKING, RATE, 120)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (100, "working | gpu1:5555 | 8 processes | 1,240 samples/s | 96,512 done | 74.4 MB/s | map(decode), rand..."),
        (82, "working | gpu1:5555 | 8 processes | 1,240 samples/s | 96,512 done | 74.4 MB/s"),
        (70, "working | 8 processes | 1,240 samples/s | 96,512 done | 74.4 MB/s"),
        (60, "working | 1,240 samples/s | 96,512 done | 74.4 MB/s"),
        (40, "working | 1,240 samples/s | 96,512 done"),
        (26, "working | 1,240 samples/s"),
        (12, "working"),
        (5, "wo..."),
        (2, ".."),
        (0, ""),
    ],
)
def test_narrow_line_leaves_out_what_matters_least(width, expected):
    assert expected == line(WORKING, RATE, width)


def test_line_tells_no_rate_that_is_not_known_or_not_of_now():
    waiting = WORKING._replace(state="waiting for the trainer", stages=())

    assert "working | gpu1:5555 | 8 processes | 96,512 done" == line(WORKING._replace(stages=()), None, 120)
    assert "waiting for the trainer | gpu1:5555 | 8 processes | 96,512 done" == line(waiting, RATE, 120)


def test_line_counts_nothing_that_there_is_not_yet():
    assert "connecting | gpu1:5555" == line(Snapshot("connecting", "gpu1:5555", 0, 0, 0, ()), None, 120)


def test_slow_work_has_a_decimal():
    assert "0.3 samples/s" in line(WORKING, Rate(0.3, 100.0), 120)


def test_names_from_elsewhere_give_no_orders_to_the_terminal():
    shown = line(WORKING._replace(stages=("map(\x1b[2J\r\n)",)), RATE, 120)

    assert shown.isprintable()
    assert shown.endswith("map(?[2J??)")


@pytest.mark.parametrize(
    ("nbytes", "expected"),
    [
        (0, "0 B"), (999, "999 B"), (999.7, "1.0 kB"), (1000, "1.0 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"),
        (74_400_000, "74.4 MB"), (5_800_000_000, "5.8 GB"), (12_345_000_000_000, "12,345 GB"),
    ],
)  # fmt: skip
def test_amounts_have_three_digits(nbytes, expected):
    assert expected == amount(nbytes)


def test_rates_are_of_the_last_seconds():
    rates = Rates()

    assert [None, None, Rate(10.0, 100.0), Rate(10.0, 100.0)] == [
        rates.at(second, round(10 * second), round(100 * second)) for second in (0.0, 0.4, 1.0, 4.0)
    ]
    assert Rate(100.0, 0.0) == [rates.at(float(second), 40 + 100 * (second - 4), 400) for second in range(5, 11)][-1]


def test_totals():
    assert " (96,512 samples done, 5.8 GB sent)" == totals(WORKING)
    assert "" == totals(WORKING._replace(samples=0)) == totals(None)


def test_journal_tells_changes_of_state_alone(caplog):
    caplog.set_level(logging.INFO, "flazy")
    journal = Journal()
    calling = WORKING._replace(state="connecting", processes=0, stages=())
    between = WORKING._replace(state="waiting for work", stages=())
    starting = WORKING._replace(state="starting", processes=0)

    for snapshot in [
        calling, calling, between, starting, WORKING, WORKING._replace(samples=97_000), between, WORKING,
        WORKING._replace(stages=("map(other)",), processes=1), between._replace(state="waiting for the trainer"),
        between._replace(state="leaving"),
    ]:  # fmt: skip
        journal.show(snapshot)

    assert [
        "connecting (gpu1:5555)",
        "working (gpu1:5555, 8 processes: map(decode), random_map(augment))",
        "working (gpu1:5555, 1 process: map(other))",
        "waiting for the trainer (gpu1:5555)",
    ] == caplog.messages
    assert news(WORKING) == caplog.messages[1]
    assert "working (gpu1:5555, map(decode), random_map(augment))" == news(WORKING._replace(processes=0))


def test_terminal_redraws_one_line_and_lets_others_write_above_it():
    stream = io.StringIO()
    terminal = Terminal(stream)
    beside = Beside(stream, terminal)

    beside.write("before\n")
    terminal.show(WORKING._replace(stages=()))
    terminal.show(WORKING._replace(stages=(), processes=7))
    beside.write("a log line\n")
    beside.write("another\n")
    terminal.show(WORKING._replace(stages=()))
    terminal.clear()
    terminal.clear()

    eight, seven = (f"working | gpu1:5555 | {number} processes | 96,512 done" for number in (8, 7))
    clear = "\r\x1b[K"
    assert f"before\n{eight}{clear}{seven}{clear}a log line\nanother\n{eight}{clear}" == stream.getvalue()
