"""The worker processes of this process: who works for whom, who is new, idle or ending, who died.

Owned by the hub thread, like everything that touches a socket.  A worker works for one parallel stage at a time, then
waits, warm, for the next that opens with equal surroundings: another repetition, another pass, another pipeline.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from flazy.core.events import Blame
from flazy.errors import FlazyError, ProtocolError, WorkerError, WorkerPoolBroken
from flazy.transport import arena
from flazy.transport.arena import Arena, Lease
from flazy.transport.codec import Buffer
from flazy.transport.hub import Hub
from flazy.transport.reading import Reply, sender, unpack_from_worker
from flazy.transport.wire import Bye, Close, Hello, Logged, Message, Open, Refused, Result, pack
from flazy.workers import launch, room, zygote
from flazy.workers.deaths import Death, tidy
from flazy.workers.kernels import Kernels
from flazy.workers.member import Tenant, Worker
from flazy.workers.oom import OomKills
from flazy.workers.received import found
from flazy.workers.relay import Relay
from flazy.workers.warden import Warden

__all__ = ["Fleet"]

START_SECONDS = 60.0
LOOK_SECONDS = 0.2  # between looks at workers that nothing tells of
ZYGOTE = 0  # its number in the relay
NONCE_BITS = 24  # of a worker's number: one that is wrong is nobody's, and no message is taken for another worker's
IDLE_SECONDS = 30.0  # for which a worker waits for more to do
FREE_SECONDS = 0.5  # for which a stage waits for a worker that still works on a sample of a run that was closed
MAX_PID = 2**22 + 1  # of any Linux
GRACE_SECONDS = 1.0  # from Bye to SIGTERM, and from SIGTERM to SIGKILL

log = logging.getLogger("flazy")


class Fleet:
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
        self.hub = Hub(folder)
        self.relay = Relay()
        self._post = post
        self._alive_read, self._alive_write = os.pipe()
        self.arena = Arena() if zygote.is_supported() and arena.is_supported() else None
        self.kernels = Kernels(self.arena, post)
        self._zygote: zygote.Zygote | None = None
        if begun is not None:
            self._use(begun)
        self._workers: dict[int, Worker] = {}
        self._buried: set[int] = set()  # dead, and their last words not yet read
        self._numbers = 0
        self._warden = Warden(self._workers, self.relay)
        self._oom = OomKills()
        self.dropped = 0  # messages that came too late to count

    # For pools --------------------------------------------------------------------------------------

    def lease(self, n: int, owner: Tenant, opened: Open) -> None:
        """Give ``n`` workers to an owner: warm ones with equal surroundings, those that are starting, then new ones."""
        free = [worker for worker in self._workers.values() if self._suits(worker, opened)]
        free.sort(key=lambda worker: (not worker.ready, not worker.started))
        for worker in free[:n]:
            worker.owner, worker.opened = owner, opened
            if worker.started:
                worker.deadline = None if worker.ready else time.monotonic() + FREE_SECONDS
            if worker.ready:
                self._join(worker)
        for _ in range(n - len(free)):
            self.start(owner, opened)

    def start(self, owner: Tenant, opened: Open) -> None:
        """Start one worker."""
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
        self._workers[number] = Worker(number, process, owner, opened, deadline=time.monotonic() + START_SECONDS)
        self.relay.add(number, process.outputs)

    def lend(self, number: int, run: int, task: int, lease: Lease) -> bool:
        """Let a worker write into a block while it has a task; False if it has one for it already, or is gone."""
        worker = self._workers.get(number)
        if worker is None or (run, task) in worker.lent:
            return False
        worker.lent[run, task] = lease
        return True

    def send(self, number: int, message: Message) -> None:
        """Send to a worker; never blocks."""
        self.hub.send(number, pack(message))

    def release(self, owner: Tenant) -> None:
        """Take an owner's workers back, to wait for the next; what they still send for it is dropped."""
        for worker in self._workers.values():
            if worker.owner is owner:
                worker.owner = None
                if worker.started:
                    worker.deadline = time.monotonic() + IDLE_SECONDS
                if worker.ready:
                    worker.ready = False
                    self.send(worker.number, Close(owner.run))

    def pid(self, number: int) -> int | None:
        """Give the process id of a worker that is there."""
        worker = self._workers.get(number)
        return worker.pid if worker is not None else None

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
                self.relay.log(message.record)
            case Result() | Refused():
                if worker.overdue is not None:  # what it was asked for its stack may have disturbed it
                    self.dropped += 1
                elif worker.owner is not None and worker.owner.run == message.run and worker.ready:
                    self._report_to(worker.owner, worker, message)
                elif worker.ready and not worker.ending:
                    raise ProtocolError(f"a message of run {message.run}, on which it does not work")
                else:  # of a run that was closed meanwhile
                    self.dropped += 1

    def _report_to(self, owner: Tenant, worker: Worker, message: Result | Refused) -> None:
        if isinstance(message, Refused):
            what = "a worker process could not load the functions of this stage"
            owner.broken(WorkerError(f"{what}:\n\n{message.reason}"))
            return
        worker.seen.heard += 1
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

    def _suits(self, worker: Worker, opened: Open) -> bool:
        """Say whether a worker is free, and was last in surroundings that what it imported would not differ in."""
        mine, other = worker.opened.surroundings, opened.surroundings
        same = all(mine[name] == other[name] for name in ("path", "environment"))
        able = not (worker.ending or worker.foul or worker.number in self._buried)
        return same and worker.owner is None and able

    def _greet(self, worker: Worker, pid: int) -> None:
        if worker.ready or pid != (worker.process.pid or pid) or not 0 < pid < MAX_PID:
            raise ProtocolError(f"a greeting of process {pid}" + " when it had greeted before" * worker.ready)
        worker.process.greeted(pid)
        worker.pid, worker.started, worker.ready = pid, True, True
        worker.lent.clear()  # for a run that is closed: nothing writes there any more
        self._done_with_kernel(worker)
        if worker.ending:
            return
        worker.deadline = None if worker.owner is not None else time.monotonic() + IDLE_SECONDS
        self._join(worker)

    def _join(self, worker: Worker) -> None:
        if worker.owner is not None:
            worker.kernel = worker.opened.kernel
            self.kernels.hold(worker.kernel)
            self.send(worker.number, replace(worker.opened, kernel=worker.known.shipment(worker.kernel)))
            worker.owner.joined(worker.number)

    def _done_with_kernel(self, worker: Worker) -> None:
        """Take in that a worker has closed its run or is dead: no memory of the kernel is mapped there any more."""
        if worker.kernel is not None:
            self.kernels.release(worker.kernel)
            worker.kernel = None

    def _end(self, worker: Worker) -> None:
        if not worker.ending:
            worker.ending, worker.owner = True, None
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
            owner, worker.owner = worker.owner, None
            worker.deadline = now + IDLE_SECONDS
            self.start(owner, worker.opened)
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
        worker.process.close()
        worker.lent.clear()
        self._done_with_kernel(worker)
        if not self._workers:
            self.kernels.forget()
        owner = worker.owner
        name = f"worker process {worker.pid or worker.process.pid}"
        if owner is None or worker.ending:
            if worker.foul:
                self.relay.warn(f"{name} {how}")
            return
        if not worker.started and (lack := room.lacks(code, "a worker process")) is not None:
            owner.broken(lack)
            return
        blame = None
        if running is not None and running.run == owner.run and not (worker.spared and limit is None):
            blame = Blame(running.task, running.place, own, limit is not None, running.made)
        hint = self._oom.look() if code == -signal.SIGKILL and not worker.foul else ""
        how = how if worker.ready else f"{how} (before it was ready)"
        owner.lost(worker.number, Death(name, how, code, stack, hint, limit, last_words), blame, own=own)

