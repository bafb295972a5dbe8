"""``dataset.torch()``: a PyTorch ``IterableDataset`` over a dataset's passes.

The tensors are made in the plan (``tensors.py``, ``copies.py``); here are the passes, as PyTorch opens them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import cloudpickle
from torch.utils.data import IterableDataset, get_worker_info

from flazy.errors import InvalidArgument
from flazy.feeds.copies import opener
from flazy.run.runs import Run

__all__ = ["TorchDataset", "opener"]


class TorchDataset(IterableDataset[Any]):
    """A dataset as PyTorch iterates it: each iteration is a pass, which is closed when it is left.

    Parameters
    ----------
    open_at
        Opens a run at a cycle.
    coming
        The dataset's pass counter, of length one.
    length
        Gives the number of samples of a pass, or raises a ``TypeError`` where that is not known.
    """

    def __init__(self, open_at: Callable[[int], Run], coming: list[int], length: Callable[[], int]) -> None:
        super().__init__()
        self._open_at = open_at
        self._coming = coming
        self._length = length

    def __iter__(self) -> Iterator[Any]:
        """Start the next pass, at the first ``next()``."""
        if get_worker_info() is not None:
            raise InvalidArgument("this dataset has workers of its own; say DataLoader(…, num_workers=0)")
        return self._pass()

    def _pass(self) -> Generator[Any, None, None]:
        cycle = self._coming[0]
        self._coming[0] += 1
        with self._open_at(cycle) as run:
            yield from run.samples

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
        return _unpickled, (cloudpickle.dumps((type(self), self._open_at, self._coming, self._length)),)

    def set_epoch(self, epoch: int) -> None:
        """Let the coming pass be that of ``epoch``, counted from 0: its order, its augmentations.

        Trainers call it (Accelerate does), and whoever resumes a training.
        """
        if epoch < 0:
            raise InvalidArgument(f"set_epoch() counts from 0, and this is {epoch}")
        self._coming[0] = int(epoch)


def _unpickled(pickled: bytes) -> TorchDataset:
    kind, *parts = cloudpickle.loads(pickled)
    made: TorchDataset = kind(*parts)
    return made
