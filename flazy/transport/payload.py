"""Values on their way, in either of two forms: as they are (threads), or encoded (processes).

Whoever holds a payload in between neither knows nor needs to know which; ``open`` gives the values, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flazy.errors import ProtocolError
from flazy.sample import fresh
from flazy.transport.codec import Buffer, decode, encode
from flazy.transport.codec import nbytes as size_of

__all__ = ["LARGE", "Encoded", "Payload", "Placed", "Plain"]

LARGE = 64 * 1024  # bytes from which a frame is worth a place in shared memory
ALIGNMENT = 64  # of frames in a block: a cache line, and more than any dtype needs


class Payload(Protocol):
    """A list of values that waits to be opened."""

    @property
    def nbytes(self) -> int:
        """The bytes it holds while it waits."""

    def open(self) -> list[object]:
        """Give the values; called once, by whoever consumes them, never in the hub."""


class Encoded:
    """Values as frames.

    Raises
    ------
    Unencodable
        By the constructor `of`, for values that cannot travel.
    """

    __slots__ = ("frames", "nbytes")

    def __init__(self, frames: Sequence[Buffer]) -> None:
        self.frames = frames
        self.nbytes = size_of(frames)

    @classmethod
    def of(cls, values: Sequence[object]) -> Encoded:
        """Encode values."""
        return cls(encode(values))

    @classmethod
    def copied(cls, values: Sequence[object]) -> Encoded:
        """Encode values whose arrays may be overwritten before the frames are sent: a source may refill its buffer."""
        return cls([bytes(frame) if isinstance(frame, memoryview) else frame for frame in encode(values)])

    @property
    def large(self) -> int:
        """The bytes in frames that are worth a place in shared memory."""
        return sum(size for frame in self.frames if (size := size_of([frame])) >= LARGE)

    def open(self) -> list[object]:
        """Decode the frames; arrays share their memory."""
        return decode(self.frames)


class Placed:
    """Values as frames, of which the large ones lie in a block of the arena.

    Parameters
    ----------
    frames
        The others, in order.
    spans
        For each frame in the block: its index among all, its offset there, its length.
    """

    __slots__ = ("frames", "spans")

    def __init__(self, frames: Sequence[Buffer], spans: Sequence[tuple[int, int, int]]) -> None:
        self.frames = frames
        self.spans = spans

    @classmethod
    def into(cls, memory: memoryview, frames: Sequence[Buffer]) -> Placed:
        """Write large frames into a block as far as they fit."""
        kept: list[Buffer] = []
        spans = []
        offset = 0
        for index, frame in enumerate(frames):
            length = size_of([frame])
            if length < LARGE or offset + length > len(memory):
                kept.append(frame)
                continue
            memory[offset : offset + length] = frame
            spans.append((index, offset, length))
            offset += -(-length // ALIGNMENT) * ALIGNMENT
        return cls(kept, spans)

    @property
    def nbytes(self) -> int:
        """The bytes of its frames, wherever they lie."""
        return size_of(self.frames) + sum(length for _, _, length in self.spans)

    def open(self) -> list[object]:
        """Be found first: see `found`."""
        raise AssertionError("a placed payload is opened by whoever holds the arena")

    @property
    def extent(self) -> int:
        """How much of the block is used."""
        return max((offset + length for _, offset, length in self.spans), default=0)

    def found(self, memory: memoryview) -> Encoded:
        """Put the frames together again; those in the block stay where they are.

        Raises
        ------
        ProtocolError
            For a span that does not lie in the memory, or not among the frames.
        """
        frames = list(self.frames)
        for index, offset, length in self.spans:
            if not (offset >= 0 and length >= 0 and offset + length <= len(memory) and 0 <= index <= len(frames)):
                raise ProtocolError(f"a span that lies nowhere: frame {index}, {length} bytes at {offset}")
            frames.insert(index, memory[offset : offset + length])
        return Encoded(frames)


class Plain:
    """Values by reference."""

    __slots__ = ("nbytes", "values")

    def __init__(self, values: Sequence[object]) -> None:
        self.values = list(values)
        self.nbytes = 0

    @classmethod
    def of(cls, values: Sequence[object]) -> Plain:
        """Hold values."""
        return cls(values)

    @classmethod
    def copied(cls, values: Sequence[object]) -> Plain:
        """Hold values of which a source may refill the arrays."""
        return cls([fresh(value) for value in values])

    def open(self) -> list[object]:
        """Give them."""
        return self.values
