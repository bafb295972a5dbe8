"""A plain loop in one process: the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.chain import by_hand
from benchmarks.workloads import Workload


@dataclass(frozen=True, slots=True)
class Loop:
    """A pass for each ``iter()``."""

    work: Workload

    def __iter__(self) -> Iterator[Any]:
        return self.work.serial()


def pipeline(work: Workload, workers: int = 0) -> Loop:  # noqa: ARG001 - all peers are called alike
    return Loop(work)


def chain(numbers: range) -> Iterator[int]:
    return by_hand(numbers)
