"""Faults from outside: a thread that kills and stops workers and the zygote now and then, by a seed."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Self

import psutil

from flazy.workers import zygote

__all__ = ["ALL", "KILLS", "STOPS", "Faults", "Mix", "living_workers", "the_zygote"]

SHORT_STOP, LONG_STOP = (0.02, 1.2), (2.5, 4.0)  # seconds: shorter and longer than a stopped worker is waited for


@dataclass(frozen=True, slots=True)
class Mix:
    """How often what happens: weights, and seconds between two faults."""

    kill: int = 0
    stop: int = 0
    stop_long: int = 0
    kill_zygote: int = 0
    stop_zygote: int = 0
    every: tuple[float, float] = (0.05, 0.4)

    def draw(self, rng: random.Random) -> str:
        """Choose one."""
        names = [name for name in self.__slots__ if name != "every"]
        return rng.choices(names, [getattr(self, name) for name in names])[0]


KILLS = Mix(kill=1)
STOPS = Mix(stop=4, stop_long=2)
ALL = Mix(kill=12, stop=5, stop_long=2, kill_zygote=1, stop_zygote=1)


class Faults(threading.Thread):
    """Does harm until it is told to stop; what it does next depends on the seed alone, to whom on who is there.

    ``counts`` says how often it did what.  Whoever is stopped goes on in the end at the latest.
    """

    def __init__(self, seed: object, mix: Mix) -> None:
        super().__init__(daemon=True, name="faults")
        self.counts: Counter[str] = Counter()
        self._random = random.Random(str(seed))
        self._mix = mix
        self._over = threading.Event()
        self._stopped: list[tuple[float, psutil.Process]] = []
        self._known: list[psutil.Process] = []  # since those of a zygote that died are not its children any more

    def run(self) -> None:
        due = time.monotonic() + self._random.uniform(*self._mix.every)
        while not self._over.wait(max(0.0, min([due, *(at for at, _ in self._stopped)]) - time.monotonic())):
            now = time.monotonic()
            self._go_on(now)
            if due <= now:
                self._harm(self._mix.draw(self._random), self._random.random(), self._random.random())
                due = time.monotonic() + self._random.uniform(*self._mix.every)
        self._go_on(float("inf"))

    def _harm(self, what: str, whom: float, how_long: float) -> None:
        if what.endswith("zygote"):
            victim = the_zygote()
        else:
            self._known += [worker for worker in living_workers() if worker not in self._known]
            self._known = workers = [worker for worker in self._known if worker.is_running()]
            victim = workers[int(whom * len(workers))] if workers else None
        if victim is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            if what.startswith("kill"):
                victim.send_signal(signal.SIGKILL)
            else:
                victim.send_signal(signal.SIGSTOP)
                low, high = LONG_STOP if what == "stop_long" else SHORT_STOP
                self._stopped.append((time.monotonic() + low + how_long * (high - low), victim))
            self.counts[what] += 1

    def _go_on(self, now: float) -> None:
        for at, victim in self._stopped:
            if at <= now:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.send_signal(signal.SIGCONT)
        self._stopped = [(at, victim) for at, victim in self._stopped if at > now]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.join(10)


def the_zygote() -> psutil.Process | None:
    """Give the parent of all workers, if there is one."""
    children = [child for child in _children(psutil.Process()) if zygote.is_supported()]
    return children[0] if children else None


def living_workers() -> list[psutil.Process]:
    """Give the workers that can be killed: the zygote's children, by their age."""
    found = []
    for child in _children(psutil.Process()):
        found += _children(child) if zygote.is_supported() else [child]
    return sorted(found, key=lambda process: process.pid)


def _children(process: psutil.Process) -> list[psutil.Process]:
    living = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in process.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended while we looked
                if child.status() != psutil.STATUS_ZOMBIE:
                    living.append(child)
    return living
