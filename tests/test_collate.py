"""Samples to batches: structure, dtypes, and the errors that name the key."""

import datetime as dt
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from flazy import Dataset
from flazy.collate import collate, shape_of, type_of
from flazy.errors import BatchError
from flazy.plan.functions import unstack
from tests.test_specification import same


class Pair(NamedTuple):
    left: object
    right: object


def arrays(*rows, dtype=object):
    made = np.empty(len(rows), dtype)
    made[:] = rows
    return made


DAY = dt.date(2024, 2, 29)


# What stacks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "batch"),
    [
        ([1, 2], np.float32([1, 2])),
        ([1.5, 2], np.float32([1.5, 2])),
        ([True, False], np.float32([1, 0])),
        ([np.int64(1), np.int64(2)], np.int64([1, 2])),
        ([np.float16(1), np.float32(2)], np.float32([1, 2])),
        ([np.int8(1), 2], np.int8([1, 2])),
        ([np.bool_(True)], np.array([True])),
        (["a", "bcd"], np.array(["a", "bcd"])),
        (["a", "b\0"], arrays("a", "b\0")),
        (["", "é"], np.array(["", "é"])),
        ([b"a", b"b\0"], arrays(b"a", b"b\0")),
        ([None, None], arrays(None, None)),
        ([DAY], arrays(DAY)),
        ([{1}, {2}], arrays({1}, {2})),
        ([np.str_("a"), np.str_("bc")], np.array(["a", "bc"])),
        ([np.datetime64("2024-02-29")], np.array(["2024-02-29"], "datetime64[D]")),
        ([[1, 2], [3, 4]], np.float32([[1, 2], [3, 4]])),
        ([[[1.5], [2]]], np.float32([[[1.5], [2]]])),
        ([[], []], np.zeros((2, 0), np.float32)),
        ([["a"], ["bc"]], np.array([["a"], ["bc"]])),
        ([[np.int8(1)], [np.int8(2)]], np.int8([[1], [2]])),
        ([np.int16([1, 2]), np.int16([3, 4])], np.int16([[1, 2], [3, 4]])),
        ([np.int16([1]), np.float32([2])], np.float32([[1], [2]])),
        ([np.array(1), np.array(2)], np.array([1, 2])),
        ([np.zeros((0, 3))] * 2, np.zeros((2, 0, 3))),
        ([np.array([1 + 2j])], np.array([[1 + 2j]])),
        ([np.array(["2024"], "datetime64[Y]")], np.array([["2024"]], "datetime64[Y]")),
        ([np.zeros(2, "i4,f4")] * 2, np.zeros((2, 2), "i4,f4")),
        ([np.asfortranarray(np.eye(2))] * 2, np.stack([np.eye(2)] * 2)),
        ([{"a": 1, "b": "x"}, {"b": "y", "a": 2}], {"a": np.float32([1, 2]), "b": np.array(["x", "y"])}),
        ([{}, {}], {}),
        ([(), ()], ()),
        ([(1, {"a": (2,)})], (np.float32([1]), {"a": (np.float32([2]),)})),
        ([Pair(1, "x"), Pair(2, "y")], Pair(np.float32([1, 2]), np.array(["x", "y"]))),
    ],
)
def test_samples_stack_by_structure(rows, batch):
    same(batch, collate(rows, np.float32))


def test_masked_arrays_keep_their_masks():
    batch = collate([np.ma.array([1, 2], mask=[0, 1]), np.ma.array([3, 4])], np.float32)

    assert isinstance(batch, np.ma.MaskedArray)
    np.testing.assert_array_equal([[False, True], [False, False]], np.ma.getmaskarray(batch))


def test_thousand_numpy_scalars_stack():
    same(np.arange(1000, dtype=np.int32), collate([*np.arange(1000, dtype=np.int32)], np.float32))


def test_batch_is_a_copy():
    row = np.zeros(2)
    batch = collate([row], None)
    batch += 1

    assert [0, 0] == row.tolist()


# default_dtype ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "dtype", "batch"),
    [
        ([1, 2], None, np.int64([1, 2])),
        ([1, 2.5], None, np.float64([1, 2.5])),
        ([True], None, np.array([True])),
        ([2**70], None, arrays(2**70)),
        ([1, 0], bool, np.array([True, False])),
        ([1.0, 2], np.int32, np.int32([1, 2])),
        ([16_777_216], np.float32, np.float32([16_777_216])),
        ([0.1], np.float32, np.float32([0.1])),
        ([float("nan"), float("inf"), -1e-60], np.float32, np.float32([np.nan, np.inf, 0])),
        ([2**70], np.float32, np.float32([2**70])),
        ([2**63], np.uint64, np.uint64([2**63])),
        ([-(2**63)], np.float32, np.float32([-(2**63)])),
        ([1, 2], complex, np.array([1, 2], complex)),
        ([1, 2.5], object, arrays(1, 2.5)),
        ([[1, 2]], None, np.array([[1, 2]])),
    ],
)
def test_numbers_become_default_dtype(rows, dtype, batch):
    same(batch, collate(rows, dtype))


@pytest.mark.parametrize(
    ("rows", "dtype", "bad"),
    [
        ([1, 16_777_217], np.float32, "16777217"),
        ([0.5, 16_777_217], np.float32, "16777217"),
        ([2**53 + 1], np.float64, str(2**53 + 1)),
        ([0.5, 2**53 + 1], np.float64, str(2**53 + 1)),
        ([2**70 + 1], np.float32, str(2**70 + 1)),
        ([10**400], np.float32, "1000"),
        ([1e39], np.float32, "1e.39"),
        ([70_000.0], np.float16, "70000"),
        ([1, 256], np.uint8, "256"),
        ([-1], np.uint64, "-1"),
        ([1.5], np.int32, "1.5"),
        ([float("nan")], np.int32, "nan"),
        ([2], bool, "2"),
        ([[1, 16_777_217]], np.float32, "16777217"),
        ([1], "datetime64[D]", "1"),
        ([1], "U3", "1"),
    ],
)
def test_number_that_does_not_fit_is_named(rows, dtype, bad):
    with pytest.raises(BatchError, match=f"{bad}.* does not fit into default_dtype=.*default_dtype=None"):
        collate(rows, dtype)


@given(st.lists(st.one_of(st.integers(-(2**80), 2**80), st.booleans()), min_size=1, max_size=5))
def test_integers_are_exact_or_refused(rows):
    for dtype in (np.float32, np.float64, np.int64, np.uint8):
        try:
            batch = collate(rows, dtype)
        except BatchError:
            assert not all(-(2**24) <= row <= 2**24 for row in rows) or dtype == np.uint8
        else:
            assert [int(row) for row in rows] == [int(value) for value in batch]


# What does not stack ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([np.zeros(2), np.zeros(3)], r"different shapes.*\(2,\) \(sample 0 of the batch\) and \(3,\) \(sample 1\)"),
        ([{"x": np.zeros((2, 3))}, {"x": np.zeros((2, 4))}], r"key 'x': .*\(2, 3\).*padded_batch\(\), or crop"),
        ([{"x": (1, np.zeros(1))}, {"x": (2, np.zeros(2))}], r"key \['x'\]\[1\]: .*\(1,\).*\(2,\)"),
        ([(np.zeros(1),), (np.zeros(2),)], r"key 0: .*\(1,\).*\(2,\)"),
        ([[1], [1, 2]], r"different shapes.*\(1,\).*\(2,\)"),
        ([[[1], [1, 2]]], "a list of parts that differ in length"),
        ([{"x": [None, 1]}, {"x": [2, 3]}], "key 'x': a list with None beside numbers"),
        ([{"a": 1}, {"b": 1}], "sample 1 of the batch and sample 0 differ in the keys 'a', 'b'"),
        ([{"a": 1}, 1], "sample 1 of the batch is a int, sample 0 a dict"),
        ([1, {"a": 1}], "different kinds: int .* and dict"),
        ([(1, 2), (1,)], "sample 1 of the batch is a tuple of 1, sample 0 a tuple of 2"),
        ([(1,), [1]], "sample 1 of the batch is a list, sample 0 a tuple of 1"),
        ([1, "a"], "different kinds: int .* and str"),
        ([1, None], "different kinds: int .* and NoneType"),
        ([None, np.zeros(1)], "different kinds: NoneType .* and ndarray"),
        ([1, np.zeros(1)], "different kinds: int .* and ndarray"),
        ([[1], np.zeros(1)], "different kinds: list .* and ndarray"),
        (["a", b"a"], "different kinds: str .* and bytes"),
        ([np.zeros(1, "i4,f4"), np.zeros(1)], "different kinds do not stack"),
        ([np.array([1]), np.array(["a"])], "different kinds do not stack: int64 .* and <U1"),
        ([np.int8(1), np.str_("a")], "scalars of different kinds do not stack: int8 .* and str_"),
        ([np.int8(1), 300], "scalars of different kinds do not stack: .*300 out of bounds for int8"),
        ([np.int8(1), np.datetime64("2024")], "scalars of different kinds do not stack"),
    ],
)
def test_samples_that_differ_are_named(rows, message):
    with pytest.raises(BatchError, match=message) as caught:
        collate(rows, np.float32)

    assert isinstance(caught.value, ValueError)


# Back again -------------------------------------------------------------------------------------------

LEAVES = st.sampled_from([np.float32, np.int8, np.int64, np.bool_]).flatmap(
    lambda dtype: npst.array_shapes(min_dims=1, max_dims=2, max_side=3).map(lambda shape: ("array", dtype, shape))
)
STRUCTURES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: ("tuple", *parts)),
    ),
    max_leaves=5,
)


def sample_of(structure, number):
    if isinstance(structure, dict):
        return {key: sample_of(part, number) for key, part in structure.items()}
    if structure[0] == "tuple":
        return tuple([sample_of(part, number) for part in structure[1:]])
    _, dtype, shape = structure
    return np.full(shape, number, dtype)


@settings(max_examples=50)
@given(structure=STRUCTURES, count=st.integers(1, 4))
def test_unbatch_is_the_inverse_of_batch(structure, count):
    samples = [sample_of(structure, number) for number in range(count)]

    same(samples, [*unstack(collate(samples, np.float32))])
    same(samples, Dataset(samples).batch(2, drop_remainder=False).unbatch().list())


def test_unbatch_keeps_named_tuples():
    assert [Pair(0, "a"), Pair(1, "b")] == [*unstack(Pair(np.array([0, 1]), ["a", "b"]))]


# The spec of a sample ---------------------------------------------------------------------------------


def test_shape_and_types_follow_the_structure():
    sample = {"x": np.zeros((2, 3), np.int8), "y": (1, "a", [1, 2]), "z": Pair(np.float32(1), None)}

    assert {"x": (2, 3), "y": ((), (), (2,)), "z": Pair((), ())} == shape_of(sample)
    assert {
        "x": np.dtype(np.int8),
        "y": (int, str, list),
        "z": Pair(np.float32, type(None)),
    } == type_of(sample)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "bool", "complex128"])
def test_large_batches_begin_where_frameworks_share_their_memory(dtype):
    for count in range(2, 12):
        rows = [np.full((100, 331), row % 2, dtype) for row in range(count)]
        made = collate(rows, None)

        assert 0 == made.ctypes.data % 64
        assert (np.dtype(dtype), (count, 100, 331)) == (made.dtype, made.shape)
        assert made.flags.c_contiguous
        assert np.array_equal(np.stack(rows), made)


@pytest.mark.parametrize(
    "rows",
    [
        [np.full(40_000, "a"), np.full(40_000, "bc")],
        [np.full(40_000, None), np.full(40_000, 1)],
        [np.zeros(40_000, "int32"), np.ones(40_000, "float32")],
        [np.zeros(40_000, ">i4"), np.ones(40_000, ">i4")],
        [np.zeros(40_000, [("a", "f4")]), np.ones(40_000, [("a", "f4")])],
        [np.zeros((200, 200), order="F"), np.ones((200, 200))],
    ],
    ids=lambda rows: str(rows[-1].dtype),
)
def test_large_batches_of_all_kinds_are_those_of_numpy(rows):
    same(np.stack(rows), collate(rows, None))
