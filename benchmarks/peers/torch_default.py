"""PyTorch's DataLoader as one writes it down first: two workers, and nothing else set."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader

from benchmarks.peers.torch_loader import Samples
from benchmarks.workloads import Workload


def pipeline(work: Workload, workers: int = 2) -> Any:
    return DataLoader(Samples(work), batch_size=work.batch or None, drop_last=bool(work.batch), num_workers=workers)
