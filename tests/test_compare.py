"""The arithmetic of comparing two commits, and one pair of cells; no time is asserted."""

import math
import random
import statistics
import sys
from pathlib import Path

import pytest

from benchmarks import compare, run
from benchmarks.catalogue import PEERS
from benchmarks.compare import Row, Verdict
from benchmarks.schedule import Cell

RATE = Row("tiny", "tiny", "rate", "samples/s")


def test_rows_are_all_that_flazy_has_but_memory():
    rows = compare.rows()
    workloads = {row.workload for row in rows.values()}

    assert {"memory", "big_closure"} == set(PEERS["flazy"].workloads) - workloads
    assert {"tiny", "startup/cold", "startup/second", "startup/warm", "chain", "overlap"} <= set(rows)
    assert [True, False, False] == [rows[name].higher_is_better for name in ("tiny", "startup/cold", "chain")]


def test_sides_take_turns_at_being_first():
    assert ["0A", "0B", "1B", "1A", "2A", "2B"] == [f"{pair}{side}" for pair, side in compare.turns(3)]


@pytest.mark.parametrize(
    ("count", "rank"),
    [(6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (15, 4), (20, 6), (25, 8), (30, 10)],  # tables of the sign test
)
def test_interval_is_that_of_order_statistics(count, rank):
    values = list(range(1, count + 1))
    random.Random(count).shuffle(values)

    assert (rank, count + 1 - rank) == compare.interval(values)


@pytest.mark.parametrize("count", range(1, 6))
def test_few_values_say_nothing(count):
    assert (0.0, math.inf) == compare.interval([1.0] * count)


def test_interval_holds_the_median_as_often_as_it_says():
    draw = random.Random(0).lognormvariate  # its median is 1
    found = [compare.interval([draw(0, 1) for _ in range(10)]) for _ in range(2000)]
    held = [low <= 1.0 <= high for low, high in found]

    assert 0.95 < statistics.mean(held) < 0.995


def test_ratio_is_one_of_rates_and_pairs_stay_together():
    pairs = [(100.0, 50.0), (200.0, 100.0), (10.0, 10.0)]

    assert Verdict(100.0, 50.0, 0.5, 0.0, math.inf, 3) == compare.judged(pairs, higher_is_better=True)
    assert Verdict(100.0, 50.0, 2.0, 0.0, math.inf, 3) == compare.judged(pairs, higher_is_better=False)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "word"),
    [
        (0.95, 0.5, 1.2, ">= 0.95"),
        (1.3, 1.2, 1.4, ">= 0.95"),
        (0.94, 0.90, 0.95, "inconclusive"),
        (0.94, 0.90, 0.949, "slower"),
        (0.80, 0.0, math.inf, "inconclusive"),
    ],
)
def test_verdict(ratio, low, high, word):
    verdict = Verdict(1.0, ratio, ratio, low, high, 10)

    assert word == verdict.word()
    assert word in compare.line(RATE, verdict)


def test_row_that_failed_is_told():
    assert compare.line(RATE, None).endswith("failed")


def test_pair_with_a_side_that_failed_does_not_count():
    found = {("tiny", 0, "A"): {"rate": 1.0}, ("tiny", 0, "B"): {"rate": 2.0}, ("tiny", 1, "A"): {"rate": 3.0}}

    assert [(1.0, 2.0)] == compare.pairs_of(RATE, found, 2)


@pytest.mark.slow
def test_cell_measures_the_flazy_that_it_is_given(tmp_path):
    here = compare.linked(tmp_path / "here", compare.ROOT)
    other = tmp_path / "other"
    (other / "flazy").mkdir(parents=True)
    (other / "flazy" / "__init__.py").write_text("raise ImportError('this is the other one')")
    (other / "benchmarks").symlink_to(compare.ROOT / "benchmarks")
    cell = Cell("flazy", "startup", 0)

    assert run.measure(cell, 0.1, Path(sys.executable), here)["figures"]["cold_ms"] > 0
    assert "this is the other one" in run.measure(cell, 0.1, Path(sys.executable), other)["error"]
