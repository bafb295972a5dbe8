"""Sections of a plan: what is pulled by one thread, and whether samples are batches."""

import pytest

from flazy import Dataset, Threads
from flazy.plan.planner import plan
from flazy.plan.sections import batched, ends_in_workers, functions_in, stages_in

TEN = Dataset(range(10))
BATCHES = TEN.batch(2)


def double(x):
    return x * 2


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (TEN, False),
        (TEN.map(double), False),
        (BATCHES, True),
        (BATCHES.map(double).shuffle().take(3).repeat().prefetch(2).progress().enumerate(), True),
        (BATCHES.map(double, workers=2), True),
        (BATCHES.unbatch(), False),
        (BATCHES.flatmap(list), False),
        (BATCHES.transform(iter), False),
        (BATCHES.pack(8), False),
        (TEN.padded_batch(2), True),
        (TEN.window(2), True),
        (BATCHES.unbatch().batch(3), True),
        (TEN + BATCHES, True),
        (Dataset.zip(TEN, TEN), False),
    ],
)
def test_plan_tells_whether_samples_are_batches(dataset, expected):
    assert expected is (batched(plan(dataset.node)) > 0)


def test_deep_plan_needs_no_recursion():
    ds = TEN
    for _ in range(3000):
        ds = ds.map(double).skip(0)

    assert not batched(plan(ds.node))


@pytest.mark.parametrize(
    ("dataset", "stages", "functions"),
    [
        (TEN.map(double).batch(2).take(3), ["source(range(0, 10))", "map(double)", "batch(2)"], ["map(double)"]),
        (TEN.map(double, workers=Threads(1)).select(0).shuffle(4).batch(2), ["shuffle(4)", "batch(2)"], []),
        (TEN.map(double).prefetch(2).select(0).unbatch(), ["select(0)", "unbatch()"], []),
        (TEN.map(double).progress().filter(double), ["source(range(0, 10))", "map(double)", "filter(double)"],
         ["map(double)", "filter(double)"]),
        (TEN.map(double, workers=Threads(1)) + TEN.map(double), ["source(range(0, 10))", "map(double)"],
         ["map(double)"]),
    ],
)  # fmt: skip
def test_section_names_the_stages_that_may_take_time(dataset, stages, functions):
    section = plan(dataset.node)

    assert (stages, functions) == (stages_in(section), functions_in(section))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (TEN.map(double, workers=Threads(1)).progress().epoch(1), True),
        (TEN.map(double, workers=Threads(1)).take(3), True),  # the take is moved upstream
        (TEN.filter(double, workers=Threads(1)).take(3), False),
        (TEN.map(double), False),
        (TEN.map(double, workers=Threads(1)).batch(2), False),
    ],
)
def test_plan_tells_whether_workers_give_its_samples(dataset, expected):
    assert expected is ends_in_workers(plan(dataset.node))
