"""Kernels that were pickled, in the driver: what each worker has of them, and where the arrays lie that they captured.

A kernel is pickled anew at each pass, since what its functions captured may have changed.  Where the bytes are those of
before, nothing is sent and nothing is written again.  Small things are part of the stream, which workers keep; the
memory of large arrays is written once into the arena, where all workers map it (see ``shelf.py``).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flazy.plan.kernel import Op
from flazy.plan.shipping import Pickled, dump_ops
from flazy.transport.arena import Arena, Block
from flazy.transport.wire import Shipment

__all__ = ["Kept", "Kernels", "Known"]

KNOWN = 32  # kernels that a worker keeps, with
KNOWN_BYTES = 16 * 2**20  # so many bytes in all; a larger one is sent each time rather than held twice
IDLE = 16  # kernels that nobody uses at the moment, and that are kept for another pass
IDLE_PART = 4  # of the arena's budget that those may take, but for the last one
ALIGNMENT = 64  # of arrays in a block: a cache line, and more than any dtype needs
AT_ONCE = 2**20  # bytes that are compared: they stay in the processor's cache


@dataclass(slots=True, eq=False)
class Kept:
    """A pickled kernel; `Kernels` alone changes it.

    ``users`` counts the passes and the workers that may look at ``block``, where the memory of captured arrays is.
    ``chunk`` is how many samples made a task when it last ran; the stage notes it, so that the next pass need not begin
    anew.
    """

    number: int
    stream: bytes
    block: Block | None
    spans: Sequence[tuple[int, int]]
    users: int = 1
    chunk: int = 1

    @property
    def nbytes(self) -> int:
        """What it holds."""
        return len(self.stream) + (self.block.size if self.block is not None else 0)


class Kernels:
    """The kernels of one runtime.

    Parameters
    ----------
    arena
        Takes the memory of large arrays; None where there is none, and they are part of the stream.
    post
        Runs a function in the hub thread, soon.

    Notes
    -----
    `keep` is called by whoever opens a pass, and copies what was captured before it returns.  `let_go` may be called
    from any thread and by finalizers, the rest by the hub.  The lock is never held for longer than a look at a table.
    """

    def __init__(self, arena: Arena | None, post: Callable[[Callable[[], None]], None]) -> None:
        self._arena = arena
        self._post = post
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._table: OrderedDict[bytes, Kept] = OrderedDict()  # by stream, the last used at the end
        self._working = 0
        self._closed = False
        self._idle_bytes = KNOWN_BYTES if arena is None else arena.budget // IDLE_PART

    def keep(self, ops: tuple[Op, ...], pickled: Pickled | None = None) -> Kept:
        """Hold a chain, pickled just now or here, until `let_go`.

        Raises
        ------
        UnserializableFunction
            Names the stage and, where it can be found, the variable that cannot be pickled.
        """
        stream, aside = dump_ops(ops) if pickled is None else pickled
        with self._arena_open():
            kept = self._again(stream, aside) or self._written(stream, aside)
        if kept is None:
            stream, _ = dump_ops(ops, whole=True)
            kept = self._again(stream, ()) or self._added(stream, None, ())
        return kept

    def let_go(self, kept: Kept) -> None:
        """Undo a `keep`, soon."""
        self._post(lambda: self.release(kept))

    def hold(self, kept: Kept) -> None:
        """Note one user more."""
        with self._lock:
            kept.users += 1

    def release(self, kept: Kept) -> None:
        """Note one user less."""
        with self._lock:
            kept.users -= 1
            known = self._table.get(kept.stream) is kept
        if known:
            self._trim(IDLE, self._idle_bytes)
        else:
            self._free(kept)

    def forget(self) -> None:
        """Give back what nobody uses: there is no worker left that could."""
        self._trim(0, 0)

    def close(self) -> None:
        """Close the arena, now or when the last `keep` that is under way is done with it."""
        self._closed = True
        with self._arena_open():
            pass

    @contextlib.contextmanager
    def _arena_open(self) -> Iterator[None]:
        """Keep the arena open: another thread may end the runtime, and the number of its file is soon another's."""
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                closing = None if self._working or not self._closed else self._arena
                if closing is not None:
                    self._arena = None
            if closing is not None:
                closing.close()

    def _again(self, stream: bytes, aside: Sequence[memoryview]) -> Kept | None:
        """Use what is there, if all of it is equal; else it is out of date."""
        with self._lock:
            if (kept := self._table.get(stream)) is None:
                return None
            kept.users += 1
            self._table.move_to_end(stream)
        same = False
        try:
            same = self._same(kept, aside)
        finally:
            if not same:
                with self._lock:
                    if self._table.get(stream) is kept:
                        del self._table[stream]
                self.release(kept)  # before another block is asked for: this may be the one, with pages that are there
        return kept if same else None

    def _same(self, kept: Kept, aside: Sequence[memoryview]) -> bool:
        """Compare arrays with what was written; a hash of them would take longer, and they differ early if they do."""
        if self._arena is None and aside:
            return False
        if [memory.nbytes for memory in aside] != [length for _, length in kept.spans]:
            return False
        return all(self._lies_at(offset, memory) for (offset, _), memory in zip(kept.spans, aside, strict=True))

    def _lies_at(self, offset: int, memory: memoryview) -> bool:
        assert self._arena is not None
        found = bytearray(AT_ONCE)
        for start in range(0, memory.nbytes, AT_ONCE):
            part = memory[start : start + AT_ONCE]
            # Read, not mapped: a fork of the caller, too, finds no page of it in its memory.
            os.preadv(self._arena.file, [memoryview(found)[: part.nbytes]], offset + start)
            if not np.array_equal(np.frombuffer(found, np.uint8, part.nbytes), np.frombuffer(part, np.uint8)):
                return False
        return True

    def _written(self, stream: bytes, aside: Sequence[memoryview]) -> Kept | None:
        """Write arrays into a block; None where there is no room for them."""
        if not aside:
            return self._added(stream, None, ())
        if self._arena is None:
            return None
        starts = [0, *itertools.accumulate(-(-memory.nbytes // ALIGNMENT) * ALIGNMENT for memory in aside)]
        block = self._arena.allocate(starts[-1])
        if block is None:
            return None
        spans = [(block.offset + start, memory.nbytes) for start, memory in zip(starts, aside, strict=False)]
        try:
            for (offset, _), memory in zip(spans, aside, strict=True):
                _write(self._arena.file, memory, offset)
        except BaseException:
            self._arena.release(block)
            raise
        return self._added(stream, block, spans)

    def _added(self, stream: bytes, block: Block | None, spans: Sequence[tuple[int, int]]) -> Kept:
        kept = Kept(next(self._numbers), stream, block, spans)
        with self._lock:
            older = self._table.pop(stream, None)  # of a thread that opened at the same time
            self._table[stream] = kept
        if older is not None:
            self._free(older)
        return kept

    def _trim(self, most: int, most_bytes: int) -> None:
        """Forget idle kernels, the least used first; one may be of any size."""
        with self._lock:
            idle = [kept for kept in self._table.values() if not kept.users]
            nbytes = sum(kept.nbytes for kept in idle)
            gone = []
            while len(idle) > most or (len(idle) > 1 and nbytes > most_bytes):
                gone.append(idle.pop(0))
                nbytes -= gone[-1].nbytes
                del self._table[gone[-1].stream]
        for kept in gone:
            self._free(kept)

    def _free(self, kept: Kept) -> None:
        """Give back the block of a kernel that is not in the table, once nobody uses it."""
        with self._lock:
            block = None if kept.users else kept.block
            if block is not None:
                kept.block = None
        if block is not None and self._arena is not None:
            self._arena.release(block)


class Known:
    """What one worker has of kernels; the driver keeps this book and tells the worker, so that both always agree."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[int, int] = OrderedDict()  # by number, the last used at the end

    def shipment(self, kept: Kept) -> Shipment:
        """Say what the worker is to be sent, and what it drops for it."""
        if kept.number in self._sizes:
            self._sizes.move_to_end(kept.number)
            return Shipment(kept.number, None, kept.spans)
        size = len(kept.stream)
        dropped = [kept.number] if size > KNOWN_BYTES else []
        if not dropped:
            self._sizes[kept.number] = size
        while len(self._sizes) > KNOWN or sum(self._sizes.values()) > KNOWN_BYTES:
            dropped.append(self._sizes.popitem(last=False)[0])
        return Shipment(kept.number, kept.stream, kept.spans, dropped)


def _write(file: int, memory: memoryview, offset: int) -> None:
    """Write all of it: pages that are written whole this way need not be cleared first, nor mapped here."""
    written = 0
    while written < memory.nbytes:
        written += os.pwrite(file, memory[written:], offset + written)
