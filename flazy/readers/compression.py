"""Bytes of a file that may be compressed with gzip or zlib, read into a caller's buffer.

Not here: formats; a format that wants ``infer`` says itself how it knows its own uncompressed files.  The rule
of this file: a broken stream ends like any other and leaves its reason in ``fault``, so that what came before
the break is never lost.
"""

from __future__ import annotations

import io
import zlib
from typing import Protocol

from flazy.errors import InvalidArgument

__all__ = ["WINDOW_BITS", "Source", "choose_compression", "known_by_header", "source_of"]

# zlib's "window bits": 15 for a zlib header and trailer, 16 more for those of gzip.
WINDOW_BITS = {"gzip": 31, "zlib": 15}
_INPUT_BYTES = 1 << 16


def choose_compression(name: str | None, *more: str) -> str | None:
    """Check the name of a compression, in any case of letters; TensorFlow writes capitals, and "" for none.

    Parameters
    ----------
    name : str or None
        What the user gave.
    *more : str
        Names that are known here beside those of `WINDOW_BITS`.

    Raises
    ------
    InvalidArgument
        An unknown name; the message lists the known ones.
    """
    known = (*WINDOW_BITS, *more)
    if name is None or name == "":
        return None
    if not isinstance(name, str) or name.lower() not in known:
        raise InvalidArgument(f"unknown compression {name!r}; known are {', '.join(map(repr, known))} and None")
    return name.lower()


def known_by_header(start: bytes) -> str | None:
    """Name the compression whose header these first bytes of a file are.

    Notes
    -----
    gzip: RFC 1952, 2.3.1.  zlib: RFC 1950, 2.2: method 8, a window of at most ``2 ** (7 + 8)`` bytes, and both
    bytes together a multiple of 31; one in about 1,000 random pairs passes, so a format checks itself first.
    """
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    if len(start) > 1 and start[0] & 15 == 8 and start[0] >> 4 <= 7 and int.from_bytes(start[:2]) % 31 == 0:
        return "zlib"
    return None


class Source(Protocol):
    """Bytes to read; the caller keeps it to one thread."""

    fault: str
    """Why the bytes ended early; empty if they did not."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of `buffer`; 0 only at the end.  May block on the file."""


def source_of(file: io.FileIO, compression: str | None) -> Source:
    """Give the uncompressed bytes of an open file, which remains the caller's to close."""
    return _Plain(file) if compression is None else _Inflated(file, compression)


class _Plain:
    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.fault = ""

    def readinto(self, buffer: memoryview, /) -> int:
        return self._file.readinto(buffer) or 0


class _Inflated:
    """One stream after the other, as gzip allows (RFC 1952, 2.2), with zeros behind any of them."""

    def __init__(self, file: io.FileIO, compression: str) -> None:
        self._file = file
        self._compression = compression
        self._input = b""
        self._inflater = zlib.decompressobj(WINDOW_BITS[compression])
        self._begun = False  # whether any byte of the present stream was seen
        self._ended = 0  # streams
        self.fault = ""

    def readinto(self, buffer: memoryview, /) -> int:
        while not self.fault:
            if self._inflater.eof:
                self._input = self._inflater.unused_data
                self._inflater = zlib.decompressobj(WINDOW_BITS[self._compression])
                self._begun = False
                self._ended += 1
            try:
                output = self._inflate(len(buffer))
            except zlib.error as error:
                self.fault = f"the {self._compression} data is damaged ({error})"
                break
            if output:
                buffer[: len(output)] = output
                return len(output)
            if self._inflater.eof or self._input:
                continue
            self._input = self._file.read(_INPUT_BYTES)
            if not self._input:
                if self._begun:
                    self.fault = f"the {self._compression} data is truncated"
                break
        return 0

    def _inflate(self, most: int) -> bytes:
        if self._ended and not self._begun:
            self._input = self._input.lstrip(b"\0")
        self._begun = self._begun or bool(self._input)
        # Also without input: what did not fit last time may still wait inside.
        output = self._inflater.decompress(self._input, most)
        self._input = self._inflater.unconsumed_tail
        return output
