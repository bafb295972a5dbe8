"""Bytes that no encoder of ours wrote: read as a value or refused by ProtocolError; never executed, never a crash."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import random
import struct
import time
import tracemalloc
from functools import reduce

import msgpack
import msgpack_numpy
import numpy as np
import pytest

from flazy.errors import ProtocolError
from flazy.transport import packing
from flazy.transport.codec import decode, encode
from tests.transport.same import same


def ext(code, payload=b""):
    return msgpack.ExtType(code, payload)


def marked(code, payload):
    return {ext(code): payload}


def layout(**changes):
    """What msgpack-numpy writes for an array, with some of it changed."""
    keys = {"nd": True, "type": "<f4", "kind": b"", "shape": [2], "data": bytes(8)} | changes
    return {key.encode(): value for key, value in keys.items()}


def without(key):
    return {name: value for name, value in layout().items() if name != key}


NUMBER = layout(shape=[], data=bytes(4))


def masked(data, mask, fill_value, hard=False):
    return marked(packing.MASKED, [data, mask, fill_value, hard])


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def array(dtype, shape=(1,), data=bytes(4), order="C"):
    return marked(packing.ARRAY, [dtype, list(shape), order, data])


def structure(name="a", offset=0, dtype="<i4", shape=(), itemsize=4):
    return [itemsize, False, [[name, None, offset, dtype, list(shape)]]]

HOSTILE = {
    # arrays as msgpack-numpy writes them
    "objects": layout(type="|O", data=bytes(16)),
    "objects, by kind": layout(kind=b"O", data=b"N."),
    "a field of objects": layout(kind=b"V", type=[["a", "|O"]], data=bytes(16)),
    "unknown kind": layout(kind=b"Q"),
    "kind that is no bytes": layout(kind=None),
    "type with a comma": layout(type="i4,O"),
    "type with a shape": layout(type="(2,)f4", shape=[1]),
    "type that is a name": layout(type="float32"),
    "type that is code": layout(type="[('a', '<f4')]"),
    "type that is no text": layout(type=3),
    "type of no size": layout(type="|V0", data=b"", shape=[2**60]),
    "type of a size beyond all": layout(type="|V99999999999", data=b"", shape=[0]),
    "type that does not exist": layout(type="<f3"),
    "negative shape": layout(shape=[-1]),
    "two negative dimensions": layout(shape=[-1, -2]),
    "huge shape": layout(shape=[2**62, 2**62, 0]),
    "shape whose product overflows": layout(shape=[2**32, 2**32, 2], type="|b1", data=b""),
    "shape of bools": layout(shape=[True, 2]),
    "shape of floats": layout(shape=[2.0]),
    "shape that is no list": layout(shape=2),
    "shape of too many dimensions": layout(shape=[1] * 100_000),
    "too few bytes": layout(data=bytes(7)),
    "too many bytes": layout(data=bytes(9)),
    "data that is text": layout(data="12345678"),
    "data that is nil": layout(data=None),
    "text beyond Unicode": layout(type="<U2", shape=[1]) | {b"data": struct.pack("<II", 65, 0x110000)},
    "text beyond Unicode, in a field": layout(kind=b"V", type=[["a", ">U1"]], shape=[2], data=b"\xff" * 8),
    "a key missing": without(b"kind"),
    "a key too many": layout(more=1),
    "nd that is a number": layout(nd=1),
    "a field without a type": layout(kind=b"V", type=[["a"]]),
    "fields too deep": layout(kind=b"V", type=reduce(lambda inner, _: [["a", inner]], range(100), "<f4")),
    "fields of one name": layout(kind=b"V", type=[["a", "<f4"], ["a", "<f4"]], shape=[1]),
    "a scalar of objects": {b"nd": False, b"type": "|O", b"data": bytes(8)},
    "a scalar of too few bytes": {b"nd": False, b"type": "<f8", b"data": bytes(4)},
    "a complex that is code": {b"complex": True, b"data": "__import__('os')"},
    "a complex that is bytes": {b"complex": True, b"data": b"1j"},
    # our own marks
    "array of objects": array("|O", data=bytes(8)),
    "array of another order": array("<f4", order="K"),
    "array of a class of ml_dtypes that is no dtype": array("finfo"),
    "array of bfloat16 of too few bytes": array("bfloat16", [2], data=bytes(3)),
    "array of a list as order": array("<f4", order=["C"]),
    "array of too few parts": marked(packing.ARRAY, ["<f4", [1], "C"]),
    "array in a frame that is not there": array("<f4", data=None),
    "structure of objects": array(structure(dtype="|O", itemsize=8), data=bytes(8)),
    "structure with a field outside": array(structure(offset=2)),
    "structure with a negative offset": array(structure(offset=-4)),
    "structure of a negative size": array(structure(itemsize=-4), [0], b""),
    "structure of a huge field": array(structure(shape=[2**40])),
    "structure with a name of bytes": array(structure(name=b"a")),
    "structure of nothing": array([0, False, []], [2**60], b""),
    "tuple of a map": marked(packing.TUPLE, {}),
    "tuple of text": marked(packing.TUPLE, "abc"),
    "set of lists": marked(packing.SET, [[]]),
    "dict of unequal lists": marked(packing.DICT, [[1, 2], [3]]),
    "dict with a list as key": marked(packing.DICT, [[[]], [3]]),
    "dict of three lists": marked(packing.DICT, [[], [], []]),
    "scalar of a list": marked(packing.SCALAR, [1]),
    "scalar of an array": marked(packing.SCALAR, layout()),
    "masked list": masked([1], None, NUMBER),
    "mask of another shape": masked(layout(), layout(type="|b1", shape=[1], data=b"\1"), NUMBER),
    "mask of numbers": masked(layout(), layout(), NUMBER),
    "fill value of another shape": masked(layout(), None, layout()),
    "fill value of another type": masked(layout(), None, layout(shape=[], type="<i4", data=bytes(4))),
    "hard that is a number": masked(layout(), None, NUMBER, hard=1),
    "a mark as a value": ext(packing.TUPLE),
    "a mark in a larger map": {ext(packing.TUPLE): [], "a": 1},
    "a mark of a mark": {ext(packing.SET): [ext(packing.SET)]},
    "a mark with a payload": {ext(packing.TUPLE, b"x"): []},
    # our own leaves
    "unknown extension": ext(99, b"x"),
    "a mark that is not ours": {ext(23): []},
    "complex of 15 bytes": ext(packing.COMPLEX, bytes(15)),
    "number of no type": ext(packing.NUMBER, b""),
    "number of unknown type": ext(packing.NUMBER, b"O" + bytes(8)),
    "number of two numbers": ext(packing.NUMBER, b"i" + bytes(8)),
    "number of too few bytes": ext(packing.NUMBER, b"d" + bytes(4)),
    "time that is a number": ext(packing.TIME, b"<f8" + bytes(8)),
    "time without type": ext(packing.TIME, bytes(8)),
    "time of an unknown unit": ext(packing.TIME, b"<M8[parsec]" + bytes(8)),
    "range of two numbers": ext(packing.RANGE, bytes(2)),
    "range without a step": ext(packing.RANGE, bytes(3)),
    "range of nothing": ext(packing.RANGE),
    "text that is none": ext(packing.TEXT, b"\xff"),
    "a pickle that is not there": ext(packing.PICKLED),
    "a pickle inside": ext(packing.PICKLED, pickle.dumps(1)),
}

MALFORMED = {
    "nothing": b"",
    "a range": msgpack.packb(ext(packing.RANGE, struct.pack("<iii", 0, 3, 1))),
    "an array": msgpack.packb(layout()),
    "a masked array of values": msgpack.packb(masked(layout(), None, NUMBER)),
    "not a list": msgpack.packb({"a": 1}),
    "not a list but nil": b"\xc0",
    "a reserved byte": b"\x91\xc1",
    "trailing bytes": msgpack.packb([1]) + b"\0",
    "a list that ends early": b"\x92\x01",
    "a list of four billion": b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\x91\xdf\xff\xff\xff\xff",
    "bytes of four billion": b"\x91\xc6\xff\xff\xff\xff",
    "an extension of four billion": b"\x91\xc9\xff\xff\xff\xff\x01",
    "too deep": b"\x91" * 5000 + b"\xc0",
    "text that is not UTF-8": b"\x91\xa1\xff",
    "a list as a key": b"\x91\x81\x90\xc0",
    "an array as a key": msgpack.packb([0])[:-1] + b"\x81" + msgpack.packb(layout()) + b"\xc0",
    "a timestamp of three bytes": b"\x91\xc7\x03\xff\0\0\0",
    "a timestamp that is out of range": b"\x91\xd7\xff" + b"\xff" * 8,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_value_that_no_encoder_makes_is_refused(value):
    with pytest.raises(ProtocolError):
        decode([msgpack.packb([value])], pickle=False)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_such_a_value_is_refused_where_pickle_is_allowed(value):
    with pytest.raises(ProtocolError):
        decode([msgpack.packb([value])])


@pytest.mark.parametrize("skeleton", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_frame_that_is_not_msgpack_is_refused(skeleton):
    with pytest.raises(ProtocolError):
        decode([skeleton])


def test_a_message_without_frames_is_refused():
    with pytest.raises(ProtocolError):
        decode([])


# Pickle ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pickle_allowed", [True, False])
def test_an_object_array_of_msgpack_numpy_is_not_unpickled(tmp_path, pickle_allowed):
    skeleton = msgpack_numpy.packb([np.array([Bomb(tmp_path / "boom")], object)])
    with pytest.raises(ProtocolError):
        decode([skeleton], pickle=pickle_allowed)

    assert not (tmp_path / "boom").exists()


def test_what_was_pickled_is_not_unpickled_where_that_is_not_allowed(tmp_path):
    frames = encode([1, {"a": Bomb(tmp_path / "boom")}])
    with pytest.raises(ProtocolError, match="pickled"):
        decode(frames, pickle=False)

    assert not (tmp_path / "boom").exists()


def test_a_pickle_that_nothing_refers_to_is_not_unpickled(tmp_path):
    skeleton = msgpack.packb([1])
    with pytest.raises(ProtocolError):
        decode([skeleton, pickle.dumps(Bomb(tmp_path / "boom"))])

    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("stream", [b"", b"junk", pickle.dumps({1: 2}), pickle.dumps([1, 2]), pickle.dumps([])])
def test_a_pickle_that_does_not_fit_is_refused(stream):
    skeleton = msgpack.packb([ext(packing.PICKLED)])
    with pytest.raises(ProtocolError):
        decode([skeleton, stream])


# Frames ----------------------------------------------------------------------------------------------------


def test_a_missing_frame_is_refused():
    frames = encode([np.zeros(5000), np.ones(5000)])
    with pytest.raises(ProtocolError):
        decode(frames[:-1])


def test_a_frame_that_nothing_refers_to_is_refused():
    frames = encode([np.zeros(5000), 1])
    with pytest.raises(ProtocolError):
        decode([*frames, b"x"])


def test_a_frame_of_another_length_is_refused():
    skeleton, memory = encode([np.zeros(5000)])
    for wrong in (b"", bytes(memory)[:-1], bytes(memory) + b"x"):
        with pytest.raises(ProtocolError):
            decode([skeleton, wrong])


def test_a_frame_that_is_no_buffer_is_refused():
    skeleton, _ = encode([np.zeros(5000)])
    for wrong in (None, "text", 3, np.zeros(5000)):
        with pytest.raises(ProtocolError):
            decode([skeleton, wrong])


def test_the_buffers_of_a_pickle_are_not_taken_for_arrays():
    frames = encode([np.zeros(5000), [np.zeros(5000, object), Bomb("unused")].pop(0)])
    with pytest.raises(ProtocolError):
        decode([frames[0], frames[-1], *frames[1:-1]])


# Mutations -------------------------------------------------------------------------------------------------

SEEDS = [
    [np.arange(6, dtype="f4").reshape(2, 3), {"a": np.array(["a", "bc"]), "b": (1, (2.5, None))}],
    [np.zeros(2, [("a", "i4"), ("b", "U2", (2,))]), np.asfortranarray(np.ones((2, 2))), np.zeros(1, "M8[ns]")],
    [{(1, 2): {3}, 2**70: frozenset([b"x"])}, bytearray(b"abc"), {b"nd": True}, 1j, np.float32(1), np.str_("x")],
    [np.ma.masked_array([1.0, 2.0], [True, False]), np.datetime64("2024", "Y"), np.void(b"ab"), "\ud800"],
    [np.zeros(5000), {"x": np.ones(5000, "i2")}, dt.date(2024, 1, 1)],
]


def mutated(rng, frames):
    frames = [bytearray(frame) for frame in frames]
    target = frames[0]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(target))
        match rng.randrange(5):
            case 0:
                target[at] = rng.randrange(256)
            case 1:
                target[at] ^= 1 << rng.randrange(8)
            case 2:
                del target[at : at + rng.randint(1, 4)]
                target += b"\0" * (not target)
            case 3:
                target[at:at] = rng.randbytes(rng.randint(1, 4))
            case _:
                start = rng.randrange(len(target))
                target[at:at] = target[start : start + rng.randint(1, 16)]
    if rng.random() < 0.1 and len(frames) > 1:
        frames.pop(rng.randrange(1, len(frames)))
    return frames


def survives(frames):
    """Decode, and use what comes out: it is sent on."""
    try:
        values = decode(frames, pickle=False)
    except ProtocolError:
        return False
    again = decode(encode(values, pickle=False), pickle=False)

    assert same(values, again)
    return True


@pytest.mark.slow
def test_mutated_frames_are_read_or_refused_and_nothing_else():
    rng = random.Random(20240607)
    seeds = [encode(values) for values in SEEDS]
    end = time.monotonic() + 2
    counts = {True: 0, False: 0}
    while time.monotonic() < end:
        counts[survives(mutated(rng, rng.choice(seeds)))] += 1

    assert min(counts.values()) > 100


@pytest.mark.parametrize("seed", SEEDS)
def test_truncated_frames_are_refused(seed):
    skeleton, *rest = encode(seed)
    for length in range(len(skeleton)):
        with pytest.raises(ProtocolError):
            decode([skeleton[:length], *rest], pickle=False)


@pytest.mark.parametrize(
    "skeleton",
    [
        b"\xdd\x00\x01\x00\x00" + b"\x90" * 65536,
        b"\xdd\x00\x01\x00\x00" + b"\x80" * 65536,
        b"\xdd\x00\x00\x40\x00" + b"\x81\xc7\x00\x10\x90" * 16384,
    ],
    ids=["lists", "maps", "tuples"],
)
def test_memory_is_bounded_by_the_size_of_the_message(skeleton):
    tracemalloc.start()
    try:
        survives([skeleton])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 200 * len(skeleton)
