"""`concurrent.futures.ProcessPoolExecutor` with a window of submitted pieces, their size found by hand.

``executor.map`` would submit the whole source first.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import Workload

SIZES = {"tiny": 4096, "tiny_batch": 32, "dict_small": 128, "cpu": 4, "filter_flatmap": 4096}


@dataclass(frozen=True, slots=True)
class Windowed:
    """An executor and what it runs."""

    executor: ProcessPoolExecutor
    work: Workload
    window: int

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.pieces())

    def pieces(self) -> Iterator[list[Any]]:
        """Keep a window of pieces under way, and give their outputs in order."""
        waiting: deque[Future[list[Any]]] = deque()
        for samples in self.work.all_samples(SIZES.get(self.work.name, 1)):
            waiting.append(self.executor.submit(self.work.make, samples))
            if len(waiting) == self.window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        """End the workers; what was submitted is dropped."""
        self.executor.shutdown(cancel_futures=True)


def pipeline(work: Workload, workers: int = 2) -> Windowed:
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))
    return Windowed(executor, work, 4 * workers)
