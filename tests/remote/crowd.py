"""Hosts that join, leave and die while a stream is read: at places in the stream, not at times."""

from __future__ import annotations

import fcntl
import itertools
import os
import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flazy import Dataset
from flazy.workers import room
from tests.parallel.pipelines import LONGEST, Outcome, described
from tests.remote.hosts import Host

__all__ = ["JOIN", "KILL", "LEAVE", "Crowd", "Step", "played"]

JOIN, LEAVE, KILL = "join", "leave", "kill"


class Step(NamedTuple):
    """What is done when the consumer has so many samples."""

    at: int
    what: str


class Crowd:
    """The hosts that are there, oldest first; who leaves or dies is the oldest.

    Parameters
    ----------
    join
        Start a host, and come back when it has joined.
    """

    def __init__(self, join: Callable[[], Host]) -> None:
        self.hosts: list[Host] = []
        self._join = join
        self._left: list[Host] = []
        self._killed: list[Host] = []

    def fill(self, count: int = 1) -> None:
        """Let hosts join until there are so many."""
        while len(self.hosts) < count:
            self.hosts.append(self._join())

    def do(self, what: str) -> None:
        """Let one join, leave or die; another one comes after the last has gone."""
        if what == JOIN:
            self.hosts.append(self._join())
            return
        self.fill()
        host = self.hosts.pop(0)
        if what == LEAVE:
            host.signal(signal.SIGTERM)
            self._left.append(host)
        else:
            host.kill()
            self._killed.append(host)
        self.fill()

    def settle(self) -> None:
        """Wait for the end of all that have gone, who leave nothing; keep one of the others."""
        while len(self.hosts) > 1:
            self.do(LEAVE)
        while self._left:
            self._left[-1].wait(0)
            self._close(self._left.pop(), was_killed=False)
        while self._killed:
            self._close(self._killed.pop(), was_killed=True)

    def _close(self, host: Host, *, was_killed: bool) -> None:
        remains = host.remains()
        if was_killed:  # killed before it had any process, which would have removed the folder; the next start does
            remains = [name for name in remains if not is_free(host.folder / name)]
        host.__exit__()

        assert not remains, f"{remains}; it said\n{host.output}"

    def forget(self) -> None:
        """End all that are there: the trainer that they work for is gone."""
        for hosts in (self.hosts, self._left, self._killed):
            while hosts:
                hosts.pop().__exit__()


def is_free(path: Path) -> bool:
    """Say whether this is a folder of sockets that nobody holds: whoever starts next there removes it."""
    if not path.name.startswith(room.PREFIX):
        return False
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True


def played(dataset: Dataset[Any], crowd: Crowd, steps: Sequence[Step], longest: int = LONGEST) -> Outcome:
    """Read a stream, and do each step when it is due; what is due behind the end is not done."""
    due = sorted(steps, reverse=True)
    values: list[Any] = []
    try:
        with warnings.catch_warnings(), dataset.open() as run:
            warnings.simplefilter("ignore")  # as `outcome` does
            crowd.fill()  # now that there is somebody to join
            for value in itertools.islice(run, longest):
                values.append(value)
                while due and due[-1].at <= len(values):
                    crowd.do(due.pop().what)
    except Exception as error:
        return Outcome(values, described(error))
    return Outcome(values, None)
