"""The progress bar: the one module that needs tqdm, loaded when a bar is opened."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tqdm.auto import tqdm

from flazy.run.stages import Stage
from flazy.run.waits import Section

__all__ = ["ProgressStage"]


class Bar(tqdm):  # type: ignore[type-arg]  # its type parameter is in the stubs alone
    """A bar that ends with the share of the time for which samples were waited for; it is asked when it is drawn."""

    section: Section | None = None

    @property
    def format_dict(self) -> Any:
        """What the line is made of."""
        made = super().format_dict
        waited = self.section.waited() if self.section is not None else None
        if waited is not None and waited.seconds > 0:
            made["postfix"] = f"waiting {100 * waited.share:.0f} %"
        return made


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
