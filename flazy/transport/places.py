"""How values get into the arena: copied once, by whoever has them, into the place from which they are read.

`Intake` is the driver's, for inputs; `Place` a worker's, for what a task gives.  Both also stand for the copy that
must be made anyway: a source may refill its buffer, and a function may write again into what it returned.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from flazy.collate import as_array, is_arraylike
from flazy.errors import InvalidType
from flazy.sample import fresh
from flazy.transport.arena import Arena, Block, Span, Window, address_of
from flazy.transport.arrays import Array, Buffer, describe
from flazy.transport.codec import encode
from flazy.transport.codec import nbytes as size_of
from flazy.transport.layout import Layout
from flazy.transport.payload import LARGE, Encoded, Payload, Placed

__all__ = ["Intake", "Place"]

ALIGNMENT = 64  # of what lies in a block: a cache line, and more than any dtype needs


class Intake:
    """The driver's side: inputs into blocks that they have to themselves.

    Parameters
    ----------
    arena
        None where there is none: then everything travels as frames.
    """

    def __init__(self, arena: Arena | None) -> None:
        self._arena = arena
        # What was copied and not packed yet, by its place.  An array of the user's may lie in the arena too.
        self._kept: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()

    def keep(self, value: object) -> object:
        """Copy a value that waits to be packed; large arrays at once to where they are read."""
        return fresh(value, self._copied)

    def packed(self, values: Sequence[object]) -> Payload:
        """Encode values, and copy what was not kept before.

        Raises
        ------
        Unencodable
            For values that cannot travel.
        """
        return self.placed(encode(values))

    def placed(self, frames: Sequence[Buffer]) -> Payload:
        """Copy frames, large ones to where they are read; those that nobody can change are kept as they are."""
        kept: list[Buffer] = []
        spans: list[Span] = []
        alive: list[object] = []
        for index, frame in enumerate(frames):
            span = self._span(frame, index, alive) if isinstance(frame, memoryview) else None
            if span is not None:
                spans.append(span)
            else:
                kept.append(bytes(frame) if isinstance(frame, memoryview) else frame)
        return Placed(kept, spans, alive) if spans else Encoded(kept)

    def _span(self, frame: memoryview, index: int, alive: list[object]) -> Span | None:
        """Place a large frame in the arena, unless it was kept there; None where it is small, or there is no room."""
        length = frame.nbytes
        if self._arena is None or length < LARGE:
            return None
        found = self._arena.find(frame)
        if found is not None and found[0] in self._kept:
            alive.append(frame)
            return (index, found[0], length, *found[1:])
        lease = self._arena.lease(length)
        if lease is None:
            return None
        lease.memory[:length] = np.frombuffer(frame, np.uint8)
        alive.append(lease)
        return (index, lease.block.offset, length, *lease.block.of)

    def _copied(self, array: Array) -> Array:
        if self._arena is None or array.nbytes < LARGE or not _is_movable(array):
            return array.copy(order="K")
        lease = self._arena.lease(array.nbytes)
        if lease is None:
            return array.copy(order="K")
        made = _like(array, lease.memory)
        self._kept[lease.block.offset] = made
        return made


class Place:
    """A worker's side: what one task gives, in the block that came with the task.

    Parameters
    ----------
    window
        The worker's view of the arena.
    block
        What was lent; None, and everything travels as frames.
    layout
        Where the block is that of a batch: how its rows lie.
    row
        The row of the task's first sample.
    batched
        Samples are stacked next: what would be made an array then, say a tensor, is made one now, and lies where arrays
        lie.
    """

    def __init__(
        self,
        window: Window | None = None,
        block: Block | None = None,
        layout: Layout | None = None,
        row: int = 0,
        *,
        batched: bool = False,
    ) -> None:
        self._block = block
        self._memory = window.bytes_of(block) if window is not None and block is not None else None
        self._start = address_of(self._memory) if self._memory is not None else 0
        self._used = 0
        self._layout = layout if self._memory is not None else None
        self._views = layout.views(self._memory) if layout is not None and self._memory is not None else []
        self._row = row
        self._batched = batched
        self.filled = 0
        self.beside: list[tuple[Any, ...]] = []

    @property
    def filling(self) -> bool:
        """Whether samples may be put into rows of a batch."""
        return self._layout is not None

    def put(self, sample: object) -> bool:
        """Write a sample into the next row; False, and no more from here on, where it does not look as expected."""
        assert self._layout is not None
        parts = self._layout.taken_apart(sample)
        if parts is None and self._batched:
            parts = self._layout.taken_apart(fresh(sample, _as_it_is, _as_array))
        if parts is None:
            self._layout = None
            return False
        arrays, beside = parts
        for view, array in zip(self._views, arrays, strict=True):
            view[self._row] = array
        self.beside.append(tuple(beside))
        self._row += 1
        self.filled += 1
        return True

    def keep(self, value: object) -> object:
        """Copy a value of which its function may go on to write into the arrays."""
        return fresh(value, self._copied, self._array) if self._batched else fresh(value, self._copied)

    def placed(self, frames: Sequence[Buffer]) -> Payload:
        """Leave large frames where they lie, if that is in the block, and write others into it as far as they fit."""
        if self._memory is None or self._views:  # a batch's block holds its rows and nothing else
            return Encoded(frames)
        kept: list[Buffer] = []
        spans: list[Span] = []
        for index, frame in enumerate(frames):
            length = size_of([frame])
            span = self._span(frame, index, length) if length >= LARGE else None
            if span is None:
                kept.append(frame)
            else:
                spans.append(span)
        return Placed(kept, spans) if spans else Encoded(kept)

    def _span(self, frame: Buffer, index: int, length: int) -> Span | None:
        assert self._memory is not None
        assert self._block is not None
        offset = address_of(frame) - self._start
        if not 0 <= offset <= len(self._memory) - length:
            offset = self._used
            memory = self._room(length)
            if memory is None:
                return None
            memory[:] = frame
        return (index, self._block.offset + offset, length, *self._block.of)

    def _room(self, nbytes: int) -> memoryview | None:
        start = self._used
        if self._memory is None or self._views or start + nbytes > len(self._memory):
            return None
        self._used += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return self._memory[start : start + nbytes]

    def _array(self, value: Any) -> Any:
        made = _as_array(value)
        return self._copied(made) if isinstance(made, np.ndarray) else made

    def _copied(self, array: Array) -> Array:
        memory = self._room(array.nbytes) if array.nbytes >= LARGE and _is_movable(array) else None
        return array.copy(order="K") if memory is None else _like(array, memory)


def _as_array(value: Any) -> Any:
    """Give what knows how to be an array as one; where it cannot, itself: whoever makes the batch finds the same."""
    if not is_arraylike(type(value)):
        return value
    with contextlib.suppress(InvalidType):
        return as_array(value, "")
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _is_movable(array: Array) -> bool:
    """Say whether an array is what the codec sends as a frame: its copy is then found again there."""
    return type(array) is np.ndarray and describe(array.dtype) is not None


def _like(array: Array, memory: Any) -> Array:
    """Copy an array into memory, in Fortran's order where it is in that alone."""
    order: Any = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    made: Array = np.ndarray(array.shape, array.dtype, memory, order=order)
    made[...] = array
    return made
