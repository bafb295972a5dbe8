"""What a feed gives, as numpy arrays over the same memory: the workloads' checks are written for those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Fed"]


@dataclass(frozen=True, slots=True)
class Fed:
    """A pass for each ``iter()``."""

    feed: Iterable[Any]
    as_array: Callable[[Any], Any]

    def __iter__(self) -> Iterator[Any]:
        for batch in self.feed:
            yield self.as_array(batch)
