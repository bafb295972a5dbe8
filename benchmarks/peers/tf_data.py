"""tf.data with numpy_function: threads of one process, so Python functions take turns at its lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.workloads import Workload

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


@dataclass(frozen=True, slots=True)
class Passes:
    """A pass for each ``iter()``."""

    data: Any

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data.as_numpy_iterator())


def pipeline(work: Workload, workers: int = 2) -> Passes:
    """Make a whole batch in the function, or a single sample where there are none."""

    def make(number: Any) -> Any:
        return work.output(int(number))

    dtype = np.asarray(make(0)).dtype
    numbers = tf.data.Dataset.range(work.pieces())
    mapped = numbers.map(
        lambda number: tf.numpy_function(make, [number], dtype), num_parallel_calls=workers, deterministic=True
    )
    return Passes(mapped.prefetch(4))
