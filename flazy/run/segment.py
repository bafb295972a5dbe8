"""A parallel stage: a feeder thread in front, a `Session` in the hub, and here the consumer's side.

The feeder reads the upstream, chunk by chunk, as far as the session permits.  The consumer opens parts as they are
emitted, gives their samples, and reports each part when it is done with it.  Only the feeder touches the upstream, from
the first sample to its close.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from flazy.errors import ClosedRun, FlazyError, PoisonSample, UnserializableSample, WorkerError
from flazy.located import Cause, Place, located
from flazy.plan.kernel import Op
from flazy.plan.planner import Chain
from flazy.plan.where import Processes
from flazy.run.runtime import Runtime, runtime
from flazy.run.session import Broken, Emitted, Ended, Nudge, Poisoned, Session
from flazy.run.stages import Stage
from flazy.run.stats import SegmentStats
from flazy.sample import Address, Origin, fresh
from flazy.transport.codec import Unencodable
from flazy.workers.loop import UNSERIALIZABLE
from flazy.workers.pool import Pool, ThreadPool
from flazy.workers.processes import ProcessPool, surroundings
from flazy.workers.task import Failure

__all__ = ["SegmentStage", "open_segment"]

CLOSE_SECONDS = 2.0  # for which close() waits for a feeder that is inside the upstream's code
FLUSH_SECONDS = 0.005  # after which a waiting consumer sends off a chunk that is not full


def open_segment(chain: Chain, upstream: Stage, kernel: Callable[[tuple[Op, ...]], bytes]) -> SegmentStage:
    """Open a parallel stage; its workers start now, its feeder with the first sample that is asked for."""
    hub = runtime()
    where = chain.where
    pool: Pool
    if isinstance(where, Processes):
        pool = ProcessPool(where.n, kernel(chain.ops), surroundings(), hub.fleet)
    else:
        assert where is not None
        pool = ThreadPool(where.n, chain.ops, hub.post)
    flatmap = any(op.kind == "flatmap" for op in chain.ops)
    session = Session(hub.new_run(), where, pool, ordered=chain.ordered, flatmap=flatmap)
    return SegmentStage(chain, upstream, session, pool, hub)


class SegmentStage(Stage):
    """The consumer's side of a parallel stage."""

    def __init__(self, chain: Chain, upstream: Stage, session: Session, pool: Pool, hub: Runtime) -> None:
        super().__init__()  # no upstream of ours: it is the feeder's
        self._ops = chain.ops
        self._session = session
        self._pool = pool
        self._hub = hub
        self._feeder = Feeder(upstream, session, pool, hub, self._ops[0].name)
        self._part: Emitted | None = None
        self._origins: list[tuple[int, ...]] | None = None
        self._left: Iterator[Any] = iter(())
        self._count = 0
        self._given = 0
        self._waited_s = 0.0
        self._closed = False
        hub.open(session)

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples of each part, then raise what ends it, if anything does."""
        self._feeder.start()
        while (part := self._next()) is not None:
            head, values = _opened(part)
            self._given += self._count
            self._part, self._count, self._left = part, len(values), iter(values)
            self._origins, failure = head
            yield from self._left
            if failure is not None:
                raise self._located(Failure(*failure), part)
            self._report(part.task)

    @property
    def address(self) -> Address:
        """Where the last sample came from: its input's address, and the offset in each flatmap."""
        if self._part is None:
            return ()
        place = self._count - self._left.__length_hint__() - 1  # type: ignore[attr-defined]
        if self._origins is None:
            return self._part.origin.address(self._part.start + place)
        index, *offsets = self._origins[place]
        return (*self._part.origin.address(index), *offsets)

    @property
    def cycle(self) -> int:
        """The cycle of the last sample."""
        return self._part.origin.cycle if self._part is not None else 0

    def stop(self) -> None:
        """Let workers and feeder go; waits, for a bounded time, for a feeder that is inside user code."""
        if self._closed:
            return
        self._closed = True
        self._hub.open_sessions.discard(self._session)
        self._hub.post(self._session.close)
        self._session.outlet.put(Broken(ClosedRun("this run was closed while it waited for a sample")))
        super().stop()
        self._feeder.stop()

    def stats(self) -> SegmentStats:
        """Give what it has done so far."""
        session, core = self._session, self._session.core
        return SegmentStats(
            name=" > ".join(op.name for op in self._ops),
            workers=0 if self._closed else len(core.workers),
            samples_in=session.samples_in,
            samples_out=self._given + (self._count - self._left.__length_hint__()),  # type: ignore[attr-defined]
            waited_s=self._waited_s,
            worked_s=session.worked_ns / 1e9,
            lost_workers=session.lost_workers,
            redispatched=core.redispatched,
            dropped=core.dropped,
        )

    def _next(self) -> Emitted | None:
        """Wait for the next part; the only place where the consumer waits."""
        started = time.perf_counter()
        try:
            while True:
                match self._wait():
                    case Emitted() as part:
                        return part
                    case Ended(error):
                        if error is not None:
                            raise error
                        return None
                    case Poisoned() as poisoned:
                        raise self._poison(poisoned)
                    case Broken(error):
                        raise error if isinstance(error, FlazyError) else WorkerError("a fault in Flazy") from error
        finally:
            self._waited_s += time.perf_counter() - started

    def _wait(self) -> Any:
        """Take from the queue; while the source blocks, send off what it gave before."""
        outlet = self._session.outlet
        self._feeder.consumer_waits = True
        try:
            return outlet.get(timeout=FLUSH_SECONDS if self._feeder.partial else None)
        except queue.Empty:
            self._feeder.flush()
            return None
        finally:
            self._feeder.consumer_waits = False

    def _report(self, task: int) -> None:
        self._hub.post(lambda: self._session.taken(task))

    def _located(self, failure: Failure, part: Emitted) -> BaseException:
        address = (*part.origin.address(failure.index), *failure.offsets)
        stage = failure.stage or self._ops[-1].name
        place = Place(stage, address, part.origin.cycle, self._pool.name(part.worker))
        if failure.name == UNSERIALIZABLE and not failure.stage:
            return _unserializable("returned what cannot travel", failure.message, place)
        cause = Cause(failure.name, failure.message, failure.traceback, failure.builtin, failure.error)
        return located(cause, place)

    def _poison(self, poisoned: Poisoned) -> BaseException:
        address = poisoned.origin.address(poisoned.index)
        error = PoisonSample(
            f"{' > '.join(op.name for op in self._ops)}: sample {address[0] if len(address) == 1 else address} "
            f"was running each time when {len(poisoned.reasons)} workers died; the last {poisoned.reasons[-1]}"
        )
        error.stage, error.address, error.cycle = self._ops[0].name, address, poisoned.origin.cycle
        return error


def _opened(part: Emitted) -> tuple[tuple[Any, Any], list[Any]]:
    """Open a part: where its values came from and what ended them (None: one to one, nothing), and the values."""
    values: list[Any] = part.payload.open()
    head = values.pop(0)
    return (None, None) if head is None else head, values


def _unserializable(what: str, message: str, place: Place) -> UnserializableSample:
    number = place.address[0] if len(place.address) == 1 else place.address
    error = UnserializableSample(f"{place.stage} {what} on sample {number}: {message}")
    error.stage, error.address, error.cycle, error.worker = place.stage, place.address, place.cycle, place.worker
    return error


class Feeder:
    """The thread that reads the upstream of a parallel stage, for its whole life, and closes it.

    Samples gather in ``partial`` and leave as a task when they fill a chunk, at the end, or when the consumer waits
    and the source has nothing more for the moment (`flush`, from the consumer's thread).
    """

    def __init__(self, upstream: Stage, session: Session, pool: Pool, hub: Runtime, name: str) -> None:
        self._upstream = upstream
        self._session = session
        self._pool = pool
        self._hub = hub
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failed = False
        self.consumer_waits = False
        self.partial: list[Any] = []
        self._room = 0  # samples that the task which gathers may hold; 0 without a permit
        self._origin: Origin | None = None

    def start(self) -> None:
        """Begin to read."""
        if not self._closing:
            self._thread = threading.Thread(target=self._run, name="flazy-feeder", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Let the thread close the upstream and end; wait for it, unless this is a thread of ours."""
        self._closing = True
        if self._thread is None:
            self._upstream.close()
            return
        self._session.permits.put(0)
        if not threading.current_thread().name.startswith("flazy-") and not sys.is_finalizing():
            self._thread.join(CLOSE_SECONDS)

    def flush(self) -> None:
        """Send what has gathered."""
        with self._lock:
            self._send()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._read()
        except BaseException as raised:  # noqa: BLE001 - raised again in the consumer, at its place
            error = raised
        try:
            self._upstream.close()
        except BaseException as raised:  # noqa: BLE001
            error = error or raised
        if not self._closing:
            self.flush()
            self._hub.post(lambda: self._session.end(error))

    def _read(self) -> None:
        """Read while there are permits: one for each task, had before its first sample is asked for."""
        upstream = self._upstream
        samples = iter(upstream)
        while self._permitted():
            try:
                value = next(samples)
            except StopIteration:
                return
            if (origin := self._origin) is not None and not upstream.dense and origin.cycle != upstream.cycle:
                self.flush()  # a task has one cycle
            while not self._gathered(value):
                if not self._permitted():  # what had gathered was flushed meanwhile, and its permit with it
                    return

    def _permitted(self) -> bool:
        if not self._room:
            self._room = self._session.permits.get()
        return self._room > 0 and not self._closing and not self._failed

    def _gathered(self, value: Any) -> bool:
        """Add a sample to the task that gathers, if there is a permit for one."""
        with self._lock:
            if not self._room:
                return False
            self._add(value)
            first = len(self.partial) == 1
            if len(self.partial) >= self._room:
                self._send()
        if first and self.partial and self.consumer_waits:
            self._session.outlet.put(Nudge())
        return True

    def _add(self, value: Any) -> None:
        upstream = self._upstream
        if self._origin is None:
            self._origin = Origin(upstream.cycle, upstream.address, None if upstream.dense else [])
        if self._origin.listed is not None:
            self._origin.listed.append(upstream.address)
        # Packed at once, or copied now: the source may write into its array again.
        self.partial.append(value if len(self.partial) + 1 >= self._room else fresh(value))

    def _send(self) -> None:
        """Make a task of what has gathered; what cannot travel ends the stream at its place."""
        values, origin = self.partial, self._origin
        if not values or origin is None or self._failed:
            return
        self.partial, self._origin, self._room = [], None, 0
        try:
            payload = self._pool.pack(values)
        except Unencodable as error:
            self._failed = True
            del values[error.index :]
            place = Place(self._name, origin.address(error.index), origin.cycle)
            refused = _unserializable("was given what cannot travel", str(error), place)
            payload = self._pool.pack(values)
        if values:
            self._hub.post(lambda: self._session.accept(origin, payload, len(values)))
        if self._failed:
            self._hub.post(lambda: self._session.end(refused))
