"""What the tests run in workers: light to import, since every worker process does."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import numpy as np

from flazy import SKIP


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
    if isinstance(value, str):
        return len(value)
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


def linger(value):
    time.sleep(0.001 * (1 + total(value) % 4))
    return value


def spread(value):
    for offset in range(value % 5):
        time.sleep(0.0005)
        yield value, offset


# With on_error= -------------------------------------------------------------------------------------------------


def instead(ref, error):
    return (ref.stage, ref.address, ref.cycle, total(ref.sample), type(error).__name__)


def instead_of_some(ref, error):
    return SKIP if ref.address[0] % 2 else instead(ref, error)


def several_instead(ref, error):
    return [instead(ref, error)] * (ref.address[0] % 3)


def breaks_off(value):
    n = total(value)
    yield from range(n % 4)
    if n % 3 == 1:
        raise OddError(n)
    yield n


def fail_at_random(value, rng):
    drawn = rng.random()
    if drawn < 0.3:
        raise OSError(f"drew {drawn}")
    return (value, drawn)


def join_even(one, other):
    if other % 2:
        raise OddError(other)
    return [one, other]
