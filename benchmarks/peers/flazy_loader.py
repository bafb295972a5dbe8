"""``flazy.torch.loader`` in place of the DataLoader, over the same map-style dataset."""

from __future__ import annotations

import flazy
from benchmarks.peers.fed import Fed
from benchmarks.peers.flazy_torch import as_array
from benchmarks.peers.torch_loader import Samples
from benchmarks.workloads import Workload


def pipeline(work: Workload, workers: int = 2) -> Fed:
    return Fed(flazy.torch.loader(Samples(work), batch_size=work.batch, workers=workers, drop_last=True), as_array)
