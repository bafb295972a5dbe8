"""Values into the skeleton of a message: msgpack, with what msgpack would change carried by our own types.

Here: the layout, and `Writer`.  Not here: its mirror image (``unpacking.py``), frames as a whole and pickle
(``codec.py``), the memory of arrays (``arrays.py``).

An extension type either *is* a value, its payload saying all; or it is the only key of a map and says what the
map's value is to become, so that a tuple in a tuple needs no packer in a packer and no recursion to read::

    leaf      ext(INT, b"…")                        2**70
    marked    {ext(TUPLE, b""): [1, 2]}             (1, 2)
              {ext(ARRAY, b""): [dtype, shape, order, data or nil]}

Small plain arrays are maps just as ``msgpack_numpy.encode`` makes them.  Large arrays and whatever must be pickled
lie outside (``data`` is nil, ``ext(PICKLED)`` is empty) and are referred to by order alone: the reader comes upon
the references in the order in which the writer made them, so a reference can be neither out of range nor doubled.

The one rule: what is written is read back with the same value and the same type, or it is refused.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import msgpack
import numpy as np

from flazy.transport import arrays
from flazy.transport.arrays import Array, Buffer

INLINE: Final = 16 * 1024  # bytes; from here on an array is a frame of its own: two copies saved against one more frame

# Leaves: the payload says all.
INT, COMPLEX, BYTEARRAY, NUMBER, TIME, TEXT, OCTETS, PICKLED, RANGE = range(1, 10)
# Marks: the only key of a map; no payload.
MARKS: Final = range(16, 23)
TUPLE, SET, FROZENSET, DICT, ARRAY, SCALAR, MASKED = MARKS

ND_KEY: Final = b"\xc4\x02nd"  # how msgpack writes the keys by which msgpack-numpy's maps are known
COMPLEX_KEY: Final = b"\xc4\x07complex"
_NUMBERS: Final = {np.dtype(code).type: code.encode() for code in "?bBhHiIlLqQefdgFDG"}
_WALKED: Final = frozenset({list, dict, tuple, set, frozenset})
_KEPT_KEYS: Final = frozenset({str, int, float, bool, type(None)})
# What msgpack writes by itself, without asking `Writer._default`, and would read back as something else.
_MISWRITTEN: Final = frozenset({bytearray, memoryview, msgpack.ExtType})


class Refused(Exception):
    """A value that only pickle could carry, where pickle is not allowed."""


class Writer:
    """Packs values, and collects what lies outside of the skeleton.

    Parameters
    ----------
    pickle : bool
        Whether values may be left to pickle; if not, they raise `Refused`.

    Attributes
    ----------
    buffers : list of memoryview
        The large arrays, in order of reference.
    opaque : list of object
        What is to be pickled, in order of reference.
    """

    def __init__(self, *, pickle: bool) -> None:
        self.buffers: list[Buffer] = []
        self.opaque: list[object] = []
        self._pickle = pickle
        self._maps = 0  # arrays written as msgpack-numpy's maps

    def write(self, values: Sequence[object]) -> bytes:
        """Pack a list of values.

        Raises
        ------
        Refused
            The writer is then of no further use.
        """
        values = list(values)
        try:
            packed: bytes = msgpack.Packer(default=self._default, strict_types=True).pack(values)
        except (ValueError, TypeError, OverflowError):  # too deep, too large, a cycle, a lone surrogate
            return self._write_carefully(values)
        if self._looks_misread(values, packed):
            return self._write_carefully(values)
        return packed

    def _looks_misread(self, values: list[object], packed: bytes) -> bool:
        """Tell, a level at a time and without a Python loop over the leaves, what `_default` never got to see."""
        maps = False
        level: list[Any] = values
        while level:
            kinds = set(map(type, level))
            if not kinds.isdisjoint(_MISWRITTEN):
                return True
            walked = kinds & _WALKED
            if not walked:
                break
            maps = maps or dict in walked
            if len(walked) < len(kinds):
                level = [value for value in level if type(value) in _WALKED]
            level = gc.get_referents(*level)
        return maps and (packed.count(ND_KEY) != self._maps or COMPLEX_KEY in packed)

    def _write_carefully(self, values: list[object]) -> bytes:
        """Pack value by value, each rewritten; what cannot be packed is pickled as a whole."""
        self.buffers.clear()
        self.opaque.clear()
        packer = msgpack.Packer(default=self._default, strict_types=True, unicode_errors="surrogatepass")
        parts = [packer.pack_array_header(len(values))]
        for value in values:
            sizes = len(self.buffers), len(self.opaque)
            try:
                parts.append(packer.pack(_rewritten(value)))
            except (ValueError, TypeError, OverflowError, RecursionError):
                packer.reset()
                del self.buffers[sizes[0] :], self.opaque[sizes[1] :]
                parts.append(packer.pack(_Whole(value)))
        return b"".join(parts)

    def _default(self, value: Any) -> object:
        """Give what stands for a value that msgpack does not know; it calls this from within ``pack``."""
        kind = type(value)
        if kind is np.ndarray:
            return self._array(value)
        if (leaf := _LEAVES.get(kind)) is not None:
            return leaf(value)
        if (code := _NUMBERS.get(kind)) is not None:
            # Its own constructor would take most of the time, to check what is right by construction.
            return tuple.__new__(msgpack.ExtType, (NUMBER, code + value.tobytes()))
        if kind is np.memmap:
            return self._array(value.view(np.ndarray))
        if kind is np.ma.MaskedArray and arrays.describe(value.dtype) is not None:
            mask = None if value.mask is np.ma.nomask else value.mask
            return {_MASKED: [value.data, mask, np.asarray(value.fill_value, value.dtype), bool(value.hardmask)]}
        if kind is np.void and arrays.describe(value.dtype) is not None:
            return {_SCALAR: np.asarray(value)}
        return self._outside(value.value if kind is _Whole else value)

    def _array(self, array: Array) -> object:
        dtype = array.dtype
        if array.nbytes < INLINE and (name := _plain_name(dtype)) is not None and array.flags.c_contiguous:
            self._maps += 1
            # What msgpack_numpy.encode gives, in half the time; its tuple of a shape would be marked as one.
            return {b"nd": True, b"type": name, b"kind": b"", b"shape": list(array.shape), b"data": array.tobytes()}
        description = arrays.describe(dtype)
        if description is None:
            return self._outside(array)
        contiguous, order = arrays.lay_out(array)
        memory = arrays.raw(contiguous)
        if memory.nbytes < INLINE:
            return {_ARRAY: [description, list(array.shape), order, memory]}
        self.buffers.append(memory)
        return {_ARRAY: [description, list(array.shape), order, None]}

    def _outside(self, value: object) -> object:
        if not self._pickle:
            raise Refused
        if isinstance(value, np.ndarray) and not value.flags.writeable:
            value = value.copy(order="K")  # what is received can be written to, whatever its class
        self.opaque.append(value)
        return _PICKLED


@lru_cache(maxsize=1024)
def _plain_name(dtype: arrays.DType) -> str | None:
    return dtype.str if arrays.is_plain(dtype) else None


class _Whole:
    """Wraps a value that msgpack would take to be its own, so that `Writer._default` sees it."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


def _rewritten(value: Any) -> object:
    """Give a value with everything replaced that msgpack would write without asking, and read otherwise.

    One Python frame a level, so that what msgpack can nest can be rewritten.
    """
    kind = type(value)
    if kind is list:
        return list(map(_rewritten, value))
    if kind is dict and set(map(type, value)) <= _KEPT_KEYS:
        return dict(zip(value, map(_rewritten, value.values()), strict=True))
    if kind is dict:
        return {_DICT: [list(map(_rewritten, value)), list(map(_rewritten, value.values()))]}
    if kind in _WALKED:
        return {_SEQUENCES[kind]: list(map(_rewritten, value))}
    if kind is bytearray:
        return msgpack.ExtType(BYTEARRAY, bytes(value))
    return _Whole(value) if kind in _MISWRITTEN else value


_PICKLED: Final = msgpack.ExtType(PICKLED, b"")
_TUPLE, _SET, _FROZENSET, _DICT, _ARRAY, _SCALAR, _MASKED = (
    msgpack.ExtType(code, b"") for code in MARKS
)
_SEQUENCES: Final[dict[type, Any]] = {tuple: _TUPLE, set: _SET, frozenset: _FROZENSET}


def _range(value: Any) -> object:
    parts = value.start, value.stop, value.step
    width = max(map(int.bit_length, parts)) // 8 + 1
    return msgpack.ExtType(RANGE, b"".join(part.to_bytes(width, "little", signed=True) for part in parts))


def _time(value: Any) -> object:
    return msgpack.ExtType(TIME, value.dtype.str.encode() + value.tobytes())


_LEAVES: Final[dict[type, Callable[[Any], object]]] = {
    tuple: lambda value: {_TUPLE: list(value)},
    set: lambda value: {_SET: list(value)},
    frozenset: lambda value: {_FROZENSET: list(value)},
    int: lambda value: msgpack.ExtType(INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)),
    range: _range,
    complex: lambda value: msgpack.ExtType(COMPLEX, struct.pack("<dd", value.real, value.imag)),
    np.str_: lambda value: msgpack.ExtType(TEXT, value.encode("utf-8", "surrogatepass")),
    np.bytes_: lambda value: msgpack.ExtType(OCTETS, bytes(value)),
    np.datetime64: _time,
    np.timedelta64: _time,
}
