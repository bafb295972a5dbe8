"""How long whoever takes samples has waited for them, and for whom.

The one rule: time is taken at batches, chunks and parts, and where somebody waits anyway; never at a sample of a plain
loop, which costs less than a look at the clock.  One thread writes each of these; anyone may read them at any time.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from flazy.plan.explain import step
from flazy.plan.planner import Chain, Physical
from flazy.plan.sections import functions_in, is_bar, stages_in
from flazy.run.stats import Counts, SectionStats, SegmentStats, StageStats, Waited

__all__ = ["Edge", "Pulls", "Section", "clock"]

clock = time.perf_counter


class Pulls:
    """What one consumer waits for at one place: from `begin` to `end` it waits."""

    __slots__ = ("count", "first_at", "first_s", "since", "until", "waited_s")

    def __init__(self) -> None:
        self.count = 0
        self.first_at: float | None = None  # when it had the first
        self.first_s = 0.0  # for which it had waited for that
        self.waited_s = 0.0  # and for all others
        self.since: float | None = None  # when it began to wait, if it does
        self.until: float | None = None  # when all was over

    def begin(self) -> None:
        """Begin to wait; the end, if there was one, was that of a repetition."""
        self.until = None
        self.since = clock()

    def end(self) -> bool:
        """Have what was waited for; say whether it is the first."""
        if self.since is None:  # closed, meanwhile, by another thread
            return False
        now = clock()
        waited, self.since = now - self.since, None
        self.count += 1
        if self.first_at is None:
            self.first_s += waited
            self.first_at = now
            return True
        self.waited_s += waited
        return False

    def restart(self) -> None:
        """Count all that was waited for so far as waiting for the first, if that is there."""
        if self.first_at is None:
            return
        self.first_s, self.waited_s, self.first_at = self.first_s + self.waited_s, 0.0, clock()

    def over(self) -> None:
        """Have no more; idempotent."""
        if self.until is None:
            self.until = clock()
            since, self.since = self.since, None
            self.waited_s += self.until - since if since is not None else 0.0

    def waited(self, now: float) -> Waited | None:
        """Give the time so far, that of a wait which has begun included; None before the first."""
        since, first_at, until = self.since, self.first_at, self.until
        if first_at is None:
            return None
        waiting = max(0.0, now - since) if since is not None else 0.0
        return Waited((now if until is None else until) - first_at, self.waited_s + waiting, self.first_s)


class Section:
    """The stages that one consumer pulls, down to those of other threads and of workers."""

    def __init__(self, physical: Physical | None = None) -> None:
        self._physical = physical
        self._edges: dict[Physical, Edge] = {}
        self.pulls = Pulls()

    def edge(self, part: Physical) -> Edge:
        """Give the edge at a part; it is the same one in each repetition."""
        if part not in self._edges:
            self._edges[part] = Edge(part)
        return self._edges[part]

    def edges(self) -> Iterator[Edge]:
        """Give all edges; behind a progress bar goes on what is before it."""
        for edge in list(self._edges.values()):
            if edge.is_bar:
                yield from edge.feed.edges()
            else:
                yield edge

    def begin(self) -> None:
        """Begin to wait for it."""
        self.pulls.begin()

    def end(self) -> None:
        """Have something of it; with the first the times of what it waits for begin anew, so that they compare."""
        if self.pulls.end():
            for edge in self.edges():
                edge.restart()

    def restart(self) -> None:
        """Begin anew with all times: only now somebody wants more than the first."""
        self.pulls.restart()
        for edge in self.edges():
            edge.restart()

    def timed(self, samples: Iterable[Any]) -> Generator[Any, None, None]:
        """Pull samples and take the time of each: these are batches, or somebody has asked for it."""
        pulls, samples = self.pulls, iter(samples)
        try:
            self.begin()
            for value in samples:
                self.end()
                yield value
                del value  # the caller's is the only one that is held
                break
            since = pulls.since = clock()
            for value in samples:  # begin() and end(), written out: a batch may be of one sample
                pulls.waited_s += clock() - since
                pulls.since = None
                pulls.count += 1
                yield value
                del value
                since = pulls.since = clock()
        finally:
            pulls.over()

    def waited(self, now: float | None = None) -> Waited | None:
        """Say how long its consumer has waited: where that was not timed, for its edges alone, if it has any."""
        now = clock() if now is None else now
        if (timed := self.pulls.waited(now)) is not None:
            return timed
        found = [
            (edge.waits.first_at, waited)
            for edge in self.edges()
            if edge.waits.first_at is not None and (waited := edge.waits.waited(now)) is not None
        ]
        if not found:
            return None
        first_at, first = min(found, key=lambda each: each[0])
        waited_s = sum(waited.first_s + waited.waited_s for _, waited in found) - first.first_s
        until = now if self.pulls.until is None else self.pulls.until
        return Waited(until - first_at, waited_s, first.first_s)

    def stats(self, now: float) -> SectionStats:
        """Give what is known of it."""
        return SectionStats(
            stages=tuple(stages_in(self._physical)) if self._physical is not None else (),
            functions=tuple(functions_in(self._physical)) if self._physical is not None else (),
            pulled=self.pulls.waited(now),
            stops=tuple([edge.stats(now) for edge in self.edges()]),
        )


class Edge:
    """Where one section waits for another: at a parallel stage, a prefetch, or (in the same thread) a progress bar."""

    def __init__(self, part: Physical) -> None:
        self._part = part
        self.feed = Section(part.upstream if isinstance(part, Chain) else part.upstreams[0])
        self.waits = Pulls()
        self._early_s = 0.0
        self._stages: tuple[Counts, tuple[Any, ...]] = Counts(), ()  # of those that are closed; those that are not

    @property
    def is_bar(self) -> bool:
        """Whether nobody is waited for here."""
        return is_bar(self._part)

    def open(self, segment: Any) -> None:
        """Take in the parallel stage, or that of one more repetition."""
        ended, stages = self._stages
        self._stages = ended, (*stages, segment)

    def close(self, segment: Any) -> None:
        """Keep its counts and nothing else: it holds this edge."""
        self.waits.over()
        ended, stages = self._stages
        self._stages = ended.plus(segment.counts()), tuple([stage for stage in stages if stage is not segment])

    def end(self) -> None:
        """Have something."""
        if self.waits.end():
            self.restart()

    def restart(self) -> None:
        """Begin anew with all times: only now its consumer has had the first."""
        self.waits.restart()
        self._early_s = self._counts().worked_s if self.waits.first_at is not None else 0.0

    def stats(self, now: float) -> StageStats:
        """Give what is known of it."""
        part, waited, feed = self._part, self.waits.waited(now) or Waited(0.0, 0.0, 0.0), self.feed.stats(now)
        if not isinstance(part, Chain):
            return StageStats(name=step(part.node), wait=waited, feed=feed)
        assert part.where is not None
        counts = self._counts()._asdict()
        most = counts.pop("most_workers")
        return SegmentStats(
            name=" > ".join(op.name for op in part.ops),
            wait=waited,
            feed=feed,
            workers_asked=part.where.asked or most,
            early_s=self._early_s,
            **counts,
        )

    def _counts(self) -> Counts:
        ended, stages = self._stages
        for stage in stages:
            ended = ended.plus(stage.counts())
        return ended
