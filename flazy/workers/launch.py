"""One worker process: start it, watch it, end it.  Decides nothing: the fleet does."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
from typing import IO, Any

from flazy import errors
from flazy.errors import WorkerError
from flazy.plan.kernel import UNKNOWN as UNKNOWN_INDEX
from flazy.plan.loops import INDEX
from flazy.workers.contract import RECORD_BYTES, STALE

__all__ = ["ROOT", "UNKNOWN", "Process", "Worker", "interpreter"]

ROOT = str(pathlib.Path(errors.__file__).parent.parent)
START = "import sys; sys.path.insert(0, sys.argv[1]); from flazy.workers.process import main; main(sys.argv[2])"

UNKNOWN = 1000  # for an exit code that nobody can tell

# Deaths that are the function's own doing; every other signal comes from outside.
OWN_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


class Worker:
    """What is common to worker processes, however they are started.

    Attributes
    ----------
    pid : int or None
        None until it is known.
    sentinel : int or None
        A pidfd, readable when the process has ended; None where there is none.
    outputs : pair of binary files
        The reading ends of its standard output and error.
    """

    pid: int | None = None
    sentinel: int | None = None
    last_words = ""  # what is known of why it ended, beside its own standard error
    outputs: tuple[IO[bytes], IO[bytes]]

    def __init__(self, worker: int) -> None:
        self.record = _memory_file(f"flazy-worker-{worker}")

    def greeted(self, pid: int) -> None:
        """Take in that the process itself has said its pid."""

    @property
    def unwatched(self) -> bool:
        """Whether somebody must look now and then if it has ended, since nothing tells."""
        return False

    def watched(self) -> int | None:
        """Give the file that becomes readable at its end, where that is what tells."""
        return self.sentinel

    def code(self) -> int | None:
        """Give the exit code once it has ended: negative for a signal, `UNKNOWN` where nobody can tell; never waits."""
        raise NotImplementedError

    def exit(self) -> tuple[str, bool]:
        """Say how it ended, and whether that was its own doing; only after it has ended."""
        code = self.code()
        if code is None or code == UNKNOWN:
            return "ended, nobody knows how", False
        if code == STALE:
            return "ended, since modules that it had loaded have changed", False
        if code >= 0:
            return f"exited with code {code}", True
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}", -code in OWN_SIGNALS

    def running(self) -> tuple[int, int, int | None] | None:
        """Give run, task and index of the input that ran last, if one was running; readable after its death.

        The index is None where inputs were not noted one by one.
        """
        run, task, index = struct.unpack_from("3q", os.pread(self.record, RECORD_BYTES, 0))[: INDEX + 1]
        noted = None if index == UNKNOWN_INDEX else max(index, 0)
        return (run, task, noted) if task >= 0 and run > 0 else None

    def end(self, number: int) -> None:
        """Send a signal to it and to what it started; nothing if it has ended."""
        if self.code() is None and self.pid is not None:
            for send in (os.killpg, os.kill):  # it may not have become the leader of its group yet
                try:
                    return send(self.pid, number)
                except (ProcessLookupError, PermissionError):
                    pass
        return None

    def close(self) -> None:
        """Give back what the driver holds of it; only after it has ended."""
        if self.sentinel is not None:
            os.close(self.sentinel)
        os.close(self.record)


class Process(Worker):
    """A worker that is an interpreter of its own from the start; where there is no zygote.

    Parameters
    ----------
    argument
        What `process.main` is given, but for descriptors.
    alive
        The reading end of the pipe whose end tells it that the driver is gone.
    """

    def __init__(self, argument: dict[str, Any], alive: int) -> None:
        super().__init__(argument["worker"])
        try:
            self._popen = interpreter(
                [START, ROOT, json.dumps({**argument, "alive": alive, "record": self.record})],
                (alive, self.record),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except WorkerError:
            os.close(self.record)
            raise
        self.pid = self._popen.pid
        self.sentinel = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self.outputs = (self._popen.stdout, self._popen.stderr)

    @property
    def unwatched(self) -> bool:
        """Without pidfds."""
        return self.sentinel is None

    def code(self) -> int | None:
        """Give the exit code; the process is reaped by the first look after its end."""
        return self._popen.poll()


def interpreter(
    arguments: list[str], descriptors: tuple[int, ...], *, environment: dict[str, str] | None = None, **pipes: int
) -> subprocess.Popen[bytes]:
    """Start a fresh Python in a session of its own, without standard input, holding some of our descriptors."""
    if not sys.executable:
        raise WorkerError("worker processes need sys.executable, which is empty here; use Threads(n)")
    try:
        made: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
            [sys.executable, "-c", *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
            env=environment,
            **pipes,  # type: ignore[call-overload]
        )
    except OSError as error:
        raise WorkerError(f"a worker process could not be started: {error}") from error
    return made


def _memory_file(name: str) -> int:
    """Make a small file that worker and driver share and that has no name on any disk."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create(name)
    else:
        tempfile = importlib.import_module("tempfile")
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.ftruncate(file, RECORD_BYTES)
    return file
