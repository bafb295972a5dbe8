"""Kernels in a worker: the streams that it keeps, as the driver says, and the memory of arrays that they captured.

A run maps that memory privately: all workers share the pages, a function may write into its array, and nobody else, nor
the next run, sees it.  Each run unpickles anew, for functions may have changed what they captured.
"""

from __future__ import annotations

import gc
import mmap
import weakref
from collections.abc import Sequence

import numpy as np

from flazy.plan.kernel import Kernel, Op
from flazy.plan.shipping import load_ops
from flazy.transport.codec import Buffer
from flazy.transport.wire import Shipment

__all__ = ["Shelf"]


class Shelf:
    """The streams of one worker, by number.

    Parameters
    ----------
    arena
        The arena's descriptor; None where there is none.
    """

    def __init__(self, arena: int | None) -> None:
        self._arena = arena
        self._streams: dict[int, Buffer] = {}

    def take(self, shipment: Shipment) -> Buffer:
        """Give the stream of a kernel: what came, or what is here; forget what the driver says."""
        if shipment.stream is not None:
            self._streams[shipment.number] = shipment.stream
        stream = self._streams[shipment.number]
        for number in shipment.dropped:
            del self._streams[number]
        return stream

    def kernel(self, stream: Buffer, spans: Sequence[tuple[int, int]]) -> Kernel:
        """Unpickle and compile a chain."""
        if not spans:
            return Kernel(load_ops(stream))
        assert self._arena is not None
        first = spans[0][0] // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        end = max(offset + length for offset, length in spans)
        mapped = mmap.mmap(self._arena, end - first, access=mmap.ACCESS_COPY, offset=first)
        memory, alive = memoryview(mapped), weakref.ref(mapped)
        del mapped
        parts = [memory[offset - first : offset - first + length] for offset, length in spans]
        del memory
        try:
            return _OverMemory(load_ops(stream, parts), alive)
        except BaseException:
            _part(alive)
            raise


class _OverMemory(Kernel):
    """A kernel with arrays over a mapping; once it is closed, the driver may write there again."""

    def __init__(self, ops: tuple[Op, ...], mapped: weakref.ref[mmap.mmap]) -> None:
        super().__init__(ops)
        self._mapped = mapped

    def close(self) -> None:
        """Close, and see to it that nothing looks at the driver's pages any more."""
        try:
            super().close()
        finally:
            self.ops = ()
            _part(self._mapped)


def _part(mapped: weakref.ref[mmap.mmap]) -> None:
    """Give an array that outlives its run, since a function has put it somewhere, pages of its own."""
    if mapped() is not None:
        gc.collect()
    if (kept := mapped()) is not None:
        pages = np.frombuffer(kept, np.uint8)[:: mmap.PAGESIZE]
        pages += 0  # writing to a private page is what copies it
