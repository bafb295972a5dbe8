"""From a dict sample to the bytes of a ``tf.train.Example``; the way back is ``flazy/readers/example.py``.

Not here: files, and the numbers of samples in messages.  The rule of this file: a value is stored so that it
reads back the same (but for shape and the precision of float64), or it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flazy.dtypes import is_extended
from flazy.readers.example import BYTES, FLOATS, INTS

__all__ = ["UnfitValue", "encode"]

_FIRST, _SECOND = b"\x0a", b"\x12"
_TEXT = (str, bytes, bytearray)
# Measured: up to here a Python loop costs less than numpy's hundred calls.
_FEW_INTS = 64


class UnfitValue(ValueError):
    """A sample that an Example cannot hold; the message names key, type and reason."""


def encode(sample: Mapping[str, object]) -> bytes:
    """Turn a sample into the bytes of a ``tf.train.Example``.

    Parameters
    ----------
    sample : mapping of str to value
        A value is a number, str or bytes, a numpy array, or lists and tuples of those, nested at will; what is
        nested is flattened in C order.  bool and integers become the int64 list; floats, and integers among
        floats, the float32 list; str (as UTF-8) and bytes the bytes list.

    Returns
    -------
    bytes
        In the order of the sample's keys; the same sample gives the same bytes.

    Raises
    ------
    UnfitValue
        A key that is no str; a value of another type, of mixed types, or an empty list, which has no type (an
        empty array has); an integer beyond int64; a finite float beyond float32; text that UTF-8 cannot hold.
    """
    parts: list[bytes] = []
    for key, value in sample.items():
        if not isinstance(key, str):
            raise UnfitValue(f"the key {key!r} is a {type(key).__name__}, not a str")
        try:
            parts += _entry(key.encode(), *_payload(value))
        except UnfitValue as error:
            raise UnfitValue(f"key {key!r}, {_named(value)}: {error}") from None
        except UnicodeEncodeError as error:
            raise UnfitValue(f"key {key!r}, {_named(value)}: UTF-8 cannot hold it ({error.reason})") from None
    features = b"".join(parts)
    return _sized(_FIRST, len(features)) + features


def _named(value: object) -> str:
    name = type(value).__name__
    return f"{name} of {value.dtype}" if isinstance(value, np.ndarray) else name


def _entry(key: bytes, kind: int, payload: bytes) -> list[bytes]:
    """Wrap the content of a list in list, Feature and entry; the content itself is copied only by the final join."""
    content = _sized(bytes([kind]), len(payload))
    name = _sized(_FIRST, len(key)) + key
    value = _sized(_SECOND, len(content) + len(payload))
    size = len(name) + len(value) + len(content) + len(payload)
    return [_sized(_FIRST, size), name, value, content, payload]


def _sized(tag: bytes, size: int) -> bytes:
    return tag + _varint(size)


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 127:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _payload(value: object) -> tuple[int, bytes]:
    """Give the kind of list, and what is in it."""
    flat = _flat(value)
    if isinstance(flat, list):
        return BYTES, b"".join(part for text in flat for part in (_sized(_FIRST, len(text)), text))
    if flat.dtype.kind == "f":
        kind, packed = FLOATS, _packed_floats(flat)
    else:
        kind, packed = INTS, _packed_ints(_int64(flat))
    # No field at all for an empty list, as protobuf does it.
    return kind, _sized(_FIRST, len(packed)) + packed if packed else b""


def _flat(value: object) -> NDArray[Any] | list[bytes]:
    """Flatten a value to an array of numbers or a list of bytes."""
    if isinstance(value, np.ma.MaskedArray):
        raise UnfitValue("its mask would be lost; fill it first")
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if is_extended(array.dtype):
            raise UnfitValue("an Example has float32 and int64 alone; cast() it before")
        if array.dtype.kind in "fbiu":
            return array.ravel()
        if array.dtype.kind in "SUO" and not array.size:
            return []
    leaves = list(_leaves(value))
    if not leaves:
        raise UnfitValue("an empty list has no type; an empty numpy array has one")
    types = set(map(type, leaves))
    if all(issubclass(one, _TEXT) for one in types):
        return [leaf.encode() if isinstance(leaf, str) else bytes(leaf) for leaf in leaves]
    if not all(issubclass(one, (int, float)) for one in types):
        names = ", ".join(sorted(one.__name__ for one in types))
        raise UnfitValue(f"only numbers, or only str and bytes, make up a feature; this is {names}")
    try:
        return np.array(leaves, np.float64 if any(issubclass(one, float) for one in types) else np.int64)
    except OverflowError:
        raise UnfitValue("it holds an integer out of the range of int64, or of float among floats") from None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _leaves(one)
    elif isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fbiuSUO":
        yield from _leaves(value.tolist())
    else:
        yield value


def _packed_floats(values: NDArray[np.floating]) -> bytes:
    with np.errstate(over="ignore"):  # told below, by name
        single = values.astype("<f4")
    if values.dtype.itemsize > single.dtype.itemsize and (np.isinf(single) != np.isinf(values)).any():
        raise UnfitValue("it holds a float beyond the range of float32, the only kind of float in an Example")
    return single.tobytes()


def _int64(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        raise UnfitValue("it holds an integer out of the range of int64")
    return values.astype(np.int64)


def _packed_ints(values: NDArray[np.int64]) -> bytes:
    """Encode varints; a negative number is that of the same 64 bits, and has ten bytes."""
    rest = values.view(np.uint64)
    if not (rest > 127).any():
        return rest.astype(np.uint8).tobytes()
    if len(rest) <= _FEW_INTS:
        return b"".join(map(_varint, rest.tolist()))
    return _many_ints(rest)


def _many_ints(rest: NDArray[np.uint64]) -> bytes:
    """Encode with one round for each byte of the longest number instead of one for each number."""
    sizes = np.ones(len(rest), np.int64)
    for shift in range(7, 64, 7):
        sizes += rest >> np.uint64(shift) > 0
    starts = np.cumsum(sizes) - sizes
    packed = np.empty(sizes.sum(), np.uint8)
    for i in range(int(sizes.max())):
        longer = np.flatnonzero(sizes > i)
        octets = rest[longer] >> np.uint64(7 * i) & np.uint64(127)
        more = (sizes[longer] > i + 1) * np.uint64(128)
        packed[starts[longer] + i] = octets | more
    return packed.tobytes()
