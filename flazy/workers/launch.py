"""Start one worker process, watch it and end it.  Decides nothing: the fleet does."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
from typing import IO

from flazy import errors
from flazy.errors import WorkerError
from flazy.plan.kernel import INDEX
from flazy.workers.process import RECORD_BYTES

__all__ = ["Process"]

ROOT = str(pathlib.Path(errors.__file__).parent.parent)
START = "import sys; sys.path.insert(0, sys.argv[1]); from flazy.workers.process import main; main(sys.argv[2])"

# Deaths that are the function's own doing; every other signal comes from outside.
OWN_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


class Process:
    """A worker process: a fresh interpreter, not a fork of the caller, which may hold threads or a GPU.

    Parameters
    ----------
    worker
        Its number.
    tasks, results
        The addresses that it connects to.
    alive
        The reading end of the pipe whose end tells it that the driver is gone.
    """

    def __init__(self, worker: int, tasks: str, results: str, alive: int) -> None:
        if not sys.executable:
            raise WorkerError("worker processes need sys.executable, which is empty here; use Threads(n)")
        self._record = _memory_file(f"flazy-worker-{worker}")
        argument = {"worker": worker, "tasks": tasks, "results": results, "alive": alive, "record": self._record}
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
                [sys.executable, "-c", START, ROOT, json.dumps(argument)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(alive, self._record),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._record)
            raise WorkerError(f"a worker process could not be started: {error}") from error
        self.pid = self._popen.pid
        self.sentinel: int | None = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None

    @property
    def outputs(self) -> tuple[IO[bytes], IO[bytes]]:
        """The reading ends of its standard output and error."""
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        return self._popen.stdout, self._popen.stderr

    def ended(self) -> bool:
        """Say whether it has ended; if so, it is reaped."""
        return self._popen.poll() is not None

    def exit(self) -> tuple[str, bool]:
        """Say how it ended, and whether that was its own doing; only after it has ended."""
        code = self._popen.returncode
        if code >= 0:
            return f"exited with code {code}", True
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}", -code in OWN_SIGNALS

    def running(self) -> tuple[int, int, int] | None:
        """Give run, task and index of the input that ran last, if one was running; readable after its death."""
        run, task, index = struct.unpack_from("3q", os.pread(self._record, RECORD_BYTES, 0))[: INDEX + 1]
        return (run, task, max(index, 0)) if task >= 0 and run > 0 else None

    def end(self, number: int) -> None:
        """Send a signal to it and to what it started; nothing if it has ended."""
        if not self.ended():
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):  # it has ended, or has not become a group leader yet
                self._popen.send_signal(number)

    def close(self) -> None:
        """Give back what the driver holds of it; only after it has ended."""
        if self.sentinel is not None:
            os.close(self.sentinel)
        os.close(self._record)


def _memory_file(name: str) -> int:
    """Make a small file that worker and driver share and that has no name on any disk."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.ftruncate(file, RECORD_BYTES)
    return file
