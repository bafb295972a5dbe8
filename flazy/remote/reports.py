"""What the processes of a host tell, passed on to the trainer; one that dies is replaced."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from flazy.core.events import Blame
from flazy.remote.messages import Died, Joined, Message, Opened, Passed, Slow
from flazy.transport.codec import Buffer
from flazy.transport.payload import Payload
from flazy.transport.squeeze import squeezed
from flazy.transport.wire import Open, Refused, Result, Task, pack
from flazy.workers.breaker import Breaker
from flazy.workers.deaths import Death
from flazy.workers.fleet import Fleet
from flazy.workers.launch import Running
from flazy.workers.lending import Lending

__all__ = ["Reports", "Run"]

FREE_SECONDS = 10.0  # for which a process may stay at a call of a run that is over, while others wait for it

log = logging.getLogger("flazy")


@dataclass(slots=True)
class Run:
    """One run: as it was opened, and the places in shared memory of what it gives.

    ``number`` is its number here: the trainer's may come again in another session, when processes have not yet closed
    it in the last.
    """

    number: int
    message: Opened
    opened: Open
    lending: Lending


class Reports:
    """The tenant of a host's fleet: what it tells is passed on to the trainer; see `flazy.workers.member.Tenant`.

    Parameters
    ----------
    fleet
        The processes.
    around
        The surroundings in which they work: this machine's own.
    tell, give
        Bring a message, and a result, to the trainer; while there is none, they do nothing.
    fail
        Takes in that no process can be had.

    Attributes
    ----------
    runs : dict
        What is worked on, by the numbers here.
    ready : set of int
        The processes that are there.
    results : int
        Given in this session.
    samples, nbytes : int
        Given since the start.
    """

    def __init__(
        self, fleet: Fleet, around: dict[str, Any], tell: Callable[[Message], None], give: Callable[[Passed], None],
        fail: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self._fleet = fleet
        self._around = around
        self._tell = tell
        self._give = give
        self._fail = fail
        self._breaker = Breaker(1, "the worker processes of this machine")
        self._started = False
        self._inputs: dict[tuple[int, int], dict[int, Payload]] = {}  # by process and run, then by task
        self._closing: dict[tuple[int, int], float] = {}  # processes that have not closed a run yet, and since when
        self.runs: dict[int, Run] = {}
        self.ready: set[int] = set()
        self.results = 0
        self.samples = 0
        self.nbytes = 0

    def begin(self, processes: int) -> None:
        """Begin a session: tell who is there; the first time, start the processes."""
        self.results = 0
        if not self._started:
            self._started = True
            self._breaker.n = processes
            self._fleet.lease(processes, self, self._around, None)
        for worker in sorted(self.ready):
            self._tell(Joined(worker, self._fleet.pid(worker) or 0))

    def limit(self, run: int | None) -> float | None:
        """Give the seconds that a call of a run may take."""
        if run is not None:
            return self.runs[run].message.timeout if run in self.runs else None
        return min((each.message.timeout for each in self.runs.values() if each.message.timeout), default=None)

    def joined(self, worker: int) -> None:
        """Let a process work on everything."""
        self.ready.add(worker)
        self._breaker.joined()
        for run in self.runs.values():
            self._fleet.open_run(worker, run.opened)
        self._tell(Joined(worker, self._fleet.pid(worker) or 0))

    def part(self, run: int) -> None:
        """Let every process close a run, by its number here."""
        del self.runs[run]
        for worker in self.ready:
            self._closing[worker, run] = time.monotonic()
            self._fleet.close_run(worker, run)

    def holds(self, worker: int, task: Task) -> None:
        """Keep the memory of a task's inputs, as long as the process may look at it."""
        self._inputs.setdefault((worker, task.run), {})[task.task] = task.payload

    def closed(self, worker: int, run: int) -> None:
        """Note that it did not stay at a call of the run, and looks at no input of it any more."""
        self._closing.pop((worker, run), None)
        self._inputs.pop((worker, run), None)

    def look(self) -> None:
        """Replace processes that stay at a call of a run that is over, where others are waiting for them."""
        late = time.monotonic() - FREE_SECONDS
        for worker in {worker for (worker, _), since in self._closing.items() if since < late and self.runs}:
            log.warning("worker process %s is still at a run that is over; it is replaced", self._fleet.pid(worker))
            self._forget(worker)
            self._fleet.replace(worker)

    def _forget(self, worker: int) -> None:
        self._closing = {key: since for key, since in self._closing.items() if key[0] != worker}

    def _release(self, worker: int) -> None:
        self._inputs = {key: tasks for key, tasks in self._inputs.items() if key[0] != worker}

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool, run: int | None) -> None:
        """Tell, and start another, unless they die faster than they work."""
        joined = worker in self.ready
        self._forget(worker)
        self._release(worker)
        self.ready.discard(worker)
        if joined:
            blamed = None if blame is None else astuple(blame)
            known = self.runs.get(run or 0)
            theirs = 0 if known is None else known.message.run
            self._tell(Died(worker, astuple(death), theirs, blamed, own, self.results))
        if (error := self._breaker.lost(str(death), own=own, joined=joined)) is not None:
            self._fail(error)
        else:
            self._fleet.start(self, self._around, None)

    def result(self, result: Result) -> None:
        """Pass on what a process made."""
        run = self.runs[result.run]
        if result.last:
            self._inputs.get((result.worker, result.run), {}).pop(result.task, None)
        result = replace(result, run=run.message.run, spec=b"")  # no rows are filled here: the batch may lie elsewhere
        run.lending.measure(result)
        self._breaker.worked()
        frames: Sequence[Buffer] = pack(result)
        sizes: Sequence[int] = ()
        if run.message.compression is not None:
            frames, sizes = squeezed(frames)
        self.results += 1
        self.samples += result.outputs
        self.nbytes += result.payload.nbytes
        self._give(Passed(frames, sizes=sizes))

    def refused(self, message: Refused) -> None:
        """Pass on that functions cannot be loaded here."""
        self._tell(Passed(pack(replace(message, run=self.runs[message.run].message.run))))

    def slow(self, worker: int, running: Running, seconds: float, stack: str) -> None:
        """Pass on that a call takes long."""
        self._tell(Slow(worker, self.runs[running.run].message.run, running.task, running.place, seconds, stack))

    def broken(self, error: BaseException) -> None:
        """Give up: no process can be had."""
        self._fail(error)
