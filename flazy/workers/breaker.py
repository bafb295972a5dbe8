"""When a pool gives up replacing workers that die.

Pure: told of what happens, it says whether that is too much.  Workers may die one after the other for as long as there
are results in between.
"""

from __future__ import annotations

from collections import deque

from flazy.errors import WorkerPoolBroken

__all__ = ["Breaker"]

FAILED_STARTS = 3  # workers that may die by their own doing before they have joined, one after the other
FEWEST = 5  # deaths by their own doing that are borne without a result in between, and
EACH = 2  # so many for each worker, if that is more
KILLS_TO_DEATHS = 8  # so many more deaths by signals from outside are borne than deaths by their own doing
SHOWN = 3  # of the last exits


class Breaker:
    """The patience of one pool.

    Parameters
    ----------
    n
        How many workers it has; may be changed as they come and go.
    whose
        As they are called in the error.
    """

    def __init__(self, n: int, whose: str = "the workers of this stage") -> None:
        self.n = n
        self._whose = whose
        self._fruitless = {True: 0, False: 0}  # deaths since the last result, own and by others
        self._failed_starts = 0
        self._exits: deque[str] = deque(maxlen=SHOWN)

    def joined(self) -> None:
        """Take in that a worker was able to start."""
        self._failed_starts = 0

    def worked(self) -> None:
        """Take in a result: work is getting done."""
        self._fruitless = {True: 0, False: 0}

    def lost(self, how: str, *, own: bool, joined: bool) -> WorkerPoolBroken | None:
        """Take in a death: how it died, whether by its own doing, and whether it had joined; give why to give up."""
        self._exits.append(how)
        self._fruitless[own] += 1
        self._failed_starts += own and not joined
        most = max(FEWEST, EACH * self.n)
        if self._failed_starts >= FAILED_STARTS:
            return self._broken("could not start")
        if self._fruitless[True] > most or self._fruitless[False] > most * KILLS_TO_DEATHS:
            return self._broken("die faster than they work")
        return None

    def _broken(self, what: str) -> WorkerPoolBroken:
        return WorkerPoolBroken(f"{self._whose} {what}. " + "\n".join(self._exits))
