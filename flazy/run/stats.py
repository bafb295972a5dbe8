"""What a run has done so far: frozen snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from flazy.plan.policy import SkippedSample

__all__ = ["SegmentStats", "Stats"]


@dataclass(frozen=True, slots=True)
class SegmentStats:
    """One parallel stage.

    Parameters
    ----------
    name
        Its fused stages.
    workers
        Workers that are ready, or were when the last task was done; 0 once the stage is closed.
    samples_in, samples_out
        Samples read from upstream, and handed on.
    waited_s
        Seconds for which the consumer waited for this stage.
    worked_s
        Seconds for which its workers ran the functions, all together.
    lost_workers
        Workers that died.
    redispatched, dropped
        Tasks that were sent again, and results that came too late to count.
    """

    name: str
    workers: int
    samples_in: int
    samples_out: int
    waited_s: float
    worked_s: float
    lost_workers: int
    redispatched: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Stats:
    """A run.

    Parameters
    ----------
    seconds
        How long it has been open.
    segments
        Its parallel stages in the order in which they opened.
    skipped
        Samples that were left out, as ``on_error=`` asked for.
    skips
        The first 1,000 of them.
    """

    seconds: float
    segments: tuple[SegmentStats, ...]
    skipped: int = 0
    skips: tuple[SkippedSample, ...] = ()
