"""The pool of worker processes: what is sent to them, and in which surroundings they run."""

from __future__ import annotations

import logging
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from flazy.collate import Batching
from flazy.core.events import Grant, Send
from flazy.plan.where import Processes
from flazy.transport.codec import Unencodable
from flazy.transport.payload import Encoded, Payload
from flazy.transport.places import Intake
from flazy.transport.stretches import arranged
from flazy.transport.wire import Open, Task
from flazy.workers.crew import Crew
from flazy.workers.fleet import Fleet
from flazy.workers.kernels import Kept
from flazy.workers.lending import Lending
from flazy.workers.pool import Inputs, Owner, message_of
from flazy.workers.threads import limited

__all__ = ["ProcessPool", "surroundings"]


class ProcessPool:
    """Worker processes of one parallel stage; what the fleet tells of them is the business of a `Crew`.

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
        self._timeout = where.timeout
        self._kernel = kernel
        self._around = around
        self._batching = batching
        self._fleet = fleet
        self._owner: Owner | None = None
        self._intake = Intake(fleet.arena)
        self._lending = Lending(fleet, batching.size if batching is not None else 0)
        self._crew = Crew(where, around, fleet, self._lending)

    def open(self, owner: Owner) -> None:
        """Lease the workers."""
        self._owner = owner
        noted = self._timeout is not None
        self._crew.open(owner, Open(owner.run, self._kernel, self._around, self._batching, noted))

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
        self._crew.close()

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
        return self._crew.name(worker)


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
