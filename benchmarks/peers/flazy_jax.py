"""Flazy through ``.jax()``."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import flazy_
from benchmarks.peers.fed import Fed
from benchmarks.workloads import Workload


def pipeline(work: Workload, workers: int = 2) -> Fed:
    return Fed(flazy_.pipeline(work, workers).jax(), np.asarray)
