"""Workers that inherit nothing, as on another machine, for peers that start none by themselves.

What one is to do comes through its standard input, so no key is in the list of processes. `multiprocessing` would do
the same, and leave its resource tracker for the system to reap, which a cell would wait for.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any, Protocol

__all__ = ["Job", "Worker", "started"]

Worker = subprocess.Popen[bytes]


class Job(Protocol):
    """What can be pickled, and is called once."""

    def run(self) -> None:
        """Work until there is nothing left to do."""


def started(job: Job) -> Worker:
    """Start a process for a job."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE)
    pipe: Any = process.stdin
    with pipe:
        pickle.dump(job, pipe)
    return process


if __name__ == "__main__":
    pickle.load(sys.stdin.buffer).run()
