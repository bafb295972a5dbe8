"""The passes of a feed: what a framework iterates again and again.

A framework wants to know what samples look like before it takes any.  The one rule of this file: the first sample
of a pass is run once, so the pass that was opened for that look is the one which is iterated first.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Generator
from typing import Any

from flazy.errors import EmptyDataset, InvalidArgument, InvalidType
from flazy.run.runs import Run

__all__ = ["Passes", "epoch_of"]


def epoch_of(epoch: Any) -> int:
    """Check what ``set_epoch`` was given: the number of a pass, counted from 0."""
    try:
        number = operator.index(epoch)
    except TypeError:
        raise InvalidType(f"set_epoch() takes the number of a pass, not {epoch!r}") from None
    if number < 0:
        raise InvalidArgument(f"set_epoch() counts from 0, and this is {epoch}")
    return number


class Passes:
    """A function without arguments: each call gives a generator over the next pass.

    Parameters
    ----------
    open_at
        Opens a run at a cycle.
    coming
        The dataset's pass counter, of length one.  A pass that is begun here counts as any other; a look does not
        use its pass up.

    Notes
    -----
    A generator opens its run at its first ``next()`` and closes it when it ends or is closed.  `close` is for a run
    that was looked at and is never iterated.  Generators may be made and iterated in any threads, each in one at a
    time.
    """

    def __init__(self, open_at: Callable[[int], Run], coming: list[int]) -> None:
        self._open_at = open_at
        self._coming = coming
        self._looked: tuple[int, Run, Any] | None = None
        self._lock = threading.Lock()

    def look(self) -> Any:
        """Give the first sample of the coming pass, and keep the run for it.

        Raises
        ------
        EmptyDataset
            If there is none.
        """
        self.close()
        cycle = self._coming[0]
        run = self._open_at(cycle)
        run.look()
        for sample in run:
            self._looked = cycle, run, sample
            return sample
        raise EmptyDataset("the first sample tells a feed what to expect, and this dataset has none")

    def close(self) -> None:
        """Close the run that was looked at, if no pass has begun with it; idempotent, from any thread."""
        with self._lock:
            looked, self._looked = self._looked, None
        if looked is not None:
            looked[1].close()

    def __call__(self) -> Generator[Any, None, None]:
        """Start the next pass, at the first ``next()``."""
        run, seen = self._next()
        with run:
            yield from seen
            seen.clear()  # it is the consumer's now
            yield from run.samples

    def _next(self) -> tuple[Run, list[Any]]:
        with self._lock:
            cycle = self._coming[0]
            self._coming[0] += 1
            if self._looked is not None and self._looked[0] == cycle:
                (_, run, sample), self._looked = self._looked, None
                run.go_on()
                return run, [sample]
        self.close()  # the dataset was iterated since the look, which was at a pass that is over
        return self._open_at(cycle), []
