"""Flazy as its README has it: nothing is tuned, and samples travel to the workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import Workload
from flazy import Dataset


def pipeline(work: Workload, workers: int = 2) -> Dataset[Any]:
    data: Dataset[Any] = Dataset(work.source)
    if work.keep is not None:
        data = data.filter(work.keep, workers=workers)
    data = data.flatmap(work.fn, workers=workers) if work.flat else data.map(work.fn, workers=workers)
    return data.batch(work.batch, default_dtype=None) if work.batch else data


def big_closure(array: np.ndarray[Any, Any], workers: int) -> Dataset[Any]:
    return Dataset(range(400)).map(lambda i: float(array[i::400].mean()), workers=workers)
