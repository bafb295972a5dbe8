"""What workers run in the scenarios: light to import, since workers are started again and again."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable

import numpy as np

from tests.chaos.points import hit
from tests.parallel.functions import OddError

# Images of which every row is looked at -------------------------------------------------------------------------

IMAGE = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)
PHOTOS = np.random.default_rng(1).integers(0, 256, (7, 256, 256, 3), dtype=np.uint8)
MEAN, STD = np.array([124, 116, 104], np.float32), np.array([58, 57, 57], np.float32)


def image(i):
    made = IMAGE.copy()
    made[0, 0, 0] = i
    made[-1, -1, -1] = -i
    return made


def is_image(row, i):
    return i == row[0, 0, 0] == -row[-1, -1, -1] and (row[0, 1:] == IMAGE[0, 1:]).all() and (row[1] == IMAGE[1]).all()


def normalise(photo):
    return (photo[16:240, 16:240][:, ::-1] - MEAN) / STD


def record(i):
    return {"x": np.full((60 + i // 64 % 3, 300), i), "y": i}


# Samples that are deadly by themselves, and one that fails ------------------------------------------------------

WAYS: dict[int, Callable[[], object]] = {
    7: lambda: os._exit(7),
    31: lambda: ctypes.string_at(0),
    52: os.abort,
    83: lambda: time.sleep(1000),
    97: lambda: os.kill(os.getpid(), signal.SIGKILL),
}
HANGS = 83
FAILS = 60
PERIOD = 101  # of samples, in which each of these comes once


def deadly(x):
    if x % PERIOD in WAYS:
        WAYS[x % PERIOD]()
    if x % PERIOD == FAILS:
        raise OddError(x)
    time.sleep(0.001)
    return x


def is_bad(x):
    return x % PERIOD == FAILS or x % PERIOD in WAYS


def deadly_half(x):
    """Give some outputs before it comes to the deadly one."""
    for offset in range(4):
        if offset == x % 3:
            deadly(x)
        yield x, offset


def dies_at(way, x):
    if x == way:
        WAYS[way]()
    time.sleep(0.002 * (1 + x % 8))
    return x


# What comes to the points where work changes hands ------------------------------------------------------------

SIZE = 128  # an array of 64 KiB


def number(x):
    hit("in the function")
    return 3 * x


def array(x):
    hit("in the function")
    return np.full((SIZE, SIZE), x, np.float32)


def many(x):
    """Give ten parts, which are more than may lie between a worker and a consumer that takes nothing."""
    hit("in the function")
    yield from range(x, x + 40960)


def steady(x):
    """Take two milliseconds, as reading a small file does."""
    time.sleep(0.002)
    return 2 * x
