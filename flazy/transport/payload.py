"""Values on their way, in either of two forms: as they are (threads), or encoded (processes).

Whoever holds a payload in between neither knows nor needs to know which; ``open`` gives the values, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flazy.sample import fresh
from flazy.transport.codec import Buffer, decode, encode
from flazy.transport.codec import nbytes as size_of

__all__ = ["Encoded", "Payload", "Plain"]


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

    def open(self) -> list[object]:
        """Decode the frames; arrays share their memory."""
        return decode(self.frames)


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
