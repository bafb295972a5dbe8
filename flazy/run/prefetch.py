"""A thread that runs ahead of the consumer by a bounded number of samples."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any

from flazy.plan import nodes
from flazy.run.kept import Reordered, named
from flazy.run.stages import Stage
from flazy.run.waits import Edge, Section
from flazy.workers import room

__all__ = ["PrefetchStage"]

SAMPLE, END, ERROR = range(3)
CLOSE_SECONDS = 2.0


class PrefetchStage(Reordered):
    """Pulls its upstream in a thread of its own, from the first sample to the last."""

    def __init__(self, node: nodes.Prefetch, upstream: Stage, edge: Edge) -> None:
        super().__init__(upstream)
        self.edge = edge
        self.ahead = Ahead(upstream, node.count, edge.feed)

    def stream(self) -> Generator[Any, None, None]:
        """Give samples as they are ready, then the upstream's error, if that is how it ended."""
        ahead = self.ahead
        room.start(ahead.thread, "the thread of a prefetch")
        ready = ahead.ready
        while True:
            kind, item = self._wait() if ready.empty() else ready.get()  # nobody else takes from it
            if kind == END:
                return
            if kind == ERROR:
                try:
                    raise item
                finally:
                    del item  # or frame and exception would hold each other
            self._address, self._cycle, value = item
            ahead.room.release()
            yield value

    def _wait(self) -> tuple[int, Any]:
        """Do so, and take the time, which is not taken where nobody waits."""
        self.edge.waits.begin()
        item = self.ahead.ready.get()
        self.edge.end()
        return item

    def stop(self) -> None:
        """Let the thread end, then wait for it."""
        self.edge.waits.over()
        super().stop()
        self.ahead.stop()


class Ahead:
    """The thread, and the samples that it has ready; it knows nothing of the stage and so does not keep it alive.

    The upstream's user functions run in that thread.  Where one of them blocks at ``stop``, the thread is left behind
    and ends when it returns.
    """

    def __init__(self, upstream: Stage, count: int, section: Section) -> None:
        self.upstream = upstream
        self.section = section
        self.room = threading.Semaphore(count)
        self.ready: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.closing = False
        self.thread = threading.Thread(target=self._pull, name="flazy-prefetch", daemon=True)

    def _pull(self) -> None:
        section, first = self.section, True
        section.begin()
        try:
            self.room.acquire()
            for item in () if self.closing else named(self.upstream):
                self.ready.put((SAMPLE, item))
                # Without room it does not pull. The first sample is looked at anyway: times are counted from there.
                if first or not self.room.acquire(blocking=False):
                    first = False
                    section.end()
                    self.room.acquire()
                    section.begin()
                if self.closing:
                    return
            self.ready.put((END, None))
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            self.ready.put((ERROR, error))
        finally:
            section.pulls.over()

    def stop(self) -> None:
        """Let the thread end; it is waiting for room, or inside user code."""
        self.closing = True
        self.room.release()
        if self.thread.ident is not None and self.thread is not threading.current_thread():
            self.thread.join(CLOSE_SECONDS)
