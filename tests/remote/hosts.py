"""Hosts: ``flazy-worker`` as a process of its own, as it would run on another machine.

Each has a folder of its own for what it makes, and a mark in its environment, by which all that it has started is
found.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from flazy import Remote
from tests.parallel import scripts

__all__ = ["JOINED", "PROGRAM", "Host", "Hosts"]

PROGRAM = ("-m", "flazy.remote.cli")
JOINED = "working for"  # what it says when it works for us
SECONDS = 30.0  # for what comes by itself, on a machine that others use
LAST_SECONDS = 1.0  # for its last words; what it has left behind may hold its output open


class Host:
    """One ``flazy-worker``.

    Parameters
    ----------
    arguments
        Of the command.
    within
        What stands before the command, as of `netns.Machine`.
    program
        What Python is to run; only the tests of this file run anything else.
    variables
        Of its environment, besides those that it has from the test.
    """

    def __init__(
        self, *arguments: str, within: Sequence[str] = (), program: Sequence[str] = PROGRAM, **variables: str
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="host-"))  # short: paths of sockets are
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._silent = False
        environment = scripts.environment(self.folder) | {"XDG_RUNTIME_DIR": str(self.folder)} | variables
        self._process = subprocess.Popen(
            [*within, sys.executable, *program, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it with all that it has started, and remove its folder; may be called twice."""
        for process in self.alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.kill()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def output(self) -> str:
        """What it has said so far, on stdout and stderr together."""
        return "\n".join(self.lines)

    def says(self, pattern: str, within_s: float = SECONDS, *, times: int = 1) -> str:
        """Wait for so many lines in which a pattern is found, and give the last; those that were said before count."""
        with self._said:
            self._said.wait_for(lambda: self._silent or len(self._found(pattern)) >= times, within_s)
            found = self._found(pattern)
        assert len(found) >= times, f"no line with {pattern!r} in\n{self.output}"
        return found[-1]

    def wait(self, code: int = 0, within_s: float = SECONDS) -> None:
        """Wait for its end, by itself, with that exit code."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended; it said\n{self.output}") from None
        self._reader.join(LAST_SECONDS)
        ended = self._process.returncode

        assert code == ended, f"it ended with {ended}, not {code}; it said\n{self.output}"

    def kill(self) -> None:
        """Kill it alone; what it has started is to end by itself."""
        self._process.kill()
        self._process.wait(SECONDS)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop it with all that it has started, as a machine that sleeps."""
        for process in self.alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """Let all of them go on."""
        for process in self.alive():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def alive(self) -> list[psutil.Process]:
        """Give it, and all that it has started and that runs."""
        return scripts.alive(self.folder)

    def remains(self, within_s: float = scripts.END_SECONDS) -> list[str]:
        """Give what it leaves: processes that do not end in time, and files."""
        return scripts.remains(self.folder, within_s)

    def _found(self, pattern: str) -> list[str]:
        return [line for line in self.lines if re.search(pattern, line)]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._said:
                self.lines.append(line.rstrip("\n"))
                self._said.notify_all()
        with self._said:
            self._silent = True
            self._said.notify_all()


class Hosts:
    """Those of one test, ended with it."""

    def __init__(self) -> None:
        self._started = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def start(self, remote: Remote, *arguments: str, processes: int = 1, name: str = "", **options: Any) -> Host:
        """Start one that joins; the join file is there as soon as a run with these workers is open.

        ``options`` are those of `Host`.
        """
        assert remote.join_file is not None
        named = ["--name", name] if name else []
        join = ["--join-file", os.fspath(remote.join_file), "--processes", str(processes), *named]
        return self._started.enter_context(Host(*join, *arguments, **options))
