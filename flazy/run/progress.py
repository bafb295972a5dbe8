"""The progress bar: the one module that needs tqdm, loaded when a bar is opened."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tqdm.auto import tqdm

from flazy.run.stages import Stage

__all__ = ["ProgressStage"]


class ProgressStage(Stage):
    """Counts samples on a bar, with the total where the plan knows it."""

    def __init__(self, description: str | None, total: int | None, upstream: Stage) -> None:
        super().__init__(upstream)
        self.dense = upstream.dense
        self.description = description
        self.total = total

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples; the bar closes with the stream, however it ends."""
        with tqdm(iter(self.upstream), desc=self.description, total=self.total, unit=" samples") as bar:
            yield from bar
