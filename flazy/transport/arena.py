"""Large arrays between processes: one anonymous memory file, in blocks that are used again and again.

Writing fresh shared pages is about fifteen times slower than writing pages that are there already, so a block keeps
its pages when it is given back.  The file has no name, so nothing can be left behind, and it is not bounded by the size
of /dev/shm.  The driver alone allocates; a worker writes where it is told.

`Arena` is the driver's side, `Window` a worker's.  Linux only: elsewhere arrays travel as frames.
"""

from __future__ import annotations

import bisect
import ctypes
import logging
import mmap
import os
import pathlib
import sys
import threading
import weakref
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from flazy.errors import ProtocolError
from flazy.transport.arrays import Array, Buffer

__all__ = ["Arena", "Block", "Lease", "Span", "Window", "address_of", "is_supported"]

PAGE = mmap.ALLOCATIONGRANULARITY
SEGMENT = 64 * 2**20  # the file grows by at least this much; a block lies in one segment, so a view is contiguous
ALIGNMENT = 4096
LEAST_LEFT = 64 * 2**20
MAP_FIXED = 0x10  # the same on every Linux; Python's mmap has no name for it

log = logging.getLogger("flazy")


def is_supported() -> bool:
    """Say whether this system has anonymous memory files."""
    return hasattr(os, "memfd_create") and hasattr(os, "posix_fallocate")


def size_class(nbytes: int) -> int:
    """Round a size up to one of four steps between powers of two, so that blocks of nearly one size are shared."""
    size = max(nbytes, ALIGNMENT)
    step = max(1 << (size.bit_length() - 3), ALIGNMENT)
    return -(-size // step) * step


@dataclass(frozen=True, slots=True)
class Block:
    """A range of the file, in bytes, within a segment of it."""

    offset: int
    size: int
    segment: int
    segment_size: int

    @property
    def of(self) -> tuple[int, int]:
        """The segment: where it starts, and its size."""
        return self.segment, self.segment_size


Span = tuple[int, int, int, int, int]  # index of a frame; its offset in the file, its length; its segment, and its size


class Lease:
    """A block in use: it is free again when the last reference to its memory is gone.

    Whoever may still write there or look at it holds the lease, or an array over the memory: the worker that it was
    lent to, a result that waits, a batch that the user keeps.
    """

    __slots__ = ("__weakref__", "block", "memory")

    def __init__(self, block: Block, memory: Array) -> None:
        self.block = block
        self.memory = memory


class Arena:
    """The driver's side: allocates blocks, and takes them back when nobody refers to their memory.

    Parameters
    ----------
    budget
        Bytes that the file may grow to.  None: a quarter of the memory that is available now.

    Notes
    -----
    All methods may be called from any thread, and so may finalizers: they append to a queue that the next allocation
    reads.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.file = os.memfd_create("flazy-arena")
        self.budget = _available() // 4 if budget is None else budget
        self._lock = threading.Lock()
        self._returned: deque[Block] = deque()
        self._free: dict[int, list[Block]] = {}
        self._sizes: list[int] = []  # of the classes that have free blocks, sorted
        self._segments: dict[int, mmap.mmap] = {}
        self._addresses: list[tuple[int, int]] = []  # where each segment is mapped, and which it is; sorted
        self._grown = 0
        self._tail = (0, 0, 0)  # segment, its size, how much of it is given out
        self._forks = 0
        self.in_use = 0

    def allocate(self, nbytes: int) -> Block | None:
        """Give a block of at least so many bytes; None when the budget, or the machine, has no more."""
        size = size_class(nbytes)
        with self._lock:
            self._collect()
            block = self._recycled(size) or self._carved(size) or self._merged(size)
            if block is not None:
                self.in_use += block.size
            return block

    def release(self, block: Block) -> None:
        """Take back a block that was allocated, not leased, and that nobody uses."""
        self._returned.append(block)

    def lease(self, nbytes: int) -> Lease | None:
        """Give a block that comes back by itself; None when there is no room."""
        block = self.allocate(nbytes)
        if block is None:
            return None
        memory = np.frombuffer(self._segments[block.segment], np.uint8, block.size, block.offset - block.segment)
        # Arrays made of it or of its memoryview keep ``memory`` alive; nothing else refers to it.
        weakref.finalize(memory, self._come_back, block, self._forks).atexit = False
        return Lease(block, memory)

    def find(self, buffer: Buffer) -> tuple[int, int, int] | None:
        """Say where in the file a buffer lies, with segment and segment size; None if it lies elsewhere."""
        return self.locate(address_of(buffer))

    def locate(self, address: int) -> tuple[int, int, int] | None:
        """Say the same of an address in memory."""
        place = bisect.bisect_right(self._addresses, (address, sys.maxsize)) - 1
        if place < 0:
            return None
        start, segment = self._addresses[place]
        size = len(self._segments[segment])
        return (segment + address - start, segment, size) if address < start + size else None

    def whole(self, segment: int) -> Array:
        """Give a segment as it is mapped here, as bytes; it stays mapped as long as the array is held.

        Raises
        ------
        KeyError
            If there is none that begins there; so for all of them when the file was closed.
        """
        return np.frombuffer(self._segments[segment], np.uint8)

    def before_fork(self) -> None:
        """Keep every block that is viewed now out of use for good: the child will look at it too."""
        self._forks += 1

    def after_fork_in_child(self) -> None:
        """Map the file privately, in place, so that what the child writes does not show in the parent."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        for start, segment in self._segments.items():
            address = ctypes.addressof(ctypes.c_char.from_buffer(segment))
            read_write = mmap.PROT_READ | mmap.PROT_WRITE
            libc.mmap(address, len(segment), read_write, mmap.MAP_PRIVATE | MAP_FIXED, self.file, start)

    def close(self) -> None:
        """Close the file; views stay valid, and the memory is given back when the last of them is gone."""
        os.close(self.file)
        self._addresses.clear()
        self._segments.clear()

    def _come_back(self, block: Block, forks: int) -> None:
        if forks == self._forks:
            self._returned.append(block)

    def _collect(self) -> None:
        while self._returned:
            block = self._returned.popleft()
            self.in_use -= block.size
            self._add_free(block)

    def _add_free(self, block: Block) -> None:
        if block.size not in self._free or not self._free[block.size]:
            bisect.insort(self._sizes, block.size)
        self._free.setdefault(block.size, []).append(block)

    def _recycled(self, size: int) -> Block | None:
        """Give a free block of the class, or of one at most twice as large."""
        place = bisect.bisect_left(self._sizes, size)
        if place == len(self._sizes) or self._sizes[place] > 2 * size:
            return None
        found = self._sizes[place]
        block = self._free[found].pop()
        if not self._free[found]:
            del self._sizes[place]
        return block

    def _merged(self, size: int) -> Block | None:
        """Give a part of what neighbouring free blocks make together: the file has grown as far as it may."""
        free = sorted((block for blocks in self._free.values() for block in blocks), key=lambda block: block.offset)
        self._free.clear()
        self._sizes.clear()
        joined: list[Block] = []
        for block in free:
            if joined and joined[-1].segment == block.segment and joined[-1].offset + joined[-1].size == block.offset:
                joined[-1] = replace(joined[-1], size=joined[-1].size + block.size)
            else:
                joined.append(block)
        found = min((block for block in joined if block.size >= size), key=lambda block: block.size, default=None)
        for block in joined:
            if block is not found:
                self._add_free(block)
            elif block.size > size:
                self._add_free(replace(block, offset=block.offset + size, size=block.size - size))
        return None if found is None else replace(found, size=size)

    def _carved(self, size: int) -> Block | None:
        """Give a new block from the end of the file."""
        segment, segment_size, given = self._tail
        if segment_size - given < size:
            segment, given = self._grown, 0
            left = (self.budget - segment) // PAGE * PAGE
            segment_size = max(min(SEGMENT, left), -(-size // PAGE) * PAGE)
            if segment_size > left:
                return None
        try:
            if segment not in self._segments:
                os.ftruncate(self.file, segment + segment_size)
                self._segments[segment] = mmap.mmap(self.file, segment_size, offset=segment)
                bisect.insort(self._addresses, (address_of(self._segments[segment]), segment))
                self._grown = segment + segment_size
            os.posix_fallocate(self.file, segment + given, size)
        except OSError as error:  # no memory left: an error here, not a SIGBUS at the first write
            log.warning("no memory for the arena (%s); arrays travel as frames", error)
            self.budget = self._grown
            return None
        self._tail = (segment, segment_size, given + size)
        return Block(segment + given, size, segment, segment_size)


class Window:
    """A worker's side: the same file, mapped segment by segment as blocks of them are seen.

    Parameters
    ----------
    file
        The arena's descriptor, inherited.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._segments: dict[int, mmap.mmap] = {}

    def bytes_of(self, block: Block) -> memoryview:
        """Give a block's memory, writable; only as long as the task that it came with lasts.

        Raises
        ------
        ProtocolError
            For a range that is not of the file.
        """
        if not 0 <= block.offset - block.segment <= block.segment_size - block.size:
            raise ProtocolError(f"{block} does not lie in its segment")
        if block.segment not in self._segments:
            try:
                self._segments[block.segment] = mmap.mmap(self._file, block.segment_size, offset=block.segment)
            except (OSError, ValueError) as error:
                raise ProtocolError(f"{block} cannot be mapped: {error}") from error
        start = block.offset - block.segment
        return memoryview(self._segments[block.segment])[start : start + block.size]


def address_of(buffer: Buffer | mmap.mmap) -> int:
    """Give the address of a buffer's first byte."""
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    return address


def _available() -> int:
    """Give the bytes of memory that this process may still take: of the machine, or of its cgroup."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit, current = (int(pathlib.Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - current)
    except (OSError, ValueError):  # no cgroup v2, or no limit
        pass
    return max(free, LEAST_LEFT)
