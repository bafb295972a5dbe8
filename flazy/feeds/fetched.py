"""What workers do for `flazy.torch.loader`: items of a PyTorch dataset, made to batches or not.

All of it gives streams and arrays (``emptied.py``).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any

from torch.utils.data import default_collate, default_convert
from torch.utils.data._utils import worker as of_torch

from flazy.feeds.emptied import Shipped, emptied
from flazy.sample import SeededGlobals

__all__ = ["Fetch", "Grouped", "Stream", "default_collate", "default_convert", "numbered"]


class Grouped:
    """Put indices together to lists: what a batch is made of."""

    def __init__(self, size: int, *, drop_last: bool) -> None:
        self.size = size
        self.drop_last = drop_last

    def __call__(self, indices: Iterator[Any]) -> Iterator[list[Any]]:
        """Give the lists."""
        while group := list(itertools.islice(indices, self.size)):
            if len(group) == self.size or not self.drop_last:
                yield group


class Fetch:
    """Give what ``collate`` makes of the item behind an index, or of the items behind a list of them.

    Parameters
    ----------
    dataset
        Of the map style.
    collate
        PyTorch's or the user's.
    batched
        It is called with lists of indices.
    """

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], *, batched: bool) -> None:
        self.shipped = Shipped((dataset, collate))
        self.batched = batched

    def __call__(self, index: Any, rng: Any) -> tuple[Any, ...]:
        """Make it; randomness comes from the global generators, which are seeded for the call."""
        dataset, collate = self.shipped.value
        return emptied(collate(self._items(dataset, index) if self.batched else _item(dataset, index)))

    def _items(self, dataset: Any, indices: list[Any]) -> list[Any]:
        if getattr(dataset, "__getitems__", None):
            items: list[Any] = dataset.__getitems__(indices)
            return items
        return [_item(dataset, index) for index in indices]


def _item(dataset: Any, index: Any) -> Any:
    try:
        return dataset[index]
    except Exception as error:
        error.add_note(f"This was dataset[{index!r}].")
        raise


class Stream:
    """Give the batches of one worker of a dataset of the iterable style, which tells its workers apart by itself.

    Parameters
    ----------
    dataset
        Of the iterable style.
    collate
        PyTorch's or the user's.
    grouped
        Makes lists of samples; None for samples one by one.
    workers
        How many there are; 0 for the caller's process, where the dataset is told of none.
    """

    def __init__(
        self, dataset: Any, collate: Callable[[Any], Any], grouped: Callable[..., Iterator[Any]] | None, workers: int
    ) -> None:
        self.shipped = Shipped((dataset, collate))
        self.grouped = grouped
        self.workers = workers

    def __call__(self, worker: tuple[int, int]) -> Generator[tuple[Any, ...], None, None]:
        """Iterate the dataset as a worker of this number, with this seed."""
        dataset, collate = self.shipped.value
        number, seed = worker
        if not self.workers:
            yield from map(emptied, map(collate, self._samples(iter(dataset))))
            return
        info = of_torch.WorkerInfo(id=number, num_workers=self.workers, seed=seed, dataset=dataset)
        with SeededGlobals(seed), _known_as(info):
            for samples in self._samples(iter(dataset)):
                # PyTorch's own collation would write into shared memory of PyTorch's if it knew of the worker.
                with _known_as(None) if collate is default_collate else contextlib.nullcontext():
                    made = collate(samples)
                yield emptied(made)

    def _samples(self, samples: Iterator[Any]) -> Iterator[Any]:
        return samples if self.grouped is None else self.grouped(samples)


@contextlib.contextmanager
def _known_as(info: Any) -> Iterator[None]:
    """Let ``get_worker_info()`` give this."""
    before, of_torch._worker_info = of_torch._worker_info, info  # noqa: SLF001 - there is no other way
    try:
        yield
    finally:
        of_torch._worker_info = before  # noqa: SLF001


def numbered(worker: int, rng: Any) -> tuple[int, int]:
    """Give a worker its seed for this pass."""
    return worker, int(rng.integers(2**63))
