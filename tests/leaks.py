"""What this process holds, seen from outside: processes, threads, descriptors, memory, files.

``take()`` before and ``settle(before)`` after say what was left behind in between.  ``KINDS`` is the one list
of what is looked at; each kind can list its things and describe one of them.  Nothing here asks Flazy: a
check that trusted the library's own books would find only the leaks that the library knows of.

Not counted are native threads (those of TensorFlow and BLAS come and go as they like; a ZeroMQ context that
is still open shows in its descriptors) and, where there is no /proc, everything but processes and threads.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["KINDS", "MARK", "Kind", "Snapshot", "leaked", "settle", "shut_down", "take"]

# In the environment of every process that this session starts, so that one whose parent is gone is found too.
MARK = ("FLAZY_TESTS", f"session-{os.getpid()}-{time.time_ns()}")

ROOT = Path.cwd()

# What libraries keep for the life of a process, once used.  Narrow, and each with its reason.
LASTING_THREADS: dict[str, str] = {
    "TMonitor": "tqdm starts one daemon thread with its first bar, which redraws slow bars, and never ends it",
    "_DummyThread": "Python's note of a native thread that ran Python code once (TensorFlow's); nobody can join it",
}

# While this process is connected to a Ray cluster, which the tests that need one start once for all of them: Ray starts
# workers when it likes and keeps them and the TCP connections to them.  What Flazy has there, its own tests count.
RAY_COMMANDS = (b"ray::", b"/site-packages/ray/")

# For what ends by itself; only a test that fails takes as long.
SETTLE_SECONDS = 5.0

Snapshot = dict[str, frozenset[Hashable]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of thing that can be left behind."""

    name: str
    listing: Callable[[], Iterator[Hashable]]
    describe: Callable[[Any], str]


def take() -> Snapshot:
    """List everything that this process holds now."""
    return {kind.name: frozenset(kind.listing()) for kind in KINDS}


def leaked(before: Snapshot, now: Snapshot) -> list[str]:
    """Describe what is there now and was not there before."""
    return [
        f"{kind.name} {kind.describe(thing)}"
        for kind in KINDS
        for thing in sorted(now[kind.name] - before[kind.name], key=str)
    ]


def settle(before: Snapshot, within_s: float) -> tuple[list[str], Snapshot]:
    """Describe what is still left once everything that ends by itself had time to do so; give all that is there then.

    Processes die and files vanish when the system gets to it, and none of that can be waited for by name from
    out here.  So this is the one place in the tests that looks again and again.
    """
    deadline = time.monotonic() + within_s
    while True:
        gc.collect()
        now = take()
        left = leaked(before, now)
        if not left or time.monotonic() > deadline:
            return left, now
        time.sleep(0.02)


def shut_down() -> None:
    """End the runtime of Flazy, if a test started one."""
    if "flazy.run.runtime" in sys.modules:
        sys.modules["flazy"].shutdown()


# Processes ------------------------------------------------------------------------------------------------


def _all() -> Iterator[tuple[int, int]]:
    """List the processes of the system; a number that is used again comes with another inode."""
    with os.scandir("/proc") as entries:
        yield from ((int(entry.name), entry.inode()) for entry in entries if entry.name.isdigit())


# None of those is ours or ever will be.  Most of a machine's processes are among them, and to look into each of those
# takes longer than most tests.
_EARLIER = frozenset(_all()) if sys.platform == "linux" else frozenset()


def _processes() -> Iterator[Hashable]:
    if sys.platform != "linux":
        yield from psutil.Process().children(recursive=True)
        return
    parents = {pid: _parent(pid) for pid, _inode in frozenset(_all()) - _EARLIER}
    ours = {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= children
    for pid in parents.keys() - {os.getpid()}:
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if (pid in ours or _is_marked(pid)) and not (_has_ray() and _is_of_ray(pid)):
                yield psutil.Process(pid)


def _has_ray() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def _is_of_ray(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return True
    return any(part in command for part in RAY_COMMANDS) or not command  # a zombie, or not yet what it will be


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it ended meanwhile
        return None
    return int(stat.rpartition(b")")[2].split()[1])


def _is_marked(pid: int) -> bool:
    try:
        return "=".join(MARK).encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended meanwhile, or it is another user's
        return False


def _describe_process(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error as error:
        return f"{process.pid} ({type(error).__name__})"


# Threads --------------------------------------------------------------------------------------------------


def _threads() -> Iterator[Hashable]:
    return (thread for thread in threading.enumerate() if type(thread).__name__ not in LASTING_THREADS)


def _describe_thread(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame else "  (it ended while it was described)\n"
    return f"{thread.name!r}{' (daemon)' if thread.daemon else ''} is at\n{stack.rstrip()}"


# Descriptors and memory -----------------------------------------------------------------------------------


def _descriptors() -> Iterator[Hashable]:
    connections = set(_connections()) if _has_ray() else set()
    for path in list(Path("/proc/self/fd").iterdir()):
        try:
            name = str(path.readlink())
        except FileNotFoundError:  # the one that listed the folder
            continue
        if name not in connections:
            yield int(path.name), name


def _connections() -> Iterator[str]:
    """Name the TCP sockets as descriptors do."""
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]:
            yield f"socket:[{line.split()[9]}]"


def _mapped_memory_files() -> Iterator[Hashable]:
    maps = Path("/proc/self/maps").read_bytes()
    if b"/memfd:" not in maps:  # thousands of lines, where frameworks are loaded
        return
    for line in maps.decode().splitlines():
        if "/memfd:" in line:
            _range, _access, _offset, _device, inode, name = line.split(maxsplit=5)
            yield int(inode), name.strip()


# Files ----------------------------------------------------------------------------------------------------


def _shared_memory() -> Iterator[Hashable]:
    """Leave out semaphores of multiprocessing: Flazy has none, and other programs of the same user come and go."""

    def counts(entry: os.DirEntry[str]) -> bool:
        return not entry.name.startswith("sem.mp-") and entry.stat(follow_symlinks=False).st_uid == os.getuid()

    return _entries(Path("/dev/shm"), counts)


def _temporary() -> Iterator[Hashable]:
    folders = {tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir())}
    for folder in folders:
        yield from _entries(Path(folder), lambda entry: entry.name.startswith("flazy"))


def _working_folder() -> Iterator[Hashable]:
    return _entries(ROOT, lambda entry: not entry.name.startswith((".", "__")) and not entry.name.endswith(".egg-info"))


def _entries(folder: Path, counts: Callable[[os.DirEntry[str]], bool]) -> Iterator[Hashable]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if counts(entry):
                    yield entry.path
            except FileNotFoundError:  # it is gone already
                continue


KINDS: tuple[Kind, ...] = (
    Kind("process", _processes, _describe_process),
    Kind("thread", _threads, _describe_thread),
)
if sys.platform == "linux":
    KINDS += (
        Kind("descriptor", _descriptors, lambda fd: f"{fd[0]} -> {fd[1]}"),
        Kind("mapped memory file", _mapped_memory_files, lambda file: f"{file[1]}, inode {file[0]}"),
        Kind("shared memory", _shared_memory, str),
        Kind("temporary file", _temporary, str),
        Kind("file in the working folder", _working_folder, str),
    )
