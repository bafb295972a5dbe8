"""What runs a plan and gives a result; looks that do not use a pass up."""

import copy
import pickle

import cloudpickle
import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import EmptyDataset
from tests.test_specification import same

SHUFFLED = Dataset(range(50)).shuffle(seed=1)


def test_first_gives_the_first():
    assert Dataset(range(3)).map(str).first() == "0"
    assert Dataset([None]).first() is None


def test_first_runs_no_more_than_it_must():
    calls = []
    Dataset(range(9)).map(calls.append).first()

    assert [0] == calls


def test_count_iterates_only_where_the_plan_does_not_tell():
    calls = []
    mapped = Dataset(range(9)).map(lambda x: calls.append(x) or x)

    assert 9 == mapped.count()
    assert [] == calls
    assert 4 == mapped.filter(lambda x: x % 2).count()
    assert 9 == len(calls)


def test_reduce_folds_from_the_left():
    assert "0123" == Dataset(range(4)).reduce(lambda text, x: text + str(x), "")
    assert 7 == Dataset([]).reduce(max, 7)


def test_list_and_collect():
    assert [] == Dataset([]).list()
    same(np.array([1, 2]), Dataset([1, 2]).collect())
    same(np.float16([1, 2]), Dataset([1, 2]).collect(np.float16))
    same({"a": np.array([0, 1])}, Dataset(a=range(2)).collect())
    same(np.eye(3), Dataset(np.eye(3)).collect())


def test_shape_and_types():
    dataset = Dataset(x=np.zeros((5, 2, 3), np.int8), y=range(5))

    assert {"x": (2, 3), "y": ()} == dataset.shape()
    assert {"x": np.dtype(np.int8), "y": int} == dataset.types()
    assert {"x": (2, 2, 3), "y": (2,)} == dataset.batch(2).shape()
    assert {"x": np.dtype(np.int8), "y": np.dtype(np.float32)} == dataset.batch(2).types()


@pytest.mark.parametrize("look", ["first", "shape", "types", "collect"])
def test_look_at_an_empty_dataset_is_an_error(look):
    with pytest.raises(EmptyDataset, match="without samples") as caught:
        getattr(Dataset([1]).filter(lambda x: False), look)()

    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    "look",
    [Dataset.first, Dataset.shape, Dataset.types, lambda ds: ds[3], len, repr, Dataset.explain, bool, Dataset.count],
)
def test_looks_do_not_use_a_pass_up(look):
    dataset = SHUFFLED.map(lambda x: x)
    for _ in range(3):
        look(dataset)

    assert SHUFFLED.epoch(0).list() == dataset.list()
    look(dataset)
    assert SHUFFLED.epoch(1).list() == dataset.list()


def test_look_sees_the_coming_pass():
    dataset = SHUFFLED.map(lambda x: x)
    for _ in range(3):
        first, third = dataset.first(), dataset[2]
        samples = dataset.list()

        assert (first, third) == (samples[0], samples[2])


def test_each_action_that_iterates_uses_a_pass_up():
    dataset = SHUFFLED.filter(lambda x: True)
    dataset.list()
    dataset.count()
    dataset.reduce(max, 0)
    dataset.foreach(abs)

    assert SHUFFLED.epoch(4).list() != SHUFFLED.epoch(3).list() == dataset.list()


# The dataset as an object -----------------------------------------------------------------------------


def test_dataset_is_an_iterable_like_any_other():
    dataset = Dataset(range(5))

    assert [0, 1, 2, 3, 4] == [*dataset]
    assert 3 in dataset
    assert 9 not in dataset
    assert 4 == max(dataset)
    assert [(0, 0), (1, 1)] == [*zip(dataset.take(2), dataset, strict=False)]
    assert [4, 3, 2, 1, 0] == [*reversed(dataset)]
    first, *rest = dataset
    assert (0, [1, 2, 3, 4]) == (first, rest)


def test_datasets_are_equal_only_to_themselves():
    one, other = Dataset([1]), Dataset([1])

    assert one == one
    assert one != other
    assert 2 == len({one, other, one})


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda ds: cloudpickle.loads(cloudpickle.dumps(ds))])
def test_copy_has_the_same_plan_and_passes_of_its_own(copied):
    dataset = (Dataset(range(20)).map(lambda x: x + 1).cache() + Dataset([7])).shuffle(seed=3).random_map(
        lambda x, rng: (x, rng.random()), seed=4
    )
    dataset.list()
    clone = copied(dataset)

    assert repr(dataset) == repr(clone)
    assert dataset.epoch(0).list() == clone.list()
    assert dataset.list() == clone.list()


def three():
    return Dataset(range(3))


@pytest.mark.parametrize(
    "dataset",
    [
        Dataset(range(3)),
        Dataset(["a", "b"]),
        Dataset(np.arange(6).reshape(3, 2)),
        Dataset(list),
        Dataset(a=[1, 2], b=np.arange(2)),
        Dataset([1, 2], range(2)),
        Dataset.from_indexed([1, 2]),
        Dataset.concat([three, Dataset([7])]),
        Dataset.zip(a=three(), b=three()),
        three().map(abs, workers=2, on_error="skip").random_map(pow, seed=1).take(0).shuffle(seed=1).cache(),
        three().filter(abs).starmap(abs).select("a").cast("int32").take(0).padded_batch(2, pad={"a": 1}).unbatch(),
        three().map(np.atleast_1d).bucket_batch(len, [2], 2).pack(4).window(1, 3).repeat(2).shard(2, 0).enumerate(),
    ],
    ids=repr,
)
def test_dataset_can_be_pickled_if_its_functions_can(dataset):
    clone = pickle.loads(pickle.dumps(dataset))

    assert repr(dataset) == repr(clone)
    same(dataset.list(), clone.list())


def test_subclass_keeps_its_class():
    class Mine(Dataset):
        def doubled(self):
            return self.map(lambda x: x * 2)

    assert [4, 8] == Mine([1, 2]).doubled().filter(bool).doubled().list()
    assert isinstance(Mine([1]) + Mine([2]), Mine)


def test_generic_alias_is_a_class():
    assert [1] == Dataset[int]([1]).list()
