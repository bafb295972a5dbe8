"""The progress bar: the one module that needs tqdm, loaded when a bar is opened."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tqdm.auto import tqdm

from flazy.run.stages import Stage
from flazy.run.stats import HARDLY, Stats
from flazy.run.waits import Section, clock

__all__ = ["ProgressStage"]


LONGEST = 40  # characters of a name, so that a line of 120 has room for a bar


class Bar(tqdm):  # type: ignore[type-arg]  # its type parameter is in the stubs alone
    """A bar that ends with the share of the time for which samples were waited for, and what for.

    The section is asked when the bar is drawn, and not for each sample.
    """

    section: Section | None = None

    @property
    def format_dict(self) -> Any:
        """What the line is made of."""
        made = super().format_dict
        waited = self.section.waited() if self.section is not None else None
        if self.section is not None and waited is not None and waited.seconds > 0:
            slowest = Stats(waited.seconds, self.section.stats(clock()), waited).slowest
            what_for = f" for {shortened(slowest)}" if slowest and waited.share >= HARDLY else ""
            made["postfix"] = f"waiting {100 * waited.share:.0f} %{what_for}"
        return made


def shortened(name: str) -> str:
    """Leave the bar its room."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


class ProgressStage(Stage):
    """Counts samples on a bar, with the total where the plan knows it."""

    def __init__(
        self, description: str | None, total: int | None, upstream: Stage, section: Section, *, timed: bool
    ) -> None:
        super().__init__(upstream)
        self.dense = upstream.dense
        self.description = description
        self.total = total
        self.section = section
        self.timed = timed

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples; the bar closes with the stream, however it ends."""
        samples = self.section.timed(self.upstream) if self.timed else iter(self.upstream)
        unit = " batches" if self.timed else " samples"
        with Bar(samples, desc=self.description, total=self.total, unit=unit) as bar:
            bar.section = self.section
            yield from bar
