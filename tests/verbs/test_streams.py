"""Verbs on the stream."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset
from flazy.errors import EmptyDataset, OutOfRange

NUMBERS = st.lists(st.integers(), max_size=12)
INDEX = st.none() | st.integers(0, 15)


@given(items=NUMBERS, start=INDEX, stop=INDEX, step=st.none() | st.integers(1, 5))
def test_slices_are_those_of_lists(items, start, stop, step):
    sliced = Dataset(items)[start:stop:step]

    assert items[start:stop:step] == sliced.list()
    assert items[start:stop:step] == Dataset(iter(items))[start:stop:step].list()
    assert len(items[start:stop:step]) == len(sliced)


@given(items=NUMBERS, first=st.slices(8), second=st.slices(8))
def test_slices_of_slices_are_those_of_lists(items, first, second):
    slices = [slice(*[abs(n) if n is not None else None for n in (s.start, s.stop, s.step)]) for s in (first, second)]

    assert items[slices[0]][slices[1]] == Dataset(items)[slices[0]][slices[1]].list()


@given(items=NUMBERS, index=st.integers(0, 15))
def test_items_are_those_of_lists(items, index):
    if index < len(items):
        assert items[index] == Dataset(items)[index]
    else:
        with pytest.raises(OutOfRange, match=f"index {index} is beyond the end"):
            Dataset(items)[index]


def test_numpy_indices_are_indices():
    dataset = Dataset("ab", "cd")

    assert ("b", "d") == dataset[np.int64(1)]
    assert [("b", "d")] == dataset[np.int8(1) : np.uint16(2)].list()


def test_item_of_a_mapped_dataset_runs_it_up_to_there():
    calls = []

    assert 3 == Dataset(range(10)).map(lambda x: calls.append(x) or x)[3]
    assert [0, 1, 2, 3] == calls


@given(items=NUMBERS, count=st.integers(0, 15))
def test_take_and_skip_are_slices(items, count):
    assert items[:count] == Dataset(items).take(count).list()
    assert items[count:] == Dataset(items).skip(count).list()


@given(items=NUMBERS, start=st.integers())
def test_enumerate_is_pythons(items, start):
    assert [*enumerate(items, start)] == Dataset(items).enumerate(start).list()


@given(items=NUMBERS, times=st.integers(0, 3))
def test_repeat_is_pythons(items, times):
    assert items * times == Dataset(items).repeat(times).list()


@pytest.mark.parametrize("times", [-1, None, np.int64(-1)])
def test_repeat_without_end(times):
    assert [0, 1, 0, 1, 0] == [*itertools.islice(Dataset(range(2)).repeat(times), 5)]


@given(items=NUMBERS, size=st.integers(1, 5))
def test_batches_of_arrays_unbatch_to_themselves(items, size):
    dataset = Dataset(items).map(lambda x: np.float64(x))

    assert [*map(float, items)] == dataset.batch(size, drop_remainder=False).unbatch().list()
    assert [*map(float, items[: len(items) // size * size])] == dataset.take(
        len(items) // size * size
    ).batch(size).unbatch().list()


@given(items=NUMBERS, size=st.none() | st.integers(1, 15), seed=st.integers(0, 5))
def test_shuffle_loses_and_invents_nothing(items, size, seed):
    assert sorted(items) == sorted(Dataset(items).shuffle(size, seed))


@given(items=st.lists(st.integers(), max_size=12, unique=True), count=st.integers(0, 15), size=st.none() | st.just(3))
def test_sample_draws_without_replacement(items, count, size):
    drawn = Dataset(items).sample(count, size).list()

    assert min(count, len(items)) == len(drawn) == len({*drawn} & {*items})


def test_transform_puts_a_generator_into_the_stream():
    def differences(numbers):
        for before, after in itertools.pairwise(numbers):
            yield after - before

    assert [1, 3, 5] == Dataset([0, 1, 4, 9]).transform(differences).list()


def test_transform_may_leave_samples_and_make_new_ones():
    assert [0, 1] == Dataset(itertools.count).transform(lambda samples: itertools.islice(samples, 2)).list()
    assert ["x"] == Dataset([]).transform(lambda samples: [*samples, "x"]).list()


def test_unbatch_needs_parts_of_one_length():
    with pytest.raises(TypeError, match=r"unbatch needs parts of one length, not \{'a': 2, 'b': 3\}"):
        Dataset([{"a": [1, 2], "b": [1, 2, 3]}]).unbatch().list()
    with pytest.raises(TypeError, match="first dimension, not float32"):
        Dataset([np.float32(1)]).unbatch().list()
    with pytest.raises(TypeError, match="first dimension, not ndarray"):
        Dataset([np.array(1)]).unbatch().list()


def test_progress_counts_on_a_bar(capsys):
    assert [0, 1, 2] == Dataset(range(3)).progress("reading").list()
    assert [0, 1, 2] == Dataset(range(3)).list(verbose=True)
    assert [0, 1, 2] == Dataset(range(3)).collect(verbose=True).tolist()

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "reading" in captured.err
    assert 3 == captured.err.count("3/3")


def test_progress_of_unknown_length_has_no_total(capsys):
    Dataset(range(3)).filter(lambda x: x < 2).progress().list()

    assert "2 samples" in capsys.readouterr().err


def test_prefetch_gives_the_same_stream():
    dataset = Dataset(range(20)).map(lambda x: x * x)

    assert dataset.list() == dataset.prefetch(3).list() == dataset.prefetch(100).prefetch(1).list()


def test_prefetch_raises_the_error_at_its_place():
    seen = []
    with pytest.raises(ZeroDivisionError) as caught:
        for sample in Dataset([1, 2, 0, 3]).map(lambda x: 2 // x).prefetch(10):
            seen.append(sample)  # noqa: PERF402 - what came before the error counts

    assert [2, 1] == seen
    assert (2,) == caught.value.address


def test_prefetch_runs_ahead_by_no_more_than_it_was_told():
    asked = itertools.count()
    dataset = Dataset(range(100)).map(lambda x: next(asked)).prefetch(3)
    with dataset.open() as run:
        next(run)

    assert next(asked) <= 1 + 3 + 1


def test_pipe_is_the_door_for_verbs_of_ones_own():
    def evens(dataset, start, *, scale=1):
        return dataset.filter(lambda x: x % 2 == 0).skip(start).map(lambda x: x * scale)

    assert [20, 40] == Dataset(range(5)).pipe(evens, 1, scale=10).list()


def test_repeat_of_an_empty_dataset_says_so():
    with pytest.raises(EmptyDataset):
        Dataset(list).repeat().first()
