"""What the tests run in workers: light to import, since every worker process does."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import numpy as np


class OddError(ValueError):
    """A user's own exception, with an attribute of its own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"odd sample, code {code}")
        self.code = code


def total(value: object) -> int:
    """Make a whole number of any sample."""
    if isinstance(value, dict):
        return sum(map(total, value.values()))
    if isinstance(value, tuple | list):
        return sum(map(total, value))
    return 0 if value is None else int(np.sum(value))  # type: ignore[call-overload]


def same(value):
    return value


def number(value):
    return 3 * total(value) + 1


def record(value):
    return {"a": value, "n": np.arange(total(value) % 5), "none": None}


def pair(value):
    return (value, total(value))


def join(*parts, **named):
    return [*parts, *named.values()]


def not_third(value):
    return total(value) % 3


def few(value):
    return [total(value) + offset for offset in range(total(value) % 4)]


def many(value) -> Iterator[tuple[int, int]]:
    for offset in range(70 * (total(value) % 3)):
        yield total(value), offset


def noisy(value, rng):
    return total(value) % 10 + float(rng.random())


def old_augmentation(value, rng):
    return (value, random.random(), float(np.random.rand()), int(rng.integers(100)))


def fail_odd(value):
    if total(value) % 11 == 5:
        raise OddError(total(value))
    return value


def stops(value):
    if total(value) % 13 == 6:
        raise StopIteration
    return value


def slow(value):
    time.sleep(0.001)
    return 2 * value


def spread(value):
    for offset in range(value % 5):
        time.sleep(0.0005)
        yield value, offset
