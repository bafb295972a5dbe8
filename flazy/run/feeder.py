"""The thread that reads the upstream of a parallel stage, chunk by chunk, as far as its session permits.

Only it touches the upstream, from the first sample to its close.  It takes no lock and calls no function of ours for
a sample, but for each chunk.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flazy.errors import FlazyError, UnserializableSample
from flazy.located import Place
from flazy.plan.loops import INDEX
from flazy.run.runtime import Runtime
from flazy.run.session import Nudge, Session
from flazy.run.stages import SourceStage, Stage
from flazy.run.waits import Section
from flazy.sample import ATOMS, Address, Origin
from flazy.transport.codec import Unencodable
from flazy.workers import room
from flazy.workers.pool import Pool

__all__ = ["Feeder", "aligned", "unserializable"]

CLOSE_SECONDS = 2.0  # for which close() waits for a feeder that is inside the upstream's code


class Feeder:
    """The thread that reads the upstream of a parallel stage, for its whole life, and closes it.

    Samples gather in ``partial`` and leave as a task when they fill a chunk, at the end, or when the consumer waits
    and the source has nothing more for the moment (`flush`, from the consumer's thread).

    The feeder appends without a lock; whoever sends takes from the front, under the lock, and empties ``_lease``:
    one entry for each sample that may still be pulled for this task, of which the feeder takes one before each.
    So at most one sample, which was being pulled, is added behind what was sent; it waits for the next permit.

    Parameters
    ----------
    batch
        Behind the stage comes a batch of so many samples: tasks end on its multiples, so that few batches need the
        outputs of two workers.
    section
        What is upstream; how long the thread pulls it is noted there, chunk by chunk.
    """

    def __init__(
        self, upstream: Stage, session: Session, pool: Pool, hub: Runtime, name: str, *, section: Section,
        batch: int = 1,
    ) -> None:  # fmt: skip
        self._upstream = upstream
        self._session = session
        self._pool = pool
        self._hub = hub
        self._name = name
        self._batch = batch
        self._section = section
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failed = False
        self.consumer_waits = False
        self.partial: list[Any] = []
        self._room = 0  # samples that the task which gathers may hold; 0 without a permit
        self._lease: list[bool] = []  # True for the sample that fills the chunk
        self._sent = 0
        self._first: Origin | None = None  # where a dense upstream began
        self._listed: list[Address] = []  # for each in ``partial``, where the upstream is not dense
        self._cycle = 0  # of those in ``partial``

    def start(self) -> None:
        """Begin to read."""
        if not self._closing:
            thread = threading.Thread(target=self._run, name="flazy-feeder", daemon=True)
            room.start(thread, "the thread that reads the source of a stage")
            self._thread = thread

    def stop(self) -> None:
        """Let the thread close the upstream and end; wait for it, unless this is a thread of ours."""
        self._closing = True
        if self._thread is None:
            self._upstream.close()
            return
        self._session.permits.put(0)
        ours = threading.current_thread().name.startswith("flazy-")
        if not ours and not sys.is_finalizing() and self._thread.is_alive():  # else another thread is about to start it
            self._thread.join(CLOSE_SECONDS)

    def flush(self) -> None:
        """Send what has gathered."""
        with self._lock:
            count = len(self.partial)
            if not count or not self._room:  # what came after the last task was sent has no permit yet
                return
            values = self.partial[:count]
            origin = self._origin(count)
            del self.partial[:count], self._listed[:count]
            self._lease.clear()
            self._send(values, origin)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._read()
        except BaseException as raised:  # noqa: BLE001 - raised again in the consumer, at its place
            error = raised
        self._section.pulls.over()
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
        if not isinstance(upstream, SourceStage):
            self._read_samples(iter(upstream), self._gather if upstream.dense else self._gather_listed)
            return
        pulled = upstream.pull()
        self._first = Origin(upstream.cycle, (0,))
        if (take := upstream.taker()) is not None:
            self._read_chunks(take)
            return
        self._read_samples(pulled, self._gather_pulled)

    def _read_chunks(self, take: Callable[[int], Sequence[Any]]) -> None:
        """Take chunk by chunk what comes without anyone's code: each is sent at once and needs no copy."""
        self._session.at_hand = True
        while self._permitted():
            self._section.begin()
            values = take(self._room)
            self._section.end()
            if not len(values):
                return
            with self._lock:
                self._send(values, self._origin(len(values)))

    def _read_samples(self, samples: Iterator[Any], gather: Callable[[Iterator[tuple[bool, Any]]], None]) -> None:
        samples = itertools.chain(samples)  # what has ended is not asked again, although it may have more then
        while self._permitted():
            self._section.begin()
            room = self._room - len(self.partial)
            self._lease = lease = [False] * (room - 1) + [True] * (room > 0)
            if self.partial:
                self._nudge()
            gather(zip(lease, samples, strict=False))
            self._section.end()
            if not self._filled():
                return

    def _permitted(self) -> bool:
        if not self._room:
            permit = self._session.permits.get()
            self._room = aligned(permit, self._sent, self._batch) if permit > 0 else 0
        return self._room > 0 and not self._closing and not self._failed

    def _gather(self, samples: Iterator[tuple[bool, Any]]) -> None:
        """Add samples to the task that gathers, where they are counted from the first."""
        append, keep, atoms = self.partial.append, self._pool.keep, ATOMS
        for last, value in samples:
            if self._first is None:
                self._first = Origin(self._upstream.cycle, self._upstream.address)
            # Packed at once, or copied now: the source may write into its array again.
            append(value if last or type(value) in atoms else keep(value))
            if not last:
                self._nudge()
            break
        for last, value in samples:
            append(value if last or type(value) in atoms else keep(value))

    def _gather_pulled(self, samples: Iterator[tuple[bool, Any]]) -> None:
        """Add samples of a source, for which we count: a generator in between would cost as much as all the rest."""
        source = self._upstream
        assert isinstance(source, SourceStage)
        try:
            self._gather(samples)
        except (GeneratorExit, KeyboardInterrupt, FlazyError):
            raise
        except BaseException as error:
            with self._lock:
                source.record[INDEX] = self._sent + len(self.partial) - 1
            raise source.failed(error) from error

    def _gather_listed(self, samples: Iterator[tuple[bool, Any]]) -> None:
        """Add samples to the task that gathers, each with its address."""
        upstream, partial = self._upstream, self.partial
        for last, value in samples:
            if partial and upstream.cycle != self._cycle:
                self.flush()  # a task has one cycle
            if not partial:
                self._cycle = upstream.cycle
            self._listed.append(upstream.address)  # first, so that whoever sends finds one for each value
            partial.append(value if last else self._pool.keep(value))
            if len(partial) == 1 and not last:
                self._nudge()

    def _nudge(self) -> None:
        if self.consumer_waits:
            self._session.outlet.put(Nudge())

    def _filled(self) -> bool:
        """Send what has gathered if that is a full task; say whether there may be more samples."""
        with self._lock:
            if not self._room:  # it was flushed, and what was being pulled then may not have been copied
                self.partial[:] = map(self._pool.keep, self.partial)
                return True
            full = len(self.partial) >= self._room
        if full:
            self.flush()
        return full

    def _origin(self, count: int) -> Origin:
        """Say where the next samples that are sent come from."""
        if self._first is not None:
            return Origin(self._first.cycle, self._first.address(self._sent))
        return Origin(self._cycle, self._listed[0], self._listed[:count])

    def _send(self, values: Sequence[Any], origin: Origin) -> None:
        """Make a task of samples; what cannot travel ends the stream at its place."""
        if self._failed:
            return
        self._room = 0
        self._sent += len(values)
        try:
            payload = self._pool.pack(values)
        except Unencodable as error:
            self._failed = True
            values = values[: error.index]
            place = Place(self._name, origin.address(error.index), origin.cycle)
            refused = unserializable("was given what cannot travel", str(error), place)
            payload = self._pool.pack(values)
        if samples := len(values):
            self._hub.post(lambda: self._session.accept(origin, payload, samples))
        if self._failed:
            self._hub.post(lambda: self._session.end(refused))


def aligned(room: int, given: int, batch: int) -> int:
    """Say how many samples the next task takes, so that tasks end where batches do.

    Parameters
    ----------
    room
        So many are permitted.
    given
        So many went before.
    batch
        The size of a batch; where a task cannot hold what is left of one, it is split evenly.
    """
    left = batch - given % batch
    if room >= left:
        return room - (given + room) % batch
    return -(-left // -(-left // room))


def unserializable(what: str, message: str, place: Place) -> UnserializableSample:
    """Say of a sample that it cannot travel."""
    number = place.address[0] if len(place.address) == 1 else place.address
    error = UnserializableSample(f"{place.stage} {what} on sample {number}: {message}")
    error.stage, error.address, error.cycle, error.worker = place.stage, place.address, place.cycle, place.worker
    return error
