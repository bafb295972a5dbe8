"""SPDL: one iterate_in_subprocess for each worker, in turns; arrays travel through its shared-memory arena."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spdl.pipeline import SharedMemorySegmentPool, iterate_in_subprocess

from benchmarks.workloads import Workload

SIZES = {"tiny": 4096, "tiny_batch": 32, "dict_small": 128, "filter_flatmap": 4096}
BUFFER = {"tiny": 16, "tiny_batch": 16, "dict_small": 16, "filter_flatmap": 16}
ARENA_BYTES = {"image": 1 << 20, "image_batch": 20 << 20, "image_batch_copy": 20 << 20, "array_in_out": 20 << 20}


@dataclass(frozen=True, slots=True)
class Share:
    """Every n-th piece, made in the worker."""

    work: Workload
    first: int
    workers: int

    def __iter__(self) -> Iterator[Any]:
        size = SIZES.get(self.work.name, 1)
        for number in range(self.first, self.work.pieces(size), self.workers):
            yield self.work.piece(number, size)


@dataclass(frozen=True, slots=True)
class Turns:
    """Takes a piece from each worker in turn."""

    work: Workload
    shares: list[Any]

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.pieces())

    def pieces(self) -> Iterator[Any]:
        """Give the pieces in order, until one worker has no more."""
        streams = [iter(share) for share in self.shares]
        while True:
            for stream in streams:
                try:
                    yield next(stream)
                except StopIteration:
                    return


def pipeline(work: Workload, workers: int = 2) -> Turns:
    shares = []
    for first in range(workers):
        arena = SharedMemorySegmentPool(ARENA_BYTES[work.name], 5) if work.name in ARENA_BYTES else None
        share = functools.partial(Share, work, first, workers)
        shares.append(iterate_in_subprocess(share, buffer_size=BUFFER.get(work.name, 3), arena=arena))
    return Turns(work, shares)
