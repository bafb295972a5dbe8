"""What a worker does: messages in, parts out; the same body in a process and in a thread.

The lowest task that has credit runs next; of several runs, that of the one whose turn was longest ago.  Messages are
looked at between parts, never during one.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from flazy.collate import Batching
from flazy.plan.kernel import Kernel
from flazy.transport.codec import Unencodable, decode, encode
from flazy.transport.layout import spec_of
from flazy.transport.link import Link
from flazy.transport.payload import Encoded, Payload
from flazy.transport.stretches import FILLED, Stretch, gathered
from flazy.transport.wire import Bye, Close, Closed, Granted, Hello, Message, Open, Refused, Result, Task
from flazy.workers import deaths
from flazy.workers.task import Failure, Made, Record, Work, idle, work_of

__all__ = ["UNSERIALIZABLE", "Loop"]

log = logging.getLogger("flazy")

UNSERIALIZABLE = "UnserializableSample"
SWIFT_NANOS = 2000  # a sample: noting it costs about 50 of them


class Loop:
    """A worker.

    Parameters
    ----------
    worker
        Its number.
    link
        Its connection.
    record
        Where it notes what it runs; see `Work`.
    load
        Makes a kernel of what `Open` carries, in the surroundings that it describes.
    settle
        Called after each part, when functions may have imported modules.
    """

    def __init__(
        self,
        worker: int,
        link: Link,
        record: Record,
        load: Callable[[Open], Kernel],
        settle: Callable[[], None] | None = None,
    ) -> None:
        self._worker = worker
        self._link = link
        self._record = record
        self._load = load
        self._settle = settle
        self._kernels: dict[int, Kernel] = {}  # by run, of several the one whose turn was longest ago first
        self._batchings: dict[int, Batching | None] = {}
        self._swift: dict[int, type] = {}  # what the last output was, where they take too little time to be noted
        self._noted: set[int] = set()  # runs of which each call is noted
        self._pickled: set[int] = set()  # runs of which results may be pickled
        self._works: dict[tuple[int, int], Work] = {}

    def serve(self) -> None:
        """Work until `Bye`; what the functions opened is closed then."""
        self._link.send(Hello(self._worker, os.getpid()))
        try:
            while True:
                ready = self._next()
                message = self._link.receive(wait=ready is None)
                if isinstance(message, Bye):
                    return
                if message is not None:
                    self._handle(message)
                elif ready is not None:
                    self._step(ready)
        finally:
            for run in list(self._kernels):
                self._forget(run)

    def _next(self) -> tuple[int, int] | None:
        """Give the run and the task whose turn it is, if one has credit."""
        ready = (key for key, work in self._works.items() if work.credit)
        if len(self._kernels) < 2:  # nothing but this for a single run, whose tasks may be tiny
            return min(ready, default=None)
        turns = {run: turn for turn, run in enumerate(self._kernels)}
        return min(ready, key=lambda key: (turns[key[0]], key), default=None)

    def _handle(self, message: Message) -> None:
        match message:
            case Open():
                self._open(message)
            case Task() if message.run in self._kernels:
                place = self._link.place(message, batched=self._batchings[message.run] is not None)
                swift = self._swift.get(message.run)
                self._works[message.run, message.task] = work_of(
                    message, self._kernels[message.run], self._record, place, swift, noted=message.run in self._noted
                )
            case Granted():
                if (work := self._works.get((message.run, message.task))) is not None:
                    work.credit += message.parts
            case Close():
                self._forget(message.run)
                self._link.send(Closed(self._worker, message.run))

    def _open(self, message: Open) -> None:
        try:
            self._kernels[message.run] = self._load(message)
        except BaseException:  # noqa: BLE001 - a module that cannot be imported here may raise anything
            self._link.send(Refused(self._worker, message.run, traceback.format_exc()))
            return
        self._batchings[message.run] = message.batching
        if message.noted:
            self._noted.add(message.run)
        if message.pickled:
            self._pickled.add(message.run)

    def _step(self, key: tuple[int, int]) -> None:
        work = self._works[key]
        if len(self._kernels) > 1:
            self._kernels[key[0]] = self._kernels.pop(key[0])
        made = work.part()
        self._swift.pop(key[0], None)
        if made.failure is None and made.values and made.nanos < SWIFT_NANOS * len(made.values):
            self._swift[key[0]] = type(made.values[-1])
        payload, made = self._packed(made, work)
        spec = spec_of(made.values[-1]) if made.values and self._batchings[key[0]] else None
        work.sent()
        idle(self._record)
        if self._settle is not None:
            self._settle()
        work.credit -= 1
        if made.last:
            del self._works[key]
            _close(work)
        self._link.send(
            Result(
                self._worker, *key, made.start, made.outputs, made.last, made.nanos, payload, made.filled, spec or b"",
            )
        )  # fmt: skip

    def _packed(self, made: Made, work: Work) -> tuple[Payload, Made]:
        """Make a payload of a part; a value that cannot travel ends it there."""
        pickle = work.task.run in self._pickled
        failure = made.failure and self._proven(made.failure, pickle=pickle)
        origins = None if made.origins is None else [np.array(column, np.int64) for column in made.origins]
        left_out = [tuple(sample) for _, sample in made.skipped]
        plain = made.origins is None and failure is None
        head = None if plain else (origins, failure and _fields(failure), left_out)
        try:
            return self._link.payload([head, *self._stretches(made, work)], work.place, pickle=pickle), made
        except Unencodable as fault:
            error = self._unencodable(made.values, pickle=pickle) or fault
            kept = error.index
            if work.skips_what_cannot_travel:
                return self._packed(work.without(made, kept, str(error)), work)
            at = made.start + made.filled + kept
            index, *offsets = [column[kept] for column in made.origins] if made.origins is not None else (at,)
            failure = Failure("", index, tuple(offsets), UNSERIALIZABLE, str(error), "", "TypeError", None)
            columns = None if made.origins is None else [column[:kept] for column in made.origins]
            skipped = [(before, sample) for before, sample in made.skipped if before <= kept]
            short = replace(
                made, values=made.values[:kept], origins=columns, failure=failure, last=True, skipped=skipped
            )
            return self._packed(short, work)

    def _stretches(self, made: Made, work: Work) -> Iterator[Stretch]:
        """Give the outputs of a part in the forms in which they travel."""
        task = work.task
        batching = self._batchings[task.run]
        if made.filled:
            beside = [list(column) for column in zip(*work.place.beside, strict=True)]
            yield FILLED, made.filled, [task.slab, beside]
        if batching is not None and task.attempt == 1 and made.values:
            yield from gathered(made.values, batching, task.row + made.start + made.filled, made.uniform)
        else:
            yield from self._link.arranged(made.values, made.uniform)

    def _unencodable(self, values: list[Any], *, pickle: bool) -> Unencodable | None:
        """Find the first value that cannot travel."""
        try:
            self._link.payload(values, pickle=pickle)
        except Unencodable as error:
            return error
        return None

    def _proven(self, failure: Failure, *, pickle: bool) -> Failure:
        """Leave the exception itself out where it would not arrive as what it is, or not without pickle."""
        if not pickle:
            return replace(failure, error=deaths.plain_of(failure.error))
        try:
            payload = self._link.payload([failure.error], pickle=pickle)
            if isinstance(payload, Encoded) and type(decode(encode([failure.error]))[0]) is not type(failure.error):
                return replace(failure, error=None)
        except BaseException:  # noqa: BLE001 - its own __reduce__ and __init__ run here
            return replace(failure, error=None)
        return failure

    def _forget(self, run: int) -> None:
        for key in [key for key in self._works if key[0] == run]:
            _close(self._works.pop(key))
        self._batchings.pop(run, None)
        self._swift.pop(run, None)
        self._noted.discard(run)
        self._pickled.discard(run)
        if (kernel := self._kernels.pop(run, None)) is not None:
            _close(kernel)


def _close(what: Work | Kernel) -> None:
    """Run the user's clean-up; nobody waits for it, so what it raises is logged."""
    try:
        what.close()
    except BaseException:
        log.warning("clean-up in a worker failed", exc_info=True)


def _fields(failure: Failure) -> tuple[Any, ...]:
    return tuple(getattr(failure, name) for name in Failure.__slots__)


