"""One task under way in a worker.

Its outputs are made lazily and leave in parts.  A task that has sent as many parts as it was granted is set aside
as a suspended generator, so that it does not occupy its worker.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Generator, Iterator, MutableSequence
from dataclasses import dataclass, field, replace
from typing import Any

from flazy.errors import PoisonSample, SampleTimeout, UnserializableSample
from flazy.located import cause_of
from flazy.plan.guard import LeftOut, skipped_for
from flazy.plan.kernel import UNKNOWN, Cursor, Kernel
from flazy.plan.loops import INDEX, OP, OUTSIDE, UPSTREAM
from flazy.plan.policy import SampleRef, SkippedSample
from flazy.sample import Address
from flazy.transport.places import Place
from flazy.transport.stretches import rows_of
from flazy.transport.wire import Task
from flazy.workers.collected import NUMBERS, Collected, clock
from flazy.workers.deaths import refused
from flazy.workers.owned import is_owned

__all__ = ["Failure", "Made", "Record", "Work", "idle", "work_of"]

Record = MutableSequence[int] | memoryview


class KernelError(Exception):
    """A user's function failed: which one, on which input; leaves the kernel and no further."""

    def __init__(
        self, stage: str, index: int, offsets: tuple[int, ...], cause: BaseException, said: str = ""
    ) -> None:
        super().__init__(stage, index, offsets)
        self.stage = stage
        self.index = index
        self.offsets = offsets
        self.cause = cause
        self.said = said


@dataclass(frozen=True, slots=True)
class Failure:
    """What the driver needs to raise a located error; ``stage`` is empty where the transport itself failed.

    ``error`` is the exception itself, where it arrives as what it is; where nothing is pickled, that of a verdict in
    plain values (`flazy.workers.deaths.plain_of`).
    """

    stage: str
    index: int
    offsets: tuple[int, ...]
    name: str
    message: str
    traceback: str
    builtin: str
    error: BaseException | tuple[Any, ...] | None


@dataclass(slots=True)
class Made:
    """A part before it is sent: values, where they came from (None: one to one), and the failure that ends them.

    ``origins`` are columns: the index of the input of each value, then its offset in each flatmap.
    Before the values come ``filled`` outputs that lie in rows of a batch.  ``uniform`` is the type of all values, where
    that is known.  ``skipped`` are samples that were left out, each with the number of values before it; they count as
    outputs.
    """

    start: int
    filled: int
    values: list[Any]
    origins: list[list[int]] | None
    failure: Failure | None
    last: bool
    nanos: int
    uniform: type | None = None
    skipped: list[tuple[int, SkippedSample]] = field(default_factory=list)

    @property
    def outputs(self) -> int:
        """How many it counts as."""
        return self.filled + len(self.values) + len(self.skipped)


class WorkerCursor(Cursor):
    """Where a kernel is in a task."""

    __slots__ = ("origin",)

    def __init__(self, record: Record, task: Task, collected: Collected, *, noted: bool) -> None:
        super().__init__(record, noted=noted)
        self.origin = task.origin
        self.made, self.omit = collected.made, collected.omit
        self.refusals = dict([refused(verdict) for verdict in task.verdicts])

    def base(self) -> Address:
        """Give the address of the present input."""
        return self.origin.address(self.index)

    def cycle(self) -> int:
        """Give the cycle of the task."""
        return self.origin.cycle

    def locate(self, op: int, error: BaseException, said: str) -> BaseException:
        """Stop the kernel, with the place."""
        if op == UPSTREAM:
            return error
        return KernelError(self.kernel.name_of(op), self.index, tuple(self.offsets[: self.depth(op)]), error, said)


class Work:
    """The outputs of a task, part by part; here of any chain, `StraightWork` for those that give one for one.

    Parameters
    ----------
    task
        What to do.  From its second attempt on every input makes a part of its own.
    kernel
        How.
    record
        Where it notes the run, the task and what is running, readable from outside: see ``flazy/plan/loops.py``.
        Whoever has sent the part clears it with `idle`: packing is user code too.
    place
        Where the outputs of the first part may go.
    noted
        Note each call in the record, rather than each input; also done from the second attempt on.
    """

    def __init__(self, task: Task, kernel: Kernel, record: Record, place: Place, *, noted: bool = False) -> None:
        self.task = task
        self.place = place
        self.credit = task.credit
        self._kernel = kernel
        self._record = record
        self._start = task.skip
        self._index = -1
        self._collected = Collected(lambda: self.place, kernel.depth, task.skip)
        self._cursor = WorkerCursor(record, task, self._collected, noted=noted or task.attempt > 1)
        self._suspended: list[int] | None = None
        self._runs: Iterator[Generator[None, None, None]] | None = None
        self._running: Generator[None, None, None] | None = None

    def part(self) -> Made:
        """Work until a part is full or the task ends."""
        started = clock()
        made = Made(self._start, 0, [], None, None, False, 0)
        self._record[0], self._record[1], self._record[INDEX] = self.task.run, self.task.task, self._index
        self._record[OP] = UPSTREAM if self._cursor.noted else OUTSIDE
        if self._suspended is not None:
            self._record[INDEX:] = memoryview(array("q", self._suspended))
        try:
            self._fill(made, started)
        except KernelError as error:
            made.failure, made.last = _failure(error), True
        except BaseException as error:  # noqa: BLE001 - inputs that cannot be decoded here; unpickling is user code
            made.failure, made.last = _failure(KernelError("", max(self._cursor.index, 0), (), error)), True
        self._made(made)
        made.filled = self.place.filled
        self._start += made.outputs
        made.nanos = clock() - started
        return made

    def sent(self) -> None:
        """Take in that a part was sent: what was lent is not ours any more."""
        self.place = Place()

    @property
    def skips_what_cannot_travel(self) -> bool:
        """Whether an output that cannot be sent is left out; an ``on_error`` function is not asked."""
        policy = self._kernel.ops[-1].policy
        return policy is not None and policy.then == "skip"

    def without(self, made: Made, place: int, why: str) -> Made:
        """Leave out a value of a part, since it cannot travel."""
        assert made.origins is not None, "a chain that may leave samples out does not give one for one"
        index, *offsets = [column[place] for column in made.origins]
        name, address = self._kernel.ops[-1].name, (*self.task.origin.address(index), *offsets)
        sample = skipped_for(SampleRef(name, address, self.task.origin.cycle, None), UnserializableSample(why))
        before = [(count, other) for count, other in made.skipped if count <= place]
        after = [(count - 1, other) for count, other in made.skipped if count > place]
        values, *origins = [[*part[:place], *part[place + 1 :]] for part in (made.values, *made.origins)]
        return replace(made, values=values, origins=origins, skipped=[*before, (place, sample), *after])

    def close(self) -> None:
        """Drop what is not done."""
        if self._running is not None:
            self._running.close()

    def _fill(self, made: Made, started: int) -> None:
        collected = self._collected
        collected.begin(started)
        if self._runs is None:
            self._runs = self._inputs()
            self._running = next(self._runs, None)
        while self._running is not None:
            for _ in self._running:
                return
            collected.leave_out()
            self._running = next(self._runs, None)
            if collected.values and self._running is not None:
                return
        made.last = True

    def _made(self, made: Made) -> None:
        """Take what was collected, and note where it is."""
        made.values, made.origins = self._collected.taken()
        self._index = self._cursor.index
        if self._cursor.noted:
            assert isinstance(self._record, memoryview)
            self._suspended = self._record[INDEX:].tolist()
        if self._kernel.leaves_out:
            _set_aside(made)

    def _inputs(self) -> Iterator[Generator[None, None, None]]:
        """Give the kernel over all inputs at once; in a careful attempt over each by itself."""
        stretches: list[Any] = self.task.payload.open()
        values = itertools.chain.from_iterable(map(rows_of, stretches))
        if self.task.attempt == 1:
            yield self._kernel.parts(values, self._cursor, self._collected, is_owned, start=0)
            return
        for index, value in enumerate(values):
            yield self._kernel.parts([value], self._cursor, self._collected, is_owned, start=index)


class StraightWork(Work):
    """The outputs of a chain that gives one for one: no generator, and what was received before is not made again.

    Parameters
    ----------
    swift
        What the outputs are likely to be, if they take so little time that inputs are not noted one by one in the
        record while nothing has gone wrong: that costs more than the smallest functions.
    """

    def __init__(
        self, task: Task, kernel: Kernel, record: Record, place: Place, swift: type | None, *, noted: bool = False
    ) -> None:
        super().__init__(task, kernel, record, place, noted=noted)
        self._careful = task.attempt > 1
        self._swift = None if self._cursor.noted or kernel.random else swift
        self._inputs_left: Iterator[Any] | None = None
        self._count = 0
        self._done = task.skip

    def _fill(self, made: Made, started: int) -> None:
        if self._inputs_left is None:
            stretches: list[Any] = self.task.payload.open()
            self._count = sum(count for _, count, _ in stretches)
            whole = len(stretches) == 1  # the usual case, at the price of nothing a sample
            every = iter(rows_of(stretches[0])) if whole else itertools.chain.from_iterable(map(rows_of, stretches))
            self._inputs_left = itertools.islice(every, self._done, None) if self._done else every
        inputs = itertools.islice(self._inputs_left, 1) if self._careful else self._inputs_left
        values, place = made.values, self.place
        append: Callable[[Any], None] = self._taker(values) if place.filling else values.append
        keep: Callable[[Any], Any] = _as_it_is if place.filling else place.keep
        fine: Callable[[Any], bool] | type = is_owned
        if self._swift is not None:
            self._record[INDEX] = UNKNOWN
        if self._swift is not None and self._swift in NUMBERS and not place.filling:
            made.uniform, keep, fine = self._swift, self._other(made), self._swift
        try:
            self._kernel.fill(inputs, self._cursor, append, keep, fine, count=self._swift is None, start=self._done)
        except KernelError as error:
            error.index = self._done + place.filled + len(values)
            raise
        made.last = self._done + place.filled + len(values) >= self._count

    def _made(self, made: Made) -> None:
        self._done += made.filled + len(made.values)

    def _other(self, made: Made) -> Callable[[Any], Any]:
        """Give what keeps a value that is not a number like all before."""
        keep = self.place.keep

        def other(value: Any) -> Any:
            made.uniform = None
            return keep(value)

        return other

    def _taker(self, values: list[Any]) -> Callable[[Any], None]:
        """Give what puts values into rows of a batch while they look as expected."""
        place = self.place

        def take(value: Any) -> None:
            if not (place.filling and place.put(value)):
                values.append(place.keep(value))

        return take


def work_of(task: Task, kernel: Kernel, record: Record, place: Place, swift: type | None, *, noted: bool) -> Work:
    """Give the kind of work that a kernel is."""
    if kernel.one_to_one:
        return StraightWork(task, kernel, record, place, swift, noted=noted)
    return Work(task, kernel, record, place, noted=noted)


def _set_aside(made: Made) -> None:
    """Take what stands for samples that were left out from among the values."""
    found = [place for place, value in enumerate(made.values) if type(value) is LeftOut]
    made.skipped = [(place - before, made.values[place].skipped) for before, place in enumerate(found)]
    for column in (made.values, *(made.origins or ())):
        for place in reversed(found):
            del column[place]


def _as_it_is(value: Any) -> Any:
    return value


def idle(record: Record) -> None:
    """Note that nothing runs."""
    record[1] = -1


def _failure(error: KernelError) -> Failure:
    cause = cause_of(error.cause, error.said)
    where = (error.stage, error.index, error.offsets)
    trace = cause.traceback
    if isinstance(error.cause, PoisonSample | SampleTimeout):
        trace = error.cause.traceback or trace
        if error.said and not error.cause.stage:
            error.cause.args = (f"{error.cause} (called with {error.said})",)
    return Failure(*where, cause.name, cause.message, trace, cause.builtin, cause.error)
