"""Rows for batches: what a function in a worker may return, by name, so that what travels to it is small.

Every row is a function of its number, so that whoever has a batch can tell what each of its rows must be.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from tests.parallel.functions import OddError

LARGE = (130, 128)  # as float32 a little over 64 KiB, from which on an array has a place in shared memory
SMALL = (3, 2)
STRUCTURED = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3")])

Pair = namedtuple("Pair", ["x", "y"])  # noqa: PYI024 - what users of old code have; pickled by name


def filled(i, shape, dtype="<f4"):
    """Give an array that no other number gives, and no other place in it."""
    size = int(np.prod(shape))
    return ((np.arange(size) * 7 + i) % 251).astype(dtype).reshape(shape)


def structured(i):
    made = np.zeros(900, STRUCTURED)
    made["a"], made["b"], made["c"] = i, filled(i, (900, 2), "f8"), str(i % 10).encode()
    return made


def locked(i):
    made = filled(i, LARGE)
    made.flags.writeable = False
    return made


def masked(i):
    return np.ma.masked_equal(filled(i, (40, 10)), i % 251)


ARRAYS: dict[str, Callable[[int], Any]] = {
    "float32": lambda i: filled(i, LARGE),
    "float32, small": lambda i: filled(i, SMALL),
    "uint8": lambda i: filled(i, (256, 260), "u1"),
    "big-endian": lambda i: filled(i, LARGE, ">f4"),
    "big-endian, small": lambda i: filled(i, SMALL, ">i2"),
    "structured": structured,
    "Fortran": lambda i: np.asfortranarray(filled(i, LARGE)),
    "transposed": lambda i: filled(i, (3, 90, 80)).transpose(2, 0, 1),
    "negative strides": lambda i: filled(i, (200, 160))[::-1, ::-2],
    "broadcast": lambda i: np.broadcast_to(filled(i, (1, 128)), LARGE),
    "read-only": locked,
    "zero-size": lambda i: filled(i, (0, 5)),
    "0-d": lambda i: np.array(i, np.int16),
    "complex": lambda i: filled(i, (100, 90), "c16"),
    "bool": lambda i: filled(i, (70, 5)) > 100,
    "time": lambda i: filled(i, (20,), "i8").astype("M8[s]"),
    "text": lambda i: np.array([f"{i}", "ä"]),
    "objects": lambda i: np.array([i, None, "s"], object),
    "masked": masked,
}
OTHERS: dict[str, Callable[[int], Any]] = {
    "int": lambda i: i,
    "float": lambda i: i / 3,
    "bool": lambda i: i % 2 == 0,
    "str": str,
    "bytes": lambda i: b"x" * (i % 4),
    "None": lambda i: None,
    "np.float32": np.float32,
    "np.int8": lambda i: np.int8(i % 100),
    "np.bool": lambda i: np.bool_(i % 2),
    "list": lambda i: [i, i + 1],
    "floats": lambda i: [[i / 2], [0.5]],
    "date": lambda i: dt.date(2020, 1, 1 + i % 28),
}
LEAVES = ARRAYS | OTHERS
SHAPES: dict[str, Callable[[list[Any]], Any]] = {
    "bare": lambda parts: parts[0],
    "dict": lambda parts: {f"key {place}": part for place, part in enumerate(parts)},
    "tuple": tuple,
    "named": lambda parts: Pair(parts[0], parts[-1]),
    "nested": lambda parts: {"in": {"x": parts[0], "rest": tuple(parts[1:])}, "pair": Pair(parts[-1], 1)},
}
# What one row may have that the others have not: most are errors of the batch, some are promoted.
ODD: dict[str, Callable[[Any], Any]] = {
    "shape": lambda part: np.concatenate([np.atleast_1d(part), np.atleast_1d(part)]),
    "dimensions": lambda part: np.atleast_1d(part)[None],
    "float64": lambda part: np.asarray(part).astype("f8"),
    "big-endian": lambda part: np.asarray(part).astype(">f4"),
    "text": lambda part: np.full(np.shape(part), "text"),
    "None": lambda part: None,
    "str": lambda part: "odd",
    "int": lambda part: 5,
    "large int": lambda part: 2**40 + 1,
    "huge float": lambda part: 1e300,
    "not there": lambda part: (),
    "dict": lambda part: {"odd": part},
}


@dataclass(frozen=True)
class Rows:
    """A function for `map`: row ``i`` has the named leaves in the named structure.

    ``odd`` is (from which number on, to which, what): the first leaf of those rows is another.
    """

    shape: str
    leaves: tuple[str, ...]
    odd: tuple[int, int, str] | None = None
    fails_at: int | None = None

    def __call__(self, i: int) -> Any:
        if i == self.fails_at:
            raise OddError(i)
        parts = [LEAVES[name](i) for name in self.leaves]
        if self.odd is not None and self.odd[0] <= i < self.odd[1]:
            parts[0] = ODD[self.odd[2]](parts[0])
        return SHAPES[self.shape](parts)


# Functions that do with memory what they like ---------------------------------------------------------------


class Refilled:
    """Returns the same array each time, written anew; ``wrap`` puts it into something."""

    def __init__(self, wrap: str = "bare") -> None:
        self.buffer = np.zeros(LARGE, np.float32)
        self.wrap = wrap

    def __call__(self, i: int) -> Any:
        self.buffer[:] = filled(i, LARGE)
        return SHAPES[self.wrap]([self.buffer, self.buffer])


class Scribbling:
    """Returns new arrays, and writes into the earlier ones at each call."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __call__(self, i: int) -> Any:
        for array in self.given[-40:]:
            array[:] = -1
        self.given.append(filled(i, LARGE))
        return {"x": self.given[-1], "part": self.given[-1][3:5, ::-1]}


def shouted(array):
    """Change what was given, in place, and give it back."""
    array += 1
    array[0] = 0
    return array


def several(i):
    """Give no, one or two rows."""
    for offset in range(i % 3):
        yield {"x": filled(i + offset, LARGE), "y": offset}


def not_fourth(i):
    return i % 4


def twice(row):
    return {"x": row["x"] * 2, "y": row["y"]}


def ordered_pair(i):
    return OrderedDict(x=filled(i, LARGE), y=i)


def rows_of(batch: Any) -> Iterator[Any]:
    """Give the rows of a batch again, of any structure of arrays."""
    if isinstance(batch, dict):
        parts = list(map(rows_of, batch.values()))
        return (dict(zip(batch, row, strict=True)) for row in zip(*parts, strict=True))
    if isinstance(batch, tuple):
        return zip(*map(rows_of, batch), strict=True) if batch else itertools.repeat(())
    return iter(batch)


def print_of(value: Any) -> str:
    """Give something that can be sorted, and that is equal for equal rows."""
    if isinstance(value, dict):
        return repr([(key, print_of(part)) for key, part in value.items()])
    if isinstance(value, tuple):
        return repr(list(map(print_of, value)))
    array = np.asarray(value)
    return repr((array.dtype.str, array.shape, array.tolist() if array.dtype.kind == "O" else crc32(array.tobytes())))
