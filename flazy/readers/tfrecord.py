"""TFRecord files: the framing of records, with both checksums, and the samples in them.

Not here: what the bytes of an Example mean (``example.py``) and which files there are (``files.py``).  The rule
of this file: nothing that the checksums have not covered is given away.

A record is: length (uint64), masked CRC-32C of these 8 bytes (uint32), data, masked CRC-32C of the data
(uint32); all little endian.  Source: ``tensorflow/core/lib/io/record_writer.h``.
"""

from __future__ import annotations

import io
import itertools
import logging
import struct
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import google_crc32c
import numpy as np

from flazy.errors import CorruptRecord, InvalidArgument, InvalidType, MissingFile, MissingKey
from flazy.readers.compression import Source, choose_compression, known_by_header, source_of
from flazy.readers.example import Decoder, Feature, MalformedExample, decode

__all__ = ["FOOTER", "HEADER", "masked_crc", "read_records", "read_tfrecord"]

Record: TypeAlias = bytes | memoryview

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
_LENGTH_BYTES = 8
# Measured on records of 256 KB: 16 KiB to 512 KiB to begin with are even, 1 MiB costs 5 % and 16 MiB 35 %.
_BUFFER_BYTES = 1 << 18
# Bytes are faster to parse than a memoryview, and up to about here not slower to make: 7 % for records of 80 bytes.
_SMALL_BYTES = 1 << 12
_BAD_LENGTH = "the checksum of its length is wrong"
_BAD_DATA = "the checksum of its data is wrong"
_TRUNCATED = "the file ends within it"
_log = logging.getLogger("flazy")


def read_records(path: str, *, compression: str | None = "infer", on_corrupt: str = "raise") -> Iterator[bytes]:
    """Read the records of a TFRecord file as they are.

    Parameters
    ----------
    path : str
        The file; opened when the first record is asked for, closed with the iterator.
    compression : {"infer", "gzip", "zlib", None}
        In any case of letters.  "infer" looks at the first bytes: a valid record is not compressed, else gzip and
        zlib are known by their headers.
    on_corrupt : {"raise", "skip"}
        "skip" leaves out a record whose data does not fit its checksum, and what follows a length that does not
        or a truncation; one warning at the end of the file (logger ``flazy``) says how many and which first.

    Yields
    ------
    bytes
        The data of one record.

    Raises
    ------
    InvalidArgument
        At the call: an unknown compression or policy.
    MissingFile
        There is no such file.
    CorruptRecord
        With "raise": file, number of the record, byte offset, and what did not hold.  Every record before it was
        given; the iterator has ended and the file is closed.
    """
    compression = choose_compression(compression, "infer")
    damage = _Damage(path, skip=_choose_policy(on_corrupt))
    return (bytes(record) for _, _, record in _read(path, compression, damage))


def read_tfrecord(
    path: str, *, keys: Sequence[str] | None = None, compression: str | None = "infer", on_corrupt: str = "raise"
) -> Iterator[dict[str, Feature]]:
    """Read a TFRecord file of ``tf.train.Example`` as dicts of arrays.

    Parameters
    ----------
    path : str
        The file; opened when the first sample is asked for, closed with the iterator.
    keys : sequence of str or None
        The features to read, in this order; others are not parsed.  None for all, in the order of the record.
    compression : {"infer", "gzip", "zlib", None}
        As in `read_records`.
    on_corrupt : {"raise", "skip"}
        As in `read_records`; "skip" also leaves out a record that is not an Example.

    Yields
    ------
    dict of str to array
        1-D arrays of float32, int64, or object (of ``bytes``); new for every sample and writable.  A feature
        that holds no kind of list is left out, as TensorFlow takes it for missing.

    Raises
    ------
    InvalidArgument, InvalidType
        At the call: an unknown compression or policy; `keys` that are not a sequence of str.
    MissingFile, CorruptRecord
        As in `read_records`; CorruptRecord also for a record that is not an Example.
    MissingKey
        A record lacks one of `keys`, whatever `on_corrupt` says; the message names those it has.
    """
    if isinstance(keys, (str, bytes)) or not all(isinstance(key, str) for key in keys or ()):
        raise InvalidType(f"keys must be a sequence of str, such as ['audio'], not {keys!r}")
    compression = choose_compression(compression, "infer")
    damage = _Damage(path, skip=_choose_policy(on_corrupt))
    return _samples(path, None if keys is None else tuple(keys), compression, damage)


def masked_crc(data: object) -> int:
    """Give the CRC-32C of a bytes-like as TFRecord stores it.

    Notes
    -----
    Rotated right by 15 bits, plus 0xA282EAD8, so that the CRC of data that holds its own CRC stays good:
    ``tensorflow/core/lib/hash/crc32c.h``.  google_crc32c takes bytes and arrays, but no memoryview.
    """
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _choose_policy(on_corrupt: str) -> bool:
    if on_corrupt not in ("raise", "skip"):
        raise InvalidArgument(f"unknown on_corrupt {on_corrupt!r}; known are 'raise' and 'skip'")
    return on_corrupt == "skip"


def _samples(
    path: str, keys: tuple[str, ...] | None, compression: str | None, damage: _Damage
) -> Iterator[dict[str, Feature]]:
    decoder = Decoder(keys)
    for number, offset, record in _read(path, compression, damage):
        try:
            found = decoder.decode(record)
        except MalformedExample as error:
            damage.add(number, offset, f"it is not a tf.train.Example: {error}", error)
            continue
        if keys is None:
            yield found
            continue
        try:
            sample = {key: found[key] for key in keys}
        except KeyError as error:
            there = ", ".join(map(repr, sorted(decode(record)))) or "none"
            raise MissingKey(f"{path}: record {number} has no key {error}; its keys are {there}") from None
        yield sample


class _Damage:
    """What does not hold in one file: raised at once, or counted and told at the end."""

    def __init__(self, path: str, *, skip: bool) -> None:
        self.path = path
        self.unit = "byte"
        self._skip = skip
        self._count = 0
        self._first = ""

    def add(self, number: int, offset: int, what: str, cause: Exception | None = None) -> None:
        message = f"record {number} (at {self.unit} {offset}): {what}"
        if not self._skip:
            raise CorruptRecord(
                f"{self.path}: {message}; on_corrupt='skip' reads what is whole of this file"
            ) from cause
        self._count += 1
        self._first = self._first or message

    def tell(self) -> None:
        if self._count:
            _log.warning("%s: left out %d damaged record(s); the first is %s", self.path, self._count, self._first)


def _read(path: str, compression: str | None, damage: _Damage) -> Iterator[tuple[int, int, Record]]:
    """Yield number, byte offset and data of each record; data may be a view that lasts until the next one."""
    try:
        file = io.FileIO(path)  # the window is its buffer
    except FileNotFoundError as error:
        raise MissingFile(f"there is no file {path!r}") from error
    with file:
        if compression == "infer":
            compression = _infer(file)
        damage.unit = "byte" if compression is None else "decompressed byte"
        try:
            yield from _frames(source_of(file, compression), damage)
        finally:
            damage.tell()


def _infer(file: io.FileIO) -> str | None:
    """Look at the first bytes, and leave the file at its start.

    A valid record comes first: one of 35,615 bytes begins like gzip.
    """
    start = file.read(HEADER.size)
    file.seek(0)
    if len(start) == HEADER.size and masked_crc(start[:_LENGTH_BYTES]) == HEADER.unpack(start)[1]:
        return None
    return known_by_header(start)


def _frames(source: Source, damage: _Damage) -> Iterator[tuple[int, int, Record]]:
    window = _Window(source)
    offset, sound = 0, None
    for number in itertools.count():
        if not window.has(HEADER.size):
            break
        header = HEADER.unpack_from(window.view, window.start)
        if header != sound and masked_crc(window.data[window.start : window.start + _LENGTH_BYTES]) != header[1]:
            damage.add(number, offset, _BAD_LENGTH)
            return
        sound = header
        length = header[0]
        if not window.has(HEADER.size + length + FOOTER.size):
            break
        start = window.start + HEADER.size
        stop = start + length
        window.start = stop + FOOTER.size
        record: Record = window.view[start:stop]
        if length <= _SMALL_BYTES:
            record = bytes(record)
            crc = masked_crc(record)
        else:
            crc = masked_crc(window.data[start:stop])
        if FOOTER.unpack_from(window.view, stop)[0] == crc:
            yield number, offset, record
        else:
            damage.add(number, offset, _BAD_DATA)
        offset += HEADER.size + length + FOOTER.size
    if source.fault:
        damage.add(number, offset, source.fault)
    elif window.left:
        damage.add(number, offset, f"{_TRUNCATED}, {window.left} bytes into it")


class _Window:
    """The part of a source that is at hand: ``data[start:stop]``, in one buffer that is used again and again."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.data = np.empty(_BUFFER_BYTES, np.uint8)
        self.view = self.data.data
        self.start = self.stop = 0

    @property
    def left(self) -> int:
        return self.stop - self.start

    def has(self, size: int) -> bool:
        """Bring `size` bytes to hand; False if the source ends before."""
        return self.stop - self.start >= size or self._fill(size)

    def _fill(self, size: int) -> bool:
        left = self.left
        self.view[:left] = self.view[self.start : self.stop]
        self.start, self.stop = 0, left
        while self.stop < size:
            if self.stop == len(self.data):
                self._double()
            got = self._source.readinto(self.view[self.stop :])
            if not got:
                return False
            self.stop += got
        return True

    def _double(self) -> None:
        # Step by step, so that a length that is a lie costs no more memory than the file has bytes.
        larger = np.empty(2 * len(self.data), np.uint8)
        larger[: self.stop] = self.data[: self.stop]
        self.data = larger
        self.view = larger.data
