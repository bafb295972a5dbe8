"""Sequences in rows of one length: held against lists in plain Python."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy import Dataset
from flazy.errors import BatchError
from tests.transport.same import same

few = settings(max_examples=25)
LENGTH = 6


@st.composite
def numbered(draw, longest=LENGTH):
    """Draw sequences in which no number comes twice."""
    lengths = draw(st.lists(st.integers(0, longest), max_size=15))
    ends = np.cumsum([1, *lengths])
    return [np.arange(start, stop, dtype=np.int16) for start, stop in itertools.pairwise(ends)]


def first_fit(lists, open_rows):
    """Give rows, as lists of lists."""
    rows, done = [], []
    for numbers in filter(None, lists):
        for row in rows:
            if sum(map(len, row)) + len(numbers) <= LENGTH:
                row.append(numbers)
                break
        else:
            rows.append([numbers])
        full = [row for row in rows if sum(map(len, row)) == LENGTH]
        done += full
        rows = [row for row in rows if row not in full]
        done += rows[:-open_rows]
        rows = rows[-open_rows:]
    return done + rows


def cut(lists):
    """Give rows of one stream, as lists of what is left of each list in them."""
    marked = [(which, number) for which, numbers in enumerate(lists) for number in numbers]
    rows = [marked[start : start + LENGTH] for start in range(0, len(marked), LENGTH)]
    return [[[n for w, n in row if w == which] for which in dict.fromkeys(w for w, _ in row)] for row in rows]


def laid_out(rows, pad):
    """Give rows as they come out."""
    return [
        {
            "values": filled([number for piece in row for number in piece], pad, np.int16),
            "segment_ids": filled([which for which, piece in enumerate(row, 1) for _ in piece], 0, np.int32),
            "positions": filled([place for piece in row for place in range(len(piece))], 0, np.int32),
        }
        for row in rows
    ]


def filled(numbers, pad, dtype):
    return np.array(numbers + [pad] * (LENGTH - len(numbers)), dtype)


@few
@given(arrays=numbered(), open_rows=st.integers(1, 4))
def test_whole_sequences_go_into_the_first_row_with_room(arrays, open_rows):
    rows = Dataset(arrays).pack(LENGTH, pad=-1, open_rows=open_rows).list()

    assert same(laid_out(first_fit([array.tolist() for array in arrays], open_rows), -1), rows)


@few
@given(arrays=numbered(longest=20), drop=st.booleans())
@pytest.mark.filterwarnings("ignore:pack")
def test_split_cuts_one_stream(arrays, drop):
    expected = cut([array.tolist() for array in arrays])
    if drop and expected and sum(map(len, expected[-1])) < LENGTH:
        expected.pop()

    rows = Dataset(arrays).pack(LENGTH, split=True, drop_remainder=drop).list()

    assert same(laid_out(expected, 0), rows)


def test_row_has_the_structure_of_the_samples():
    tokens, vectors = np.int32([1, 2]), np.ones((2, 3), np.float16)
    rows = {
        "dict": Dataset([{"a": tokens, "b": {"c": [5, 6]}, "d": (vectors,)}]).pack(3, pad={"a": 9, "b": {"c": -100}}),
        "tuple": Dataset([(tokens, [5, 6])]).pack(3, pad=(9, -100)),
    }
    beside = {"segment_ids": np.int32([1, 1, 0]), "positions": np.int32([0, 1, 0])}
    first, second = np.int32([1, 2, 9]), np.array([5, 6, -100])

    expected = {"a": first, "b": {"c": second}, "d": (np.float16([[1] * 3, [1] * 3, [0] * 3]),), **beside}
    assert same(expected, rows["dict"].first())
    assert same({"values": (first, second), **beside}, rows["tuple"].first())


def test_rows_can_be_batched():
    batch = Dataset([[1, 2], [3], [4, 5, 6]]).pack(3).batch(2).first()

    assert same(np.array([[1, 2, 3], [4, 5, 6]]), batch["values"])
    assert same(np.int32([[1, 1, 2], [1, 1, 1]]), batch["segment_ids"])


def test_full_row_is_given_at_once():
    taken = []
    samples = Dataset(lambda: (taken.append(length) or [0] * length for length in (2, 4, 1, 4)))
    with samples.pack(4, open_rows=1).open() as run:
        next(run)

    assert [2, 4] == taken


class Image:
    """It has an array, and no length, as an image of Pillow."""

    pixels = np.zeros(2)
    __array_interface__ = pixels.__array_interface__


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([[1] * 5], {}, r"a sequence of 5 does not fit into a row of 4; cut it in a map\(\) before, or say split=True"),
        ([{"a": [1], "b": [1, 2]}], {}, r"the parts of a sequence must be equally long, not \{'a': 1, 'b': 2\}"),
        ([{"a": {"b": [1], "c": [1, 2]}}], {}, "key 'a': the parts of a sequence must be equally long"),
        ([{"a": [1], "id": 7}], {}, r"key 'id': pack\(\) needs arrays or lists .*, not int; select\(\) the keys"),
        ([{"a": [1], "id": "x"}], {"split": True}, r"key 'id': pack\(\) needs arrays or lists .*, not str"),
        ([np.array(1)], {}, r"pack\(\) needs arrays or lists .*, not ndarray"),
        ([Image()], {}, r"pack\(\) needs arrays or lists .*, not Image"),
    ],
)
def test_sample_that_cannot_be_packed_is_named(samples, options, message):
    dataset = Dataset([[1], {"a": [1]}, *samples]).skip(2)

    with pytest.raises(BatchError, match=rf"^pack\(4.*\), sample 2: {message}"):
        dataset.pack(4, **options).list()


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([np.uint8([1])], {"pad": -1}, "pad=-1 does not fit into uint8"),
        ([{"a": [1]}], {"pad": {"b": 0}}, "pad= names 'b', which the samples have not; they have 'a'"),
        ([{"a": [1]}, {"b": [1]}], {}, "differ in the keys 'a', 'b'"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], {}, r"in their first dimension only: \(1, 2\) .* and \(1, 3\)"),
        ([{"positions": [1]}], {}, r"have a 'positions' of their own, which pack\(\) adds; rename it"),
    ],
)
def test_row_that_cannot_be_made_is_named(samples, options, message):
    with pytest.raises(BatchError, match=rf"^pack\(4.*\), row 0: .*{message}"):
        Dataset(samples).pack(4, **options).list()


def test_pass_of_which_everything_was_dropped_warns():
    with pytest.warns(UserWarning, match=r"^pack\(9, split=True, drop_remainder=True\) dropped all 2 .* fill no row"):
        assert [] == Dataset([[1], [], [2]]).pack(9, split=True, drop_remainder=True).list()
