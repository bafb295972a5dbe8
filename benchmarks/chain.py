"""Without workers: map, filter, map over ints, against a generator written by hand that calls the same functions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator

SAMPLES = 1_000_000
PASSES = 7  # a third of a second each


def add(x: int) -> int:
    return x + 1


def keep(x: int) -> int:
    return x % 3


def double(x: int) -> int:
    return x * 2


def by_hand(numbers: range) -> Iterator[int]:
    for number in numbers:
        added = add(number)
        if keep(added):
            yield double(added)


def measure(build: Callable[[range], Iterable[int]]) -> dict[str, float]:
    """Give nanoseconds a sample of the source: the median of some passes, the first aside."""
    numbers = range(SAMPLES)
    if list(build(range(100))) != list(by_hand(range(100))):
        raise ValueError("not what the generator gives")
    taken = []
    for _ in range(PASSES + 1):
        start = time.perf_counter()
        for _sample in build(numbers):
            pass
        taken.append(time.perf_counter() - start)
    return {"ns": statistics.median(taken[1:]) * 1e9 / SAMPLES}
