"""The worker processes of one parallel stage, as their fleet tells of them: replaced as they die, up to a limit.

What is the stage's business is passed on to it.  Not here: what is sent to them (``processes.py``).
"""

from __future__ import annotations

from typing import Any

from flazy.core.events import Blame
from flazy.errors import WorkerError
from flazy.plan.where import Processes
from flazy.transport.wire import Open, Refused, Result
from flazy.workers.deaths import Death, tidy
from flazy.workers.fleet import Fleet
from flazy.workers.launch import Running
from flazy.workers.lending import Lending
from flazy.workers.passing import Passing
from flazy.workers.pool import Owner

__all__ = ["Crew"]


class Crew(Passing):
    """The tenant of a fleet with a single run.

    Parameters
    ----------
    where
        How many there are, and what they may do.
    around
        In which surroundings.
    fleet
        Where they come from.
    lending
        Learns from their results.
    """

    def __init__(self, where: Processes, around: dict[str, Any], fleet: Fleet, lending: Lending) -> None:
        super().__init__(where.n)
        self._n = where.n
        self._timeout = where.timeout
        self._around = around
        self._fleet = fleet
        self._lending = lending
        self._opened: Open | None = None
        self._pids: dict[int, int] = {}

    def open(self, owner: Owner, opened: Open) -> None:
        """Lease them."""
        self._owner, self._opened = owner, opened
        self._fleet.lease(self._n, self, self._around, opened)

    def close(self) -> None:
        """Give them back to the fleet; nothing is told of them any more."""
        self._owner = None
        self._fleet.release(self)

    def name(self, worker: int) -> str:
        """Spell a process, also after its end."""
        return f"worker process {self._pids.get(worker, '?')}"

    # Reports of the fleet ---------------------------------------------------------------------------

    def limit(self, run: int | None) -> float | None:
        """Give the limit of the stage, be it for a call of a run that was closed, which holds up a worker of it."""
        return self._timeout

    def joined(self, worker: int) -> None:
        """Pass on."""
        self._pids[worker] = self._fleet.pid(worker) or 0
        self._pass_joined(worker)

    def closed(self, worker: int, run: int) -> None:
        """Do nothing: workers are given back as a whole."""

    def result(self, result: Result) -> None:
        """Pass on; work is getting done.

        Raises
        ------
        ProtocolError
            The result is not what it may be; nothing has changed.
        """
        self._lending.measure(result)
        super().result(result)

    def refused(self, refused: Refused) -> None:
        """End the stage: another worker could not load its functions either."""
        what = "a worker process could not load the functions of this stage"
        self.broken(WorkerError(f"{what}:\n\n{refused.reason}"))

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool, run: int | None) -> None:
        """Replace a dead worker, unless they die faster than they work; ``own`` as in `Blame`."""
        opened = self._opened
        if self._owner is None or opened is None:
            return
        self._fleet.relay.warn(f"{death.headline}; its samples are sent again")
        if self._pass_lost(worker, death, blame, own=own):
            self._fleet.start(self, self._around, opened)

    def slow(self, worker: int, running: Running, seconds: float, stack: str) -> None:
        """Warn with the name of the sample."""
        if self._owner is not None:
            what = self._owner.describe(running.task, running.place)
            limit = " (no timeout= is set)" if self._timeout is None else ""  # else it is a setup=
            text = f"{what} has been running for {seconds:.0f} s in {self.name(worker)}{limit}"
            self._fleet.relay.warn_slow(text, tidy(stack))
