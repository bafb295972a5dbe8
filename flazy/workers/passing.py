"""What is told of the workers of a parallel stage, passed on to it as long as it listens."""

from __future__ import annotations

from flazy.core.events import Blame
from flazy.transport.wire import Result
from flazy.workers.breaker import Breaker
from flazy.workers.deaths import Death
from flazy.workers.pool import Owner

__all__ = ["Passing"]


class Passing:
    """The way to a stage, and the patience with its workers; a base of what tells it of workers of one kind.

    Parameters
    ----------
    n
        How many workers there are to be.
    """

    def __init__(self, n: int) -> None:
        self._owner: Owner | None = None
        self._ready: set[int] = set()
        self._breaker = Breaker(n)

    def result(self, result: Result) -> None:
        """Pass on; work is getting done.

        Raises
        ------
        ProtocolError
            The result is not what it may be; nothing has changed.
        """
        if self._owner is not None:
            self._owner.result(result)
        self._breaker.worked()

    def broken(self, error: BaseException) -> None:
        """Pass on."""
        if self._owner is not None:
            self._owner.broken(error)

    def _pass_joined(self, worker: int) -> None:
        """Tell that a worker is ready."""
        self._ready.add(worker)
        self._breaker.joined()
        if self._owner is not None:
            self._owner.joined(worker)

    def _pass_lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> bool:
        """Tell that a worker is gone; say whether others are worth starting, or break the stage."""
        broken = self._breaker.lost(str(death), own=own, joined=worker in self._ready)
        self._ready.discard(worker)
        if self._owner is not None:
            self._owner.lost(worker, death, blame)
        if broken is not None:
            self.broken(broken)
        return broken is None
