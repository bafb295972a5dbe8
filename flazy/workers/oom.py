"""Whether the kernel ended a process for want of memory: by its own counts, before and after."""

from __future__ import annotations

import contextlib
import pathlib

__all__ = ["OomKills"]

PROC, CGROUPS = pathlib.Path("/proc"), pathlib.Path("/sys/fs/cgroup")


class OomKills:
    """The counts at the last look."""

    def __init__(self) -> None:
        self._cgroup, self._machine = _counts()

    def look(self) -> str:
        """Say what the kernel did since the last look; nothing, if nothing."""
        cgroup, machine = _counts()
        struck, somewhere = cgroup > self._cgroup, machine > self._machine
        self._cgroup, self._machine = cgroup, machine
        if struck:
            return (
                "the kernel killed it for want of memory: the cgroup's oom_kill rose; "
                "use fewer workers or a smaller window, or raise the memory limit"
            )
        if somewhere:
            return "the kernel's out-of-memory killer struck on this machine just then; use fewer workers"
        return ""


def _counts() -> tuple[int, int]:
    """Count the kills of this process's cgroup, of version 2 or 1, and those of the machine."""
    cgroup = 0
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                cgroup += _first_of(path, "memory.events", CGROUPS)
            elif "memory" in controllers.split(","):
                cgroup += _first_of(path, "memory.oom_control", CGROUPS / "memory")
    return cgroup, _count(PROC / "vmstat")


def _first_of(path: str, name: str, root: pathlib.Path) -> int:
    """Read the count of a cgroup; in a container its path may be that of the host, and its root what is seen here."""
    own = root / path.lstrip("/") / name
    return _count(own if own.exists() else root / name)


def _count(file: pathlib.Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0
