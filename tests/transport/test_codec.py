"""Whatever a user's function returns comes through the codec with its value and its type."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import textwrap
from pathlib import Path

import msgpack
import msgpack_numpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.transport.codec import Unencodable, decode, encode, nbytes
from tests.transport.same import same
from tests.transport.values import (
    ALIGNED_DTYPE,
    ARRAYS,
    LONG,
    MASKED,
    NESTED_DTYPE,
    PICKLED,
    PLAIN,
    TITLED_DTYPE,
    Key,
    anything,
    cyclic,
    local_sample,
    nested,
)


def through(value, *, pickle=True):
    frames = encode([value], pickle=pickle)
    (result,) = decode([bytes(frame) for frame in frames], pickle=pickle)
    return result


def unwrapped(value):
    depth = 0
    while isinstance(value, list | tuple | dict):
        value = value["a"] if isinstance(value, dict) else value[0]
        depth += 1
    return depth, value


@pytest.mark.parametrize("value", PLAIN.values(), ids=PLAIN.keys())
def test_plain_values_keep_value_and_type_without_pickle(value):
    result = through(value, pickle=False)

    assert same(value, result)


def test_a_range_takes_no_room():
    assert 100 > nbytes(encode([range(10**5)]))


@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays_keep_dtype_shape_and_order_and_are_writable_without_pickle(value):
    result = through(value, pickle=False)

    assert same(value, result)
    assert value.flags.f_contiguous == result.flags.f_contiguous
    assert result.flags.writeable
    assert result.flags.aligned


@pytest.mark.parametrize("value", MASKED.values(), ids=MASKED.keys())
def test_masked_arrays_keep_their_mask_without_pickle(value):
    result = through(value, pickle=False)

    assert same(value, result)
    assert value.flags.f_contiguous == result.flags.f_contiguous
    assert result.data.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.arange(20)[::3],
        np.arange(20)[::-1],
        np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        np.arange(LONG * 4)[::2],
        np.ones((4, 4), NESTED_DTYPE)[::2, 1:3],
        np.broadcast_to(np.arange(3), (4, 3)),
    ],
    ids=["strided", "reversed", "transposed", "long", "structured", "broadcast"],
)
def test_arrays_that_are_not_contiguous_come_back_equal_in_c_order(value):
    result = through(value, pickle=False)

    assert same(value, result)
    assert result.flags.c_contiguous
    assert result.flags.writeable


@pytest.mark.parametrize("length", [3, LONG])
@pytest.mark.parametrize("make", [np.arange, lambda n: np.arange(n).view(np.matrix), lambda n: np.array([None] * n)])
def test_read_only_arrays_come_back_writable(make, length):
    value = make(length)
    value.flags.writeable = False
    result = through(value)

    assert same(value, result)
    assert result.flags.writeable


def test_a_memmap_comes_back_as_a_plain_array(tmp_path):
    value = np.memmap(tmp_path / "array", "f4", mode="w+", shape=(2, 3))
    result = through(value, pickle=False)

    assert same(np.zeros((2, 3), "f4"), result)


@pytest.mark.parametrize("value", PICKLED.values(), ids=PICKLED.keys())
def test_everything_else_keeps_value_and_type_by_pickle(value):
    result = through(value)

    assert same(value, result)


@pytest.mark.parametrize("value", PICKLED.values(), ids=PICKLED.keys())
def test_without_pickle_such_values_are_refused(value):
    with pytest.raises(Unencodable):
        encode([value], pickle=False)


@pytest.mark.parametrize("core", [0, bytearray(b"x"), dt.date(2024, 1, 1)], ids=["int", "bytearray", "date"])
@pytest.mark.parametrize("depth", [100, 900])
@pytest.mark.parametrize("around", [lambda x: [x], lambda x: (x,), lambda x: {"a": x}], ids=["list", "tuple", "dict"])
def test_deep_nesting_comes_back_as_deep(around, depth, core):
    assert (depth, core) == unwrapped(through(nested(depth, around, core)))


def test_an_instance_of_a_local_class_comes_back_with_its_class():
    value = local_sample((1, 2))
    result = through(value)

    assert same(value, result)


def test_a_cyclic_list_comes_back_cyclic():
    result = through(cyclic())

    assert result[0] == 1
    assert result[1] is result


def test_an_instance_of_a_class_of_main_can_be_read_in_another_process():
    script = """
        import dataclasses, sys
        from flazy.transport.codec import encode
        @dataclasses.dataclass
        class Mine:
            x: int
        (skeleton, stream) = encode([Mine(3)])
        sys.stdout.buffer.write(skeleton + b"|" + stream)
    """
    root = Path(__file__).parents[2]
    written = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, capture_output=True, check=True)
    (result,) = decode(written.stdout.split(b"|", 1))

    assert type(result).__name__ == "Mine"
    assert result.x == 3


def test_many_values_of_a_class_name_it_once():
    one, hundred = (nbytes(encode([Key("k")] * count)) for count in (1, 100))

    assert hundred < one + 100 * 20


# msgpack-numpy -------------------------------------------------------------------------------------------

COMMON = [
    np.arange(6, dtype="f4").reshape(2, 3),
    {"x": np.arange(3), "y": [np.array(1.5), np.zeros((3, 0)), np.array([True])]},
    np.array(["a", "bc"]),
    np.array([b"a", b"bc"]),
    np.arange(3, dtype=">i2"),
    np.arange(3, dtype="G"),
    "text",
    {1: None, 2.5: b"x"},
]


def test_small_plain_arrays_are_written_exactly_as_msgpack_numpy_does():
    (skeleton,) = encode(COMMON)

    assert msgpack_numpy.packb(COMMON) == skeleton


def test_small_plain_arrays_are_read_by_msgpack_numpy():
    (skeleton,) = encode(COMMON)
    result = msgpack.unpackb(skeleton, object_hook=msgpack_numpy.decode, strict_map_key=False)

    assert same(COMMON, result)


def test_what_msgpack_numpy_writes_is_read():
    value = [*COMMON, np.float32(1.5), np.bool_(True), np.complex64(1j), 1 + 2j]
    result = decode([msgpack_numpy.packb(value)], pickle=False)

    assert same(value, result)


@pytest.mark.parametrize("dtype", ["V4", NESTED_DTYPE.descr[:3], ALIGNED_DTYPE, TITLED_DTYPE], ids=str)
def test_structures_that_msgpack_numpy_writes_are_read_without_its_invented_fields(dtype):
    value = np.ones(3, dtype)
    (result,) = decode([msgpack_numpy.packb([value])], pickle=False)

    assert value.dtype.names is None or set(value.dtype.names) == set(result.dtype.names)
    assert all(same(value[name], result[name]) for name in value.dtype.names or ())
    assert value.tobytes() == result.tobytes()


# Mixes -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.lists(anything, max_size=4))
def test_any_mix_of_values_keeps_values_and_types(values):
    result = decode([bytes(frame) for frame in encode(values)])

    assert same(values, result)
