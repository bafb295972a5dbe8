"""`multiprocessing.Pool.imap`, a piece at a time, its size found by hand; the pool lives as long as the pipeline.

Pieces rather than ``chunksize=``, whose results go through one more generator, sample by sample.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import Any

import numpy as np

from benchmarks.workloads import Workload

SIZES = {"tiny": 4096, "tiny_batch": 32, "dict_small": 128, "cpu": 4, "filter_flatmap": 4096}


@dataclass(frozen=True, slots=True)
class Mapped:
    """A pool and what it maps."""

    pool: Pool
    work: Workload

    def __iter__(self) -> Iterator[Any]:
        work, size = self.work, SIZES.get(self.work.name, 1)
        return itertools.chain.from_iterable(self.pool.imap(work.make, work.all_samples(size)))

    def close(self) -> None:
        """End the workers."""
        self.pool.terminate()
        self.pool.join()


def pipeline(work: Workload, workers: int = 2) -> Mapped:
    return Mapped(multiprocessing.get_context("fork").Pool(workers), work)


def big_closure(array: np.ndarray[Any, Any], workers: int) -> Any:
    """Let forked workers inherit a global, which is what one does by hand: a closure cannot be pickled."""
    _CAPTURED.append(array)
    return multiprocessing.get_context("fork").Pool(workers).imap(mean_of, range(400))


_CAPTURED: list[np.ndarray[Any, Any]] = []


def mean_of(i: int) -> float:
    return float(_CAPTURED[0][i::400].mean())
