"""A cgroup of its own for a program of a test, where one may be made."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path("/sys/fs/cgroup")

# Version 2, then version 1: the folder, the file of the limit, the file that counts kills, the one of swap, and what
# that takes to allow none.
KINDS = (
    (ROOT, "memory.max", "memory.events", "memory.swap.max", lambda _: 0),
    (ROOT / "memory", "memory.limit_in_bytes", "memory.oom_control", "memory.memsw.limit_in_bytes", lambda most: most),
)


@dataclass(frozen=True)
class Cgroup:
    """Where it lies, and which file counts how often the kernel has killed in it."""

    folder: pathlib.Path
    events: str

    @property
    def prefix(self) -> list[str]:
        """What stands before a command so that it runs inside."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs")]

    def kills(self) -> int:
        """How many processes the kernel has killed in it, since it was full."""
        lines = (self.folder / self.events).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextlib.contextmanager
def memory(nbytes: int) -> Iterator[Cgroup]:
    """Make a cgroup with so much memory, swap included; skip the test where that is not permitted."""
    for root, limit, events, swap, most in KINDS:
        folder = root / f"flazy-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            folder.mkdir()
        if not (folder / limit).exists():  # no cgroup, or one that does not count memory
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        try:
            (folder / limit).write_text(str(nbytes))
            if (folder / swap).exists():
                (folder / swap).write_text(str(most(nbytes)))
            yield Cgroup(folder, events)
        finally:
            folder.rmdir()
        return
    pytest.skip("a cgroup with a limit of memory cannot be made here")
