"""The thread that reads the upstream of a parallel stage, chunk by chunk, as far as its session permits.

Only it touches the upstream, from the first sample to its close.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from flazy.errors import UnserializableSample
from flazy.located import Place
from flazy.run.runtime import Runtime
from flazy.run.session import Nudge, Session
from flazy.run.stages import Stage
from flazy.sample import Origin, fresh
from flazy.transport.codec import Unencodable
from flazy.workers.pool import Pool

__all__ = ["Feeder", "unserializable"]

CLOSE_SECONDS = 2.0  # for which close() waits for a feeder that is inside the upstream's code


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
            refused = unserializable("was given what cannot travel", str(error), place)
            payload = self._pool.pack(values)
        if values:
            self._hub.post(lambda: self._session.accept(origin, payload, len(values)))
        if self._failed:
            self._hub.post(lambda: self._session.end(refused))


def unserializable(what: str, message: str, place: Place) -> UnserializableSample:
    """Say of a sample that it cannot travel."""
    number = place.address[0] if len(place.address) == 1 else place.address
    error = UnserializableSample(f"{place.stage} {what} on sample {number}: {message}")
    error.stage, error.address, error.cycle, error.worker = place.stage, place.address, place.cycle, place.worker
    return error
