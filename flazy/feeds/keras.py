"""``dataset.keras()``: a ``keras.utils.PyDataset`` over a dataset's passes, for every back end of Keras.

Keras asks for batches by index and shuffles the indices; a stream has no random access.  The one rule of this file: an
index that is asked for the first time in a round gets the next batch, so each batch of an epoch is given exactly once,
in the order of the stream, whatever order Keras asks in.  A *round* is every index once; what Keras only looked at
before its first round, to see shapes, is given again.  In Keras 3.15 the calls are

==============================  ================================================================
TensorFlow, fit, evaluate       ``workers 0 1 end begin`` a round ``end begin`` a round ``end`` …
TensorFlow, predict             ``workers 0 1 begin`` a round ``end``
others, model not built         ``workers begin`` some index ``end begin`` a round ``end`` …
others, model built             ``workers end begin`` a round ``end`` …
others, predict                 ``workers begin`` a round ``end``
==============================  ================================================================
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any, Self

import keras
import numpy as np

from flazy.errors import EmptyDataset, FeedError
from flazy.feeds.passes import Passes

__all__ = ["KerasDataset", "backend"]

# Batches that Keras may look at before it begins: two on TensorFlow, two where JAX copies one ahead, one on PyTorch.
LOOKS = 2
END = object()

backend = keras.backend.backend


class KerasDataset(keras.utils.PyDataset):
    """A dataset as ``model.fit``, ``evaluate`` and ``predict`` take it.

    Parameters
    ----------
    passes
        What it iterates: one pass behind the other, cut into epochs.
    steps
        Batches of an epoch.
    length
        Batches of a pass where that is known: one that has given them all is closed at once.

    Notes
    -----
    A pass that an epoch leaves open, as that of an endless dataset, goes on in the next epoch and the next ``fit``. An
    epoch that is broken off, by an exception or ``stop_training``, is not gone on with: whatever begins next begins
    with a new pass. Open passes are closed by `close`, at the end of a ``with`` block, and with the object; on
    TensorFlow, Keras keeps the object until the program ends.
    """

    def __init__(self, passes: Passes, steps: int, length: float | None) -> None:
        super().__init__()
        self._passes = passes
        self._steps = steps
        self._length = length
        self._pass: Generator[Any, None, None] | None = None
        self._taken = 0  # of the pass
        self._given: dict[int, Any] = {}  # in this round; the batches themselves while these may be looks
        self._looked: list[Any] = []
        self._may_be_looks = True
        self._begun = False  # whether Keras is behind its looks for certain
        self._lock = threading.RLock()  # Keras asks from threads of its back end

    def __len__(self) -> int:
        """Give the number of batches of an epoch."""
        return self._steps

    @property
    def workers(self) -> int:
        """One: batches are made by the workers of the dataset.

        Keras asks for it once, as a ``fit``, an ``evaluate`` or a ``predict`` begins, and tells of it in no other way.
        """
        with self._lock:
            if self._given or self._looked:
                self.close()
            self._begun = False
            self._may_be_looks = True
        return 1

    def __getitem__(self, index: int) -> Any:
        """Give a batch; called by Keras, from any thread.

        Raises
        ------
        EmptyDataset
            If a pass gives none.
        FeedError
            If it is none that Keras takes.
        """
        with self._lock:
            if index in self._given and self._may_be_looks:
                return self._given[index]
            if index in self._given:  # Keras begins anew, and the last round is not complete
                self.close()
            batch = self._looked.pop(0) if self._looked else self._next()
            self._give(index, batch)
            return batch

    def on_epoch_begin(self) -> None:
        """Go on; called by Keras."""
        with self._lock:
            if self._given:  # not yet where the first epoch is begun for a look
                self._end_looks()

    def on_epoch_end(self) -> None:
        """Go on; called by Keras behind an epoch, and behind its looks."""
        with self._lock:
            self._end_looks()

    def close(self) -> None:
        """Close the pass that is open; idempotent. Whatever is asked for next is of the pass behind it."""
        with self._lock:
            self._given.clear()
            self._looked.clear()
            if self._pass is not None:
                self._pass.close()
                self._pass = None

    def __enter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _give(self, index: int, batch: Any) -> None:
        self._given[index] = batch if self._may_be_looks else None
        if len(self._given) > LOOKS and self._may_be_looks:
            self._may_be_looks = False
            self._given = dict.fromkeys(self._given)
        if len(self._given) == self._steps and not self._may_be_looks:
            self._given.clear()

    def _end_looks(self) -> None:
        """Keep what was looked at for the first round; where that is too much to keep, begin with a new pass."""
        if not self._begun and self._given:
            if self._may_be_looks:
                self._looked = [*self._given.values(), *self._looked]
                self._given.clear()
            else:
                self.close()
        self._begun = True
        self._may_be_looks = False

    def _next(self) -> Any:
        while True:
            if self._pass is None:
                self._pass, self._taken = self._passes(), 0
            try:
                batch = next(self._pass, END)
                if not self._taken and batch is not END:
                    _check(batch)
            except BaseException:
                self.close()
                raise
            if batch is END and not self._taken:
                raise EmptyDataset("keras() needs batches, and a pass over this dataset gave none")
            self._taken += 1
            if batch is END or self._taken == self._length:
                self._pass.close()
                self._pass = None
            if batch is not END:
                return batch if isinstance(batch, np.ndarray | dict | tuple) else (batch,)  # Keras knows no lone tensor


def _check(batch: Any) -> None:
    """Check what Keras would misunderstand."""
    alone = isinstance(batch, dict) or keras.ops.is_tensor(batch) or isinstance(batch, np.ndarray)
    if not alone and not (isinstance(batch, tuple) and len(batch) in (1, 2, 3)):
        found = f"a tuple of {len(batch)}" if isinstance(batch, tuple) else f"a {type(batch).__name__}"
        raise FeedError(
            f"keras() needs batches (x, y) or (x, y, sample_weight), or x alone as an array or a dict, not {found}: "
            'select_tuple("x", "y") makes tuples of dicts'
        )
    if not all(np.ndim(leaf) for leaf in keras.tree.flatten(batch)):
        raise FeedError("keras() needs batches, and a part of this sample has no first dimension; batch() before it")
