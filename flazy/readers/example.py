"""From the bytes of a ``tf.train.Example`` to numpy arrays; the way back is ``flazy/writers/example.py``.

Not here: the framing of records in files, and the names of files and numbers of records in messages; an error of
this module says only what is wrong with the bytes at hand.  The rule of this file: `_fields` alone knows how a
message is cut into fields; everything else works on the spans of bytes that it found.

The messages, from ``tensorflow/core/example/example.proto`` and ``feature.proto``::

    Example   { Features features = 1; }
    Features  { map<string, Feature> feature = 1; }      an entry is a message { string key = 1; Feature value = 2; }
    Feature   { oneof kind { BytesList = 1; FloatList = 2; Int64List = 3; } }
    *List     { repeated bytes | float | int64 value = 1; }      floats and ints packed or one by one

The wire format is that of https://protobuf.dev/programming-guides/encoding: a tag is ``field << 3 | wire type``;
a message that comes twice is merged, of a oneof the last kind stays, of equal keys in a map the last entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BYTES", "FLOATS", "INTS", "Decoder", "Feature", "MalformedExample", "decode"]

Feature: TypeAlias = NDArray[np.float32] | NDArray[np.int64] | NDArray[np.object_]
Buffer: TypeAlias = bytes | memoryview
Span: TypeAlias = tuple[int, int]

# Tags of the fields 1, 2 and 3 where they hold a string or a message, and of field 1 where it holds one number.
BYTES, FLOATS, INTS = 0x0A, 0x12, 0x1A
_FIRST, _SECOND = 0x0A, 0x12
_ONE_INT, _ONE_FLOAT = 0x08, 0x0D
_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5
_WIRE_FLOAT = np.dtype("<f4")
_LONGEST_VARINT = 10  # bytes, of 7 bits each
# Measured: up to here a Python loop costs less than numpy's dozen calls (both 11 µs for 32 numbers of two bytes).
_FEW_BYTES = 64


class MalformedExample(ValueError):
    """Bytes that are no ``tf.train.Example``; the message says what is wrong with them."""


def decode(record: Buffer, keys: Iterable[str] | None = None) -> dict[str, Feature]:
    """Turn the bytes of a ``tf.train.Example`` into arrays.

    Parameters
    ----------
    record : bytes or memoryview
        One serialized Example.
    keys : iterable of str or None
        The features to decode, others are not looked into; None for all.

    Returns
    -------
    dict of str to array
        float32, int64, or object (of ``bytes``); 1-D, writable, not tied to `record`; in the order of the record.
        A feature without a kind is left out, as TensorFlow takes it for missing.

    Raises
    ------
    MalformedExample
        The bytes are not an Example; groups, which protobuf gave up, count as that.
    """
    spots = _walk(record, None if keys is None else frozenset(keys))
    return {spot.key: _READ[spot.kind](record, spot.pieces) for spot in spots if spot.kind}


class Decoder:
    """Decode many records of one file, and remember how they are laid out.

    Records of a file mostly differ in their values alone.  The second record of a length leaves its layout here; a
    later one of that length whose bytes around the values are the same is not walked again.  ``benchmarks/tfrecord.py``
    measures the gain (2.7 times for 10 floats); `decode`, which always walks, is the oracle in the tests.

    Parameters
    ----------
    keys : iterable of str or None
        The features to decode; None for all.
    """

    _MOST_LENGTHS = 1024

    def __init__(self, keys: Iterable[str] | None = None) -> None:
        self._wanted = None if keys is None else frozenset(keys)
        self._layouts: dict[int, _Layout | None] = {}

    def decode(self, record: Buffer) -> dict[str, Feature]:
        """Do what the function `decode` does; after an error, the next record can be decoded."""
        layout = self._layouts.get(len(record))
        spots = layout.spots if layout is not None and layout.fits(record) else self._learn(record)
        return {key: _READ[kind](record, pieces) for key, kind, pieces, _ in spots if kind}

    def _learn(self, record: Buffer) -> list[_Spot]:
        spots = _walk(record, self._wanted)
        if len(record) in self._layouts:
            self._layouts[len(record)] = _layout(record, spots)
        else:
            if len(self._layouts) >= self._MOST_LENGTHS:
                self._layouts.clear()
            self._layouts[len(record)] = None
        return spots


class _Spot(NamedTuple):
    """Where a feature's values lie; kind 0 for one that is not wanted or has no kind."""

    key: str
    kind: int
    pieces: list[Span]
    fixed: bool  # whether other values of the same size would lie at the same place


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the values of a record lie, and all the bytes around them."""

    spots: list[_Spot]
    frame: list[tuple[int, int, bytes]]

    def fits(self, record: Buffer) -> bool:
        for start, stop, same in self.frame:  # noqa: SIM110 -- all() over a generator took 1.7 times as long
            if record[start:stop] != same:
                return False
        return True


def _layout(record: Buffer, spots: list[_Spot], most_pieces: int = 64) -> _Layout | None:
    """Make a layout; None where other values could lie otherwise, or where comparing would not be cheaper."""
    pieces = sorted(piece for spot in spots for piece in spot.pieces)
    if len(pieces) > most_pieces or not all(spot.fixed for spot in spots):
        return None
    starts = [0, *(stop for _, stop in pieces)]
    stops = [*(start for start, _ in pieces), len(record)]
    frame = [(start, stop, bytes(record[start:stop])) for start, stop in zip(starts, stops, strict=True)]
    return _Layout(spots, [part for part in frame if part[2]])


def _walk(record: Buffer, wanted: frozenset[str] | None) -> list[_Spot]:
    """Find every feature of an Example."""
    spots: dict[str, _Spot] = {}
    try:
        for tag, start, stop in _fields(record, 0, len(record)):
            if tag == _FIRST:
                for inner, begin, end in _fields(record, start, stop):
                    if inner == _FIRST:
                        spot = _entry(record, begin, end, wanted)
                        spots[spot.key] = spot
    except IndexError:
        raise MalformedExample("the record ends within a field") from None
    return list(spots.values())


def _entry(record: Buffer, start: int, stop: int, wanted: frozenset[str] | None) -> _Spot:
    key, values = "", []
    for tag, begin, end in _fields(record, start, stop):
        if tag == _FIRST:
            key = _text(bytes(record[begin:end]))
        elif tag == _SECOND:
            values.append((begin, end))
    if wanted is not None and key not in wanted:
        return _Spot(key, 0, values, True)
    return _feature(record, key, values)


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise MalformedExample(f"the key {key!r} is not UTF-8") from None


def _feature(record: Buffer, key: str, values: list[Span]) -> _Spot:
    kind, lists = 0, list[Span]()
    for start, stop in values:
        for tag, begin, end in _fields(record, start, stop):
            if tag in _READ:
                if tag != kind:
                    kind, lists = tag, []
                lists.append((begin, end))
    single = {FLOATS: _ONE_FLOAT, INTS: _ONE_INT}.get(kind)
    pieces, fixed = [], True
    for start, stop in lists:
        for tag, begin, end in _fields(record, start, stop):
            if tag in (_FIRST, single):
                pieces.append((begin, end))
                fixed = fixed and tag != _ONE_INT
    return _Spot(key, kind, pieces, fixed)


def _fields(data: Buffer, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Cut the message ``data[at:end]`` into tag, start and stop of each field; no stop is behind `end`."""
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _varint(data, at - 1)
        wire = tag & 7
        if wire == _SIZED:
            size = data[at]
            at += 1
            if size > 127:
                size, at = _varint(data, at - 1)
            stop = at + size
        elif wire == _VARINT:
            stop = _varint(data, at)[1]
        elif wire in (_FIXED32, _FIXED64):
            stop = at + (4 if wire == _FIXED32 else 8)
        else:
            raise MalformedExample(f"byte {at - 1} has the unknown wire type {wire}")
        if stop > end:
            raise MalformedExample(f"the field before byte {at} is longer than what holds it")
        if tag < 8 or tag >> 32:
            raise MalformedExample(f"the field before byte {at} has the number {tag >> 3}")
        yield tag, at, stop
        at = stop


def _varint(data: Buffer, at: int) -> tuple[int, int]:
    """Read an unsigned 64-bit number; give it and where it ends."""
    value = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise MalformedExample(f"the number before byte {at} is longer than {_LONGEST_VARINT} bytes")


def _bytes(record: Buffer, pieces: list[Span]) -> NDArray[np.object_]:
    values = np.empty(len(pieces), object)
    for i, (start, stop) in enumerate(pieces):
        values[i] = bytes(record[start:stop])
    return values


def _floats(record: Buffer, pieces: list[Span]) -> NDArray[np.float32]:
    for start, stop in pieces:
        if (stop - start) & 3:
            raise MalformedExample(f"{stop - start} bytes of floats are not a multiple of 4")
    if len(pieces) == 1:
        start, stop = pieces[0]
        return np.frombuffer(record, _WIRE_FLOAT, (stop - start) >> 2, start).astype(np.float32)
    return np.frombuffer(_joined(record, pieces), _WIRE_FLOAT).astype(np.float32)


def _ints(record: Buffer, pieces: list[Span]) -> NDArray[np.int64]:
    for start, stop in pieces:
        if stop > start and record[stop - 1] > 127:
            raise MalformedExample(f"the number before byte {stop} has no end")
    payload = _joined(record, pieces)
    if len(payload) > _FEW_BYTES:
        return _many_ints(payload)
    if payload.isascii():
        return np.array(list(payload), np.int64)
    return _few_ints(payload)


def _joined(record: Buffer, pieces: list[Span]) -> bytes:
    if len(pieces) == 1:
        start, stop = pieces[0]
        return bytes(record[start:stop])
    return b"".join([record[start:stop] for start, stop in pieces])


def _few_ints(payload: bytes) -> NDArray[np.int64]:
    values, at = [], 0
    while at < len(payload):
        value, at = _varint(payload, at)
        values.append(value)
    return np.array(values, np.uint64).view(np.int64)


def _many_ints(payload: bytes) -> NDArray[np.int64]:
    """Do what `_few_ints` does with one round for each byte of the longest number instead of one for each number."""
    octets = np.frombuffer(payload, np.uint8)
    last = np.flatnonzero(octets < 128)
    if len(last) == len(octets):
        return octets.astype(np.int64)
    first = np.concatenate(([0], last[:-1] + 1))
    sizes = last - first + 1
    longest = int(sizes.max())
    if longest > _LONGEST_VARINT:
        raise MalformedExample(f"a number is longer than {_LONGEST_VARINT} bytes")
    values = (octets[first] & 127).astype(np.uint64)
    for i in range(1, longest):
        longer = np.flatnonzero(sizes > i)
        values[longer] |= (octets[first[longer] + i] & 127).astype(np.uint64) << np.uint64(7 * i)
    return values.view(np.int64)


# By the tag of the list within its Feature.
_READ: dict[int, Callable[[Buffer, list[Span]], Feature]] = {BYTES: _bytes, FLOATS: _floats, INTS: _ints}
