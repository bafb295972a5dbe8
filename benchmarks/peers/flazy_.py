"""Flazy as its README has it: nothing is tuned, and samples travel to the workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.chain import add, double, keep
from benchmarks.workloads import Workload, find
from flazy import Dataset


def pipeline(work: Workload, workers: int = 2) -> Dataset[Any]:
    data: Dataset[Any] = Dataset(work.source)
    if work.keep is not None:
        data = data.filter(work.keep, workers=workers)
    data = data.flatmap(work.fn, workers=workers) if work.flat else data.map(work.fn, workers=workers)
    return data.batch(work.batch, default_dtype=None) if work.batch else data


def big_closure(array: np.ndarray[Any, Any], workers: int) -> Dataset[Any]:
    return Dataset(range(400)).map(lambda i: float(array[i::400].mean()), workers=workers)


def chain(numbers: range) -> Dataset[Any]:
    return Dataset(numbers).map(add).filter(keep).map(double)


def warm_up() -> None:
    """Leave workers that have imported what they will need, and have nothing to do."""
    Dataset(range(64)).map(find("startup").fn, workers=2).list()


def lent_mb() -> float:
    """Give what of the arena workers write to or somebody looks at; blocks count until the next one is asked for."""
    from flazy.run.runtime import runtime  # here, or a cold start would find it loaded

    arena = runtime().fleet.arena
    return arena.in_use / 1e6 if arena is not None else 0.0
