"""What ``Dataset(...)`` accepts, and how often it can be iterated."""

import collections
import pathlib

import numpy as np
import pandas as pd
import pytest

from flazy import Dataset
from flazy.errors import InvalidArgument, InvalidType, LengthMismatch, OneShotSource, SampleError, SourceError

# Accepted ---------------------------------------------------------------------------------------------


class Indexed:
    """Iterable by the old protocol only."""

    def __getitem__(self, index):
        if index > 2:
            raise IndexError
        return index


@pytest.mark.parametrize(
    ("source", "samples"),
    [
        ([1, "a", None], [1, "a", None]),
        ((1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        ({5}, [5]),
        ({"a": 1}.items(), [("a", 1)]),
        (collections.deque([1, 2]), [1, 2]),
        (np.arange(3), [0, 1, 2]),
        (pd.Series([1.5, 2.5]), [1.5, 2.5]),
        (lambda: [1, 2], [1, 2]),
        (lambda: iter([1, 2]), [1, 2]),
        (lambda: Dataset([1, 2]), [1, 2]),
        (Indexed, [0, 1, 2]),
        (Dataset([1, 2]), [1, 2]),
        ([], []),
    ],
)
def test_source_is_iterated_for_every_pass(source, samples):
    dataset = Dataset(source)

    assert samples == dataset.list()
    assert samples == dataset.list()


def test_generator_function_is_a_source():
    def numbers():
        yield 1
        yield 2

    assert [1, 2, 1, 2] == [*Dataset(numbers), *Dataset(numbers)]


def test_data_frame_gives_rows_as_dicts():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], 3: [0.5, None]}, index=[7, 8])
    rows = Dataset(frame).list()

    assert {"a": 1, "b": "x", 3: 0.5} == rows[0]
    assert ["a", "b", 3] == [*rows[1]]
    assert 2 == len(Dataset(frame))


def test_data_frame_is_a_column_too():
    frame = pd.DataFrame({"a": [1, 2]})

    assert [({"a": 1}, "x"), ({"a": 2}, "y")] == Dataset(frame, ["x", "y"]).list()


def test_rows_of_an_array_are_copies():
    array = np.zeros((2, 3))

    def spoil(row):
        row += 1
        return row.sum()

    assert [3.0, 3.0] == Dataset(array).map(spoil).list()
    assert [3.0, 3.0] == Dataset(x=array).map(lambda sample: spoil(sample["x"])).list()
    assert 0 == array.sum()


def test_one_column_by_name_gives_dicts():
    assert [{"a": 1}] == Dataset(a=[1]).list()


def test_columns_may_be_functions():
    assert [(0, 5), (1, 6)] == Dataset(lambda: range(2), [5, 6]).list()


# One-shot sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: iter([1, 2]), lambda: (x for x in [1, 2]), lambda: map(abs, [1, 2])])
def test_one_shot_iterator_is_refused_the_second_time(make):
    dataset = Dataset(make()).map(lambda x: x)

    assert [1, 2] == dataset.list()
    with pytest.raises(OneShotSource, match=r"give a function.*Dataset\(lambda: generator\(\)\)") as caught:
        dataset.list()
    assert isinstance(caught.value, ValueError)


def test_one_shot_column_is_refused_the_second_time():
    dataset = Dataset([1, 2], iter([3, 4]))
    dataset.list()

    with pytest.raises(OneShotSource):
        dataset.list()


def test_one_shot_source_cannot_repeat():
    running = iter(Dataset(iter([1, 2])).repeat())

    assert [1, 2] == [next(running), next(running)]
    with pytest.raises(OneShotSource):
        next(running)


def test_first_uses_a_one_shot_source_up():
    dataset = Dataset(iter([1, 2]))

    assert 1 == dataset.first()
    with pytest.raises(OneShotSource):
        dataset.list()


def test_open_without_a_sample_leaves_a_one_shot_source_alone():
    dataset = Dataset(iter([1, 2])).map(lambda x: x)
    dataset.open().close()

    assert [1, 2] == dataset.list()


# Errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: Dataset("abc"), r"letters.*Dataset\.read.*Dataset\(\[text\]\)"),
        (lambda: Dataset(b"abc"), "letters"),
        (lambda: Dataset(np.str_("abc")), "letters"),
        (lambda: Dataset({"a": [1]}), r"keys.*Dataset\(\*\*columns\)"),
        (lambda: Dataset(collections.OrderedDict(a=[1])), "keys"),
        (lambda: Dataset(pathlib.Path("x.tfrecord")), r"Dataset\.read\.<format>\(path\)"),
        (lambda: Dataset(5), "not int"),
        (lambda: Dataset(None), "not NoneType"),
        (lambda: Dataset(np.array(5)), "without dimensions"),
        (lambda: Dataset([1], 5), "argument 1: .*not int"),
        (lambda: Dataset(a=[1], b=5), "column 'b': .*not int"),
        (lambda: Dataset(a=[1], b=np.array(5)), "column 'b': .*without dimensions"),
    ],
)
def test_what_is_no_source_is_refused_at_once(make, hint):
    with pytest.raises(InvalidType, match=hint) as caught:
        make()

    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (Dataset, "needs a source"),
        (lambda: Dataset([1], a=[1]), "not both"),
        (lambda: Dataset([1], [1, 2]), r"equally long, not \{0: 1, 1: 2\}"),
        (lambda: Dataset(a=np.zeros(3), b=range(4)), r"equally long, not \{'a': 3, 'b': 4\}"),
        (lambda: Dataset(pd.DataFrame([[1, 2]], columns=["a", "a"])), "different names.*'a', 'a'"),
    ],
)
def test_sources_that_do_not_go_together_are_refused_at_once(make, hint):
    with pytest.raises(InvalidArgument, match=hint) as caught:
        make()

    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"a": lambda: [1, 2], "b": lambda: [1]}, "'b'"),
        ({"a": lambda: [1], "b": lambda: [1, 2]}, "'b'"),
        ({"a": [1, 2], "b": [3, 4], "c": lambda: [1]}, "'c'"),
    ],
)
def test_columns_of_unknown_length_are_compared_on_the_way(columns, name):
    running = iter(Dataset(**columns))

    assert 1 == next(running)["a"]
    with pytest.raises(LengthMismatch, match=f"equally long.*column {name}") as caught:
        next(running)
    assert isinstance(caught.value, ValueError)


def test_value_error_of_a_column_is_its_own():
    def column():
        yield 1
        raise ValueError("zip() argument 2 is shorter than argument 1")

    with pytest.raises(SourceError) as caught:
        Dataset([1, 2], column).list()

    assert not isinstance(caught.value, LengthMismatch)


def test_function_that_gives_nothing_to_iterate_is_named():
    def number():
        return 5

    with pytest.raises(InvalidType, match=r"number\(\) must give something to iterate, not int"):
        Dataset(number).list()


def test_error_of_the_source_comes_after_the_samples_before_it():
    def numbers():
        yield from range(3)
        raise FileNotFoundError(2, "gone", "x.txt")

    seen = []
    with pytest.raises(SourceError, match=r"source .*numbers failed on sample 3: FileNotFoundError") as caught:
        seen.extend(Dataset(numbers).map(lambda x: seen.append(x)))

    assert [0, 1, 2] == [x for x in seen if x is not None]
    assert (3,) == caught.value.address
    assert isinstance(caught.value, FileNotFoundError)
    assert (2, "x.txt") == (caught.value.errno, caught.value.filename)


def test_error_of_the_call_itself_is_the_sources():
    def broken():
        raise KeyError("x")

    with pytest.raises(SourceError, match="failed on sample 0: KeyError: 'x'") as caught:
        Dataset(broken).list()

    assert isinstance(caught.value, KeyError)
    assert not isinstance(caught.value, SampleError)


# from_indexed -------------------------------------------------------------------------------------------


class Squares:
    """As a PyTorch dataset: no iteration, only length and items."""

    __iter__ = None

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if not 0 <= index < 4:
            raise IndexError(index)
        return index * index


def test_indexed_object_gives_its_items_in_order():
    dataset = Dataset.from_indexed(Squares())

    assert [0, 1, 4, 9] == dataset.list()
    assert 4 == len(dataset)
    assert 4 == dataset[2]


def test_failing_item_is_named():
    class Broken(Squares):
        def __getitem__(self, index):
            return {0: "a"}[index]

    with pytest.raises(SampleError, match=r"from_indexed\(Broken\) failed on sample 1: KeyError"):
        Dataset.from_indexed(Broken()).list()


def test_what_has_no_length_or_items_is_refused():
    for wrong in (iter([1]), 5, lambda: [1]):
        with pytest.raises(InvalidType, match="__len__ and __getitem__"):
            Dataset.from_indexed(wrong)
