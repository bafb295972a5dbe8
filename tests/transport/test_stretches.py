"""Samples come back as they were, in whatever form they travel, and batches as `collate` makes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.collate import Batching, collate
from flazy.errors import BatchError
from flazy.run.groups import grouped
from flazy.transport.codec import decode, encode
from flazy.transport.stretches import BATCHES, COLUMNS, ROWS, arranged, gathered, rows_of
from tests.transport.same import same

UNIFORM = [
    lambda i: np.full(5, i, np.float32),
    lambda i: {"x": np.full((2, 3), i, np.uint8), "y": i, "name": f"n{i}"},
    lambda i: (np.arange(i, i + 3), {"z": np.full(4, i, np.complex64)}, None),
    lambda i: {"x": np.full((1, 2), i), "any": [i, {i}]},
]
MIXED = [
    lambda i: np.zeros(i % 3),
    lambda i: {"m": np.ma.masked_equal(np.arange(3), i % 4)},
    lambda i: np.full(3, i, [np.float32, np.float64][i % 2]),
    lambda i: {"x": np.zeros(2), **({"more": 1} if i % 2 else {})},
    lambda i: (np.zeros(2),) * (i % 2 + 1),
    lambda i: np.array(i),
    lambda i: np.full(3, i, ">i4"),
    lambda i: np.zeros(3) if i else None,
    lambda i: i,
    lambda i: {"b": 1, "a": np.zeros(1)} if i % 2 else {"a": np.zeros(1), "b": 1},
]


def through(stretches):
    return decode(encode(list(stretches)))


def samples(stretches):
    return [sample for stretch in stretches for sample in rows_of(stretch)]


@pytest.mark.parametrize("made", [*UNIFORM, *MIXED])
@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_samples_come_back_as_they_were(made, count):
    rows = [made(i) for i in range(count)]

    assert same(rows, samples(through(arranged(rows))))


@pytest.mark.parametrize("made", UNIFORM)
def test_small_arrays_of_one_kind_are_laid_end_to_end(made):
    assert {COLUMNS} == {kind for kind, _, _ in arranged([made(i) for i in range(9)])}


def test_a_row_that_is_kept_keeps_little_beside_it():
    (row, *_) = samples(through(arranged([np.full(1000, i) for i in range(1000)])))
    base = row
    while base.base is not None:
        base = base.base if isinstance(base.base, np.ndarray) else np.frombuffer(base.base, np.uint8)
        if base.base is None or not isinstance(base, np.ndarray):
            break

    assert base.nbytes <= 64 * 1024


def test_rows_can_be_written_to_without_harm_to_others():
    rows = samples(through(arranged([np.full(3, i) for i in range(4)])))
    rows[1][:] = 9

    assert [0, 9, 2, 3] == [row[0] for row in rows]


def batches(stretches, size, dtype=np.float32):
    return [group.collate(dtype) for group in grouped(((stretch, None) for stretch in through(stretches)), size)]


large = st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])  # where numpy changes its mind
numbers = st.lists(st.integers(-(2**70), 2**70) | st.integers(-9, 9) | large | st.floats() | st.booleans(), max_size=40)


@given(rows=numbers, size=st.integers(1, 7), position=st.integers(0, 6), dtype=st.sampled_from([None, np.float32, int]))
def test_numbers_batch_alike_in_workers_and_here(rows, size, position, dtype):
    """``position`` samples of the batch came before, as rows."""
    before = list(range(position % size))
    stretches = [*arranged(before), *gathered(rows, Batching(size, dtype), len(before))]
    every = before + rows

    def outcome(make):
        try:
            return make()
        except BatchError as error:
            return str(error)

    expected = outcome(lambda: [collate(every[i : i + size], dtype) for i in range(0, len(every), size)])
    actual = outcome(lambda: batches(stretches, size, dtype))

    assert same(expected, actual)


@pytest.mark.parametrize("made", [*UNIFORM, *MIXED])
@pytest.mark.parametrize(("size", "position"), [(1, 0), (4, 0), (4, 3), (7, 5)])
def test_samples_batch_alike_in_workers_and_here(made, size, position):
    rows = [made(i) for i in range(50)]
    before = [made(i) for i in range(position)]

    def outcome(make):
        try:
            return make()
        except BatchError as error:
            return str(error)

    every = before + rows
    expected = outcome(lambda: [collate(every[i : i + size], None) for i in range(0, len(every), size)])
    stretches = [*arranged(before), *gathered(rows, Batching(size, None), position)]

    assert same(expected, outcome(lambda: batches(stretches, size, None)))


@pytest.mark.parametrize("odd", [2**63, 2**64, -(2**63) - 1])
def test_one_large_int_changes_the_dtype_of_its_own_batch_alone(odd):
    rows = [*range(-8, 0), odd, *range(7)]
    expected = [collate(rows[start : start + 4], None) for start in range(0, 16, 4)]

    assert same(expected, batches(gathered(rows, Batching(4, None), 0), 4, None))


def test_batches_of_numbers_are_laid_end_to_end():
    kinds = [(kind, count) for kind, count, _ in gathered(list(range(103)), Batching(4, np.float32), 2)]

    assert [(ROWS, 2), (BATCHES, 100), (ROWS, 1)] == kinds


def test_text_is_batched_by_itself_since_its_dtype_depends_on_the_longest():
    rows = ["a", "b", "long", "c"]

    assert ["<U1", "<U4"] == [batch.dtype.str for batch in batches(gathered(rows, Batching(2, None), 0), 2)]
