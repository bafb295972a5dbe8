"""What the checks run in workers, besides the functions of ``tests.parallel``: light to import, too."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
import os
import pathlib
import sys
import threading
import time
import uuid
from dataclasses import dataclass

import numpy as np

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Point:
    """A class of the user's, which only pickle can carry."""

    x: int


class Awkward(Exception):
    """One that cannot be pickled."""

    def __reduce__(self):
        raise TypeError("this one does not travel")


SAMPLES = [
    None, {}, (), [], "", b"", 0, False, None,
    True, -1, 2**70, 1.5, float("nan"), -0.0, 1j, "text", "é\0", b"\xff", (None,), [None], {"none": None, "empty": {}},
    {1: "one", None: "none", (2, 3): "pair"}, (1, [2, (3, {"four": 5})]), {1, 2}, frozenset({3}), range(3),
    np.arange(5), np.float32(1.5), np.int8(-3), np.zeros((0, 3)), np.array(7), np.array(["a", "bc"]),
    np.arange(12, dtype=">i4").reshape(3, 4).T, np.ma.masked_array([1, 2], [True, False]),
    np.array(["2026-01-01"], "M8[D]"), np.array([(1, 2.5)], [("a", "i2"), ("b", "f4")]),
    {"image": np.full((2, 2, 3), 200, np.uint8), "label": 3, "name": "a"},
]  # fmt: skip
PICKLED = [
    dt.date(2026, 1, 1), dt.timedelta(seconds=1), decimal.Decimal("1.5"), pathlib.PurePosixPath("a/b"),
    uuid.UUID(int=1), Point(3), [Point(4)],
]  # fmt: skip


def block(number):
    """Make an array of 8 MB."""
    return np.full(MEBIBYTE, number, np.float64)


def doubled(array):
    return 2 * array


def point(number):
    return Point(number)


def talkative(number):
    print("out", number)
    print("err", number, file=sys.stderr, flush=True)
    os.write(1, b"")
    logging.getLogger("tests.pools").warning("number %s", number)
    logging.getLogger("tests.pools").info("an argument that cannot be pickled: %s", threading.Lock())
    return number


def by_the_clock(number):
    """Take longer for some than for others, so that results come in another order than tasks."""
    time.sleep(0.002 * (number % 3 == 0))
    return 3 * number


def lock(number):
    return threading.Lock() if number == 7 else number


def leave(number):
    if number == 7:
        os._exit(3)
    return number


def sleep_on(number):
    if number == 7:
        time.sleep(1000)
    return number


def image(number):
    return np.full((4, 3), number, np.uint8)


def row(number):
    return {"image": image(number), "label": number, "name": f"sample {number}"}


def couple(number):
    return image(number), number % 7


def text(number):
    return f"sample {number}"
