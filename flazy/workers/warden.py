"""What follows from what the watch sees: workers whose call takes too long, or that were stopped, are ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from flazy.workers.launch import Running
from flazy.workers.member import Worker
from flazy.workers.relay import Relay
from flazy.workers.watch import STOPPED_SECONDS, Target, Watch, is_stopped
from flazy.workers.zygote import Zygote

__all__ = ["Warden"]


class Warden:
    """The watch of a fleet over its workers; used by the hub thread only.

    Parameters
    ----------
    workers
        Those of the fleet, by number, as they come and go.
    relay
        Brings warnings to the caller.
    """

    def __init__(self, workers: Mapping[int, Worker], relay: Relay) -> None:
        self._workers = workers
        self._relay = relay
        self._watch = Watch(self)
        self._zygote_stopped_s = 0.0

    @property
    def next(self) -> float:
        """When to look again."""
        return self._watch.next

    def look(self, zygote: Zygote | None) -> None:
        """Look at whoever somebody waits for; a zygote that stands still is ended, and so replaced."""
        targets = [
            Target(worker.number, worker.process, worker.seen, worker.owner.limit)
            for worker in self._workers.values()
            if worker.owner is not None and worker.process.code() is None
        ]
        gap = self._watch.look(targets)
        if zygote is not None and any(worker.awaited for worker in self._workers.values()):
            self._zygote_stopped_s = self._zygote_stopped_s + gap if is_stopped(zygote.pid) else 0.0
            if self._zygote_stopped_s >= STOPPED_SECONDS:
                zygote.kill()

    def condemn(self, number: int, running: Running) -> None:
        """Count no result any more of a worker whose call takes longer than it may."""
        worker = self._workers[number]
        if worker.owner is not None and (limit := worker.owner.limit(running.run)) is not None:
            worker.overdue = running, limit

    def end(self, number: int) -> None:
        """End a worker that was condemned."""
        self._workers[number].process.end(signal.SIGKILL)

    def slow(self, number: int, running: Running, seconds: float, stack: str) -> None:
        """Warn of a call that takes long."""
        worker = self._workers[number]
        if worker.owner is not None and running.run in worker.runs:
            worker.owner.slow(number, running, seconds, stack)

    def stopped(self, number: int) -> None:
        """End a worker that somebody has stopped; its samples are sent to others."""
        worker = self._workers[number]
        self._relay.warn(f"worker process {worker.process.pid} was stopped for {STOPPED_SECONDS:g} s; it is replaced")
        worker.spared = True
        worker.process.end(signal.SIGKILL)
