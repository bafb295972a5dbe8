"""Frames that are too long for one message of ZeroMQ's: cut where they are sent, put together where they come.

The door and the line take no frame that is much longer, and libzmq holds what it encrypts three times; a connection
that was closed for a long frame would be made anew, and closed for it again.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from flazy.errors import ProtocolError
from flazy.transport.codec import Buffer
from flazy.transport.codec import nbytes as size_of

__all__ = ["PIECE", "cut", "joined"]

PIECE = 64 * 2**20  # bytes; what is shorter costs nothing more


def cut(frames: Sequence[Buffer], size: int = PIECE) -> tuple[Sequence[Buffer], Sequence[int]]:
    """Cut frames that are longer; give the number of pieces of each, or none where all are as they were."""
    if all(size_of([frame]) <= size for frame in frames):
        return frames, ()
    parts = [_parts(frame, size) for frame in frames]
    return [*itertools.chain.from_iterable(parts)], [*map(len, parts)]


def _parts(frame: Buffer, size: int) -> list[Buffer]:
    nbytes = size_of([frame])
    return [frame] if nbytes <= size else [memoryview(frame)[at : at + size] for at in range(0, nbytes, size)]


def joined(pieces: Sequence[Buffer], counts: Sequence[int]) -> list[Buffer]:
    """Undo it; what was cut comes in writable memory.

    Raises
    ------
    ProtocolError
        There are not so many pieces.
    """
    if min(counts, default=1) < 1 or sum(counts) != len(pieces):
        raise ProtocolError(f"{len(pieces)} pieces where {sum(counts)} were said to come")
    left = iter(pieces)
    frames: list[Buffer] = []
    for count in counts:
        parts = [next(left) for _ in range(count)]
        frames.append(parts[0] if count == 1 else bytearray().join(parts))
    return frames
