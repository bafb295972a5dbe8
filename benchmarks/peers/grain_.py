"""Grain: MapDataset and mp_prefetch; the source goes to the workers once, when they are spawned for a pass.

Small outputs come in lists, wrapped: Grain would walk a plain list leaf by leaf, on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grain
from absl import flags

from benchmarks.workloads import Workload

flags.FLAGS.mark_as_parsed()  # where JAX is installed too, Grain asks for a flag of its own

SIZES = {"tiny": 4096, "tiny_batch": 32, "dict_small": 128, "cpu": 1, "filter_flatmap": 4096}
AHEAD = {"tiny": 8, "tiny_batch": 8, "dict_small": 8, "filter_flatmap": 8, "image": 16, "cpu": 4}


@dataclass(frozen=True, slots=True)
class Leaf:
    """Something that Grain hands on as it is."""

    items: Any


@dataclass(frozen=True, slots=True)
class Piece:
    """Makes piece ``k``."""

    work: Workload
    size: int

    def __call__(self, number: int) -> Leaf:
        """Run in a worker."""
        return Leaf(self.work.piece(number, self.size))


@dataclass(frozen=True, slots=True)
class Stream:
    """A pass for each ``iter()``, of leaves unwrapped."""

    dataset: Any
    lists: bool

    def __iter__(self) -> Iterator[Any]:
        outputs = iter(self.dataset)
        try:
            for output in outputs:
                if self.lists:
                    yield from output.items
                else:
                    yield output
        finally:
            outputs.close()


def pipeline(work: Workload, workers: int = 2) -> Stream:
    ahead = AHEAD.get(work.name, 2)
    options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=ahead)
    lists = work.name in SIZES
    if lists:
        data = grain.MapDataset.range(work.pieces(SIZES[work.name])).map(Piece(work, SIZES[work.name]))
    elif work.batch:
        data = grain.MapDataset.source(work.source).map(work.fn).batch(
            work.batch, drop_remainder=True, batch_fn=work.stack
        )
    else:
        data = grain.MapDataset.source(work.source).map(work.fn)
    threads = 1 if work.name == "array_in_out" else 0
    reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2)
    return Stream(data.to_iter_dataset(reading).mp_prefetch(options), lists)


