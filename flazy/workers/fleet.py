"""The worker processes of this process: who is new, idle or ending, who said what, who died.

Owned by one thread, like everything that touches a socket.  Here: the processes, and what comes from them.  Not here:
for whom they work (``tenancy.py``).
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from flazy.core.events import Blame
from flazy.errors import FlazyError, ProtocolError, WorkerError, WorkerPoolBroken
from flazy.transport import arena
from flazy.transport.arena import Arena
from flazy.transport.codec import Buffer
from flazy.transport.hub import Hub
from flazy.transport.reading import Reply, sender, unpack_from_worker
from flazy.transport.wire import Bye, Closed, Hello, Logged, Open, Refused, Result
from flazy.workers import launch, room, zygote
from flazy.workers.deaths import Death, tidy
from flazy.workers.kernels import Kernels
from flazy.workers.member import Tenant, Worker
from flazy.workers.oom import OomKills
from flazy.workers.received import found
from flazy.workers.relay import Relay
from flazy.workers.tenancy import Tenancy
from flazy.workers.warden import Warden

__all__ = ["Fleet"]

START_SECONDS = 60.0
LOOK_SECONDS = 0.2  # between looks at workers that nothing tells of
ZYGOTE = 0  # its number in the relay
NONCE_BITS = 24  # of a worker's number: one that is wrong is nobody's, and no message is taken for another worker's
MAX_PID = 2**22 + 1  # of any Linux
GRACE_SECONDS = 1.0  # from Bye to SIGTERM, and from SIGTERM to SIGKILL

log = logging.getLogger("flazy")


class Fleet(Tenancy):
    """All worker processes and the sockets that reach them.

    Parameters
    ----------
    folder
        A private folder for socket files.
    post
        Runs a function in the hub thread, soon.
    begun
        The zygote, if it is there already.
    """

    def __init__(
        self, folder: str, post: Callable[[Callable[[], None]], None], begun: zygote.Begun | None = None
    ) -> None:
        hub = Hub(folder)
        self.relay = Relay()
        self._post = post
        self._alive_read, self._alive_write = os.pipe()
        self.arena = Arena() if zygote.is_supported() and arena.is_supported() else None
        super().__init__(hub, Kernels(self.arena, post))
        self._zygote: zygote.Zygote | None = None
        if begun is not None:
            self._use(begun)
        self._numbers = 0
        self._warden = Warden(self._workers, self.relay)
        self._oom = OomKills()
        self.dropped = 0  # messages that came too late to count
        self.log = self.relay.log  # where the log records of workers go

    def start(self, owner: Tenant, around: dict[str, Any], opened: Open | None) -> None:
        """Start one worker for an owner; the rest as for `lease`."""
        self._numbers += 1
        number = self._numbers << NONCE_BITS | secrets.randbits(NONCE_BITS)
        try:
            unconnected = sum(not worker.started for worker in self._workers.values())
            room.descriptors(room.WORKER + unconnected * room.CONNECTIONS, "a worker process")
            addresses = {"tasks": self.hub.add(number), "results": self.hub.endpoint("results")}
            process = self._launched({"worker": number, "driver": os.getpid(), **addresses})
        except (OSError, WorkerError) as error:
            self.hub.remove(number)
            owner.broken(error if isinstance(error, FlazyError) else room.lack(error, "a worker process") or error)
            return
        deadline = time.monotonic() + START_SECONDS
        self._workers[number] = Worker(number, process, owner, around, opened, deadline=deadline)
        self.relay.add(number, process.outputs)

    # For the hub thread's loop ----------------------------------------------------------------------

    def sentinels(self) -> Iterator[int]:
        """Give what becomes readable when a worker starts or dies."""
        if self._zygote is not None:
            yield self._zygote.fileno()
        for worker in self._workers.values():
            if (sentinel := worker.process.watched()) is not None and worker.number not in self._buried:
                yield sentinel

    def next_deadline(self) -> float | None:
        """Give the time at which `tend` has something to do."""
        deadlines = [worker.deadline for worker in self._workers.values() if worker.deadline is not None]
        if any(worker.process.unwatched for worker in self._workers.values()):
            deadlines.append(time.monotonic() + LOOK_SECONDS)
        if any(worker.awaited for worker in self._workers.values()):
            deadlines.append(self._warden.next)
        return min(deadlines, default=None)

    def tend(self) -> None:
        """Read results, send what waited, bury the dead, push on what is overdue; never blocks."""
        if self._zygote is not None:
            self._zygote.receive()
            if self._zygote.broken:
                self._mourn(self._zygote)
        alive = [worker for worker in self._workers.values() if worker.number not in self._buried]
        dead = [worker for worker in alive if worker.process.code() is not None]
        self._receive()  # after the look at the dead: what they sent before counts
        self.hub.flush()
        for worker in dead:
            self._bury(worker)
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if worker.deadline is not None and worker.deadline <= now:
                self._push_on(worker, now)
        if self._warden.next <= now:
            self._warden.look(self._zygote)

    def replace(self, number: int) -> None:
        """End a worker that stands in the way of others: its owner hears of its death, and nobody is blamed for it."""
        worker = self._workers[number]
        worker.spared = True
        worker.process.end(signal.SIGKILL)

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
        if self._zygote is not None:
            self._zygote.close(timeout_s=2.0)
        self.kernels.close()  # and with them the arena
        self.hub.close()
        os.close(self._alive_read)
        os.close(self._alive_write)

    # ------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        for frames in self.hub.receive():
            self._handle(frames)

    def _handle(self, frames: list[Buffer]) -> None:
        """Take in a message; one that breaks the protocol costs its worker, and nobody else anything."""
        try:
            message = unpack_from_worker(frames)
            self._take_in(self._workers.get(message.worker), message)
        except ProtocolError as error:
            worker = self._workers.get(sender(frames) or 0)
            if worker is None:
                self.relay.warn(f"dropped a message that is of none of our workers: {error}")
            elif not worker.foul:
                worker.foul = str(error)
                worker.deadline = time.monotonic()

    def _take_in(self, worker: Worker | None, message: Reply) -> None:
        if worker is None or worker.foul:  # it died after it had sent this, or is to die for what it sent before
            self.dropped += 1
            return
        match message:
            case Hello():
                self._greet(worker, message.pid)
            case Logged():
                self.log(message.record)
            case Closed():
                self._take_closed(worker, message.run)
            case Result() | Refused():
                if worker.overdue is not None:  # what it was asked for its stack may have disturbed it
                    self.dropped += 1
                elif worker.owner is not None and message.run in worker.runs:
                    self._report_to(worker.owner, worker, message)
                elif message.run in worker.closing or worker.ending:
                    self.dropped += 1
                else:
                    raise ProtocolError(f"a message of run {message.run}, on which it does not work")

    def _report_to(self, owner: Tenant, worker: Worker, message: Result | Refused) -> None:
        worker.seen.heard += 1
        if isinstance(message, Refused):
            owner.refused(message)
            return
        key = (message.run, message.task)
        owner.result(found(message, worker.lent.get(key)))
        worker.lent.pop(key, None)  # only now: where the result is refused, the worker may still write there

    def _launched(self, argument: dict[str, Any]) -> launch.Worker:
        if self.arena is None:
            return launch.Process(argument, self._alive_read)
        if self._zygote is not None and self._zygote.broken:
            self._mourn(self._zygote)
        return (self._zygote or self._use(zygote.begin())).start(argument)

    def _use(self, begun: zygote.Begun) -> zygote.Zygote:
        assert self.arena is not None
        self._zygote = zygote.Zygote(self._alive_read, self.arena.file, self.hub.folder, begun)
        self.relay.add(ZYGOTE, self._zygote.outputs)
        return self._zygote

    def _mourn(self, dead: zygote.Zygote) -> None:
        """Do without a dead zygote; the next start makes another, and who waits for this one is told its last words."""
        self._zygote = None

        def bury(words: str) -> None:
            dead.bury(words)
            dead.close(timeout_s=0)

        self.relay.finish(ZYGOTE, lambda words: self._post(lambda: bury(words)))

    def _greet(self, worker: Worker, pid: int) -> None:
        if worker.started or pid != (worker.process.pid or pid) or not 0 < pid < MAX_PID:
            raise ProtocolError(f"a greeting of process {pid}" + " when it had greeted before" * worker.started)
        worker.process.greeted(pid)
        worker.pid, worker.started = pid, True
        self._place(worker)

    def _end(self, worker: Worker) -> None:
        if not worker.ending:
            worker.ending, worker.owner = True, None
            worker.closing |= worker.runs  # of which nothing counts any more; it closes them unasked
            worker.runs.clear()
            self.send(worker.number, Bye())
            worker.deadline = time.monotonic() + GRACE_SECONDS

    def _push_on(self, worker: Worker, now: float) -> None:
        """Take the next step with a worker that is idle, still busy for others, does not start, or does not end."""
        if worker.foul:
            worker.process.end(signal.SIGKILL)
            worker.deadline = now + GRACE_SECONDS  # it may not have been known yet which process it is
        elif worker.ending:
            self._signal(worker, now)
        elif worker.owner is None:
            self._end(worker)
        elif worker.started:
            owner, opened = worker.owner, worker.opened
            self._part(worker)
            self.start(owner, worker.around, opened)
        else:
            owner = worker.owner
            self._end(worker)
            owner.broken(WorkerPoolBroken(f"a worker process was not ready within {START_SECONDS:.0f} s"))

    def _signal(self, worker: Worker, now: float) -> None:
        if worker.signals:
            number, *rest = worker.signals
            worker.signals = tuple(rest)
            worker.process.end(number)
        worker.deadline = now + GRACE_SECONDS if worker.signals else None

    def _bury(self, worker: Worker) -> None:
        """Wait for a dead worker's last words, then report it."""
        self._buried.add(worker.number)
        self.hub.remove(worker.number)
        said = worker.process.last_words
        self.relay.finish(worker.number, lambda words: self._post(lambda: self._report(worker, words or said)))

    def _report(self, worker: Worker, last_words: str) -> None:
        self._receive()
        del self._workers[worker.number]
        self._buried.discard(worker.number)
        running, (how, own), code = worker.process.running(), worker.process.exit(), worker.process.code()
        limit = None
        if worker.overdue is not None:
            running, limit = worker.overdue
        stack = tidy(worker.process.stack()) if own or limit is not None else ""
        if worker.foul:
            how, own = f"sent what breaks the protocol ({worker.foul}) and {how}", True
        blame, run = None, None
        if running is not None and running.run in worker.runs and not (worker.spared and limit is None):
            blame, run = Blame(running.task, running.place, own, limit is not None, running.made), running.run
        worker.process.close()
        self._take_back(worker)
        if not self._workers:
            self.kernels.forget()
        owner = worker.owner
        pid = worker.pid or worker.process.pid
        name = "a worker process" if pid is None else f"worker process {pid}"
        if owner is None or worker.ending:
            if worker.foul:
                self.relay.warn(f"{name} {how}")
            return
        if not worker.started and (lack := room.lacks(code, "a worker process")) is not None:
            owner.broken(lack)
            return
        hint = self._oom.look() if code == -signal.SIGKILL and not worker.foul else ""
        how = how if worker.joined else f"{how} (before it was ready)"
        death = Death(name, how, code, stack, hint, limit, last_words)
        owner.lost(worker.number, death, blame, own=own, run=run)

