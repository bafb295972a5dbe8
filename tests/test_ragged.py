"""Rows of different lengths in two arrays."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from flazy import Dataset, Ragged
from flazy.errors import InvalidArgument
from flazy.transport import codec
from tests.transport.same import same

WORDS = Ragged(np.array([3, 1, 4, 1, 5], np.int16), [0, 2, 2, 5])
ROWS = [np.int16([3, 1]), np.int16([]), np.int16([4, 1, 5])]


def test_rows_are_views_of_the_values():
    assert 3 == len(WORDS)
    assert same(ROWS, [*WORDS])
    assert same(ROWS, [WORDS[0], WORDS[1], WORDS[-1]])
    assert np.shares_memory(WORDS[2], WORDS.values)
    assert same(np.array([2, 0, 3]), WORDS.lengths)
    assert "Ragged(3 rows, int16 values of shape (5,))" == repr(WORDS)


@pytest.mark.parametrize("index", [3, -4])
def test_row_that_is_not_there(index):
    with pytest.raises(IndexError, match=f"row {index} of 3"):
        WORDS[index]


def test_no_rows():
    none = Ragged(np.zeros((0, 80)), [0])

    assert 0 == len(none)
    assert [] == [*none]
    assert (0,) == none.lengths.shape


@pytest.mark.parametrize("offsets", [[], [0], [0, 4], [1, 5], [0, 3, 2, 5], [0.0, 5.0], [[0, 5]], 5])
def test_offsets_that_do_not_fit_are_refused(offsets):
    with pytest.raises(InvalidArgument, match="offsets must"):
        Ragged(WORDS.values, offsets)


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        WORDS.values = None


def test_it_can_be_pickled():
    copy = pickle.loads(pickle.dumps(WORDS))

    assert same((WORDS.values, WORDS.offsets), (copy.values, copy.offsets))


def test_it_unbatches_to_its_rows():
    rows = Dataset([{"words": WORDS, "label": np.arange(3)}]).unbatch().list()

    assert same([{"words": row, "label": np.int64(number)} for number, row in enumerate(ROWS)], rows)


def test_what_is_cached_is_not_changed_by_what_is_done_to_a_copy():
    cached = Dataset([{"words": WORDS}]).cache()
    for _ in range(3):
        (sample,) = cached
        assert same(np.int16([3, 1, 4, 1, 5]), sample["words"].values)
        sample["words"].values[:] = 0


def test_it_travels_as_frames():
    for length in (0, 5, 50_000):
        ragged = Ragged(np.arange(length, dtype=np.float32), [0, length])
        (there,) = codec.decode(codec.encode([ragged]))

        assert same((ragged.values, ragged.offsets), (there.values, there.offsets))
