"""Pescador: a ZMQStreamer for each worker, in turns; it streams dicts of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pescador

from benchmarks.workloads import Workload


def share(work: Workload, first: int, workers: int) -> Iterator[dict[str, Any]]:
    """Make every n-th piece, in the worker."""
    for number in range(first, work.pieces(), workers):
        yield {"x": work.output(number)}


@dataclass(frozen=True, slots=True)
class Turns:
    """Takes an output from each worker in turn."""

    work: Workload
    workers: int

    def __iter__(self) -> Iterator[Any]:
        streams = [
            pescador.ZMQStreamer(pescador.Streamer(share, self.work, first, self.workers)).iterate()
            for first in range(self.workers)
        ]
        try:
            while True:
                for stream in streams:
                    yield next(stream)["x"]
        except StopIteration:
            return
        finally:
            for stream in streams:
                stream.close()


def pipeline(work: Workload, workers: int = 2) -> Turns:
    return Turns(work, workers)
