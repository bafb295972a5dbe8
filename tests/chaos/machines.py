"""Hosts that join, leave, are killed and stopped, and lose processes, while short passes and a long one are made."""

from __future__ import annotations

import itertools
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

import psutil

import flazy
from flazy import Dataset, Remote
from tests.chaos import work
from tests.chaos.faults import Mix
from tests.chaos.scenarios import Fire
from tests.remote.hosts import Host, Hosts

__all__ = ["MACHINES"]

MOST, BETWEEN_S = 3, 0.6
STOPS_S = {"hosts stopped": 1.6, "hosts stopped shortly": 0.3}  # more and less than the heartbeat
HARM = ("hosts joined", "hosts joined", "hosts killed", "hosts left", "their processes killed", *STOPS_S)


class Harm:
    """What is done to the hosts, by a thread of its own; at the end there is one that works."""

    def __init__(self, chance: random.Random, hosts: Hosts, remote: Remote) -> None:
        self.counts: Counter[str] = Counter()
        self._random = chance
        self._hosts = hosts
        self._remote = remote
        self._there: list[Host] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="harm")

    def __enter__(self) -> Self:
        self._join()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    def _go_on(self) -> None:
        while not self._end.wait(BETWEEN_S * self._random.random()):
            self._do(self._random.choice(HARM))
            if not self._there:
                self._join()

    def _join(self) -> None:
        self._there.append(self._hosts.start(self._remote, processes=self._random.randint(1, 2)))

    def _do(self, what: str) -> None:
        self.counts[what] += 1
        host = self._random.choice(self._there)
        if what == "hosts joined":
            if len(self._there) < MOST:
                self._join()
        elif what == "hosts killed":
            self._there.remove(host)
            host.kill()
        elif what == "hosts left":
            self._there.remove(host)
            host.signal(signal.SIGTERM)
        elif what in STOPS_S:
            host.stop()
            time.sleep(STOPS_S[what])
            host.go_on()
        elif below := psutil.Process(host.pid).children(recursive=True):  # what forks them among them
            self._random.choice(below).kill()


def machines(fire: Fire) -> None:
    """Pass after pass: a stage that opens as a host dies must not wait for it."""
    with tempfile.TemporaryDirectory() as folder, Hosts() as hosts:
        remote = Remote("tcp://127.0.0.1:0", join_file=Path(folder, "join"), join_timeout=60, heartbeat=1)
        long = Dataset(itertools.count).map(work.steady, workers=remote)
        with fire.run(long) as run, Harm(fire.random, hosts, remote) as harm:
            for number, sample in enumerate(run):
                assert sample == 2 * number
                if number % 50 == 0:
                    with fire.run(Dataset(range(30)).map(work.steady, workers=remote)) as short:
                        assert list(range(0, 60, 2)) == list(short)
                if not fire.on:
                    break
        fire.figures.update(harm.counts)
        flazy.shutdown()


NEVER = Mix(kill=1, every=(1e9, 1e9))  # what this kind does, it does itself
MACHINES = {"machines": (machines, NEVER)}
