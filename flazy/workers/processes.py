"""The pool of worker processes: leased from the fleet, replaced as they die, up to a limit."""

from __future__ import annotations

import logging
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from flazy.collate import Batching
from flazy.core.events import Blame, Grant, Send
from flazy.plan.where import Processes
from flazy.transport.codec import Unencodable
from flazy.transport.payload import Encoded, Payload
from flazy.transport.places import Intake
from flazy.transport.stretches import arranged
from flazy.transport.wire import Open, Result, Task
from flazy.workers.breaker import Breaker
from flazy.workers.deaths import Death, tidy
from flazy.workers.fleet import Fleet
from flazy.workers.kernels import Kept
from flazy.workers.launch import Running
from flazy.workers.lending import Lending
from flazy.workers.pool import Inputs, Owner, message_of
from flazy.workers.threads import limited

__all__ = ["ProcessPool", "surroundings"]


class ProcessPool:
    """Worker processes of one parallel stage.

    It is itself the owner that the fleet reports to, and passes on to the stage what is the stage's business: a dead
    worker is replaced here.

    Parameters
    ----------
    where
        How many, and what they may do.
    kernel, around
        What they run, and in which surroundings.
    fleet
        Where they come from.
    batching
        What becomes of the outputs, where workers can see to that.
    """

    def __init__(
        self, where: Processes, kernel: Kept, around: dict[str, Any], fleet: Fleet, batching: Batching | None = None
    ) -> None:
        self._n = where.n
        self.timeout = where.timeout
        self._kernel = kernel
        self._around = around
        self._batching = batching
        self._fleet = fleet
        self._owner: Owner | None = None
        self._opened: Open | None = None
        self._ready: set[int] = set()
        self._pids: dict[int, int] = {}
        self._breaker = Breaker(where.n)
        self._intake = Intake(fleet.arena)
        self._lending = Lending(fleet, batching.size if batching is not None else 0)
        self.run = 0

    def open(self, owner: Owner) -> None:
        """Lease the workers."""
        self._owner, self.run = owner, owner.run
        self._opened = Open(owner.run, self._kernel, self._around, self._batching, self.timeout is not None)
        self._fleet.lease(self._n, self, self._opened)

    def send(self, command: Send | Grant) -> None:
        """Send a message, and with a task a block for the large arrays that are to be expected of it."""
        if self._owner is not None:
            message = message_of(self._owner, command)
            if isinstance(message, Task):
                assert isinstance(command, Send)
                assert isinstance(command.inputs, Inputs)
                message = self._lending.placed(command.worker, message, command.inputs.first, command.inputs.samples)
            self._fleet.send(command.worker, message)

    def finish(self) -> None:
        """Give the workers back before the consumer has taken what they made, so that the next pass finds them free."""
        if self._owner is not None:
            self.close()

    def close(self) -> None:
        """Give the workers back to the fleet."""
        self._owner = None
        self._fleet.release(self)

    def keep(self, value: object) -> object:
        """Copy what the source may write into again, large arrays into shared memory."""
        return self._intake.keep(value)

    def pack(self, values: Sequence[object]) -> Payload:
        """Encode a copy of the inputs."""
        try:
            return self._intake.packed(arranged(values))
        except Unencodable:
            Encoded.of(values)  # says which it is
            raise

    def name(self, worker: int) -> str:
        """Spell a process."""
        return f"worker process {self._pids.get(worker, '?')}"

    # Reports of the fleet ---------------------------------------------------------------------------

    def joined(self, worker: int) -> None:
        """Pass on."""
        self._ready.add(worker)
        self._breaker.joined()
        self._pids[worker] = self._fleet.pid(worker) or 0
        if self._owner is not None:
            self._owner.joined(worker)

    def result(self, result: Result) -> None:
        """Pass on; work is getting done.

        Raises
        ------
        ProtocolError
            The result is not what it may be; nothing has changed.
        """
        self._lending.measure(result)
        if self._owner is not None:
            self._owner.result(result)
        self._breaker.worked()

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> None:
        """Replace a dead worker, unless they die faster than they work; ``own`` as in `Blame`."""
        owner, opened = self._owner, self._opened
        if owner is None or opened is None:
            return
        self._fleet.relay.warn(f"{death.headline}; its samples are sent again")
        broken = self._breaker.lost(str(death), own=own, joined=worker in self._ready)
        self._ready.discard(worker)
        owner.lost(worker, death, blame)
        if broken is not None:
            self.broken(broken)
        else:
            self._fleet.start(self, opened)

    def slow(self, worker: int, running: Running, seconds: float, stack: str) -> None:
        """Warn with the name of the sample."""
        if self._owner is not None:
            what = self._owner.describe(running.task, running.place)
            limit = " (no timeout= is set)" if self.timeout is None else ""  # else it is a setup=
            text = f"{what} has been running for {seconds:.0f} s in {self.name(worker)}{limit}"
            self._fleet.relay.warn_slow(text, tidy(stack))

    def broken(self, error: BaseException) -> None:
        """Pass on."""
        if self._owner is not None:
            self._owner.broken(error)


def surroundings(threads: int | None = None) -> dict[str, Any]:
    """Describe what functions see of the process that they come from; called in the thread that opens the stage.

    ``threads`` as in `Processes`.
    """
    return {
        "directory": str(pathlib.Path.cwd()),
        "path": list(sys.path),
        "environment": limited(os.environ, threads),
        "log_levels": {"root": logging.getLogger().level, **_log_levels()},
    }


def _log_levels() -> dict[str, int]:
    """Give the levels that the caller has set, by logger."""
    known = list(logging.Logger.manager.loggerDict.items())
    return {name: logger.level for name, logger in known if isinstance(logger, logging.Logger) and logger.level}
