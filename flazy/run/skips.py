"""The samples that a pass left out, as ``on_error=`` asked for: counted, kept up to a number, told at its end."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from types import FrameType

from flazy.errors import SkippedSamples
from flazy.located import OURS
from flazy.plan.policy import SkippedSample

__all__ = ["Skips", "caller_level"]

MOST_KEPT = 1000  # so that a long run over bad data fills no memory
MOST_SHOWN = 10
LINE = 200  # characters of each


class Skips:
    """What was left out so far; whichever thread runs a stage adds to it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  # by stage
        self.kept: list[SkippedSample] = []
        self._told = False

    def add(self, sample: SkippedSample) -> None:
        """Count a sample."""
        self.counts[sample.stage] += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(sample)

    def tell(self) -> None:
        """Warn of what was left out, once; nothing, if nothing was."""
        if self._told or not self.counts:
            return
        self._told = True
        stages = ", ".join(f"{stage}: {count:,}" for stage, count in self.counts.items())
        total = sum(self.counts.values())
        lines = [f"{total:,} sample{'s were' if total > 1 else ' was'} left out ({stages})"]
        lines += [f"  {shortened(str(sample))}" for sample in self.kept[:MOST_SHOWN]]
        if total > MOST_SHOWN:
            kept = f"; the first {MOST_KEPT:,} are" if total > MOST_KEPT else "; all are"
            lines.append(f"  … and {total - MOST_SHOWN:,} more{kept} in the stats() of a run from dataset.open()")
        warnings.warn("\n".join(lines), SkippedSamples, stacklevel=caller_level())


def shortened(text: str) -> str:
    """Give the first line, as far as it fits."""
    first, *more = text.splitlines()
    return f"{first[:LINE]} …" if more or len(first) > LINE else first


def caller_level() -> int:
    """Say how far up the caller's own line is, at which a warning is to be shown."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - before 3.12 the warnings module leaves this to us
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(OURS):
        frame, level = frame.f_back, level + 1
    return level
