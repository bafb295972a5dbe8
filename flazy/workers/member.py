"""A worker process as its fleet knows it, and whom it works for."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any, Protocol

from flazy.core.events import Blame
from flazy.transport.arena import Lease
from flazy.transport.wire import Open, Refused, Result
from flazy.workers import launch
from flazy.workers.deaths import Death
from flazy.workers.kernels import Kept, Known
from flazy.workers.watch import Seen

__all__ = ["Tenant", "Worker"]


class Tenant(Protocol):
    """For whom workers work, each on as many runs as it is told of; called by the fleet, in its thread."""

    def limit(self, run: int | None) -> float | None:
        """Say for how many seconds a call of a run may take; of None the shortest of all its runs."""

    def joined(self, worker: int) -> None:
        """Take in that a worker is there, and works on the run that it was leased for, if it was for one."""

    def closed(self, worker: int, run: int) -> None:
        """Take in that a worker has closed a run, as it was told to, and is still there."""

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool, run: int | None) -> None:
        """Take in that a worker is gone with all its runs: whether by its own doing, and the run of the blame."""

    def result(self, result: Result) -> None:
        """Take in a part.

        Raises
        ------
        ProtocolError
            It is not what it may be; its worker is ended for that.
        """

    def refused(self, refused: Refused) -> None:
        """Take in that a worker cannot work on a run; it is still there."""

    def slow(self, worker: int, running: launch.Running, seconds: float, stack: str) -> None:
        """Take in that a worker has been at the same call for long."""

    def broken(self, error: BaseException) -> None:
        """Take in that workers cannot be had."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process.

    ``owner`` is whom it works for, in surroundings like those ``around``, and ``opened`` the run that it is to be told
    of when it joins, if any; ``started`` says whether it has greeted, ``joined`` whether its owner knows that it is
    there; ``deadline`` when `Fleet` must look at it again.  ``runs`` are open, with their kernels; of those ``closing``
    it has not said yet that it is done with them.  ``known`` are the kernels that it has the bytes of.  ``overdue`` is
    the call that broke a limit, and the limit: no result of its counts any more.  ``spared``: its end is nobody's
    fault.  ``foul`` says how it broke the protocol: nothing that it says counts any more, and it is killed.
    """

    number: int
    process: launch.Worker
    owner: Tenant | None
    around: dict[str, Any]
    opened: Open | None
    pid: int = 0
    known: Known = field(default_factory=Known)
    runs: dict[int, Kept] = field(default_factory=dict)
    closing: dict[int, Kept] = field(default_factory=dict)
    started: bool = False
    joined: bool = False
    lent: dict[tuple[int, int], Lease] = field(default_factory=dict)  # with tasks: by run and task
    foul: str = ""
    ending: bool = False
    deadline: float | None = None
    signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGKILL)
    seen: Seen = field(default_factory=Seen)
    overdue: tuple[launch.Running, float] | None = None
    spared: bool = False

    @property
    def ready(self) -> bool:
        """Whether it has nothing left to do for an owner that it had before."""
        return self.started and not self.closing

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it: for its work, its start or its end."""
        return self.owner is not None or not self.started or self.ending
