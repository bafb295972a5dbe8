"""The passes of a feed, without any framework."""

import gc

import pytest

from flazy import Dataset
from flazy.errors import EmptyDataset
from flazy.feeds.passes import Passes
from flazy.plan.planner import plan
from flazy.run.runs import Run


class Source:
    """Counts how often it is started, how far it is read and how often it is left."""

    def __init__(self, length=5):
        self.length = length
        self.started = self.given = self.left = 0

    def __call__(self):
        self.started += 1
        try:
            for number in range(self.length):
                self.given += 1
                yield number
        finally:
            self.left += 1


def passes_of(dataset):
    return Passes(lambda cycle: Run(plan(dataset.node), cycle), dataset._coming)


def test_look_and_first_pass_are_one_run():
    source = Source()
    passes = passes_of(Dataset(source))

    assert passes.look() == 0
    assert (source.started, source.given) == (1, 1)
    assert list(passes()) == [0, 1, 2, 3, 4]
    assert (source.started, source.given, source.left) == (1, 5, 1)
    assert list(passes()) == [0, 1, 2, 3, 4]
    assert source.started == 2


def test_passes_are_the_cycles_of_the_dataset_in_order():
    shuffled = Dataset(range(20)).shuffle(seed=1)
    passes = passes_of(shuffled)
    passes.look()

    assert [list(passes()) for _ in range(3)] == [shuffled.epoch(cycle).list() for cycle in range(3)]
    assert shuffled.list() == shuffled.epoch(3).list()


def test_look_uses_no_pass_up():
    shuffled = Dataset(range(20)).shuffle(seed=1)
    passes = passes_of(shuffled)
    passes.look()

    assert shuffled.list() == shuffled.epoch(0).list()
    assert list(passes()) == shuffled.epoch(1).list()


def test_run_that_was_looked_at_is_closed_if_the_dataset_went_on_without_it():
    source = Source()
    dataset = Dataset(source)
    passes = passes_of(dataset)
    passes.look()
    dataset.list()

    assert list(passes()) == [0, 1, 2, 3, 4]
    assert (source.started, source.left) == (3, 3)


def test_close_ends_the_run_that_was_looked_at_and_nothing_else():
    source = Source()
    passes = passes_of(Dataset(source))
    passes.look()
    passes.close()
    passes.close()

    assert (source.started, source.left) == (1, 1)
    assert list(passes()) == [0, 1, 2, 3, 4]


def test_generator_that_is_dropped_closes_its_run():
    source = Source()
    passes = passes_of(Dataset(source))
    passes.look()
    for _ in passes():
        break
    gc.collect()

    assert (source.started, source.left) == (1, 1)


def test_generator_that_is_never_started_opens_nothing():
    source = Source()
    passes = passes_of(Dataset(source))
    passes()

    assert source.started == 0


def test_two_passes_may_be_open_at_once():
    passes = passes_of(Dataset(range(3)))
    passes.look()

    assert list(zip(passes(), passes(), strict=True)) == [(0, 0), (1, 1), (2, 2)]


def test_look_at_an_empty_dataset_raises():
    with pytest.raises(EmptyDataset):
        passes_of(Dataset([])).look()
