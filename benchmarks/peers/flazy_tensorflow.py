"""Flazy through ``.tensorflow()``."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.peers import flazy_
from benchmarks.peers.tf_data import Passes
from benchmarks.workloads import Workload


def pipeline(work: Workload, workers: int = 2) -> Passes:
    return Passes(flazy_.pipeline(work, workers).tensorflow())
