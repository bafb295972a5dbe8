"""``cast``: other dtypes for the numbers of a sample, and an error for what they cannot hold."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import InvalidArgument, InvalidType, MissingKey, SampleError, SkippedSamples
from tests.transport.same import same

ml_dtypes = pytest.importorskip("ml_dtypes")

NAN, INF = float("nan"), float("inf")


class Point(NamedTuple):
    x: Any
    y: Any


def cast(sample, dtype):
    return Dataset([sample]).cast(dtype).first()


# Which leaves -----------------------------------------------------------------------------------------------------


def test_one_dtype_is_for_every_number():
    f = np.float32
    sample = {"a": np.arange(3), "b": (1, [2.5, True]), "c": np.int8(4), "p": Point(np.bool_(True), 1)}  # fmt: skip

    assert same(
        {"a": np.arange(3, dtype=f), "b": (f(1), [f(2.5), f(1)]), "c": f(4), "p": Point(f(1), f(1))},
        cast(sample, "float32"),
    )


@pytest.mark.parametrize(
    "value", ["text", b"1", None, ..., np.array(["a"]), np.array([None]), np.datetime64("2024-01-01"), np.str_("a")]
)
def test_what_is_no_number_stays(value):
    assert same((value, np.float32(1)), cast((value, 1), "float32"))


def test_structures_name_leaves():
    sample = {"a": np.arange(3), "b": (1, 2.5), "c": {"d": 1, "e": 2}}

    assert same(
        {"a": np.arange(3, dtype="int8"), "b": (1, np.float16(2.5)), "c": {"d": np.int8(1), "e": 2}},
        cast(sample, {"a": np.int8, "b": (None, "float16"), "c": {"d": "int8"}}),
    )
    assert same(Point(np.int8(1), 2), cast(Point(1, 2), ("int8", None)))


def test_values_of_ragged_batches_are_numbers_and_offsets_are_none():
    rows = Dataset([np.arange(3), np.arange(2)]).map(lambda row: {"x": row}).ragged_batch(2)
    for dtype in "bfloat16", {"x": "bfloat16"}:
        made = rows.cast(dtype).first()["x"]

        assert same(np.array([0, 1, 2, 0, 1], "bfloat16"), made.values)
        assert same(np.array([0, 3, 5]), made.offsets)


def test_what_has_the_dtype_is_not_copied():
    array = np.arange(3, dtype="int16")

    assert cast({"a": array}, "int16")["a"] is array


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2", "float4_e2m1fn"])
def test_dtypes_of_ml_dtypes_by_name_and_back(name):
    numbers = [0, 1, 0]

    assert same(np.array(numbers, getattr(ml_dtypes, name)), cast(np.array(numbers), name))
    assert same(np.array(numbers, "float32"), cast(np.array(numbers, name), "float32"))
    assert same(np.ones(1, name)[0], cast(1, name))


# Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ([1.7, -0.9, 255.9], "uint8", [1, 0, 255]),
        ([-(2.0**31), 2.0**31 - 1], "int32", [-(2**31), 2**31 - 1]),
        ([0.1, 65504], "float16", [0.1, 65504]),
        ([NAN, INF, -INF, 1], "float16", [NAN, INF, -INF, 1]),
        ([NAN, 448], "float8_e4m3fn", [NAN, 448]),
        ([0.5, 0, NAN], "bool", [True, False, True]),
        ([2**53 + 1], "float64", [2.0**53]),
        ([7, -8], "int4", [7, -8]),
        ([256, -256, 258, 2**62], "bfloat16", [256, -256, 258, 2**62]),
        (np.uint8([255, 0]), "bfloat16", [255, 0]),
        ([257.0, 50257.0], "bfloat16", [256, 50176]),
        ([1, 2], "complex64", [1, 2]),
        ([], "uint8", []),
    ],
)
def test_numbers_are_rounded_and_cut_as_numpy_does(value, dtype, expected):
    assert same(np.array(expected).astype(dtype), cast(np.array(value), dtype))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (300, "uint8"),
        (-1, "uint8"),
        (256.0, "uint8"),
        (-1.0, "uint64"),
        (NAN, "int32"),
        (INF, "int64"),
        (2.0**63, "int64"),
        (2.0**31, "int32"),
        (8, "int4"),
        (1e6, "float16"),
        (1e39, "float32"),
        (1e39, "bfloat16"),
        (500, "float8_e4m3fn"),
        (17, "float8_e4m3fn"),
        (50257, "bfloat16"),
        (-2049, "float16"),
        (2**24 + 1, "float32"),
        (2**63 - 1, "float32"),
        (INF, "float8_e4m3fn"),
        (7.5, "float4_e2m1fn"),
        (NAN, "float4_e2m1fn"),
        (1e39j, "complex64"),
    ],
)
def test_what_a_dtype_cannot_hold_is_an_error(value, dtype):
    shown = value.imag if isinstance(value, complex) else value
    for numbers in np.array([0, value, 1]), value, np.array(value):
        with pytest.raises(OverflowError, match=r"cast.* failed on sample 0: ") as caught:
            cast({"x": numbers}, dtype)

        assert f"sample['x'] has {shown!r}, which {dtype} cannot hold" in str(caught.value)


def test_bad_numbers_are_found_among_nans_and_infinities():
    with pytest.raises(OverflowError, match=r"sample has 1000000\.0, which float16"):
        cast(np.array([NAN, 1e6, INF, -INF]), "float16")


def test_large_python_ints():
    assert same(np.float32(2**70), cast(2**70, "float32"))
    with pytest.raises(OverflowError, match="int64 cannot hold"):
        cast(2**70, "int64")
    with pytest.raises(OverflowError, match="sample has an int of 1329 bits"):
        cast(10**400, "float32")


def test_complex_numbers_do_not_lose_a_part():
    with pytest.raises(TypeError, match=r"sample is complex, and float32 is not; take .real"):
        cast(np.array([1j]), "float32")


def test_masked_numbers_do_not_count():
    made = cast(np.ma.masked_array([1, 999], [False, True]), "uint8")

    assert (np.uint8, [1, None]) == (made.dtype, made.tolist())


# Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["U3", object, "M8[s]", [("a", "f4")], {"a": str}])
def test_dtypes_that_are_no_numbers_are_refused(spec):
    with pytest.raises(InvalidArgument, match=r"cast\(\) is for numbers"):
        Dataset([1]).cast(spec)


@pytest.mark.parametrize("spec", ["float33", None, {"a": "float33"}, 3])
def test_what_is_no_dtype_is_refused(spec):
    with pytest.raises(InvalidType, match=r"cast\(.*dtype"):
        Dataset([1]).cast(spec)


@pytest.mark.parametrize(
    ("sample", "spec", "error", "text"),
    [
        ({"a": 1, "b": 2}, {"c": "int8"}, MissingKey, "no key 'c' in sample to cast; its keys are 'a', 'b'"),
        ({"a": {"b": 1}}, {"a": {"c": "int8"}}, MissingKey, r"no key 'c' in sample\['a'\] to cast; its keys are 'b'"),
        ((1, 2), {"a": "int8"}, InvalidType, "names the keys 'a' where sample is a tuple of 2"),
        ({"a": 1}, {"a": ("int8",)}, InvalidType, r"names a tuple of 1 where sample\['a'\] is of type int"),
        ((1, 2), ("int8",), InvalidType, "names a tuple of 1 where sample is a tuple of 2"),
    ],
)
def test_other_structures_are_errors_that_name_both(sample, spec, error, text):
    with pytest.raises(error, match=text) as caught:
        cast(sample, spec)

    assert isinstance(caught.value, SampleError)


def test_on_error_is_for_numbers_that_do_not_fit():
    with pytest.warns(SkippedSamples, match="1 sample"):
        assert [1, 2] == Dataset([1, 300, 2]).cast("uint8", on_error="skip").list()


# Where it runs ----------------------------------------------------------------------------------------------------


def test_it_is_shown_as_it_was_written():
    dataset = Dataset(range(3)).cast(("int8", None)).cast({"a": "bfloat16"}).cast("int8", workers=2)

    assert "Dataset(range(0, 3)).cast(('int8', None)).cast({'a': 'bfloat16'}).cast('int8', workers=2)" == repr(dataset)
    assert 3 == len(dataset)


def test_it_joins_the_stage_before_it_unless_it_has_workers():
    dataset = Dataset(range(3)).map(abs, workers=2)

    assert "2 processes: map(abs) > cast('int8')  2 stages in one" in dataset.cast("int8").explain()
    assert "3 processes: cast('int8'), in order" in dataset.cast("int8", workers=3).explain()
    assert "caller: cast('int8')" in Dataset(range(3)).cast("int8").explain()


@pytest.mark.slow
def test_it_is_the_same_in_workers_and_batches_are_filled_in_place():
    dataset = Dataset(range(40)).map(lambda i: {"x": np.full((90, 90), i, np.uint8), "y": i}, workers=1)
    batches = dataset.cast({"x": "bfloat16", "y": "int32"}).batch(4)
    *_, last = made = batches.list()

    assert same(batches.serial().list(), made)
    assert (ml_dtypes.bfloat16, np.int32) == (last["x"].dtype, last["y"].dtype)
    assert not last["x"].flags.owndata
