"""A parallel stage: a feeder thread in front, a `Session` in the hub, and here the consumer's side.

The consumer opens parts as they are emitted, gives their samples, and reports each part when it is done with it.
"""

from __future__ import annotations

import importlib
import itertools
import queue
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from flazy.errors import ClosedRun, FlazyError, PoisonSample, SampleTimeout, WorkerError
from flazy.located import Cause, Place, located, placed
from flazy.plan.planner import Chain
from flazy.plan.policy import SkippedSample
from flazy.plan.ray import Ray
from flazy.plan.remote import Remote
from flazy.plan.where import Processes, Threads
from flazy.run.feeder import Feeder, unserializable
from flazy.run.groups import Group, grouped
from flazy.run.runtime import Runtime, runtime
from flazy.run.session import Broken, Emitted, Ended, Poisoned, Session, stage_at
from flazy.run.shipped import Shipped
from flazy.run.skips import Skips
from flazy.run.stages import Stage
from flazy.run.stats import Counts
from flazy.run.waits import Edge
from flazy.sample import Address
from flazy.transport.arena import Lease
from flazy.transport.parts import opened, rows_checked
from flazy.transport.stretches import Stretch
from flazy.workers.deaths import Death, error_again, error_of
from flazy.workers.loop import UNSERIALIZABLE
from flazy.workers.pool import Pool, ThreadPool
from flazy.workers.processes import ProcessPool, surroundings
from flazy.workers.task import Failure

__all__ = ["SegmentStage", "open_segment"]

FLUSH_SECONDS = 0.005  # after which a waiting consumer sends off a chunk that is not full


def open_segment(chain: Chain, upstream: Stage, shipped: Shipped, skips: Skips, edge: Edge) -> SegmentStage:
    """Open a parallel stage; its workers start now, its feeder with the first sample that is asked for."""
    hub = runtime()
    where = chain.where
    pool: Pool
    kept = None
    if isinstance(where, Remote):
        kept = shipped.kernel(chain.ops, hub.fleet.kernels) if where.local else None
        guests = importlib.import_module("flazy.run.guests")  # loaded by few
        pool = guests.open_pool(chain, hub, shipped.parcel(chain.ops, where), kept)
    elif isinstance(where, Processes):
        kept = shipped.kernel(chain.ops, hub.fleet.kernels)
        pool = ProcessPool(where, kept, surroundings(where.threads), hub.fleet, chain.batching)
    elif isinstance(where, Ray):
        cluster = importlib.import_module("flazy.workers.ray.cluster").connected(where)
        kept = shipped.kernel(chain.ops, cluster)
        pool = cluster.pool(where, kept, surroundings(), chain.batching, post=hub.post, relay=hub.fleet.relay)
    else:
        assert isinstance(where, Threads)
        pool = ThreadPool(where.n, chain.ops, hub.post)
    chunk = kept.chunk if kept is not None else 1
    session = Session(hub.new_run(), where, pool, chain.ops, ordered=chain.ordered, chunk=chunk)
    return SegmentStage(chain, upstream, session, pool, hub, kept=kept, skips=skips, edge=edge)


class SegmentStage(Stage):
    """The consumer's side of a parallel stage."""

    def __init__(
        self, chain: Chain, upstream: Stage, session: Session, pool: Pool, hub: Runtime, *, kept: Any,
        skips: Skips, edge: Edge,
    ) -> None:  # fmt: skip
        super().__init__()  # no upstream of ours: it is the feeder's
        self._kept = kept
        self._skips = skips
        self._ops = chain.ops
        self._batching = chain.batching
        self._session = session
        self._pool = pool
        self._hub = hub
        batch = chain.batching.size if chain.batching is not None else 1
        self._edge = edge
        self._feeder = Feeder(upstream, session, pool, hub, self._ops[0].name, batch=batch, section=edge.feed)
        self._part: Emitted | None = None
        self._origins: Sequence[Sequence[int]] | None = None  # columns: index of the input, offset in each flatmap
        self._left: Iterator[Any] = iter(())
        self._count = 0
        self._given = 0
        self.closed = False
        hub.open(session)

    def __iter__(self) -> Iterator[Any]:
        """Give the samples of each part: of the next part as a whole, so that nothing of ours runs for a sample."""
        parts = self._running = self._parts()
        return itertools.chain.from_iterable(parts)

    def _parts(self) -> Generator[Iterator[Any], None, None]:
        """Give the samples part by part, then raise what ends one, if anything does."""
        self._feeder.start()
        while (part := self._next()) is not None:
            (self._origins, failure, skipped), stretches = opened(part.payload, part.outputs)
            for sample in skipped:
                self._skips.add(SkippedSample(*sample))
            values = _samples(stretches)
            self._given += self._count
            self._part, self._count, self._left = part, len(values), iter(values)
            del values, stretches
            yield self._left
            if failure is not None:
                raise self._located(Failure(*failure), part)
            self._report(part.task)

    def groups(self, size: int) -> Iterator[Group]:
        """Give the samples in groups that make a batch; those that workers have made, or filled, as they are."""
        if self._batching is None:
            return super().groups(size)
        self._running = grouped(self._stretches(), size)
        return self._running

    def _stretches(self) -> Iterator[tuple[Stretch, Lease | None]]:
        """Give what was sent, part by part."""
        self._feeder.start()
        while (part := self._next()) is not None:
            (_, failure, _), stretches = opened(part.payload, part.outputs)
            self._part = part
            lease = part.payload.lease
            for stretch in stretches:
                self._given += stretch[1]
                yield stretch, lease
            del stretches, lease
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
        index, *offsets = [int(column[place]) for column in self._origins]
        return (*self._part.origin.address(index), *offsets)

    @property
    def cycle(self) -> int:
        """The cycle of the last sample."""
        return self._part.origin.cycle if self._part is not None else 0

    def wake(self) -> None:
        """Let a thread of ours that waits for a sample here, to read ahead or to feed another stage, go on and end."""
        self._session.outlet.put(Broken(ClosedRun("this run was closed while it waited for a sample")))

    def stop(self) -> None:
        """Let workers and feeder go; waits, for a bounded time, for a feeder that is inside user code."""
        if self.closed:
            return
        self.closed = True
        self._edge.close(self)
        if self._kept is not None and (chunk := self._session.chunk) is not None:
            self._kept.chunk = chunk
        self._hub.open_sessions.discard(self._session)
        self._hub.post(self._session.close)
        self.wake()
        super().stop()
        self._feeder.stop()

    def counts(self) -> Counts:
        """Give what it has done so far."""
        session, core = self._session, self._session.core
        return Counts(
            workers=0 if self.closed else len(core.workers),
            most_workers=session.most_workers,
            samples_in=session.samples_in,
            samples_done=session.samples_done,
            samples_out=self._given + (self._count - self._left.__length_hint__()),  # type: ignore[attr-defined]
            worked_s=session.worked_ns / 1e9,
            lost_workers=session.lost_workers,
            redispatched=core.redispatched,
            dropped=core.dropped,
        )

    def _next(self) -> Emitted | None:
        """Wait for the next part; the only place where the consumer waits."""
        self._edge.waits.begin()
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
            self._edge.end()

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
            return unserializable("returned what cannot travel", failure.message, place)
        error = error_again(failure.error) if isinstance(failure.error, tuple) else failure.error
        if isinstance(error, PoisonSample | SampleTimeout) and not error.stage:
            # The error of a verdict: not of the worker that told it, but of those that died.
            return placed(error, replace(place, worker=error.worker))
        cause = Cause(failure.name, failure.message, failure.traceback, failure.builtin, error)
        return located(cause, place)

    def _poison(self, poisoned: Poisoned) -> BaseException:
        index, *rest = poisoned.verdict.place
        address = (*poisoned.origin.address(index), *rest[1:])
        deaths = [reason for reason in poisoned.verdict.reasons if isinstance(reason, Death)]
        error = error_of(deaths, overdue=poisoned.verdict.overdue)
        stage = stage_at(self._ops, poisoned.verdict.place)
        return placed(error, Place(stage, address, poisoned.origin.cycle, error.worker))


def _samples(stretches: list[Stretch]) -> Sequence[Any]:
    if len(stretches) == 1:
        return rows_checked(stretches[0])
    return [sample for stretch in stretches for sample in rows_checked(stretch)]
