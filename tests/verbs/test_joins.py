"""Joining verbs: what they accept, and ``+``."""

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import InvalidArgument, InvalidType
from tests.test_specification import same

TWO = Dataset([1, 2])
OTHER = Dataset([3, 4])


@pytest.mark.parametrize(
    "item",
    [0, 0.5, "a", b"a", None, (1, 2), [1], {"a": 1}, {3}, np.float32(3), np.int64(3), np.arange(3), np.array("a"), ...],
)
def test_one_item_can_stand_in_front(item):
    same([item, 1, 2], (item + TWO).list())


def test_one_item_can_stand_behind():
    same([1, 2, 3], (TWO + 3).list())
    same([1, 2, np.float32(3)], (TWO + np.float32(3)).list())


def test_sum_of_datasets():
    assert [1, 2, 1, 2] == (TWO + TWO).list()
    assert [1, 2, 1, 2, 3, 1, 2] == (TWO + (TWO + 3) + TWO).list()


def test_sum_in_place_makes_a_new_dataset():
    dataset = before = TWO
    dataset += 3

    assert [1, 2] == before.list()
    assert [1, 2, 3] == dataset.list()


def test_functions_that_give_datasets_are_datasets():
    assert [1, 2, 1, 2] == (TWO + (lambda: TWO)).list()
    assert [1, 2, 1, 2] == ((lambda: TWO) + TWO).list()
    assert [1, 1, 2, 2] == Dataset.roundrobin([TWO, lambda: TWO]).list()
    assert [(1, 1), (2, 2)] == Dataset.zip(TWO, lambda: TWO).list()
    assert [{"a": 1}, {"a": 2}] == Dataset.zip(a=lambda: TWO).list()


def test_joins_take_any_iterable_of_datasets():
    assert [1, 2, 1, 2] == Dataset.concat(TWO for _ in range(2)).list()
    assert [1, 1, 2, 2] == Dataset.roundrobin({1: TWO, 2: TWO}.values()).list()


@pytest.mark.parametrize("other", [OTHER, [OTHER], (lambda: OTHER,), lambda: OTHER])
def test_dataset_that_a_join_is_called_on_is_the_first(other):
    assert [1, 2, 3, 4] == TWO.concat(other).list()
    assert [1, 3, 2, 4] == TWO.roundrobin(other).list()


def test_dataset_that_zip_is_called_on_is_the_first():
    assert [(1, 3), (2, 4)] == TWO.zip(OTHER).list()
    assert [(1, 3, 1), (2, 4, 2)] == TWO.zip(OTHER, lambda: TWO).list()
    assert repr(Dataset.zip(TWO, OTHER)) == repr(TWO.zip(OTHER))
    with pytest.raises(InvalidArgument, match=r"Dataset\.zip\(a=…, b=…\)"):
        TWO.zip(b=OTHER)


def test_joins_of_a_dataset_take_datasets():
    for join in (TWO.concat, TWO.roundrobin, TWO.zip):
        with pytest.raises(InvalidType, match="not int; wrap it in Dataset"):
            join(5)
    with pytest.raises(InvalidArgument, match=r"Dataset\.zip\(a, b\)"):
        TWO.zip()


@pytest.mark.parametrize("join", [Dataset.concat, Dataset.roundrobin, Dataset.zip])
def test_join_takes_datasets_one_by_one_or_in_a_list(join):
    assert join(TWO, TWO, TWO).list() == join([TWO] * 3).list() == join(iter([TWO] * 3)).list()


@pytest.mark.parametrize("join", [Dataset.concat, Dataset.roundrobin, lambda parts: Dataset.zip(*parts)])
@pytest.mark.parametrize("wrong", [[1, 2], 5, None, "ab", {"a": 1}])
def test_join_takes_datasets(join, wrong):
    with pytest.raises(InvalidType, match=rf"not {type(wrong).__name__}; wrap it in Dataset"):
        join([TWO, wrong])


@pytest.mark.parametrize("make", [Dataset.zip, lambda: Dataset.zip(TWO, a=TWO)])
def test_zip_takes_datasets_or_named_ones(make):
    with pytest.raises(InvalidArgument, match=r"Dataset\.zip\(a, b\)"):
        make()
