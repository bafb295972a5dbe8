"""What a host works on: the runs of its trainer, on its own processes.

Together with ``reports.py`` it is to the host's fleet what a parallel stage is to the trainer's own: whom the processes
work for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flazy.collate import Batching
from flazy.dtypes import dtype_named
from flazy.errors import ProtocolError
from flazy.plan.shipping import Pickled
from flazy.remote.messages import Message, Opened, Passed
from flazy.remote.reports import Reports, Run
from flazy.transport.codec import Buffer
from flazy.transport.payload import Encoded
from flazy.transport.places import Intake
from flazy.transport.reading import unpack
from flazy.transport.squeeze import expanded
from flazy.transport.wire import Granted, Open, Refused, Task, pack
from flazy.workers.fleet import Fleet
from flazy.workers.kernels import Kept
from flazy.workers.lending import Lending

__all__ = ["Relayed"]


class Relayed:
    """What the trainer says, passed on to the processes.

    Parameters
    ----------
    fleet
        The processes.
    around
        The surroundings in which they work.
    reports
        What they tell.
    tell
        Brings a message to the trainer.
    """

    def __init__(
        self, fleet: Fleet, around: dict[str, Any], reports: Reports, tell: Callable[[Message], None]
    ) -> None:
        self._fleet = fleet
        self._around = around
        self._reports = reports
        self._tell = tell
        self._intake = Intake(fleet.arena)
        self._numbers = itertools.count(1)
        self._runs: dict[int, Run] = {}  # by the trainer's numbers
        self._kernels: dict[int, Kept] = {}

    @property
    def stages(self) -> tuple[str, ...]:
        """What is worked on."""
        return tuple(dict.fromkeys(run.message.stages for run in self._runs.values()))

    def drop(self) -> None:
        """Forget a session: what it has opened is closed."""
        for run in list(self._runs):
            self.close(run)
        for number in list(self._kernels):
            self._fleet.kernels.release(self._kernels.pop(number))

    def open(self, message: Opened) -> None:
        """Let every process be ready for a run."""
        for number in message.dropped:
            if (gone := self._kernels.pop(number, None)) is not None:
                self._fleet.kernels.release(gone)
        if message.stream is not None:
            self._keep(message.number, bytes(message.stream), message.aside)
        if message.number not in self._kernels:
            said = "this machine has no room in shared memory for the large arrays that they have captured"
            self._tell(Passed(pack(Refused(0, message.run, said))))
            return
        number = next(self._numbers)
        opened = Open(
            number,
            self._kernels[message.number],
            {**self._around, "log_levels": message.log_levels},
            None if message.batching is None else _batching(*message.batching),
            noted=message.timeout is not None,
            pickled=message.pickled,
        )
        run = Run(number, replace(message, stream=None, aside=()), opened, Lending(self._fleet, 0))
        self._runs[message.run] = self._reports.runs[number] = run
        for worker in self._reports.ready:
            self._fleet.open_run(worker, opened)

    def close(self, number: int) -> None:
        """End a run."""
        if (run := self._runs.pop(number, None)) is not None:
            self._reports.part(run.number)

    def passed(self, message: Passed) -> None:
        """Give a process its task, or leave to go on with one; nothing, to one that has died meanwhile."""
        frames = expanded(message.frames, message.sizes) if message.sizes else message.frames
        inner = unpack(frames)
        if not isinstance(inner, Task | Granted):
            raise ProtocolError(f"a {type(inner).__name__} of the trainer")
        run = self._runs.get(inner.run)
        if run is None or message.worker not in self._reports.ready:
            return
        inner = replace(inner, run=run.number)
        if isinstance(inner, Task):
            assert isinstance(inner.payload, Encoded)
            inner = replace(inner, payload=self._intake.placed(_views(inner.payload.frames)))
            inner = run.lending.placed(message.worker, inner, message.first, message.samples)
            if run.opened.batching is not None:
                inner = replace(inner, row=message.first % run.opened.batching.size)
            self._reports.holds(message.worker, inner)
        self._fleet.send(message.worker, inner)

    def _keep(self, number: int, stream: bytes, aside: Sequence[Buffer]) -> None:
        """Keep a kernel, its arrays in shared memory, where there is room."""
        kept = self._fleet.kernels.keep((), Pickled(stream, _views(aside)))
        if kept.stream == stream:
            self._kernels[number] = kept
        else:
            self._fleet.kernels.release(kept)  # for want of room it has pickled anew what it was given: nothing


def _batching(size: int, dtype: str | None) -> Batching:
    return Batching(size, None if dtype is None else dtype_named(dtype, "default_dtype"))


def _views(frames: Sequence[Buffer]) -> list[memoryview]:
    return [memoryview(frame).cast("B") for frame in frames]
