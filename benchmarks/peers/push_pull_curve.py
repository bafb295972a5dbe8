"""The same PUSH/PULL, encrypted and authenticated by CURVE: what that costs where there is nothing else."""

from __future__ import annotations

from benchmarks.peers import push_pull
from benchmarks.workloads import Workload

UNORDERED = True


def pipeline(work: Workload, workers: int = 2) -> push_pull.Pulled:
    return push_pull.pipeline(work, workers, curve=True)
