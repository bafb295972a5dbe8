"""Whether the system has room for what the runtime takes: descriptors, threads, a folder for sockets.

ZeroMQ ends the whole program where it gets no descriptor for a connection, or cannot start a thread.  So both are
tried for here, before it is asked; and what is missing is said by the name and the value of the limit.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import pathlib
import resource
import socket
import threading
from collections.abc import Callable

from flazy.errors import ResourceError
from flazy.workers.contract import NO_MEMORY, NO_PROCESS

__all__ = [
    "CONNECTIONS",
    "PREFIX",
    "RUNTIME",
    "RUNTIME_THREADS",
    "WORKER",
    "WORKER_THREADS",
    "descriptors",
    "folder",
    "lack",
    "lacks",
    "places",
    "start",
    "threads",
]

# Counted: 18 and 8 are held, the others are for moments, and for what the program itself opens meanwhile.
RUNTIME = 18 + 6  # descriptors of the hub, the relay and the zygote
WORKER = 8 + 4  # of one worker: its record, its pidfd, two pipes, two connections and what ZeroMQ has for them
CONNECTIONS = 3  # of those, what comes only when the worker connects
RUNTIME_THREADS = 5  # hub, relay, a feeder, and two of ZeroMQ
WORKER_THREADS = 2  # of ZeroMQ

PREFIX = "flazy-hub-"
FAR = 1000  # threads: as far as that from a limit none need be tried for
LONGEST_NAME = "tasks-999999999"  # of a socket in the folder
EXIT_SECONDS = 1.0


def descriptors(count: int, what: str) -> None:
    """See that so many descriptors can be had.

    Raises
    ------
    ResourceError
        Where they cannot.
    """
    held = []
    try:
        held.append(os.open(os.devnull, os.O_RDONLY))
        held.extend(os.dup(held[0]) for _ in range(count - 1))
    except OSError as error:
        raise lack(error, what, f", of which it needs {count} more") or error from error
    finally:
        for each in held:
            os.close(each)


def threads(count: int, what: str) -> None:
    """See that so many threads can be started; where every limit is far, that is not tried, for it takes a while.

    Raises
    ------
    ResourceError
        Where they cannot.
    """
    if _is_far_from_limits():
        return
    go = threading.Event()
    started: list[threading.Thread] = []
    try:
        for number in range(count):
            thread = threading.Thread(target=go.wait, name=f"flazy-room-{number}", daemon=True)
            start(thread, what)
            started.append(thread)
    finally:
        go.set()
        for thread in started:
            thread.join(EXIT_SECONDS)
            _wait_until_gone(thread.native_id)


def _is_far_from_limits() -> bool:
    """Say whether this user, and each cgroup that we are in, may have many more; no, where that cannot be seen."""
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:  # a thread needs memory for its stack
        return False
    with contextlib.suppress(OSError, ValueError, IndexError):
        there = int(pathlib.Path("/proc/loadavg").read_text().split()[3].partition("/")[2])  # of everybody
        return (most == resource.RLIM_INFINITY or most - there > FAR) and _room_in_cgroups() > FAR
    return False


def _room_in_cgroups() -> float:
    """Say how many more processes and threads the cgroups allow."""
    found = math.inf
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds not in {"", "pids"}:
            continue
        root = pathlib.Path("/sys/fs/cgroup", kinds)
        folder = root / name.lstrip("/")
        for place in (folder, *folder.parents):
            if place == root.parent or (not (place / "pids.max").exists() and place == root):
                break  # the root of all has no limit
            most = (place / "pids.max").read_text().strip()
            if most.isdigit():
                found = min(found, int(most) - int((place / "pids.current").read_text()))
    return found


def start(thread: threading.Thread, what: str) -> None:
    """Start a thread.

    Raises
    ------
    ResourceError
        Where there can be no more of them.
    """
    try:
        thread.start()
    except RuntimeError as error:  # Python does not say why; it is this, or memory for its stack
        raise _lacking(errno.EAGAIN, what) from error


def _wait_until_gone(number: int | None) -> None:
    """Wait until the system counts a thread no more, which is a moment after its last line of Python."""
    task = pathlib.Path(f"/proc/self/task/{number}")
    for _ in range(10_000):
        if not task.exists():
            return
        os.sched_yield()


def folder() -> str:
    """Make a private folder for sockets, where their paths are short enough and there is space.

    In TMPDIR if that is possible, else in XDG_RUNTIME_DIR, else in /tmp; never in the working directory, which is where
    `tempfile` ends.  (Nor is that loaded here: the zygote's start would wait for it.)

    Raises
    ------
    ResourceError
        Where no place will do; it says of each why not.
    """
    failed = []
    for place in places():
        try:
            return _folder_in(place)
        except OSError as error:
            failed.append(f"{place} ({error.strerror or error})")
    raise ResourceError(
        f"worker processes need a folder for sockets, and none could be made in {', '.join(failed)}; "
        "let TMPDIR name a folder that you may write to, with a short path"
    )


def places() -> list[str]:
    """Give where the folder may be, the first choice first."""
    named = [os.environ[name] for name in ("TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR") if os.environ.get(name)]
    some = [*named, "/tmp", "/var/tmp"]  # noqa: S108 - a folder of our own is made in it
    return list(dict.fromkeys([os.path.abspath(place) for place in some]))  # noqa: PTH100 - Path would keep ".." in it


def _folder_in(place: str) -> str:
    """Make a folder, and see that a socket can be made in it."""
    made = pathlib.Path(place, f"{PREFIX}{os.urandom(5).hex()}")
    made.mkdir(0o700)
    path = made / LONGEST_NAME
    try:
        with socket.socket(socket.AF_UNIX) as trial:
            trial.bind(str(path))
        path.unlink()
    except OSError:
        made.rmdir()
        raise
    return str(made)


# What is missing -----------------------------------------------------------------------------------------


def lack(error: BaseException, what: str, beside: str = "") -> ResourceError | None:
    """Make an error that names the limit; None where there was another reason."""
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    return _lacking(number, what, beside) if number in _LIMITS else None


def lacks(code: int | None, what: str) -> ResourceError | None:
    """Make an error of the exit code of a worker that could not begin."""
    number = {NO_PROCESS: errno.EAGAIN, NO_MEMORY: errno.ENOMEM}.get(code or 0)
    return None if number is None else _lacking(number, what)


def _lacking(number: int, what: str, beside: str = "") -> ResourceError:
    found = ResourceError(f"no room for {what}: {_LIMITS[number]()}{beside}")
    found.errno = number
    return found


def _files() -> str:
    return f"this process may have {_limit(resource.RLIMIT_NOFILE)} files open (RLIMIT_NOFILE, ulimit -n)"


def _processes() -> str:
    said = f"this user may have {_limit(resource.RLIMIT_NPROC)} processes and threads (RLIMIT_NPROC, ulimit -u)"
    if (within := _most_processes()) is not None:
        said += f", this container {within} (pids.max of its cgroup)"
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:  # the stack of a thread counts there
        said += f", and this process {_limit(resource.RLIMIT_AS)} bytes of memory (RLIMIT_AS, ulimit -v)"
    return said


def _memory() -> str:
    return f"there is no memory left; this process may have {_limit(resource.RLIMIT_AS)} bytes (RLIMIT_AS, ulimit -v)"


_LIMITS: dict[int, Callable[[], str]] = {
    errno.EMFILE: _files,
    errno.ENFILE: lambda: "the system has no more files to open (fs.file-max)",
    errno.EAGAIN: _processes,
    errno.ENOMEM: _memory,
    errno.ENOSPC: lambda: "there is no space left for a socket in the folder of temporary files (TMPDIR)",
}


def _limit(kind: int) -> str:
    value = resource.getrlimit(kind)[0]
    return "any number of" if value == resource.RLIM_INFINITY else str(value)


def _most_processes() -> str | None:
    """Give what the cgroup allows, where it allows a number."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in {"", "pids"}:
                said = pathlib.Path("/sys/fs/cgroup", kinds, path.lstrip("/"), "pids.max").read_text().strip()
                return said if said.isdigit() else None
    return None
