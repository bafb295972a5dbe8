"""The stage behind the last one, where samples are timed: see `flazy.run.waits`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from flazy.run.stages import Stage
from flazy.run.waits import Section

__all__ = ["TimedStage"]


class TimedStage(Stage):
    """Notes how long each sample was waited for."""

    def __init__(self, upstream: Stage, section: Section) -> None:
        super().__init__(upstream)
        self.section = section

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples."""
        return self.section.timed(self.upstream)
