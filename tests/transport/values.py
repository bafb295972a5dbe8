"""Values of every kind that a user's function may return, in tables, and a strategy for mixes of them."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import math
import pathlib
import uuid
from pathlib import Path

import ml_dtypes
import msgpack
import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flazy.dtypes import EXTENDED
from flazy.transport.codec import Unencodable

Point = collections.namedtuple("Point", "x y")  # noqa: PYI024  # the untyped kind is what is tested


class Colour(enum.IntEnum):
    RED = 1


class Word(str, enum.Enum):  # noqa: UP042  # this mixture is what is tested
    YES = "yes"


class Int(int):
    pass


class Text(str):
    __slots__ = ()


class Real(float):
    pass


class Octets(bytes):
    pass


class Items(list):
    pass


class Mapping(dict):
    pass


@dataclasses.dataclass
class Sample:
    image: object
    label: int


@dataclasses.dataclass(frozen=True)
class Key:
    name: str


def local_sample(value):
    @dataclasses.dataclass
    class Local:
        value: object

    return Local(value)


def cyclic():
    items: list[object] = [1]
    items.append(items)
    return items


def nested(depth, around=lambda item: [item], core=0):
    value = core
    for _ in range(depth):
        value = around(value)
    return value


# Values that msgpack and our own types carry: they travel without pickle --------------------------------

LONG = 5000  # elements: eight bytes of each make a frame of their own

PLAIN = {
    "none": None,
    "bools": [True, False],
    "ints": [0, 1, -1, 127, 128, -(2**63), 2**63 - 1, 2**63, 2**64 - 1],
    "huge ints": [2**64, 2**70, -(2**63) - 1, -(2**70), 10**1000],
    "floats": [0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 5e-324],
    "complex": [1 + 2j, complex(-0.0, math.nan), 0j],
    "text": ["", "grüße", "\0", "a\0b", "\U0001f600"],
    "lone surrogates": ["\ud800", {"\udfff": ("\ud800",)}, "fine"],
    "bytes": [b"", b"\0\xff", b"x" * 70_000],
    "bytearrays": [bytearray(), bytearray(b"abc"), {"inside": (bytearray(b"x"), {"y": [bytearray(b"z")]})}],
    "bytes that look like msgpack-numpy": b"\xc4\x02nd\xc3",
    "list": [1, [2, []]],
    "tuple": (1, (), ((2,), [3, (4,)])),
    "set": {1, "a", (2, 3), None},
    "frozenset": frozenset({frozenset(), frozenset({1})}),
    "empty containers": [[], (), {}, set(), frozenset(), "", b""],
    "dict order": {"b": 1, "a": 2, "": 3},
    "dict keys": {None: 0, 1: 1, 2.5: 2, b"b": 3, (1, (2,)): 4, frozenset({1}): 5, True and "t": 6, 2**70: 7, 1j: 8},
    "numpy keys": {np.int64(1): 1, np.str_("a"): 2, np.bytes_(b"nd"): 3, np.float32(0.5): 4},
    "keys merely equal to msgpack-numpy's": [{np.bytes_(b"nd"): True}, {b"type": 1, np.bytes_(b"nd"): True}],
    "like an array": {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [1], b"data": b"1234"},
    "like a scalar": {b"nd": False, b"type": "<f4", b"data": b"1234"},
    "like a complex": {b"complex": True, b"data": "1j"},
    "nearly like": [{b"nd": 3}, {b"complex": None}, {"nd": True}, {"complex": True}, {b"a": 1, b"nd": True}],
    "like, deep down": ({"a": [({b"nd": False}, np.arange(3))]}, {b"nd": np.arange(2)}, {(b"nd",): {b"nd": {}}}),
    "timestamp of msgpack": msgpack.Timestamp(-5, 7),
    "numpy text": [np.str_(""), np.str_("a\0"), np.str_("\ud800"), np.bytes_(b""), np.bytes_(b"a\0")],
    "times": [np.datetime64("2024-01-01T00:00:00.000000001"), np.datetime64("NaT", "s"), np.datetime64(3, "25s")],
    "durations": [np.timedelta64(5, "D"), np.timedelta64("NaT", "s"), np.timedelta64(7, "ns")],
    "ranges": [range(1, 10, 2), range(0), range(5, 5), range(2**70, 0, -(2**65)), {range(3): (range(-128, 127),)}],
    "voids": [np.void(b"abc"), np.zeros(1, [("a", "i4"), ("b", "U3")])[0]],
    "a thousand of each": [[i, float(i), str(i), (i,), {"i": i}] for i in range(1000)],
    **{f"scalar {c}": [np.dtype(c).type(n) for n in (0, 1)] for c in "?bBhHiIlLqQefdgFDG"},
    "scalar nan": [np.float64("nan"), np.float32("-inf"), np.longdouble(1) / 3, np.float16(-0.0)],
}

NESTED_DTYPE = np.dtype([("a", "<i4"), ("b", [("c", ">f8", (2, 3)), ("d", "S3")]), ("e", "U2"), ("f", "M8[ms]")])
ALIGNED_DTYPE = np.dtype([("a", "i1"), ("b", "f8"), ("c", "i2")], align=True)
OFFSET_DTYPE = np.dtype({"names": ["x", "y"], "formats": ["i4", "u1"], "offsets": [8, 2], "itemsize": 20})
TITLED_DTYPE = np.dtype([(("a title", "x"), "i4"), ("y", "f4")])
OVERLAPPING_DTYPE = np.dtype({"names": ["all", "low"], "formats": ["<u4", "u1"], "offsets": [0, 0]})

ARRAYS = {
    **{f"dtype {c}": np.arange(6).astype(c).reshape(2, 3) for c in "?bBhHiIlLqQefdgFDG"},
    **{f"long {c}": np.arange(LONG * 8).astype(c) for c in "?bBhHiIlLqQefdgFDG"},
    **{f"dtype {t}": np.array([0, 1, 300, 65536]).astype(t) for t in (">i2", ">u4", ">f4", ">f8", ">c16", "<c8")},
    "S": np.array([b"a", b"", b"abc\0d"]),
    "U": np.array(["a", "", "grüße", "\U0001f600"]),
    ">U": np.array(["a", "grüße"], ">U5"),
    "V": np.array([b"abcd", b"efgh"], "V4"),
    "M": np.array(["2024-01-01", "NaT"], "M8[D]"),
    ">M": np.array(["2024-01-01", "NaT"], ">M8[25s]"),
    "M without unit": np.zeros(2, "M8"),
    "m": np.arange(LONG).astype("m8[us]"),
    "nan": np.array([np.nan, -0.0, np.inf]),
    "0-d": np.array(3.5),
    "0-d time": np.array("2024-01-01", "M8[s]"),
    "(0,)": np.zeros(0, "f4"),
    "(3, 0, 2)": np.zeros((3, 0, 2), "i2"),
    "(1, 1)": np.ones((1, 1)),
    "F": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "long F": np.asfortranarray(np.arange(6.0 * LONG).reshape(2, 3, LONG)),
    "F of times": np.asfortranarray(np.arange(6).reshape(2, 3).astype("M8[D]")),
    "structured": np.zeros((2, 2), NESTED_DTYPE),
    "structured 0-d": np.zeros((), NESTED_DTYPE),
    "long structured": np.ones(LONG, NESTED_DTYPE),
    "structured F": np.asfortranarray(np.ones((2, 3), ALIGNED_DTYPE)),
    "aligned": np.ones(3, ALIGNED_DTYPE),
    "offsets": np.ones(3, OFFSET_DTYPE),
    "titles": np.ones(3, TITLED_DTYPE),
    "overlapping": np.ones(3, OVERLAPPING_DTYPE),
    **{f"dtype {name}": np.resize([0, 1], 6).astype(name).reshape(2, 3) for name in EXTENDED},
    **{f"long {name}": np.resize([0, 1], LONG * 8).astype(name) for name in EXTENDED},
    "F of bfloat16": np.asfortranarray(np.ones((2, 3), ml_dtypes.bfloat16)),
    "0-d of bfloat16": np.array(0.1, ml_dtypes.bfloat16),
    "none of bfloat16": np.zeros((0, 2), ml_dtypes.bfloat16),
    "structured with bfloat16": np.ones(3, [("a", ml_dtypes.bfloat16), ("b", ml_dtypes.int4, (2,))]),
}

MASKED = {
    "some": np.ma.masked_array([1, 2, 3], [True, False, True]),
    "none": np.ma.masked_array([1.0, 2.0]),
    "fill value": np.ma.masked_array([1.0, 2.0], [False, True], fill_value=-9.0),
    "hard": np.ma.masked_array([1, 2], [False, True], hard_mask=True),
    "long": np.ma.masked_greater(np.arange(LONG), 100),
    "F": np.ma.masked_greater(np.asfortranarray(np.arange(6).reshape(2, 3)), 3),
    "0-d": np.ma.masked_array(1, True),
    "text": np.ma.masked_array(["a", "bc"], [True, False], fill_value="zz"),
    "times": np.ma.masked_array(np.array(["2024-01-01"], "M8[D]"), [True]),
    "structured": np.ma.masked_array(np.ones(2, ALIGNED_DTYPE), [(True, False, True), (False, False, True)]),
}


# Values that only pickle carries -------------------------------------------------------------------------

frame = pd.DataFrame({"a": range(LONG), "b": "x", "c": pd.Timestamp("2024-01-01", tz="UTC")})
record = np.ones(3, [("a", "i4"), ("b", "f4")])

PICKLED = {
    "OrderedDict": collections.OrderedDict(b=1, a=np.arange(3)),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "Counter": collections.Counter("abca"),
    "deque": collections.deque([1, 2], maxlen=3),
    "namedtuple": Point(1, np.arange(LONG)),
    "enums": [Colour.RED, Word.YES],
    "subclasses": [Int(1), Text("a"), Real(1.5), Octets(b"nd"), Items([1]), Mapping(a=1)],
    "subclasses as keys": {Int(1): 1, Text("a"): 2, Octets(b"nd"): 3, Key("k"): 4, Point(1, 2): 5},
    "slice, ellipsis": [slice(1, None), ..., NotImplemented],
    "times": [
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2024, 1, 1, fold=1),
        dt.date(2024, 1, 1),
        dt.time(1, 2),
        dt.timedelta(days=-1),
    ],
    "numbers": [decimal.Decimal("1.10"), fractions.Fraction(1, 3)],
    "paths and ids": [pathlib.PurePosixPath("/a"), Path("b"), uuid.UUID(int=5)],
    "dataclass": Sample(np.arange(LONG), 3),
    "exceptions": [ValueError("bad", 1), KeyError("a"), Unencodable("sample", "lock", 0, "no")],
    "types and functions": [int, Sample, np.float32, len, math.sin, local_sample],
    "a lambda": lambda x: x + 1,
    "dtypes": [np.dtype("f4"), ALIGNED_DTYPE],
    "object arrays": [np.array([1, "a", None, [1]], object), np.array([[None]], object)],
    "matrix": np.array([[1, 2]]).view(np.matrix),
    "recarray": record.view(np.recarray),
    "a plain array of records": record.view(np.recarray).view(np.ndarray),
    "record": record.view(np.recarray)[0],
    "masked constant": np.ma.masked,
    "masked objects": np.ma.masked_array([None, 1], [True, False], object),
    "items of no bytes": np.zeros(3, np.dtype([])),
    "variable text": np.array(["a", "bcd"], np.dtypes.StringDType()),
    "numbers of ml_dtypes": [np.ones(1, name)[0] for name in EXTENDED],
    "data frame": frame,
    "series": frame["a"].rename("s"),
    "ext type of msgpack": [msgpack.ExtType(1, b"\2"), {msgpack.ExtType(16, b""): [1]}, (msgpack.ExtType(20, b"x"),)],
    "mixed": {"a": (bytearray(b"x"), Sample(np.arange(LONG), 1), np.arange(LONG)), (1, Key("k")): {np.int8(1)}},
}


# Mixes -------------------------------------------------------------------------------------------------

# numpy pickles times of the other byte order as native ones; without pickle they are kept, see ARRAYS.
scalar_dtypes = hnp.scalar_dtypes().filter(lambda dtype: dtype.kind not in "mM" or dtype.isnative)
dtypes = scalar_dtypes | hnp.unicode_string_dtypes(max_len=5) | hnp.byte_string_dtypes(max_len=5)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
small_arrays = hnp.arrays(dtypes | hnp.nested_dtypes(dtypes, max_leaves=4), shapes)
large_arrays = st.builds(
    lambda dtype, order: np.ones((3, LONG), dtype, order=order), scalar_dtypes, st.sampled_from("CF")
)
texts = st.text(st.characters(exclude_categories=()), max_size=8)
names = st.sampled_from([b"nd", b"complex", b"type", b"kind", b"shape", b"data", "nd", np.bytes_(b"nd")])
hashables = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(max_size=8) | names,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
leaves = (
    hashables
    | st.floats()
    | st.complex_numbers()
    | st.integers(-(2**80), 2**80)
    | st.binary().map(bytearray)
    | small_arrays
    | large_arrays
    | small_arrays.map(lambda array: array.T)
    | hnp.arrays(dtypes, st.just(())).map(lambda array: array[()])
    | st.sampled_from([np.ma.masked_array([1, 2], [True, False]), msgpack.ExtType(16, b""), msgpack.Timestamp(3)])
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.builds(Point, st.integers(), st.integers())
    | st.builds(Sample, hnp.arrays("i4,>f8,M8[s]", shapes), st.integers())
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.dictionaries(names, inner, max_size=5)
        | st.dictionaries(texts, inner, max_size=3).map(collections.OrderedDict)
        | st.sets(hashables, max_size=3)
    ),
    max_leaves=12,
)
