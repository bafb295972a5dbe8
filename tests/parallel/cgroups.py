"""A cgroup of its own for a program of a test, where one may be made."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

ROOT = pathlib.Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cgroup:
    """A folder of the kernel's."""

    folder: pathlib.Path

    @property
    def prefix(self) -> list[str]:
        """What stands before a command so that it runs inside."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs")]

    def kills(self) -> int:
        """How many processes the kernel has killed in it, since it was full."""
        for name in ("memory.events", "memory.oom_control"):  # of version 2, of version 1
            if (file := self.folder / name).exists():
                lines = file.read_text().splitlines()
                return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        raise AssertionError("it does not count memory")


def memory(nbytes: int) -> contextlib.AbstractContextManager[Cgroup]:
    """Make a cgroup with so much memory, swap included; skip the test where that is not permitted."""
    second = {"memory.max": nbytes, "memory.swap.max": 0}
    first = {"memory.limit_in_bytes": nbytes, "memory.memsw.limit_in_bytes": nbytes}
    return _made({ROOT: second, ROOT / "memory": first})


def processes(count: int) -> contextlib.AbstractContextManager[Cgroup]:
    """Make a cgroup with so many processes and threads; skip the test where that is not permitted."""
    return _made({ROOT: {"pids.max": count}, ROOT / "pids": {"pids.max": count}})


@contextlib.contextmanager
def _made(kinds: dict[pathlib.Path, dict[str, int]]) -> Iterator[Cgroup]:
    """Make one under the first root that knows the first limit; a limit of swap is not known everywhere."""
    for root, limits in kinds.items():
        folder = root / f"flazy-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            folder.mkdir()
        try:
            if not (folder / next(iter(limits))).exists():  # no cgroup, or one that does not count this
                continue
            for name, value in limits.items():
                if (folder / name).exists():
                    (folder / name).write_text(str(value))
            yield Cgroup(folder)
        finally:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                folder.rmdir()
        return
    pytest.skip("a cgroup with such a limit cannot be made here")
