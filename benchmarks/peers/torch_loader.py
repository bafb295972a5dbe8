"""PyTorch's DataLoader: map style, persistent workers; its workers inherit the source and are sent indices.

Images are collated by PyTorch, into shared memory; small outputs come in lists that a worker made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from benchmarks.workloads import Workload

SIZES = {"tiny": 4096, "tiny_batch": 32, "dict_small": 128, "cpu": 1, "filter_flatmap": 4096}
AHEAD = {"tiny": 8, "tiny_batch": 8, "dict_small": 8, "cpu": 8, "filter_flatmap": 8, "image": 16, "array_in_out": 4}


@dataclass(frozen=True, slots=True)
class Samples(Dataset[Any]):
    """Item ``i`` is sample ``i``."""

    work: Workload

    def __len__(self) -> int:
        return len(self.work.source)

    def __getitem__(self, index: int) -> Any:
        return self.work.fn(self.work.source[index])


@dataclass(frozen=True, slots=True)
class Pieces(Dataset[Any]):
    """Item ``i`` is piece ``i``: a list of small outputs."""

    work: Workload
    size: int

    def __len__(self) -> int:
        return self.work.pieces(self.size)

    def __getitem__(self, index: int) -> Any:
        return self.work.piece(index, self.size)


def as_it_is(item: Any) -> Any:
    return item


def pipeline(work: Workload, workers: int = 2) -> Any:
    common: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": True,
        "prefetch_factor": AHEAD.get(work.name, 2),
    }
    if work.name in SIZES:
        return Unrolled(DataLoader(Pieces(work, SIZES[work.name]), batch_size=None, collate_fn=as_it_is, **common))
    return DataLoader(Samples(work), batch_size=work.batch or None, drop_last=bool(work.batch), **common)


@dataclass(frozen=True, slots=True)
class Unrolled:
    """Gives outputs that come in lists one by one."""

    loader: Any

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self.loader)


@dataclass(frozen=True, slots=True)
class Means(Dataset[Any]):
    """Reads all of a large array that its workers inherit."""

    array: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: int) -> float:
        return float(self.array[index::400].mean())


def big_closure(array: np.ndarray[Any, Any], workers: int) -> Any:
    return DataLoader(Means(array), batch_size=None, num_workers=workers)
