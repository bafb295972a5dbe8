"""One open parallel stage, as the hub thread sees it: a `Dispatcher`, its pool, and the way to the consumer.

Everything here runs in the hub thread, but for the two queues that the feeder and the consumer read: ``permits`` and
``outlet``.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from flazy.core import events
from flazy.core.dispatch import Dispatcher
from flazy.core.events import Accepted, Blame, Command, Drop, Emit, Event, Grant, Part, Poison, Send, Verdict
from flazy.core.limits import Limits
from flazy.errors import ProtocolError
from flazy.plan.kernel import Op
from flazy.plan.where import Where
from flazy.run.distance import Distance
from flazy.sample import Origin
from flazy.transport.payload import Payload
from flazy.transport.wire import Result
from flazy.workers.deaths import Death
from flazy.workers.pool import Inputs, Pool

__all__ = ["Broken", "Emitted", "Ended", "Nudge", "Poisoned", "Session", "stage_at"]

TASKS_PER_WORKER = 32  # a quarter of a second of work, so that workers go on during a long step of the consumer
FIRST_TASKS = 2  # a worker, of samples at hand, until a result tells how many make a task: see `Session`
FIRST_GUESS = 4  # workers, where they come and go, and none is there yet
MOST_WORKERS = 1024  # that are given work where they come and go: what the core allows in the end
FLATMAPS_PER_WORKER = 4  # each that is begun may hold a file open
PERMITS = 4  # unused ones at a time, as long as nobody knows what a task weighs
PERMITS_LATER = 16  # and then: feeder and hub each may wait 5 ms for a consumer that runs pure Python
PART_BYTES = 64 * 2**20  # of inputs and results, there and to be expected, beyond which nothing more is begun
FAR_BYTES = 256 * 2**20  # the same where workers are on other machines: more of them, and longer ways
TASK_BYTES = 4096  # about what keeping book of a task takes: a window in bytes holds no more than would fill it so
MOST_OUTPUTS = 2**20  # of a part of a flatmap, which has some thousand
FLATMAP_CREDIT = 8  # parts (of 1 MiB, or 4096 outputs) that one input of a flatmap may have waiting
CHUNK_SECONDS = 0.008  # of work in one task: long against a message (0.1 ms), short against a person
CHUNK_LARGEST = 2**15  # two hold 10 ms of the smallest function; a consumer in a tight loop lets others run every 5 ms
SAMPLES_PER_WORKER = 8 * CHUNK_LARGEST  # so that tiny ones, of which bytes are not always known, fill no memory
CHUNK_BYTES = 16 * 2**20  # at most; less where two such tasks a worker would be more than may be under way
SLOW_SECONDS = 0.05  # a task that takes longer waits for a free worker, not behind another task
QUEUED_SECONDS = 0.02  # of work at hand in each worker: the hub may wait 5 ms for a consumer that runs pure Python
WORTH_WAITING = 10  # ways to a worker and back: a task that takes as long waits for a free one all the same
CHUNK_BEGIN = 16  # so much smaller than what an earlier pass ended with: half a millisecond until the first result
CHUNK_GROWTH = 8  # at most so much larger than the last, since a first call says little


# What the consumer finds in its queue ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emitted:
    """A part: outputs of a task from ``start`` on, where its inputs came from, and who made it."""

    task: int
    start: int
    outputs: int
    last: bool
    origin: Origin
    worker: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A sample that goes on killing its workers, at its place."""

    task: int
    origin: Origin
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the upstream, or the error that ended it; everything before it was emitted."""

    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The workers cannot go on."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Nudge:
    """The feeder has samples that do not fill a chunk, and the consumer waits: see `Feeder.flush`."""


Item = Emitted | Poisoned | Ended | Broken | Nudge


@dataclass(slots=True)
class _UnderWay:
    """What is known of a task that is not emitted to its end."""

    origin: Origin
    samples: int
    nbytes: int
    nanos: int = 0
    made: bool = False


class Session:
    """The owner of a pool; see `flazy.workers.pool.Owner`.

    ``at_hand`` is set by a feeder that need not wait for its samples.  There is nothing to be gained then by reading
    far ahead before it is known what they take: it would be tasks of one sample, and delay the first result.
    """

    def __init__(
        self, run: int, where: Where, pool: Pool, ops: tuple[Op, ...], *, ordered: bool, chunk: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.run = run
        self.outlet: SimpleQueue[Item] = SimpleQueue()
        self.permits: SimpleQueue[int] = SimpleQueue()  # each for one task of so many samples; 0 is the end
        self.worked_ns = 0
        self.lost_workers = 0
        self.most_workers = 0  # at once
        self.samples_in = 0
        self.samples_done = 0
        self.at_hand = False
        self._pool = pool
        self._where = where
        self._ops = ops
        self._grows = any(op.kind == "flatmap" for op in ops)
        samples = where.samples
        self._n = where.asked or FIRST_GUESS
        self._limits = limits_of(where, ops, self._n)
        self._largest = CHUNK_LARGEST if samples is None else max(1, samples // (2 * self._n))
        self._chunk = min(where.chunk or max(1, min(chunk // CHUNK_BEGIN, self._largest)), samples or sys.maxsize)
        self._chunk_bytes = min(CHUNK_BYTES, self._limits.nbytes // (2 * self._n))
        self._slots = 1
        self._distance = None if where.asked else Distance()  # those of this machine are as near as can be
        self._clock = clock
        self._known = False  # whether there was a result
        self._owed = 0  # samples of tasks that are not done
        self._weight = 0.0  # bytes that a sample gave of late, with its input
        self._core = Dispatcher(limits_of(where, ops, where.asked or MOST_WORKERS), ordered=ordered)
        self._waiting: deque[Accepted] = deque()
        self._permitted: deque[int] = deque()  # the permits that are not used up
        self._promised = 0  # their samples
        self._accepted = 0
        self._under_way: dict[int, _UnderWay] = {}
        self._at_end = False
        self._ended: Ended | None = None
        self._closed = False
        self._permit()  # now, so that the feeder need not wait for the hub

    @property
    def core(self) -> Dispatcher:
        """The dispatcher, to read its counters."""
        return self._core

    @property
    def chunk(self) -> int | None:
        """How many samples make a task, as far as results have shown it."""
        return self._chunk if self._known else None

    def open(self) -> None:
        """Start the workers."""
        if not self._closed:
            self._pool.open(self)

    def close(self) -> None:
        """Let the workers go; idempotent."""
        self._closed = True
        self.permits.put(0)
        self._pool.close()

    # From feeder and consumer -----------------------------------------------------------------------

    def accept(self, origin: Origin, payload: Payload, samples: int) -> None:
        """Take in a task; it used up one permit."""
        if self._closed:
            return
        self._promised -= self._permitted.popleft()
        inputs = Inputs(origin, payload, samples, self.samples_in)
        self.samples_in += samples
        self._owed += samples
        self._under_way[self._accepted] = _UnderWay(origin, samples, payload.nbytes)
        self._waiting.append(Accepted(self._accepted, inputs, samples, payload.nbytes))
        self._accepted += 1
        self._admit()

    def end(self, error: BaseException | None) -> None:
        """Take in the end of the upstream; the first one counts."""
        if not self._at_end:
            self._at_end, self._ended = True, Ended(error)
            self._admit()

    def taken(self, task: int) -> None:
        """Take in that the consumer is done with a part."""
        self._happened(events.Taken(task))

    # From the pool ----------------------------------------------------------------------------------

    def joined(self, worker: int) -> None:
        """Take in that a worker is ready."""
        self._happened(events.Joined(worker))
        self._count()

    def lost(self, worker: int, death: Death, blame: Blame | None) -> None:
        """Take in that a worker is gone."""
        self.lost_workers += 1
        if self._distance is not None:
            self._distance.lost(worker)
        self._happened(events.Lost(worker, death, blame))
        self._count()

    def describe(self, task: int, place: tuple[int, ...]) -> str:
        """Name the call at a place of a task: stage and sample, as far as they are known."""
        under_way = self._under_way.get(task)
        stage = stage_at(self._ops, place)
        if under_way is None or not place:
            return stage
        address = (*under_way.origin.address(place[0]), *place[2:])
        return f"{stage} on sample {address[0] if len(address) == 1 else address}"

    def result(self, result: Result) -> None:
        """Take in a part.

        Raises
        ------
        ProtocolError
            It is not the one that should come next; nothing has changed.
        """
        task = self._under_way.get(result.task)
        if task is not None and result.outputs > (MOST_OUTPUTS if self._grows else task.samples - result.start):
            raise ProtocolError(f"{result.outputs} outputs, more than task {result.task} gives")  # said in a few bytes
        what = result.worker, result.task, result.start, result.outputs, result.last, result, result.payload.nbytes
        try:
            commands = [] if self._closed else self._core.handle(Part(*what))
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if any(isinstance(command, Drop) for command in commands):
            self._carry_out(commands)
            return
        self.worked_ns += result.nanos
        self._known = True
        if self._distance is not None:
            self._distance.came(result.worker, result.task, self._clock(), result.nanos / 1e9)
        slots = self._slots
        self._measure(result)
        self._carry_out(commands)
        if slots != self._slots:  # only now: the consumer waits for the part
            self._happened(events.Paced(self._slots))

    def broken(self, error: BaseException) -> None:
        """Give up; the consumer raises the error when it comes to it."""
        self.outlet.put(Broken(error))
        self.close()

    # ------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        """Let as much be under way as suits the workers that are there, where nobody knows how many there will be."""
        n = max(1, len(self._core.workers))
        self.most_workers = max(self.most_workers, n)
        if self._where.asked or n == self._n:
            return
        self._n = n
        self._limits = limits_of(self._where, self._ops, n)
        self._chunk_bytes = min(CHUNK_BYTES, self._limits.nbytes // (2 * n))
        if self._where.samples is not None:
            self._largest = max(1, self._where.samples // (2 * n))
        self._admit()

    def _happened(self, event: Event) -> None:
        if not self._closed:
            self._carry_out(self._core.handle(event))

    def _carry_out(self, commands: list[Command]) -> None:
        if self._closed:
            return
        for command in commands:
            self._do(command)
        self._admit()

    def _do(self, command: Command) -> None:
        match command:
            case Send() | Grant():
                if self._distance is not None and isinstance(command, Send):
                    self._distance.sent(command.worker, command.task, self._clock())
                self._pool.send(command)
            case Emit(payload=Result() as result):
                origin = self._under_way[command.task].origin
                if command.last:
                    del self._under_way[command.task]
                where = command.task, command.start, command.outputs, command.last
                self.outlet.put(Emitted(*where, origin, result.worker, result.payload))
            case Poison():
                under_way = self._under_way.pop(command.task)
                self._owed -= under_way.samples
                self.outlet.put(Poisoned(command.task, under_way.origin, command.verdict))
            case Drop():
                pass  # the payload goes with it

    def _admit(self) -> None:
        """Accept what waits as far as there is room, then let the feeder read on, then see whether that was all."""
        while self._waiting and self._core.has_room(self._waiting[0].samples):
            accepted = self._waiting.popleft()
            for command in self._core.handle(accepted):
                self._do(command)
        self._permit()
        if self._at_end and not self._under_way:
            self._pool.finish()
        if self._ended is not None and not self._waiting and self._core.idle and not self._closed:
            self.outlet.put(self._ended)
            self._ended = None

    def _permit(self) -> None:
        """Permit the feeder as many tasks as would find room; it reads nothing without a permit."""
        if self._closed or self._at_end:
            return
        tasks, samples, nbytes = self._core.open
        limits = self._limits
        most = FIRST_TASKS * self._n if self.at_hand and not self._known else limits.tasks
        tasks += len(self._waiting)
        samples += sum(waiting.samples for waiting in self._waiting)
        while not (tasks or self._permitted) or (
            len(self._permitted) < (PERMITS_LATER if self._weight else PERMITS)
            and tasks + len(self._permitted) < most
            and (limits.samples is None or samples + self._promised + self._chunk <= limits.samples)
            and nbytes < limits.nbytes
            # What is to come counts too, but never keeps a worker from having a task.
            and (
                nbytes + (self._owed + self._promised) * self._weight < limits.nbytes
                or tasks + len(self._permitted) <= self._n
            )
        ):
            self._permitted.append(self._chunk)
            self._promised += self._chunk
            self.permits.put(self._chunk)

    def _measure(self, result: Result) -> None:
        """Size the next chunks by the time and the bytes that this task took a sample."""
        under_way = self._under_way.get(result.task)
        if under_way is None:
            return
        under_way.nanos += result.nanos
        under_way.nbytes += result.payload.nbytes
        if not result.last or under_way.made:
            return
        under_way.made = True
        self._owed -= under_way.samples
        self.samples_done += under_way.samples
        self._weight = max(under_way.nbytes / under_way.samples, 0.9 * self._weight)
        self._pace(under_way.nanos / 1e9)
        if self._where.chunk is None:
            by_time = CHUNK_SECONDS * 1e9 * under_way.samples / max(under_way.nanos, 1)
            by_bytes = self._chunk_bytes * under_way.samples / max(under_way.nbytes, 1)
            self._chunk = int(max(1, min(by_time, by_bytes, self._largest, self._chunk * CHUNK_GROWTH)))

    def _pace(self, task_s: float) -> None:
        """Let so many tasks wait at each worker that it has work at hand for a while, and while the next is coming."""
        self._slots = slots_for(task_s, self._distance.seconds if self._distance is not None else 0.0)


def slots_for(task_s: float, away_s: float) -> int:
    """Say how many tasks a worker is to hold that take so long, where it takes so long to reach it and hear of it."""
    if task_s > SLOW_SECONDS:
        slots = 1 + (math.ceil(away_s / task_s) if task_s < WORTH_WAITING * away_s else 0)
    else:
        slots = max(2, int((QUEUED_SECONDS + away_s) / max(task_s, 1e-6)))
    return min(TASKS_PER_WORKER, slots)


def limits_of(where: Where, ops: tuple[Op, ...], n: int) -> Limits:
    """Say how much of a stage with ``n`` workers may be under way."""
    flatmap = any(op.kind == "flatmap" for op in ops)
    tasks = (FLATMAPS_PER_WORKER if flatmap else TASKS_PER_WORKER) * n
    if where.nbytes is not None and not flatmap:
        tasks = max(tasks, where.nbytes // TASK_BYTES)
    return Limits(
        tasks=where.samples or tasks,
        samples=SAMPLES_PER_WORKER * n if where.window is None and where.chunk is None else where.samples,
        nbytes=where.nbytes or (PART_BYTES if where.asked else FAR_BYTES),
        credit=FLATMAP_CREDIT if flatmap else 2,
        slots=1,  # until it is known that tasks are short
        overdue=1 + max([op.policy.times for op in ops if op.policy is not None], default=0),
    )


def stage_at(ops: tuple[Op, ...], place: tuple[int, ...]) -> str:
    """Name the stage of a call, or all of them where it is not known which it was."""
    known = len(place) > 1 and 0 <= place[1] < len(ops)
    return ops[place[1]].name if known else " > ".join(op.name for op in ops)
