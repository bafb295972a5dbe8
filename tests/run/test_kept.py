"""Stages that keep samples: shuffle, sample, cache."""

import itertools

import numpy as np
import pytest

from flazy import Dataset
from tests.run.test_stages import Counted


@pytest.mark.parametrize("size", [None, 1, 2, 7, 20, 100])
def test_shuffle_is_a_permutation(size):
    assert [*range(20)] == sorted(Dataset(range(20)).shuffle(size, seed=3))


def test_buffer_of_one_changes_nothing():
    assert [*range(9)] == Dataset(range(9)).shuffle(1).list()


def test_buffered_shuffle_moves_no_sample_forward_by_more_than_its_buffer():
    order = Dataset(range(1000)).shuffle(10, seed=1).list()

    assert all(value - place < 10 for place, value in enumerate(order))
    assert order != sorted(order)


def test_full_shuffle_is_uniform():
    counts = {}
    dataset = Dataset(range(3)).shuffle(seed=1)
    for _ in range(600):
        order = tuple(dataset)
        counts[order] = counts.get(order, 0) + 1

    assert {*itertools.permutations(range(3))} == {*counts}
    assert all(60 < count < 140 for count in counts.values()), counts


def test_sample_is_uniform_and_without_replacement():
    counts = [0] * 6
    dataset = Dataset(range(6)).sample(2, seed=1)
    for _ in range(600):
        drawn = dataset.list()
        assert 2 == len({*drawn})
        for value in drawn:
            counts[value] += 1

    assert all(150 < count < 250 for count in counts), counts


def test_sample_of_more_than_there_is_gives_everything():
    assert [0, 1, 2] == sorted(Dataset(range(3)).sample(10))


def test_cache_runs_its_upstream_once():
    source = Counted(3)
    cached = Dataset(source).cache()

    assert [0, 1, 2] == cached.list()
    assert ["0", "1", "2"] == cached.map(str).list()
    assert [0, 1, 2] * 2 == cached.repeat(2).list()
    assert [0, 1, 2] == source.asked


def test_cache_is_filled_by_a_full_pass_only():
    source = Counted(3)
    cached = Dataset(source).cache()
    cached.first()
    cached.take(2).list()
    next(iter(cached))

    assert [0, 1, 2] == cached.list()
    assert [0, 0, 1, 0, 0, 1, 2] == source.asked
    assert 0 == cached.first()
    assert 7 == len(source.asked)


def test_two_passes_that_fill_a_cache_at_once_give_the_same():
    cached = Dataset(Counted(3)).cache()
    pairs = [*zip(cached, cached, strict=True)]

    assert [(0, 0), (1, 1), (2, 2)] == pairs
    assert [0, 1, 2] == cached.list()


def test_failing_pass_fills_no_cache():
    calls = itertools.count()
    cached = Dataset([1, 2]).map(lambda x: 1 / next(calls) * 0 + x).cache()

    with pytest.raises(ZeroDivisionError):
        cached.list()
    assert [1, 2] == cached.list()
    assert [1, 2] == cached.list()


def test_what_is_cached_cannot_be_changed_by_who_gets_it():
    def spoil(sample):
        sample["x"][0] += 1
        sample["list"].append(1)
        return sample["x"][0]

    cached = Dataset(lambda: [{"x": np.zeros(1), "list": []}]).cache()

    assert [1, 1, 1] == [cached.map(spoil).first() if n else cached.map(spoil).list()[0] for n in range(3)]
    assert [] == cached.first()["list"]
