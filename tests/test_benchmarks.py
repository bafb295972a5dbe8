"""The benchmark's own arithmetic, and one small run of it; no peer is needed, and no time is asserted."""

import dataclasses
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import chain, goals, memory, run, schedule, soak, streaming, tables
from benchmarks.catalogue import LOCAL, PEERS, REMOTE, STREAMS, WORKLOADS, Column, Measured
from benchmarks.schedule import Cell
from benchmarks.tables import Spread
from benchmarks.workloads import WORKLOADS as CODE
from benchmarks.workloads import find

RATES = Measured("tiny", "some ints", (Column("rate", "samples/s"),))


def rates(**medians):
    return {peer: {"rate": Spread(value, value, value, 1)} for peer, value in medians.items()}


def record(peer, turn, **figures):
    return {"peer": peer, "workload": "tiny", "turn": turn, "figures": figures}


# The catalogue ----------------------------------------------------------------------------------------


def test_every_peer_has_its_file_and_knows_its_workloads():
    folder = Path(run.__file__).parent / "peers"

    assert [] == [peer.name for peer in PEERS.values() if not (folder / f"{peer.module}.py").exists()]
    assert set() == {name for peer in PEERS.values() for name in peer.workloads} - set(WORKLOADS)
    assert set() == {*STREAMS, *REMOTE.values()} - set(CODE)
    assert set(WORKLOADS) == {*LOCAL, *REMOTE}


# The schedule -----------------------------------------------------------------------------------------


def test_every_other_round_goes_backwards():
    cells = schedule.plan(["serial", "flazy"], ["tiny", "image"], 2)

    forwards = [("serial", "tiny"), ("flazy", "tiny"), ("serial", "image"), ("flazy", "image")]
    assert [*forwards, *forwards[::-1]] == [(cell.peer, cell.workload) for cell in cells]
    assert [0] * 4 + [1] * 4 == [cell.turn for cell in cells]


def test_peer_is_not_asked_for_what_it_cannot_do():
    assert [] == schedule.plan(["torch_default"], ["image"], 3)


def test_peer_that_takes_long_is_measured_in_fewer_rounds():
    turns = [cell.turn for cell in schedule.plan(["ray", "torch"], ["cpu"], 5) if cell.peer == "ray"]

    assert [0, 1, 2] == turns
    assert 1 == len(schedule.plan(["ray"], ["cpu"], 1))


def test_every_rival_but_the_slowest_has_all_rounds():
    assert ["ray"] == [peer.name for peer in PEERS.values() if peer.rival and peer.rounds]


def test_narrow_run_keeps_flazy_and_the_serial_loop():
    assert ["serial", "flazy", "torch", "grain"] == schedule.peers_for("grain, torch")
    assert list(PEERS) == schedule.peers_for("")


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(SystemExit, match="did you mean grain"):
        schedule.peers_for("grian")


def test_run_goes_on_with_what_is_left():
    cells = schedule.plan(["serial", "flazy"], ["tiny"], 2)

    left = schedule.left(cells, [record("serial", 0, rate=1.0), record("flazy", 1, rate=1.0)])

    assert [Cell("flazy", "tiny", 0), Cell("serial", "tiny", 1)] == left


def test_peer_that_only_fails_is_given_up():
    cells = schedule.plan(["serial"], ["tiny"], 3)
    failed = {"peer": "serial", "workload": "tiny", "turn": 0, "error": "no"}

    assert cells == schedule.left(cells, [failed])
    assert [] == schedule.left(cells, [failed, failed])


def test_narrow_run_has_a_file_of_its_own():
    assert "all" == schedule.name_of(list(PEERS), list(LOCAL))
    assert "serial+torch--all" == schedule.name_of(["serial", "torch"], list(LOCAL))


# The tables -------------------------------------------------------------------------------------------


def test_figures_of_all_rounds_become_median_and_spread():
    found = tables.results([record("serial", turn, rate=value) for turn, value in enumerate([3.0, 1.0, 8.0])])

    assert {"tiny": {"serial": {"rate": Spread(3.0, 1.0, 8.0, 3)}}} == found


def test_images_are_told_in_megabytes():
    found = tables.results([{"peer": "serial", "workload": "image", "turn": 0, "figures": {"rate": 1000.0}}])

    assert pytest.approx(602.112) == found["image"]["serial"]["rate"].median


def test_best_peer_is_one_that_works_in_processes_and_is_not_flazy():
    assert "torch" == tables.best_rival(RATES, rates(flazy=9.0, serial=8.0, tf=7.0, torch=6.0, pool=5.0))
    assert None is tables.best_rival(RATES, rates(flazy=9.0, serial=8.0))


def test_best_peer_is_the_lowest_where_less_is_better():
    measured = dataclasses.replace(RATES, higher_is_better=False)

    assert "pool" == tables.best_rival(measured, rates(torch=6.0, pool=5.0))


def test_table_ranks_and_names_who_is_missing():
    lines = tables.table(RATES, rates(flazy=3.0, torch=2.0, serial=1000.0), {"grain": "it would not install"})

    assert [
        "| peer | samples/s | × best peer |",
        "| --- | ---: | ---: |",
        "| *serial* | 1,000 (1,000 – 1,000) | 500 |",
        "| **flazy** | 3.00 (3.00 – 3.00) | 1.50 |",
        "| torch | 2.00 (2.00 – 2.00) | 1.00 |",
        "\nNot measured: grain (it would not install).",
    ] == lines[4:-1]


def test_peer_that_failed_once_and_then_gave_a_figure_is_not_missing():
    failed = {"peer": "serial", "workload": "tiny", "turn": 0, "error": "no"}

    assert {"tiny": {"serial": "no"}} == tables.failures([failed])
    assert {"tiny": {}} == tables.failures([failed, record("serial", 0, rate=1.0)])


def test_figure_that_only_one_peer_can_tell_is_left_open_for_the_others():
    measured = dataclasses.replace(RATES, columns=(*RATES.columns, Column("own", "its own")))
    peers = rates(flazy=3.0, torch=2.0)
    peers["flazy"] |= {"own": Spread(5.0, 4.0, 6.0, 3)}

    lines = tables.table(measured, peers, {})

    assert "| **flazy** | 3.00 (3.00 – 3.00) | 5.00 (4.00 – 6.00) | 1.50 |" in lines
    assert "| torch | 2.00 (2.00 – 2.00) |  | 1.00 |" in lines


# The goals --------------------------------------------------------------------------------------------


def test_every_goal_is_of_something_that_is_measured():
    own = {"ns": "chain"}
    for goal in goals.GOALS:
        figures = {column.figure for column in WORKLOADS[goal.workload].columns}
        assert goal.figure in figures | own.keys(), goal
        assert goal.workload in PEERS["flazy"].workloads
        assert goal.against in {"", goals.BEST, *PEERS}
        if goal.beside:
            assert goal.beside in PEERS[goal.against].workloads


@pytest.mark.parametrize(
    ("goal", "peers", "line"),
    [
        (goals.beats("tiny", 1.2, 1.5), {"flazy": 13.0, "pool": 10.0, "tf": 99.0}, "1.20 | 1.50 | 1.30 | pool | hit"),
        (goals.beats("tiny", 1.2, 1.5), {"flazy": 15.0, "pool": 10.0}, "1.20 | 1.50 | 1.50 | pool | hit, and the aim"),
        (goals.beats("tiny", 1.2), {"flazy": 11.0, "pool": 10.0}, "1.20 |  | 1.10 | pool | **miss**"),
        (goals.beats("tiny", 1.2), {"flazy": 11.0}, "1.20 |  |  |  | not measured"),
        (goals.stays_below("t", "tiny", "rate", 5, 1), {"flazy": 4.0, "pool": 1.0}, "5.00 | 1.00 | 4.00 |  | hit"),
        (goals.stays_below("t", "tiny", "rate", 5, 1), {"flazy": 5.1}, "5.00 | 1.00 | 5.10 |  | **miss**"),
        (goals.stays_below("t", "tiny", "none", 5, 1), {"flazy": 5.1}, "5.00 | 1.00 |  |  | not measured"),
        (goals.Goal("t", "tiny", "rate", None, 2, "serial"), {"flazy": 3.0, "serial": 2.0},
         " | 2.00 | 1.50 | serial | not yet"),
    ],
)  # fmt: skip
def test_goal_is_told_with_what_was_measured(goal, peers, line):
    assert f"| {goal.about} | {line} |" == goals.row(goal, {"tiny": rates(**peers)})


def test_goal_may_be_held_against_another_workload():
    found = {"startup_16": rates(flazy=30.0), "startup": rates(flazy=20.0)}
    goal = goals.Goal("t", "startup_16", "rate", 1.5, against="flazy", beside="startup", higher_is_better=False)

    assert "| t | 1.50 |  | 1.50 | flazy, startup | hit |" == goals.row(goal, found)


def test_goals_of_what_was_not_measured_are_left_out():
    assert [] == goals.table({"tiny": rates(pool=1.0)})
    assert 1 == sum("tiny" in line for line in goals.table({"tiny": rates(flazy=1.0)}))


# The picture ------------------------------------------------------------------------------------------


def test_picture_has_a_line_for_all_that_can_be_compared(tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks import plot

    records = [record("flazy", 0, rate=4.0), record("pool", 0, rate=2.0), record("serial", 0, rate=8.0)]
    slower = [record | {"workload": "startup", "figures": {"cold_ms": 1.0}} for record in records]
    lines = plot.rows(tables.results([*records, *slower, record("flazy", 0, rate=1.0) | {"workload": "limits"}]))
    path, drawn = tmp_path / "all.jsonl", tmp_path / "picture.png"
    path.write_text("\n".join(map(json.dumps, [{}, *records])))  # in a process of its own: fonts stay open
    subprocess.run([sys.executable, "-m", "benchmarks.plot", str(path), str(drawn)], cwd=run.ROOT, check=True)

    assert [("tiny", "pool"), ("startup, cold", "pool")] == [line[:2] for line in lines]
    assert (2.0, 4.0) == (lines[0][2]["flazy"].median, lines[0][2]["serial"].median)
    assert drawn.stat().st_size > 1000


# Memory -----------------------------------------------------------------------------------------------


def held(**own_mb):
    return memory.Held(1.0, 1.0, 1.0, own_mb)


def test_growth_is_that_of_a_child_over_its_own_idle_size():
    assert 7.0 == memory.growth([held(a=12.0, b=20.0), held(a=10.0, b=27.0, c=90.0)], held(a=10.0, b=20.0))
    assert 0.0 == memory.growth([held(a=12.0)], held())


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc here")
def test_memory_of_this_process_is_seen():
    before = memory.now()
    block = np.ones(10_000_000)
    now = memory.now()

    assert now.total_mb - before.total_mb > 0.9 * block.nbytes / 1e6 - abs(now.shared_mb - before.shared_mb)


def test_rise_of_a_long_run_is_that_of_a_straight_line():
    lines = [soak.Line(t, 1.0, 100.0 + t / 10, 50.0, 20.0, 8.0 + t % 20, 0.0) for t in range(0, 600, 10)]
    grown = soak.growth(lines)

    assert pytest.approx(59.0) == grown["total_mb"]
    assert pytest.approx(0.0) == grown["shared_mb"]
    assert abs(grown["threads"]) < 1
    assert {} == soak.growth(lines[:2])


def test_chain_and_generator_give_the_same():
    from benchmarks.peers import flazy_, serial

    assert list(serial.chain(range(100))) == list(flazy_.chain(range(100)))
    with pytest.raises(ValueError, match="not what"):
        chain.measure(lambda numbers: list(numbers))


def test_results_replace_what_stood_between_the_marks():
    page = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"

    assert f"before\n{tables.BEGIN}\n\nnew\n\n{tables.END}\nafter\n" == tables.put(page, "new")
    with pytest.raises(ValueError, match="has no"):
        tables.put("nothing", "new")


def test_page_of_the_documentation_has_the_marks():
    page = (run.ROOT / "docs" / "performance.md").read_text()

    assert "new" in tables.put(page, "new")


# The files --------------------------------------------------------------------------------------------


def test_results_of_another_setting_are_put_aside(tmp_path):
    path = tmp_path / "results" / "all.jsonl"
    first = record("serial", 0, rate=1.0)

    assert [] == run.opened(path, {"seconds": 1}, fresh=False)
    with path.open("a") as file:
        file.write(json.dumps(first) + "\n")
    assert [first] == run.opened(path, {"seconds": 1}, fresh=False)
    assert [] == run.opened(path, {"seconds": 2}, fresh=False)
    assert [] == run.opened(path, {"seconds": 2}, fresh=False)


def test_reason_of_a_failure_is_the_line_that_tells_most():
    assert "KeyError: 'x'" == run.reason("Traceback\n  line\nKeyError: 'x'\nsome warning\n")
    assert "bye" == run.reason("hello\nbye\n")
    assert "nothing came" in run.reason("")


# The checks of outputs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny", "tiny_batch", "dict_small", "image", "filter_flatmap"])
def test_stamps_of_a_plain_loop_add_up(name):
    work = find(name)
    done = streaming.Checked(work, work.serial())

    streaming.look(done)
    for _ in range(3):
        done.pull(work.block)

    done.check()


@pytest.mark.parametrize("name", ["tiny", "tiny_batch", "image", "filter_flatmap"])
def test_outputs_in_another_order_are_found(name):
    work = find(name)
    outputs = list(itertools.islice(work.serial(), 4 * work.block + 4))
    outputs[0], outputs[-1] = outputs[-1], outputs[0]
    done = streaming.Checked(work, iter(outputs))
    streaming.look(done)

    with pytest.raises(streaming.WrongOutput):
        done.check()


def test_pass_that_ends_early_is_found():
    work = find("tiny")
    done = streaming.Checked(work, itertools.islice(work.serial(), 1500))
    done.pull(1000)
    done.pull(1000)

    with pytest.raises(streaming.WrongOutput, match="1500 outputs"):
        done.check()


def test_fingerprints_tell_dtypes_and_values_apart():
    one = np.ones(3, np.float32)

    assert streaming.fingerprint({"x": one, "y": 1}) == streaming.fingerprint({"x": one.copy(), "y": np.int64(1)})
    assert streaming.fingerprint(one) != streaming.fingerprint(one.astype(np.float64))
    assert streaming.fingerprint(one) != streaming.fingerprint(2 * one)


def test_pieces_of_any_size_give_what_a_plain_loop_gives():
    for name in ("tiny", "filter_flatmap"):
        work = dataclasses.replace(find(name), source=range(1000))

        pieces = itertools.chain.from_iterable(work.piece(number, 64) for number in range(work.pieces(64)))

        assert list(work.serial()) == list(pieces)


def test_last_batch_that_is_not_full_is_dropped():
    work = dataclasses.replace(find("tiny_batch"), source=range(1000))

    pieces = [batch.tolist() for number in range(work.pieces(2)) for batch in work.piece(number, 2)]

    assert [batch.tolist() for batch in work.serial()] == pieces
    assert 3 == len(pieces)


# A run ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["serial", "flazy", "pool"])
def test_cell_gives_a_figure_and_right_outputs(peer):
    found = run.measure(Cell(peer, "tiny", 0), 0.2, Path(sys.executable))

    assert "figures" in found, found
    assert found["figures"]["rate"] > 0


@pytest.mark.slow
def test_cell_that_fails_says_why():
    found = run.measure(Cell("pescador", "big_closure", 0), 0.2, Path(sys.executable))

    assert "Error" in found["error"]
