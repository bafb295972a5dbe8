"""One task under way in a worker.

Its outputs are made lazily and leave in parts.  A task that has sent as many parts as it was granted is set aside
as a suspended generator, so that it does not occupy its worker.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator, MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flazy.located import cause_of
from flazy.plan.kernel import INDEX, UPSTREAM, Cursor, Kernel
from flazy.sample import ATOMS, Address, Origin
from flazy.transport.places import Place
from flazy.transport.stretches import rows_of
from flazy.transport.wire import Task
from flazy.workers.owned import is_owned

__all__ = ["Failure", "Made", "Record", "Work", "idle"]

# A part of a flatmap leaves when any of these is reached.  A chain that is not a flatmap sends its task as one part.
PART_OUTPUTS = 64
PART_BYTES = 2**20
PART_NANOS = 50_000_000

Record = MutableSequence[int] | memoryview


class KernelError(Exception):
    """A user's function failed: which one, on which input; leaves the kernel and no further."""

    def __init__(self, stage: str, index: int, offsets: tuple[int, ...], cause: BaseException) -> None:
        super().__init__(stage, index, offsets)
        self.stage = stage
        self.index = index
        self.offsets = offsets
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Failure:
    """What the driver needs to raise a located error; ``stage`` is empty where the transport itself failed."""

    stage: str
    index: int
    offsets: tuple[int, ...]
    name: str
    message: str
    traceback: str
    builtin: str
    error: BaseException | None


@dataclass(slots=True)
class Made:
    """A part before it is sent: values, where they came from (None: one to one), and the failure that ends them.

    Before the values come ``filled`` outputs that lie in rows of a batch.
    """

    start: int
    filled: int
    values: list[Any]
    origins: list[tuple[int, ...]] | None
    failure: Failure | None
    last: bool
    nanos: int


class WorkerCursor(Cursor):
    """Where a kernel is in a task."""

    __slots__ = ("origin",)

    def __init__(self, record: Record, origin: Origin) -> None:
        super().__init__(record)
        self.origin = origin

    def base(self) -> Address:
        """Give the address of the present input."""
        return self.origin.address(self.index)

    def cycle(self) -> int:
        """Give the cycle of the task."""
        return self.origin.cycle

    def locate(self, op: int, error: BaseException) -> BaseException:
        """Stop the kernel, with the place."""
        if op == UPSTREAM:
            return error
        return KernelError(self.kernel.name_of(op), self.index, tuple(self.offsets[: self.depth(op)]), error)


class Work:
    """The outputs of a task, part by part.

    Parameters
    ----------
    task
        What to do.  From its second attempt on every input makes a part of its own.
    kernel
        How.
    record
        Three numbers that name the run, the task and the input that is running; readable from outside.  Whoever has
        sent the part clears them with `idle`: packing is user code too.
    place
        Where the outputs of the first part may go.
    """

    def __init__(self, task: Task, kernel: Kernel, record: Record, place: Place) -> None:
        self.task = task
        self.place = place
        self.credit = task.credit
        self._kernel = kernel
        self._record = record
        self._cursor = WorkerCursor(record, task.origin)
        self._skip = task.skip
        self._start = task.skip
        self._index = -1
        self._runs: Iterator[Generator[Any, None, None]] | None = None
        self._running: Generator[Any, None, None] | None = None

    def part(self) -> Made:
        """Work until a part is full or the task ends."""
        started = time.perf_counter_ns()
        made = Made(self._start, 0, [], None if self._kernel.one_to_one else [], None, False, 0)
        self._record[0], self._record[1], self._record[INDEX] = self.task.run, self.task.task, self._index
        try:
            self._fill(made, started)
        except KernelError as error:
            made.failure, made.last = _failure(error), True
        except BaseException as error:  # noqa: BLE001 - inputs that cannot be decoded here; unpickling is user code
            made.failure, made.last = _failure(KernelError("", max(self._cursor.index, 0), (), error)), True
        self._index = self._cursor.index
        made.filled = self.place.filled
        self._start += made.filled + len(made.values)
        made.nanos = time.perf_counter_ns() - started
        return made

    def sent(self) -> None:
        """Take in that a part was sent: what was lent is not ours any more."""
        self.place = Place()

    def close(self) -> None:
        """Drop what is not done."""
        if self._running is not None:
            self._running.close()

    def _fill(self, made: Made, started: int) -> None:
        if self._runs is None:
            self._runs = self._inputs()
            self._running = next(self._runs, None)
        while self._running is not None:
            if self._fill_from(self._running, made, started):
                return
            self._running = next(self._runs, None)
            if made.values and self._running is not None:
                return
        made.last = True

    def _inputs(self) -> Iterator[Generator[Any, None, None]]:
        """Give the kernel over all inputs at once; in a careful attempt over each by itself."""
        stretches: list[Any] = self.task.payload.open()
        values = itertools.chain.from_iterable(map(rows_of, stretches))
        if self.task.attempt == 1:
            yield self._kernel.run(values, self._cursor)
            return
        for index, value in enumerate(values):
            yield self._kernel.run([value], self._cursor, start=index)

    def _fill_from(self, running: Generator[Any, None, None], made: Made, started: int) -> bool:
        """Take outputs; say whether the part is full before they end."""
        values, origins, place = made.values, made.origins, self.place
        self._leave_out(running)
        if origins is None:
            if place.filling:
                for value in running:
                    if not place.put(value):
                        values.append(place.keep(value))
                        break
            for value in running:
                values.append(value if type(value) in ATOMS or is_owned(value) else place.keep(value))
            return False
        nbytes = 0
        for value in running:
            values.append(value if type(value) in ATOMS or is_owned(value) else place.keep(value))
            origins.append((self._cursor.index, *self._cursor.offsets))
            if self._kernel.depth:
                nbytes += size_of(value)
                if len(values) >= PART_OUTPUTS or nbytes >= PART_BYTES or time.perf_counter_ns() - started > PART_NANOS:
                    return True
        return False


    def _leave_out(self, running: Iterator[Any]) -> None:
        """Make the outputs that were received before, for what their functions do besides, and drop them."""
        if self._skip:
            for _ in running:
                self._skip -= 1
                if not self._skip:
                    return


def idle(record: Record) -> None:
    """Note that nothing runs."""
    record[1] = -1


def size_of(value: Any) -> int:
    """Estimate what a value weighs: its arrays and strings."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return 16


def _failure(error: KernelError) -> Failure:
    cause = cause_of(error.cause)
    where = (error.stage, error.index, error.offsets)
    return Failure(*where, cause.name, cause.message, cause.traceback, cause.builtin, cause.error)
