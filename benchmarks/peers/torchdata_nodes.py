"""torchdata.nodes: ParallelMapper in processes, in order; images come as tensors, through shared memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torchdata.nodes import IterableWrapper, Loader, ParallelMapper

from benchmarks.workloads import Workload

PREBATCH = {"tiny": 1024, "tiny_batch": 16, "dict_small": 64, "cpu": 4}


@dataclass(frozen=True, slots=True)
class AsTensor:
    """Wraps a function so that its array is a tensor: PyTorch moves those through shared memory."""

    fn: Callable[[Any], Any]

    def __call__(self, sample: Any) -> Any:
        """Run in a worker."""
        return torch.from_numpy(self.fn(sample))


@dataclass(frozen=True, slots=True)
class Batched:
    """Source samples in batches, which a worker then makes into one."""

    work: Workload

    def __iter__(self) -> Iterator[Any]:
        return self.work.all_samples()


def pipeline(work: Workload, workers: int = 2) -> Any:
    fn: Callable[[Any], Any] = work.make_one if work.batch else work.fn
    if work.name in {"image", "image_batch", "image_batch_copy", "array_in_out"}:
        fn = AsTensor(fn)
    source = IterableWrapper(Batched(work) if work.batch else work.source)
    mapped = ParallelMapper(
        source, fn, num_workers=workers, in_order=True, method="process", prebatch=PREBATCH.get(work.name)
    )
    return Loader(mapped)
