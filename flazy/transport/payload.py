"""Values on their way, in either of two forms: as they are (threads), or encoded (processes, other machines).

Whoever holds a payload in between neither knows nor needs to know which; ``open`` gives the values, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flazy.errors import ProtocolError
from flazy.transport.arena import Lease, Span
from flazy.transport.codec import Buffer, decode, encode
from flazy.transport.codec import nbytes as size_of

__all__ = ["LARGE", "Decoded", "Encoded", "Payload", "Placed", "Plain"]

LARGE = 64 * 1024  # bytes from which a frame is worth a place in shared memory


class Payload(Protocol):
    """A list of values that waits to be opened."""

    @property
    def nbytes(self) -> int:
        """The bytes it holds while it waits."""

    @property
    def lease(self) -> Lease | None:
        """The block in which rows of the values lie."""

    def open(self) -> list[object]:
        """Give the values; called once, by whoever consumes them, never in the hub."""


class Encoded:
    """Values as frames.

    Parameters
    ----------
    frames
        What `codec.encode` gave.
    lease
        The block in which rows of the values lie, where some do: see `flazy.transport.layout`.
    """

    __slots__ = ("frames", "lease", "nbytes")

    def __init__(self, frames: Sequence[Buffer], lease: Lease | None = None) -> None:
        self.frames = frames
        self.lease = lease
        self.nbytes = size_of(frames)

    @classmethod
    def of(cls, values: Sequence[object], *, pickle: bool = True) -> Encoded:
        """Encode values; ``pickle`` as in `codec.encode`.

        Raises
        ------
        Unencodable
            For values that cannot travel.
        """
        return cls(encode(values, pickle=pickle))

    @property
    def large(self) -> int:
        """The bytes in frames that are worth a place in shared memory."""
        return sum(size for frame in self.frames if (size := size_of([frame])) >= LARGE)

    def open(self) -> list[object]:
        """Decode the frames; arrays share their memory."""
        return decode(self.frames)


class Placed:
    """Values as frames, of which the large ones lie in the arena.

    Parameters
    ----------
    frames
        The others, in order.
    spans
        Where those in the arena lie: see `Span`.
    kept
        What must live as long as they are looked at.
    """

    __slots__ = ("frames", "kept", "nbytes", "spans")
    lease = None

    def __init__(self, frames: Sequence[Buffer], spans: Sequence[Span], kept: object = None) -> None:
        self.frames = frames
        self.spans = spans
        self.kept = kept
        self.nbytes = size_of(frames) + sum(length for _, _, length, _, _ in spans)

    def open(self) -> list[object]:
        """Be found first: see `found`."""
        raise AssertionError("a placed payload is opened by whoever knows the arena")

    def found(self, memory_of: Callable[[Span], memoryview]) -> list[Buffer]:
        """Put the frames together again; those in the arena stay where they are.

        Raises
        ------
        ProtocolError
            For a span that does not lie where it may, or not among the frames.
        """
        memory = {span[0]: memory_of(span) for span in self.spans}
        total = len(self.frames) + len(self.spans)
        if len(memory) < len(self.spans) or max(memory, default=0) >= total:
            raise ProtocolError(f"spans for frames {sorted(memory)[-5:]} of {total}")
        others = iter(self.frames)
        return [memory[index] if index in memory else next(others) for index in range(total)]


class Decoded:
    """Values that were decoded on arrival, without pickle, since whoever sent them is not believed.

    Raises
    ------
    ProtocolError
        The frames could not have been made by `codec.encode`; nothing has been executed.
    """

    __slots__ = ("nbytes", "values")
    lease = None

    def __init__(self, frames: Sequence[Buffer]) -> None:
        self.values = decode(frames, pickle=False)
        self.nbytes = size_of(frames)

    def open(self) -> list[object]:
        """Give them."""
        return self.values


class Plain:
    """Values by reference."""

    __slots__ = ("nbytes", "values")
    lease = None

    def __init__(self, values: Sequence[object]) -> None:
        self.values = list(values)
        self.nbytes = 0

    @classmethod
    def of(cls, values: Sequence[object]) -> Plain:
        """Hold values."""
        return cls(values)

    def open(self) -> list[object]:
        """Give them."""
        return self.values
