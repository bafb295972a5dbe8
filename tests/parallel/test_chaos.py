"""Workers that are killed at random change nothing.  ``FLAZY_CHAOS_SECONDS`` says for how long, per test."""

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections import deque

import numpy as np
import psutil
import pytest

from flazy import Dataset
from flazy.workers import zygote
from tests.parallel import functions as fn

SECONDS = float(os.environ.get("FLAZY_CHAOS_SECONDS", "4"))
LEAST = 12 * 32

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
    """Count as long as there is time, and on a busy machine as far as is asserted below."""
    until = time.monotonic() + seconds
    return itertools.takewhile(lambda x: x < LEAST or time.monotonic() < until, itertools.count())


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


# Batches of large arrays: every row is looked at --------------------------------------------------------------

IMAGE = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)
PHOTOS = np.random.default_rng(1).integers(0, 256, (7, 256, 256, 3), dtype=np.uint8)
MEAN, STD = np.array([124, 116, 104], np.float32), np.array([58, 57, 57], np.float32)


def image(i):
    made = IMAGE.copy()
    made[0, 0, 0] = i
    made[-1, -1, -1] = -i
    return made


def normalise(photo):
    return (photo[16:240, 16:240][:, ::-1] - MEAN) / STD


NORMAL = [normalise(photo) for photo in PHOTOS]


def is_image(row, i):
    return i == row[0, 0, 0] == -row[-1, -1, -1] and (row[0, 1:] == IMAGE[0, 1:]).all() and (row[1] == IMAGE[1]).all()


@pytest.mark.parametrize("kept", [0, 12])
def test_batches_of_images_are_exact_while_workers_are_killed(kept):
    """``kept`` batches are held and looked at again, so that what was half written by a dead worker would show."""
    held = deque(maxlen=kept)
    count = 0
    with Killer(2) as killer, Dataset(lambda: numbers(SECONDS)).map(image, workers=2).batch(32).open() as run:
        for count, batch in enumerate(run, 1):
            held.append((count, batch))
            for number, looked_at in [(count, batch), *list(held)[:1]]:
                rows = enumerate(looked_at, 32 * (number - 1))
                assert all(is_image(row, i) for i, row in rows), number

    assert count > 10
    assert killer.kills > 3


def test_batches_of_photos_that_come_and_go_are_exact_while_workers_are_killed():
    count = 0
    photos = Dataset(lambda: (PHOTOS[i % len(PHOTOS)] for i in numbers(SECONDS)))
    with Killer(3) as killer, photos.map(normalise, workers=2).batch(32).open() as run:
        for count, batch in enumerate(run, 1):
            rows = enumerate(batch, 32 * (count - 1))
            assert all((row == NORMAL[i % len(PHOTOS)]).all() for i, row in rows), count

    assert count > 10
    assert killer.kills > 3


def test_batches_of_records_with_a_rest_are_exact_while_workers_are_killed():
    """Rows with small parts beside large ones, other shapes every now and then in batches of their own, and a rest."""
    total = 0
    ds = Dataset(lambda: numbers(SECONDS)).map(lambda i: {"x": np.full((60 + i // 64 % 3, 300), i), "y": i}, workers=2)
    with Killer(4) as killer, ds.batch(16, drop_remainder=False).open() as run:
        for batch in run:
            expected = np.arange(total, total + len(batch["y"]))
            assert (batch["y"] == expected).all()
            assert (batch["x"] == expected[:, None, None]).all()
            assert 60 + total // 64 % 3 == batch["x"].shape[1]
            total += len(expected)

    assert total > 100
    assert killer.kills > 3
