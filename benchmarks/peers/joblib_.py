"""joblib: Parallel as a generator, over loky; pieces are sized by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor

from benchmarks.workloads import Workload

SIZES = {"tiny": 8192, "tiny_batch": 64, "dict_small": 128, "cpu": 4, "filter_flatmap": 8192}


@dataclass(frozen=True, slots=True)
class Generated:
    """A pass for each ``iter()``; loky keeps the workers."""

    work: Workload
    workers: int

    def __iter__(self) -> Iterator[Any]:
        work, size = self.work, SIZES.get(self.work.name, 1)
        parallel = joblib.Parallel(self.workers, return_as="generator", batch_size=1, pre_dispatch=4 * self.workers)
        make = joblib.delayed(work.make)
        return itertools.chain.from_iterable(parallel(make(samples) for samples in work.all_samples(size)))

    def close(self) -> None:
        """End the workers, which loky would keep."""
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def pipeline(work: Workload, workers: int = 2) -> Generated:
    return Generated(work, workers)


def mean_of(array: np.ndarray[Any, Any], i: int) -> float:
    return float(array[i::400].mean())


def big_closure(array: np.ndarray[Any, Any], workers: int) -> Any:
    """As an argument, a large array is mapped from a file by itself; captured, it would be pickled for each task."""
    return joblib.Parallel(workers, return_as="generator")(joblib.delayed(mean_of)(array, i) for i in range(400))
