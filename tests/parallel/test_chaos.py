"""Workers that are killed at random change nothing.  ``FLAZY_CHAOS_SECONDS`` says for how long, per test."""

import contextlib
import itertools
import os
import random
import signal
import threading
import time

import psutil
import pytest

from flazy import Dataset
from flazy.workers import zygote
from tests.parallel import functions as fn

SECONDS = float(os.environ.get("FLAZY_CHAOS_SECONDS", "4"))

pytestmark = [pytest.mark.slow, pytest.mark.time_limit(60 + 3 * SECONDS)]


class Killer(threading.Thread):
    """Kills a random worker every now and then until it is told to stop."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.kills = 0

    def run(self):
        while not self.over.wait(self.random.uniform(0.05, 0.4)):
            if workers := living_workers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.random.choice(workers).send_signal(signal.SIGKILL)
                    self.kills += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        self.over.set()
        self.join(10)


def living_workers():
    """Give the workers that can be killed, which are the zygote's children; without the zygote there would be none."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended while we looked
            workers = child.children() if zygote.is_supported() else [child]
            found += [worker for worker in workers if worker.status() != psutil.STATUS_ZOMBIE]
    return found


def numbers(seconds):
    """Count as long as there is time."""
    until = time.monotonic() + seconds
    return itertools.takewhile(lambda _: time.monotonic() < until, itertools.count())


def stream(build):
    """Run under fire; give what came out, and how many workers were killed."""
    with Killer(1) as killer, build(Dataset(lambda: numbers(SECONDS))).open() as run:
        return list(run), killer.kills, run


def test_map_in_order_is_exact_while_workers_are_killed():
    got, kills, _run = stream(lambda ds: ds.map(fn.slow, workers=2))

    assert [2 * x for x in range(len(got))] == got
    assert len(got) > 100
    assert kills > 3


def test_map_without_order_is_exact_while_workers_are_killed():
    got, _kills, _run = stream(lambda ds: ds.map(fn.slow, workers=2, ordered=False))

    assert [2 * x for x in range(len(got))] == sorted(got)
    assert len(got) > 100


def test_flatmap_and_random_map_are_exact_while_workers_are_killed():
    got, _kills, _run = stream(
        lambda ds: ds.flatmap(fn.spread, workers=2).random_map(lambda x, rng: (x, rng.random()), seed=1, workers=2)
    )
    serial = Dataset(itertools.count).flatmap(lambda x: ((x, offset) for offset in range(x % 5)))
    expected = serial.random_map(lambda x, rng: (x, rng.random()), seed=1).take(len(got)).list()

    assert expected == got
    assert len(got) > 100
