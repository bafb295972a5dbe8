"""The worker processes of this process: who works for whom, who is new, who is ending, who died.

Owned by the hub thread, like everything that touches a socket.  A worker works for one parallel stage at a time and
belongs to one *scope* (a pass over a dataset): within it, it is given on to the next stage that opens, as under
``repeat()``.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from flazy.core.events import Blame
from flazy.errors import ClosedRun, ProtocolError, WorkerError, WorkerPoolBroken
from flazy.transport.codec import Buffer
from flazy.transport.hub import Hub
from flazy.transport.wire import Bye, Close, Hello, Logged, Message, Open, Refused, Result, pack, unpack
from flazy.workers.launch import Process
from flazy.workers.relay import Relay

__all__ = ["Fleet", "Tenant", "Worker"]

START_SECONDS = 60.0
GRACE_SECONDS = 1.0  # from Bye to SIGTERM, and from SIGTERM to SIGKILL

log = logging.getLogger("flazy")


class Tenant(Protocol):
    """For whom workers work, one run each."""

    run: int

    def joined(self, worker: int) -> None:
        """Take in that a worker is ready for the run."""

    def lost(self, worker: int, reason: str, blame: Blame | None, *, own: bool) -> None:
        """Take in that a worker is gone, and whether that was its own doing."""

    def result(self, result: Result) -> None:
        """Take in a part."""

    def broken(self, error: BaseException) -> None:
        """Take in that workers cannot be had, or cannot work on the run."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process; ``owner`` is whom it works for, ``deadline`` when the next step towards its end is due."""

    number: int
    process: Process
    scope: object
    owner: Tenant | None
    opened: Open
    ready: bool = False
    ending: bool = False
    deadline: float | None = None
    signals: tuple[int, ...] = (signal.SIGTERM, signal.SIGKILL)


class Fleet:
    """All worker processes and the sockets that reach them.

    Parameters
    ----------
    folder
        A private folder for socket files.
    post
        Runs a function in the hub thread, soon.
    """

    def __init__(self, folder: str, post: Callable[[Callable[[], None]], None]) -> None:
        self.hub = Hub(folder)
        self.relay = Relay()
        self._post = post
        self._alive_read, self._alive_write = os.pipe()
        self._workers: dict[int, Worker] = {}
        self._buried: set[int] = set()  # dead, and their last words not yet read
        self._retired: weakref.WeakSet[object] = weakref.WeakSet()
        self._numbers = 0

    # For pools --------------------------------------------------------------------------------------

    def lease(self, n: int, owner: Tenant, scope: object, opened: Open) -> None:
        """Give ``n`` workers to an owner: idle ones of its scope, and new ones; none once the scope was retired."""
        if scope in self._retired:
            owner.broken(ClosedRun("this run is closed"))
            return
        ours = [worker for worker in self._workers.values() if worker.scope is scope and not worker.ending]
        idle = [worker for worker in ours if worker.owner is None]
        for worker in idle[:n]:
            worker.owner, worker.opened = owner, opened
            if worker.ready:
                self._join(worker)
        for _ in range(n - len(idle)):
            self.start(owner, scope, opened)

    def start(self, owner: Tenant, scope: object, opened: Open) -> None:
        """Start one worker."""
        number = self._numbers = self._numbers + 1
        tasks = self.hub.add(number)
        try:
            process = Process(number, tasks, self.hub.endpoint("results"), self._alive_read)
        except WorkerError as error:
            self.hub.remove(number)
            owner.broken(error)
            return
        worker = Worker(number, process, scope, owner, opened)
        worker.deadline = time.monotonic() + START_SECONDS
        self._workers[number] = worker
        self.relay.add(number, process.outputs)

    def send(self, number: int, message: Message) -> None:
        """Send to a worker; never blocks."""
        self.hub.send(number, pack(message))

    def release(self, owner: Tenant) -> None:
        """Take an owner's workers back; what they still send for it is dropped."""
        for worker in self._workers.values():
            if worker.owner is owner:
                worker.owner = None
                if worker.ready and not worker.ending:
                    self.send(worker.number, Close(owner.run))

    def retire(self, scope: object) -> None:
        """Let the workers of a scope end; who still works with them is told."""
        self._retired.add(scope)
        ours = [worker for worker in self._workers.values() if worker.scope is scope]
        owners = [worker.owner for worker in ours if worker.owner is not None]
        for worker in ours:
            self._end(worker)
        for owner in owners:
            owner.broken(ClosedRun("this run is closed"))

    def pid(self, number: int) -> int | None:
        """Give the process id of a worker that is there."""
        worker = self._workers.get(number)
        return worker.process.pid if worker is not None else None

    # For the hub thread's loop ----------------------------------------------------------------------

    def sentinels(self) -> Iterator[int]:
        """Give what becomes readable when a worker dies."""
        for worker in self._workers.values():
            if worker.process.sentinel is not None and worker.number not in self._buried:
                yield worker.process.sentinel

    def next_deadline(self) -> float | None:
        """Give the time at which `tend` has something to do."""
        deadlines = [worker.deadline for worker in self._workers.values() if worker.deadline is not None]
        if any(worker.process.sentinel is None for worker in self._workers.values()):
            deadlines.append(time.monotonic() + 0.2)  # no pidfd on this system: look now and then
        return min(deadlines, default=None)

    def tend(self) -> None:
        """Read results, send what waited, bury the dead, push on what is overdue; never blocks."""
        alive = [worker for worker in self._workers.values() if worker.number not in self._buried]
        dead = [worker for worker in alive if worker.process.ended()]
        self._receive()  # after the look at the dead: what they sent before counts
        self.hub.flush()
        for worker in dead:
            self._bury(worker)
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if worker.deadline is not None and worker.deadline <= now:
                self._overdue(worker, now)

    @property
    def empty(self) -> bool:
        """Whether every worker has ended and was reaped."""
        return not self._workers

    def end_all(self) -> None:
        """Let every worker end."""
        for worker in self._workers.values():
            self._end(worker)

    def close(self) -> None:
        """Give everything back; after `empty`, or to leave workers to the end of their pipe."""
        self.relay.stop(timeout_s=2.0)
        self.hub.close()
        os.close(self._alive_read)
        os.close(self._alive_write)
        shutil.rmtree(self.hub.folder, ignore_errors=True)

    # ------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        for frames in self.hub.receive():
            self._handle(frames)

    def _handle(self, frames: list[Buffer]) -> None:
        try:
            message = unpack(frames)
        except ProtocolError as error:
            log.warning("dropped a message that is not of our protocol: %s", error)
            return
        match message:
            case Hello():
                if (worker := self._workers.get(message.worker)) is not None:
                    worker.ready, worker.deadline = True, worker.deadline if worker.ending else None
                    self._join(worker)
            case Result():
                worker = self._workers.get(message.worker)
                if worker is not None and worker.owner is not None and worker.owner.run == message.run:
                    worker.owner.result(message)
            case Refused():
                worker = self._workers.get(message.worker)
                if worker is not None and worker.owner is not None and worker.owner.run == message.run:
                    what = "a worker process could not load the functions of this stage"
                    worker.owner.broken(WorkerError(f"{what}:\n\n{message.reason}"))
            case Logged():
                self.relay.log(message.record)

    def _join(self, worker: Worker) -> None:
        if worker.owner is not None and not worker.ending:
            self.send(worker.number, worker.opened)
            worker.owner.joined(worker.number)

    def _end(self, worker: Worker) -> None:
        if not worker.ending:
            worker.ending, worker.owner = True, None
            self.send(worker.number, Bye())
            worker.deadline = time.monotonic() + GRACE_SECONDS

    def _overdue(self, worker: Worker, now: float) -> None:
        """Take the next step: a worker that does not start, or does not end, is killed."""
        if not worker.ending:
            owner, pid = worker.owner, worker.process.pid
            self._end(worker)
            if owner is not None:
                owner.broken(WorkerPoolBroken(f"worker process {pid} was not ready within {START_SECONDS:.0f} s"))
            return
        if worker.signals:
            number, *rest = worker.signals
            worker.signals = tuple(rest)
            worker.process.end(number)
        worker.deadline = now + GRACE_SECONDS if worker.signals else None

    def _bury(self, worker: Worker) -> None:
        """Wait for a dead worker's last words, then report it."""
        self._buried.add(worker.number)
        self.hub.remove(worker.number)
        self.relay.finish(worker.number, lambda words: self._post(lambda: self._report(worker, words)))

    def _report(self, worker: Worker, last_words: str) -> None:
        self._receive()
        del self._workers[worker.number]
        self._buried.discard(worker.number)
        blame, (how, own) = worker.process.running(), worker.process.exit()
        worker.process.close()
        owner = worker.owner
        if owner is None or worker.ending:
            return
        reason = f"worker process {worker.process.pid} {how}"
        if last_words:
            reason += f"; its last words:\n{last_words}\n"
        found = Blame(blame[1], blame[2], own) if blame is not None and blame[0] == owner.run else None
        owner.lost(worker.number, reason if worker.ready else f"{reason} (before it was ready)", found, own=own)


