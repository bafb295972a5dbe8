"""Frames made smaller for a slow link, and back; each by itself, and only where that saves something.

lz4 compresses faster than the links that want it are, about a tenth of images as pixels and most of text and labels.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from flazy.errors import MissingExtra, ProtocolError
from flazy.transport.codec import Buffer
from flazy.transport.codec import nbytes as size_of

__all__ = ["expanded", "need", "squeezed"]

WORTHWHILE = 1024  # bytes from which a frame is tried
SAVES = 0.95  # of its size, at most, or it goes as it is
MOST = 2**30  # bytes that the frames of a message may become, together: a byte of lz4 may stand for 255


def need(name: str) -> None:
    """See that a compression is installed.

    Raises
    ------
    MissingExtra
        It is not.
    """
    if importlib.util.find_spec(name) is None:
        raise MissingExtra(f'compression="{name}" needs {name}, which is missing: pip install flazy[{name}]')


def squeezed(frames: Sequence[Buffer]) -> tuple[list[Buffer], list[int]]:
    """Compress frames; give them with the size that each had, 0 for those that are as they were."""
    block = _block()
    made: list[Buffer] = []
    sizes: list[int] = []
    left = MOST
    for frame in frames:
        size = size_of([frame])
        small = block.compress(frame, store_size=False) if WORTHWHILE <= size <= left else b""
        saves = 0 < len(small) < SAVES * size
        left -= size * saves
        made.append(small if saves else frame)
        sizes.append(size if saves else 0)
    return made, sizes


def expanded(frames: Sequence[Buffer], sizes: Sequence[int]) -> list[Buffer]:
    """Undo it, in writable memory.

    Raises
    ------
    ProtocolError
        These frames were not made so.
    """
    if len(frames) != len(sizes) or sum(sizes) > MOST:
        raise ProtocolError(f"{len(sizes)} sizes for {len(frames)} frames")
    block = _block()
    try:
        made = [
            block.decompress(frame, uncompressed_size=size, return_bytearray=True) if size else frame
            for frame, size in zip(frames, sizes, strict=True)
        ]
    except (block.LZ4BlockError, MemoryError, ValueError) as error:
        raise ProtocolError(f"a frame that cannot be expanded: {error}") from error
    if any(size and len(frame) != size for frame, size in zip(made, sizes, strict=True)):
        raise ProtocolError("a frame that is shorter than it was said to be")
    return made


def _block() -> Any:
    return importlib.import_module("lz4.block")
