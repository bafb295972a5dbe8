"""A worker process as its fleet knows it, and whom it works for."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Protocol

from flazy.core.events import Blame
from flazy.transport.arena import Lease
from flazy.transport.wire import Open, Result
from flazy.workers import launch
from flazy.workers.deaths import Death
from flazy.workers.kernels import Kept, Known
from flazy.workers.watch import Seen

__all__ = ["Tenant", "Worker"]


class Tenant(Protocol):
    """For whom workers work, one run each."""

    run: int
    timeout: float | None  # seconds that a call may take

    def joined(self, worker: int) -> None:
        """Take in that a worker is ready for the run."""

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> None:
        """Take in that a worker is gone, and whether that was its own doing."""

    def result(self, result: Result) -> None:
        """Take in a part."""

    def slow(self, worker: int, running: launch.Running, seconds: float, stack: str) -> None:
        """Take in that a worker has been at the same call for long."""

    def broken(self, error: BaseException) -> None:
        """Take in that workers cannot be had, or cannot work on the run."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process.

    ``owner`` is whom it works for; ``opened`` what it was last told to be ready for; ``started`` and ``ready`` whether
    it has ever said, and now says, that it can; ``deadline`` when `Fleet` must look at it again.  ``known`` are the
    kernels that it has the bytes of; ``kernel`` is the one that it works with, or may still.  ``overdue`` is the
    call that broke a limit, and the limit: no result of its counts any more.  ``spared``: its end is nobody's fault.
    ``foul`` says how it broke the protocol: nothing that it says counts any more, and it is killed.
    """

    number: int
    process: launch.Worker
    owner: Tenant | None
    opened: Open
    pid: int = 0
    known: Known = field(default_factory=Known)
    kernel: Kept | None = None
    started: bool = False
    ready: bool = False
    lent: dict[tuple[int, int], Lease] = field(default_factory=dict)  # with tasks: by run and task
    foul: str = ""
    ending: bool = False
    deadline: float | None = None
    signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGKILL)
    seen: Seen = field(default_factory=Seen)
    overdue: tuple[launch.Running, float] | None = None
    spared: bool = False

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it: for its work, its start or its end."""
        return self.owner is not None or not self.started or self.ending
