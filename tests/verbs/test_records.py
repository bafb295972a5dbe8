"""Verbs on one sample at a time, in the caller's process."""

import collections
import functools
from typing import NamedTuple

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import InvalidType, MissingKey, SampleError


class Point(NamedTuple):
    x: int
    y: int


def test_filter_takes_any_truth():
    dataset = Dataset(range(4))

    assert [1, 3] == dataset.filter(lambda x: np.bool_(x % 2)).list()
    assert [1, 3] == dataset.filter(lambda x: np.array([x % 2])).list()
    assert [1, 2, 3] == dataset.filter(lambda x: x).list()


def test_truth_of_an_array_is_an_error_at_its_sample():
    with pytest.raises(SampleError, match=r"filter\(.*\) failed on sample 0: ValueError.*ambiguous"):
        Dataset([np.zeros(2)]).filter(lambda x: x == 0).list()


def test_starmap_takes_tuples_lists_and_dicts_apart():
    assert [3] == Dataset([(1, 2)]).starmap(lambda a, b: a + b).list()
    assert [3] == Dataset([[1, 2]]).starmap(lambda a, b: a + b).list()
    assert [3] == Dataset([Point(1, 2)]).starmap(lambda a, b: a + b).list()
    assert [3] == Dataset([{"a": 1, "b": 2}]).starmap(lambda b, a: a + b).list()
    assert [0] == Dataset([()]).starmap(lambda: 0).list()
    assert [2] == Dataset(a=[1]).starmap(lambda a, b=1: a + b).list()


def test_starmap_of_anything_else_names_map():
    with pytest.raises(SampleError, match="starmap needs tuples or dicts, not int; use map") as caught:
        Dataset([1]).starmap(print).list()

    assert isinstance(caught.value, TypeError)


def test_flatmap_takes_any_iterable():
    dataset = Dataset([2, 0, 1])

    assert [0, 1, 0] == dataset.flatmap(range).list()
    assert ["2", "0", "1"] == dataset.flatmap(str).list()
    assert [2, 1] == dataset.flatmap(lambda x: (y for y in [x] if y)).list()
    assert [0, 1, 0] == dataset.flatmap(lambda x: Dataset(range(x))).list()


def test_flatmap_of_no_iterable_is_an_error_at_its_sample():
    with pytest.raises(SampleError, match=r"flatmap\(abs\) failed on sample 0: TypeError.*not iterable"):
        Dataset([1]).flatmap(abs).list()


def test_foreach_runs_now_and_gives_nothing():
    seen = []

    assert Dataset(range(3)).foreach(seen.append) is None
    assert [0, 1, 2] == seen


def test_select_keeps_keys_in_the_order_asked_for():
    sample = {"a": 1, "b": 2, "c": 3}

    assert [("c", 3), ("a", 1)] == [*Dataset([sample]).select("c", "a").first().items()]
    assert (3, 1) == Dataset([sample]).select_tuple("c", "a").first()
    assert (3,) == Dataset([sample]).select_tuple("c").first()


def test_select_takes_positions_of_tuples():
    assert (3, 1) == Dataset([(1, 2, 3)]).select(2, 0).first()
    assert (3, 1) == Dataset([[1, 2, 3]]).select_tuple(-1, 0).first()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"a": 1, "b": 2}, "no key 'x' in the sample; its keys are 'a', 'b'"),
        ((1, 2), r"no positions \('x',\) in a sample of 2"),
        (5, "select needs dicts or tuples, not int"),
    ],
)
@pytest.mark.parametrize("verb", ["select", "select_tuple"])
def test_missing_key_is_named(verb, sample, message):
    with pytest.raises(SampleError, match=rf"{verb}\('x'\) failed on sample 0: .*{message}") as caught:
        getattr(Dataset([sample]), verb)("x").list()

    assert isinstance(caught.value, MissingKey | InvalidType)
    assert isinstance(caught.value, KeyError | TypeError)


def test_key_error_inside_a_mapping_of_the_users_is_a_missing_key():
    assert ({"a": 0},) == (Dataset([collections.defaultdict(int)]).select("a").first(),)


@pytest.mark.parametrize("fn", [str, functools.partial(int, base=10), "{}".format, Dataset([1]).take(1).pipe])
def test_anything_callable_is_a_function(fn):
    Dataset(["1"]).map(fn)


# setup= -----------------------------------------------------------------------------------------------


class Resource:
    """Opened by ``setup``, counts, and notes that it was closed."""

    opened = 0
    closed = 0

    def __init__(self):
        type(self).opened += 1

    def close(self):
        type(self).closed += 1


@pytest.fixture
def resource():
    return type("Resource", (Resource,), {})


def test_setup_is_called_once_a_pass_and_closed(resource):
    seen = []
    dataset = Dataset(range(3)).map(lambda x, r: seen.append(r) or x, setup=resource)

    assert [0, 1, 2] == dataset.list()
    assert (1, 1) == (resource.opened, resource.closed)
    assert 1 == len({*map(id, seen)})
    dataset.list()
    assert (2, 2) == (resource.opened, resource.closed)


@pytest.mark.parametrize("leave", ["take", "break", "error", "close", "throw"])
def test_resource_is_closed_however_the_pass_ends(resource, leave):
    dataset = Dataset(range(3)).map(lambda x, r: 1 // (1 - x) and x, setup=resource)
    match leave:
        case "take":
            dataset.take(1).list()
        case "break":
            for _ in dataset:
                break
        case "error":
            with pytest.raises(ZeroDivisionError):
                dataset.list()
        case "close":
            with dataset.open() as run:
                next(run)
        case "throw":
            running = iter(dataset)
            next(running)
            with pytest.raises(KeyError):
                running.throw(KeyError("of the caller"))

    assert (1, 1) == (resource.opened, resource.closed)


def test_pass_without_samples_opens_no_resource(resource):
    Dataset([]).map(lambda x, r: x, setup=resource).list()

    assert 0 == resource.opened


def test_every_verb_passes_its_resource_last():
    def five():
        return 5

    ones = Dataset([(1, 2)])

    assert [((1, 2), 5)] == ones.map(lambda x, r: (x, r), setup=five).list()
    assert [(1, 2, 5)] == ones.starmap(lambda a, b, r: (a, b, r), setup=five).list()
    assert [{"a": 1, "resource": 5}] == Dataset(a=[1]).starmap(lambda **kwargs: kwargs, setup=five).list()
    assert [(1, 2)] == ones.filter(lambda x, r: r == 5, setup=five).list()
    assert [1, 2, 5] == ones.flatmap(lambda x, r: [*x, r], setup=five).list()
    assert [5] == ones.random_map(lambda x, rng, r: r, setup=five).list()
    seen = []
    ones.foreach(lambda x, r: seen.append(r), setup=five)
    assert [5] == seen


def test_resource_may_be_none():
    assert [(1, None)] == Dataset([1]).map(lambda x, r: (x, r), setup=lambda: None).list()


def test_each_stage_has_its_own_resource():
    dataset = Dataset([0]).map(lambda x, r: x + r, setup=lambda: 1).map(lambda x: x * 10)

    assert [12] == dataset.map(lambda x, r: x + r, setup=lambda: 2).list()


def test_failing_setup_names_the_stage(resource):
    def load():
        raise FileNotFoundError(2, "no model", "model.bin")

    dataset = Dataset(range(3)).map(lambda x, r: x, setup=resource).map(lambda x, r: x, setup=load)

    with pytest.raises(SampleError, match=r"setup of map\(<lambda>\) failed on sample 0: FileNotFoundError") as caught:
        dataset.list()
    assert isinstance(caught.value, FileNotFoundError)
    assert (1, 1) == (resource.opened, resource.closed)


def test_failing_close_of_a_resource_is_raised_after_the_samples():
    class Bad:
        def close(self):
            raise OSError("disk full")

    seen = []
    with pytest.raises(OSError, match="disk full"):
        for sample in Dataset(range(3)).map(lambda x, r: x, setup=Bad):
            seen.append(sample)  # noqa: PERF402 - what came before the error counts

    assert [0, 1, 2] == seen
