"""Which workers have stood still for too long: on one call, or because somebody has stopped them.

Nobody notes the time of a call.  Instead the driver looks now and then at what each worker notes of itself
(`flazy.workers.launch.Worker.noted`): where that is the same as at the last look, it has been at the same call since.
So a limit is never too short, and at most one look too long.  Time for which the driver itself did not look (it was
suspended, or somebody held the interpreter) does not count.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flazy.plan.loops import SETUP
from flazy.workers.launch import Running, Worker

__all__ = ["STOPPED_SECONDS", "WARN_SECONDS", "Judge", "Seen", "Stack", "Target", "Watch", "is_stopped"]

LOOK_SECONDS = 1.0
SOON_SECONDS = 0.05  # where a stack is waited for
STACK_LOOKS = 40  # for which it is waited for at most
WARN_SECONDS = 30.0  # between warnings of a call that has no limit
STOPPED_SECONDS = 2.0  # for which a stopped worker (SIGSTOP, a debugger that has let go) is waited for


class Judge(Protocol):
    """Who acts on what is seen."""

    def condemn(self, number: int, running: Running) -> None:
        """Count no result any more of a worker whose call takes longer than it may."""

    def end(self, number: int) -> None:
        """End a worker that was condemned; its stack is in its record, if it could write it."""

    def slow(self, number: int, running: Running, seconds: float, stack: str) -> None:
        """Warn of a call that takes long."""

    def stopped(self, number: int) -> None:
        """End a worker that somebody has stopped."""


@dataclass(slots=True)
class Stack:
    """A stack that a worker was asked for."""

    text: str = ""
    looks: int = 0

    def is_there(self, text: str) -> bool:
        """Say whether it is all there; or whether none will come."""
        self.looks += 1
        there = (bool(text) and text == self.text) or self.looks > STACK_LOOKS
        self.text = text
        return there


@dataclass(slots=True)
class Seen:
    """What was seen of a worker at the last look; ``heard`` counts the messages that came from it."""

    heard: int = 0
    before: tuple[bytes, int] = (b"", -1)
    still_s: float = 0.0
    stopped_s: float = 0.0
    warnings: int = 0
    asked: Stack | None = None
    condemned: bool = False


class Target(NamedTuple):
    """A worker that somebody waits for: its number, its process, what was seen last, and the limit of a call.

    ``limit`` is asked with the run of the call; with None for the shortest that there is.
    """

    number: int
    process: Worker
    seen: Seen
    limit: Callable[[int | None], float | None]


class Watch:
    """The looks; used by the hub thread only."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._last = time.monotonic()
        self._every = LOOK_SECONDS

    @property
    def next(self) -> float:
        """When to look again."""
        return self._last + self._every

    def look(self, targets: Iterable[Target]) -> float:
        """Look at workers; give the seconds that have passed, as far as they count."""
        now = time.monotonic()
        gap = min(now - self._last, 2 * self._every)
        self._last, self._every = now, LOOK_SECONDS
        for target in targets:
            if not self._look_at_state(target, gap):  # while it is stopped, no call of its takes any time
                self._look_at_call(target, gap)
            if target.seen.asked is not None:
                self._every = SOON_SECONDS
            elif (limit := target.limit(None)) is not None:
                self._every = min(self._every, max(limit / 5, SOON_SECONDS))
        return gap

    def _look_at_state(self, target: Target, gap: float) -> bool:
        """Look whether it is stopped, and say so."""
        number, process, seen, _ = target
        stopped = process.pid is not None and is_stopped(process.pid)
        seen.stopped_s = seen.stopped_s + gap if stopped else 0.0
        if seen.stopped_s >= STOPPED_SECONDS:
            seen.stopped_s = 0.0
            self._judge.stopped(number)
        return stopped

    def _look_at_call(self, target: Target, gap: float) -> None:
        number, process, seen, limit_of = target
        if seen.condemned:
            if seen.asked is not None and seen.asked.is_there(process.stack()):
                self._judge.end(number)
            return
        noted = process.noted()
        running = process.running(noted)
        if running is None or (noted, seen.heard) != seen.before:
            seen.before = noted, seen.heard
            seen.still_s, seen.warnings, seen.asked = 0.0, 0, None
            return
        seen.still_s += gap
        limit = limit_of(running.run)
        if limit is not None and running.place[1:2] != (SETUP,):
            if seen.still_s >= limit:
                seen.condemned, seen.asked = True, Stack()
                self._judge.condemn(number, running)
                process.ask_for_stack(interrupt=True)
        elif seen.asked is not None:
            self._warn(target, running)
        elif seen.still_s >= WARN_SECONDS * (seen.warnings + 1):
            seen.asked = Stack()
            process.ask_for_stack(interrupt=False)

    def _warn(self, target: Target, running: Running) -> None:
        seen = target.seen
        if seen.asked is not None and seen.asked.is_there(target.process.stack()):
            self._judge.slow(target.number, running, seen.still_s, seen.asked.text)
            seen.warnings, seen.asked = seen.warnings + 1, None


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped by a signal; one that a debugger holds is not. Known on Linux only."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, IndexError):
            stat = pathlib.Path(f"/proc/{pid}/stat").read_bytes()
            return stat[stat.rindex(b")") + 2 :][:1] == b"T"
    return False

