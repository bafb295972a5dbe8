"""A pass over a plan: what ``dataset.open()`` gives."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from flazy.errors import ClosedRun
from flazy.plan.planner import Chain, Physical
from flazy.plan.sections import batched, ends_in_workers
from flazy.run import waits
from flazy.run.build import build
from flazy.run.shipped import Shipped
from flazy.run.skips import Skips, caller_level
from flazy.run.stages import Stage
from flazy.run.stats import SectionStats, SegmentStats, Stats
from flazy.run.timed import TimedStage
from flazy.run.waits import Edge, Section

__all__ = ["Run"]

LOGGED_SECONDS = 1.0  # what a pass takes, from its first sample on, that is worth a line of its own at level INFO

log = logging.getLogger("flazy")


class Run(Iterator[Any]):
    """One pass: an iterator and a context manager.

    Parallel stages have started their workers when it is made; everything else starts with the first sample.  It closes
    itself at the end of the data, when an error comes out of it, and when nobody holds it any more.  Closed before its
    end, it raises `ClosedRun` if it is asked for a sample.

    Parameters
    ----------
    physical, cycle
        What is run, and as which pass.
    timed
        Take the time of each sample, as it is always done where samples are batches.
    quiet
        Log nothing at the end: this is a look, no pass.
    """

    def __init__(self, physical: Physical, cycle: int, *, timed: bool = False, quiet: bool = False) -> None:
        self._opened = Opened(physical, cycle, timed=timed, quiet=quiet)
        self._ended = False
        # A net, for a run that is dropped: ``Opened`` holds threads and workers, and knows nothing of this object.
        weakref.finalize(self, self._opened.close).atexit = False

    @cached_property
    def samples(self) -> Iterator[Any]:
        """The samples themselves; this starts the pass."""
        return iter(self._opened.stage)

    def __iter__(self) -> Self:
        """Be its own iterator."""
        return self

    def __next__(self) -> Any:
        """Give the next sample."""
        if self._opened.closed and not self._ended:
            raise ClosedRun("this run is closed; iterate the dataset, or open() it, for another pass")
        try:
            return next(self.samples)
        except BaseException as error:
            self._ended = isinstance(error, StopIteration)
            self.close()
            raise

    def __enter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the pass; idempotent. Workers are told to end, and have ended after `flazy.shutdown()` at the latest."""
        self._opened.close()

    def look(self) -> None:
        """Be a look and no pass, of which nothing is logged, until `go_on`."""
        self._opened.quiet = True

    def go_on(self) -> None:
        """Be a pass again, whose times begin now: nobody has waited since the look."""
        self._opened.go_on()

    def stats(self) -> Stats:
        """Give what it has done so far; ``str()`` of it is one line: how long the loop waited, and for which stage."""
        return self._opened.stats()


@dataclass(frozen=True, slots=True)
class At:
    """A section of a pass; see `flazy.run.build.Opening`."""

    opened: Opened
    section: Section

    @property
    def skips(self) -> Skips:
        """Those of the pass."""
        return self.opened.skips

    @property
    def remarks(self) -> dict[str, type[Warning]]:
        """Those of the pass."""
        return self.opened.remarks

    def beyond(self, part: Physical) -> At:
        """Give the section upstream of a part."""
        return At(self.opened, self.section.edge(part).feed)

    def segment(self, chain: Chain, upstream: Stage) -> Stage:
        """Open a parallel stage."""
        return self.opened.segment(chain, upstream, self.section.edge(chain))


class Opened:
    """The stages of one pass, and what its parallel stages share."""

    def __init__(self, physical: Physical, cycle: int, *, timed: bool, quiet: bool) -> None:
        self.quiet = quiet
        self._cycle = cycle
        self._physical = physical
        self._section = Section(physical)
        self._timed = timed or batched(physical) > 0
        self._opened_at = waits.clock()
        self._seconds: float | None = None
        self._segments: dict[Any, None] = {}  # a set in order: those that are not over
        self.skips = Skips()
        self.remarks: dict[str, type[Warning]] = {}
        self._shipped = Shipped(physical)
        try:
            self.stage = build(physical, cycle, At(self, self._section))
            if self._timed:
                self.stage = TimedStage(self.stage, self._section)
        except BaseException:
            self._shipped.let_go()
            raise

    @property
    def closed(self) -> bool:
        """Whether the pass is over."""
        return self._seconds is not None

    def segment(self, chain: Chain, upstream: Stage, edge: Edge) -> Stage:
        """Open a parallel stage of this pass; called while the plan is built."""
        segments = importlib.import_module("flazy.run.segment")
        stage: Stage = segments.open_segment(chain, upstream, self._shipped, self.skips, edge)
        edge.open(stage)
        for over in [segment for segment in list(self._segments) if segment.closed]:  # an earlier repetition
            self._segments.pop(over, None)
        self._segments[stage] = None
        if self.closed:  # looked at after the segment can be seen, so that one of the two closes it
            stage.close()
            raise ClosedRun("this run is closed")
        return stage

    def close(self) -> None:
        """End every stage, and so give the workers back; idempotent."""
        if self._seconds is not None:
            return
        self._seconds = waits.clock() - self._opened_at
        self._section.pulls.over()
        for segment in list(self._segments):
            segment.wake()
        try:
            self.stage.close()
        finally:
            del self.stage  # stages that open others hold this object
            for segment in list(self._segments):  # also one that a thread of another stage is opening just now
                segment.close()
            self._shipped.let_go()  # after the segments' own goodbye: the hub hears of them in this order
            self.skips.tell()
            while self.remarks:
                warnings.warn(*self.remarks.popitem(), stacklevel=caller_level())
            self._log()

    def go_on(self) -> None:
        """Be a pass, and no look any more."""
        self.quiet = False
        self._section.restart()

    def _log(self) -> None:
        """Log how long the loop waited, and for whom; a pass that gave no second sample did not go on long enough."""
        waited = None if self.quiet else self._section.waited()
        if waited is None:
            return
        level = logging.INFO if waited.seconds >= LOGGED_SECONDS else logging.DEBUG
        if log.isEnabledFor(level) and (stats := self.stats()).given not in (0, 1):
            log.log(level, "pass %d: %s", self._cycle, stats)

    def stats(self) -> Stats:
        """Give what was done so far."""
        now = waits.clock()
        return Stats(
            seconds=now - self._opened_at if self._seconds is None else self._seconds,
            loop=(loop := self._section.stats(now)),
            wait=self._section.waited(now),
            given=self._given(loop),
            unit="batches" if batched(self._physical) else "samples",
            cores=_cores(),
            skipped=sum(self.skips.counts.values()),
            skips=tuple(self.skips.kept),
        )

    def _given(self, loop: SectionStats) -> int | None:
        """Count the samples that the pass gave, where that is known without counting each."""
        if self._timed:
            return self._section.pulls.count
        if not ends_in_workers(self._physical):
            return None
        (last,) = loop.stops
        return last.samples_out if isinstance(last, SegmentStats) else None


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
