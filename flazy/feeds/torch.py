"""``dataset.torch()``: a PyTorch ``IterableDataset`` over a dataset's passes.

The tensors are made in the plan (``tensors.py``, ``copies.py``); here are the passes, as PyTorch opens them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator
from typing import Any

import cloudpickle
from torch.utils.data import IterableDataset, get_worker_info

from flazy.feeds.copies import opener
from flazy.feeds.passes import epoch_of
from flazy.feeds.replicas import Epochs, Opens
from flazy.run.runs import Run

__all__ = ["Epochs", "IterableDataset", "TorchDataset", "opener"]


class TorchDataset(IterableDataset[Any]):
    """A dataset as PyTorch iterates it: each iteration is a pass, which is closed when it is left.

    In a worker of a ``DataLoader``, each iteration is that worker's part of the pass.

    Parameters
    ----------
    open_at
        Opens a pass, or a part of it.
    epochs
        Counts the passes.
    length
        Gives the number of samples of a pass, or raises a ``TypeError`` where that is not known.
    """

    def __init__(self, open_at: Opens, epochs: Epochs, length: Callable[[], int]) -> None:
        super().__init__()
        self._open_at = open_at
        self._epochs = epochs
        self._length = length

    def __iter__(self) -> Iterator[Any]:
        """Start the next pass, at the first ``next()``."""
        worker = get_worker_info()
        if worker is None:
            return _samples(lambda: self._open_at(self._epochs.take()))
        # Now: a worker has begun when the loader makes its iterator.
        loader = multiprocessing.parent_process()
        pid = None if loader is None else loader.pid
        cycle = self._epochs.join(worker.seed - worker.id, worker.num_workers, worker.id, pid)
        self._epochs.warn_of(self._open_at.processes, pid)
        return _samples(lambda: self._open_at(cycle, worker.num_workers, worker.id))

    def __len__(self) -> int:
        """Give the number of samples of a pass.

        Raises
        ------
        UnknownLength
            Where only a pass could tell; a ``TypeError``, as PyTorch has it.
        """
        return self._length()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as functions for workers are: a plan holds lambdas, and DataLoader may start its workers by spawn."""
        return _unpickled, (cloudpickle.dumps((type(self), self._open_at, self._epochs, self._length)),)

    def set_epoch(self, epoch: int) -> None:
        """Let the coming pass be that of ``epoch``, counted from 0: its order, its augmentations.

        Trainers call it (Accelerate does), and whoever resumes a training.
        """
        self._epochs.set(epoch_of(epoch))


def _samples(opened: Callable[[], Run]) -> Generator[Any, None, None]:
    with opened() as run:
        yield from run.samples


def _unpickled(pickled: bytes) -> TorchDataset:
    kind, *parts = cloudpickle.loads(pickled)
    made: TorchDataset = kind(*parts)
    return made
