"""Programs of their own, for what a program does at its start, at its end, and under signals."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent

MARK = "FLAZY_SCRIPT"  # in the environment of whatever a script starts, however deep

# Within which a program ends, and everything that it started with it.  Three are promised; a machine that others use
# may stop for a while.
END_SECONDS = 5.0


def cases(names, often):
    """Give names as parameters: a few for every run of the suite, the others where FLAZY_CHAOS is set."""
    rare = pytest.mark.skipif("FLAZY_CHAOS" not in os.environ, reason="takes long: set FLAZY_CHAOS")
    return [pytest.param(name, marks=() if name in often else rare) for name in names]


def environment(folder):
    """Find Flazy from anywhere; keep what a killed program leaves behind in the test's own folder."""
    own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "PYTHONWARNINGS": "error", MARK: str(folder)}
    return os.environ | own


def write(folder, source, name="script.py"):
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return path


def run(folder, source, *, cwd=None, timeout_s=40):
    """Run a script to its end."""
    path = write(folder, source)
    return subprocess.run(
        [sys.executable, str(path)], cwd=cwd or folder, env=environment(folder),
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


class Program:
    """A script that runs on, leader of a group as in a terminal; ``line()`` waits for its next line."""

    def __init__(self, folder, source, **variables):
        self._popen = subprocess.Popen(
            [sys.executable, str(write(folder, source))],
            cwd=folder,
            env=environment(folder) | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.pid = self._popen.pid

    def line(self):
        return self._popen.stdout.readline().strip()

    def say(self, line):
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()

    def workers(self):
        return psutil.Process(self.pid).children(recursive=True)

    def signal(self, number):
        """Send a signal; give the code, what was said, and the seconds that it took to end."""
        started = time.monotonic()
        os.kill(self.pid, number)
        return (*self.end(), time.monotonic() - started)

    def terminal(self, number, times=1):
        """Send a signal to the group, as a terminal does it."""
        for _ in range(times):
            os.killpg(self.pid, number)

    def end(self):
        out, err = self._popen.communicate(timeout=30)
        return self._popen.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGKILL)
        self._popen.communicate()


def gone(processes, within_s):
    """Say whether processes end within a time."""
    _gone, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def alive(folder):
    """Give what the scripts of a folder have started, found by their environment: no parent is needed for it."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(psutil.Process(int(path.name)))
        except (OSError, psutil.NoSuchProcess):  # it has ended, also as a zombie, or it is another user's
            continue
    return found


def remains(folder, within_s=END_SECONDS, but=()):
    """Wait for the end of what the scripts of a folder have started; say what stays, and which of our files."""
    until = time.monotonic() + within_s
    while left := [process for process in alive(folder) if process.pid not in but]:
        if time.monotonic() > until:
            break
        await_end(left[0].pid, until)
    return [described(process) for process in left] + [p.name for p in folder.iterdir() if p.name.startswith("flazy")]


def ended(process, within_s=END_SECONDS):
    """Say whether a process that is not our child ends in time; whether anybody reaps it is no matter."""
    await_end(process.pid, time.monotonic() + within_s)
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_end(pid, until):
    """Wait for the end of any process."""
    with contextlib.suppress(ProcessLookupError), os.fdopen(os.pidfd_open(pid)) as watched:
        select.select([watched], [], [], max(0.0, until - time.monotonic()))


def described(process):
    try:
        return f"{process.pid} ({process.status()}): {' '.join(process.cmdline())[:200]}"
    except psutil.Error as error:
        return f"{process.pid} ({type(error).__name__})"
