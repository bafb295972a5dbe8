"""Programs of their own, for what a program does at its start, at its end, and under signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent


def environment(folder):
    """Find Flazy from anywhere; keep what a killed program leaves behind in the test's own folder."""
    return os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "PYTHONWARNINGS": "error"}


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
    """A script that runs on; ``line()`` waits for its next line."""

    def __init__(self, folder, source):
        self._popen = subprocess.Popen(
            [sys.executable, str(write(folder, source))],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._popen.pid

    def line(self):
        return self._popen.stdout.readline().strip()

    def workers(self):
        return psutil.Process(self.pid).children(recursive=True)

    def signal(self, number):
        """Send a signal; give the code, what was said, and the seconds that it took to end."""
        started = time.monotonic()
        os.kill(self.pid, number)
        return (*self.end(), time.monotonic() - started)

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
