"""For whom workers work, and on what: the part of a fleet that its owners talk to.

A worker works for one owner at a time, and for that one on any number of runs, in turns.  The pool of a parallel stage
leases its workers for its one run; other owners lease workers first, and open and close runs on each as they like.  A
worker that was given back waits, warm, for the next owner with equal surroundings: another repetition, another pass,
another pipeline.

The one rule: what a run holds, its kernel and the blocks that were lent to it, is held until the worker has said that
it has closed the run, or is dead.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from flazy.errors import ProtocolError
from flazy.transport.arena import Lease
from flazy.transport.hub import Hub
from flazy.transport.wire import Close, Message, Open, pack
from flazy.workers.kernels import Kept, Kernels
from flazy.workers.member import Tenant, Worker

__all__ = ["Tenancy"]

IDLE_SECONDS = 30.0  # for which a worker waits for more to do
FREE_SECONDS = 0.5  # for which an owner waits for a worker that still works on a sample of a run that was closed


class Tenancy:
    """Workers, and for whom they work; `Fleet` adds where they come from, and what they say.

    Parameters
    ----------
    hub
        Brings messages to them.
    kernels
        Those of all runs.
    """

    def __init__(self, hub: Hub, kernels: Kernels) -> None:
        self.hub = hub
        self.kernels = kernels
        self._workers: dict[int, Worker] = {}
        self._buried: set[int] = set()  # dead, and their last words not yet read

    def lease(self, n: int, owner: Tenant, around: dict[str, Any], opened: Open | None) -> None:
        """Give ``n`` workers to an owner: warm ones with equal surroundings, those that are starting, then new ones.

        Parameters
        ----------
        n, owner
            How many, and for whom; it is told of each that has joined.
        around
            The surroundings in which they are to work; see `flazy.workers.processes.surroundings`.
        opened
            The run that each works on from the moment it joins, with a `Kept` as its kernel.  None: the owner opens
            runs itself, by `open_run`.
        """
        free = [worker for worker in self._workers.values() if self._suits(worker, around)]
        free.sort(key=lambda worker: (not worker.ready, not worker.started))
        for worker in free[:n]:
            worker.owner, worker.around, worker.opened = owner, around, opened
            if worker.started:
                worker.deadline = time.monotonic() + FREE_SECONDS
            if worker.ready:
                self._join(worker)
        for _ in range(n - len(free)):
            self.start(owner, around, opened)

    def start(self, owner: Tenant, around: dict[str, Any], opened: Open | None) -> None:
        """Start one worker for an owner; the rest as for `lease`."""
        raise NotImplementedError

    def open_run(self, number: int, opened: Open) -> None:
        """Let a worker that has joined work on one run more; nothing, with one that is gone.

        Its surroundings must be those of the lease, in search path and environment: a process has these once, and puts
        on what it was told last.  A worker gets a run anew only after it has closed it.
        """
        worker = self._workers.get(number)
        if worker is None or worker.owner is None:
            return
        assert opened.run not in worker.runs.keys() | worker.closing.keys(), "a run is open once"
        kept: Kept = opened.kernel
        self.kernels.hold(kept)
        worker.runs[opened.run] = kept
        self.send(number, replace(opened, kernel=worker.known.shipment(kept)))

    def close_run(self, number: int, run: int) -> None:
        """Let a worker close a run, whose results do not count any more; nothing where it is not open."""
        worker = self._workers.get(number)
        if worker is not None and run in worker.runs:
            worker.closing[run] = worker.runs.pop(run)
            self.send(number, Close(run))

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
                self._part(worker)
                for run in list(worker.runs):
                    self.close_run(worker.number, run)

    def pid(self, number: int) -> int | None:
        """Give the process id of a worker that is there."""
        worker = self._workers.get(number)
        return worker.pid if worker is not None else None

    # For the fleet ----------------------------------------------------------------------------------

    def _suits(self, worker: Worker, around: dict[str, Any]) -> bool:
        """Say whether a worker is free, and was last in surroundings that what it imported would not differ in."""
        same = all(worker.around[name] == around[name] for name in ("path", "environment"))
        able = not (worker.ending or worker.foul or worker.number in self._buried)
        return same and worker.owner is None and able

    def _place(self, worker: Worker) -> None:
        """Let a worker that has become ready join its owner, or wait for one."""
        if worker.ending:
            return
        if worker.owner is not None:
            self._join(worker)
        else:
            worker.deadline = time.monotonic() + IDLE_SECONDS

    def _join(self, worker: Worker) -> None:
        assert worker.owner is not None
        worker.joined, worker.deadline = True, None
        if worker.opened is not None:
            self.open_run(worker.number, worker.opened)
        worker.owner.joined(worker.number)

    def _part(self, worker: Worker) -> None:
        """Take a worker from its owner; one that has not started yet has its own deadline for that."""
        worker.owner, worker.opened, worker.joined = None, None, False
        if worker.started and not worker.foul:
            worker.deadline = time.monotonic() + IDLE_SECONDS

    def _take_closed(self, worker: Worker, run: int) -> None:
        """Take in that a worker has closed a run: it has nothing of its kernel mapped any more, and writes nowhere.

        Raises
        ------
        ProtocolError
            Nobody has told it to.
        """
        if run not in worker.closing:
            raise ProtocolError(f"run {run} is closed, which it was not told to close")
        self.kernels.release(worker.closing.pop(run))
        for key in [key for key in worker.lent if key[0] == run]:
            del worker.lent[key]
        if worker.joined and worker.owner is not None:
            worker.owner.closed(worker.number, run)
        elif worker.ready:
            self._place(worker)

    def _take_back(self, worker: Worker) -> None:
        """Take everything back that a worker held, which is dead."""
        for kept in (*worker.runs.values(), *worker.closing.values()):
            self.kernels.release(kept)
        for book in (worker.runs, worker.closing, worker.lent):
            book.clear()
