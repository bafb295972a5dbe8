"""What a run has done so far, as frozen values, and what follows from them: all arithmetic is here and has no clock.

A run is a loop that pulls a section of stages; that stops at stages with workers or threads of their own, each of which
has a feed: the section that is pulled for it.  `slowest_of` walks along them from the loop to the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from flazy.plan.policy import SkippedSample

__all__ = ["HARDLY", "Counts", "SectionStats", "SegmentStats", "Slowest", "StageStats", "Stats", "Waited", "slowest_of"]

HARDLY = 0.05  # of its time a loop may wait before anything is to blame: about what one run differs from the next
MOSTLY = 0.5  # what is less busy than that may be waiting for something that is not measured
FULLY = 0.9  # busy workers, for which more of them would do more
MOST_NAMES = 3
AHEAD = "in the thread that reads ahead"


@dataclass(frozen=True, slots=True)
class Waited:
    """How long a consumer waited.

    Parameters
    ----------
    seconds
        Since it had the first sample, to the end.
    waited_s
        For which of these it waited.
    first_s
        For which it had waited for the first.
    """

    seconds: float
    waited_s: float
    first_s: float

    @property
    def total_s(self) -> float:
        """All seconds for which it waited."""
        return self.first_s + self.waited_s

    @property
    def share(self) -> float:
        """How much of the time since the first it waited, from 0 to 1."""
        return min(1.0, self.waited_s / self.seconds) if self.seconds > 0 else 0.0


class Counts(NamedTuple):
    """What a parallel stage counts; see `SegmentStats`."""

    workers: int = 0
    samples_in: int = 0
    samples_done: int = 0
    samples_out: int = 0
    worked_s: float = 0.0
    lost_workers: int = 0
    redispatched: int = 0
    dropped: int = 0
    most_workers: int = 0

    def plus(self, other: Counts) -> Counts:
        """Add those of another repetition, which had its workers at another time."""
        added = Counts._make(mine + theirs for mine, theirs in zip(self, other, strict=True))
        return added._replace(most_workers=max(self.most_workers, other.most_workers))


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionStats:
    """Stages that run one after the other in one thread: the loop's, or one that reads ahead.

    Parameters
    ----------
    stages
        Those that may take time, upstream first.
    functions
        Those that could have workers.
    pulled
        How long whoever pulls them has waited for them; None where that was not timed.
    stops
        The stages with workers or threads of their own for which they wait.
    """

    stages: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    pulled: Waited | None = None
    stops: tuple[StageStats, ...] = ()

    @property
    def own_s(self) -> float | None:
        """Seconds spent in these stages themselves, since the first sample; None where that was not timed."""
        if self.pulled is None:
            return None
        return max(0.0, self.pulled.waited_s - sum(stop.waited_s for stop in self.stops))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStats:
    """A stage with a thread of its own, such as a prefetch; `SegmentStats` is one with workers.

    Parameters
    ----------
    name
        The stage, or those that were fused.
    wait
        How long its consumer waited for it. Its first sample is what the consumer needed for its own first.
    feed
        What is upstream of it. That was pulled for as long as it waited there; otherwise there was no room.
    """

    name: str
    wait: Waited
    feed: SectionStats

    @property
    def waited_s(self) -> float:
        """Seconds for which the consumer waited for this stage, since the first sample."""
        return self.wait.waited_s

    @property
    def first_s(self) -> float:
        """Seconds for which it had waited for this stage before."""
        return self.wait.first_s

    @property
    def waited(self) -> float:
        """How much of the time since the first sample the consumer waited for this stage, from 0 to 1."""
        return self.wait.share


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStats(StageStats):
    """A parallel stage, in all repetitions of it.

    Parameters
    ----------
    workers
        Workers that are ready, or were when the last task was done; 0 once the stage is closed.
    workers_asked
        As many as it should have; of those that come and go, the most that there were at once.
    samples_in, samples_done, samples_out
        Samples read from upstream, those of tasks that are done, and samples handed on.
    worked_s
        Seconds for which its workers ran the functions, all together.
    early_s
        So many of them before the consumer had its first sample.
    lost_workers
        Workers that died.
    redispatched, dropped
        Tasks that were sent again, and results that came too late to count.
    """

    workers: int = 0
    workers_asked: int
    samples_in: int = 0
    samples_done: int = 0
    samples_out: int = 0
    worked_s: float = 0.0
    early_s: float = 0.0
    lost_workers: int = 0
    redispatched: int = 0
    dropped: int = 0

    @property
    def busy(self) -> float:
        """How much of the time since the first sample its workers ran the functions, from 0 to 1."""
        available_s = self.workers_asked * self.wait.seconds
        return min(1.0, (self.worked_s - self.early_s) / available_s) if available_s > 0 else 0.0

    @property
    def capacity(self) -> float | None:
        """Samples a second that its workers could do if they never waited; None before any is done."""
        return self.workers_asked * self.samples_done / self.worked_s if self.worked_s > 0 else None


@dataclass(frozen=True, slots=True)
class Slowest:
    """What limits a stream: a name, how much of its time it is busy, and what to do where that is sure."""

    name: str
    how: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """A run; ``repr()`` and ``str()`` are the one line of `summary`.

    Parameters
    ----------
    seconds
        How long it has been open.
    loop
        The stages of the caller's own process, and behind them all others.
    wait
        How long the loop has waited. Where samples are batches, each was timed. Single samples cost less than a look at
        the clock: of them only waiting for parallel stages is known, and without any this is None.
    given
        Samples given; None where that was not counted.
    unit
        "batches" or "samples".
    cores
        Those that this process may use.
    skipped
        Samples that were left out, as ``on_error=`` asked for.
    skips
        The first 1,000 of them.
    """

    seconds: float
    loop: SectionStats
    wait: Waited | None = None
    given: int | None = None
    unit: str = "samples"
    cores: int = 1
    skipped: int = 0
    skips: tuple[SkippedSample, ...] = ()

    @property
    def segments(self) -> tuple[SegmentStats, ...]:
        """The parallel stages, upstream first."""
        return tuple(stage for stage in _stages(self.loop) if isinstance(stage, SegmentStats))

    @property
    def first_s(self) -> float | None:
        """Seconds for which the loop waited for its first sample."""
        return self.wait.first_s if self.wait is not None else None

    @property
    def waited_s(self) -> float | None:
        """Seconds for which it has waited since then."""
        return self.wait.waited_s if self.wait is not None else None

    @property
    def waited(self) -> float | None:
        """How much of the time since its first sample it has waited, from 0 to 1."""
        return self.wait.share if self.wait is not None else None

    @property
    def own_s(self) -> float | None:
        """Seconds of waiting that went into stages of the caller's own process; None where samples are not timed."""
        return self.loop.own_s

    @property
    def rate(self) -> float | None:
        """Samples a second, from the first on."""
        if self.given is None or self.wait is None or self.given < 2 or not self.wait.seconds:
            return None
        return (self.given - 1) / self.wait.seconds

    @property
    def slowest(self) -> str | None:
        """The stage that limits the stream, "the loop itself" where that hardly waits, None where nothing tells."""
        found = slowest_of(self)
        return found.name if found is not None else None

    def summary(self) -> str:
        """Say it in one line."""
        return "; ".join([_amount(self), *_waiting(self), *_blame(self)])

    def __repr__(self) -> str:
        """Be the summary."""
        return self.summary()


def _stages(section: SectionStats) -> Iterator[StageStats]:
    for stop in section.stops:
        yield from _stages(stop.feed)
        yield stop


# What is to blame -----------------------------------------------------------------------------------------------------


def slowest_of(stats: Stats) -> Slowest | None:
    """Find what limits a run.

    Notes
    -----
    A loop that hardly waits is the limit itself. Else whoever waits goes upstream to what it waits for longest: its
    own stages, or one that works ahead. If the workers there are busier than their feeder, they are the limit; if the
    feeder mostly waits for what it reads, the question is the same, one section further.
    """
    if stats.wait is None or stats.given == 0:
        return None
    if stats.wait.share < HARDLY:
        limits = "data is" if stats.loop.pulled is not None else "workers are"
        return Slowest("the loop itself", hint=f"{limits} not what limits this loop")
    taken = sum(segment.workers_asked for segment in stats.segments)
    return _in_section(stats.loop, "in the loop's own thread", stats.wait.seconds, room=taken < stats.cores)


def _in_section(section: SectionStats, where: str, seconds: float, *, room: bool) -> Slowest:
    longest = max(section.stops, key=lambda stop: stop.waited_s, default=None)
    if longest is not None and longest.waited_s >= (section.own_s or 0.0):
        return _in_stage(longest, room=room)
    share = (section.own_s or 0.0) / seconds if seconds else 0.0
    hint = "more workers would not help" if where == AHEAD and share >= FULLY else ""
    hint = f"try workers= on {section.functions[-1]}" if section.functions else hint
    return Slowest(_names(section.stages), f"{_percent(share)} of the time {where}", hint)


def _in_stage(stage: StageStats, *, room: bool) -> Slowest:
    fed = stage.feed.pulled
    if isinstance(stage, SegmentStats) and (fed is None or fed.share <= max(stage.busy, MOSTLY)):
        s = "s" if stage.workers_asked > 1 else ""
        hint = f"more workers for {stage.name} would help" if room and stage.busy >= FULLY else ""
        return Slowest(stage.name, f"its {stage.workers_asked} worker{s} {_percent(stage.busy)} busy", hint)
    return _in_section(stage.feed, AHEAD, fed.seconds if fed is not None else 0.0, room=room)


# Words ----------------------------------------------------------------------------------------------------------------


def _amount(stats: Stats) -> str:
    seconds = stats.seconds if stats.wait is None or stats.given == 0 else stats.wait.first_s + stats.wait.seconds
    if stats.given is None:
        return f"{stats.unit} for {_seconds(seconds)}"
    unit = stats.unit if stats.given != 1 else {"batches": "batch"}.get(stats.unit, "sample")
    return f"{stats.given:,} {unit} in {_seconds(seconds)}"


def _waiting(stats: Stats) -> list[str]:
    wait = stats.wait
    if stats.given == 0:
        return []  # what was waited for never came
    if wait is None:
        return [f"how long the loop waited is not known: {stats.unit} that are made without workers are not timed"]
    rate = f", then {_number(stats.rate)}/s" if stats.rate is not None else ""
    unknown = stats.loop.stages if stats.loop.pulled is None else ()
    but = f", that of {_names(unknown)} left out, which is not timed" if unknown else ""
    waited = f"the loop waited {_percent(wait.share)} of the time{but}"
    return [f"the first after {_seconds(wait.first_s)}{rate}", waited]


def _blame(stats: Stats) -> list[str]:
    found = slowest_of(stats)
    if found is None:
        return []
    if not found.how:
        return [found.hint]
    return [f"slowest: {found.name}, {found.how}", *[found.hint][: bool(found.hint)]]


def _names(stages: tuple[str, ...]) -> str:
    if len(stages) > MOST_NAMES:
        return f"{stages[0]} > … > {stages[-1]}"
    return " > ".join(stages) or "taking what workers made"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _number(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 1000 else f"{number:.3g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f} s" if seconds >= 10 else f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
