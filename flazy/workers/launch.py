"""One worker process: start it, watch it, end it.  Decides nothing: the fleet does."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
from typing import IO, Any, NamedTuple

from flazy import errors
from flazy.errors import ResourceError, WorkerError
from flazy.plan.kernel import UNKNOWN as UNKNOWN_INDEX
from flazy.plan.loops import BASES, INDEX, OFFSETS, OP, OUTSIDE, RECORD, noted_op
from flazy.workers import room
from flazy.workers.contract import ASKED_AT, DUMP, RECORD_BYTES, STACK_AT, STACK_BYTES, STALE
from flazy.workers.deaths import OWN_SIGNALS
from flazy.workers.remains import signal_group
from flazy.workers.threads import ONE_EACH

__all__ = ["ROOT", "UNKNOWN", "Process", "Running", "Worker", "interpreter", "running_in"]

ROOT = str(pathlib.Path(errors.__file__).parent.parent)
START = "import sys; sys.path.insert(0, sys.argv[1]); from flazy.workers.process import main; main(sys.argv[2])"

UNKNOWN = 1000  # for an exit code that nobody can tell


class Running(NamedTuple):
    """What a worker is doing, or was when it died.

    ``place`` and ``made`` are those of `flazy.core.events.Blame`; ``offsets`` and the op in the place are there where
    calls are noted one by one.
    """

    run: int
    task: int
    place: tuple[int, ...]
    made: int


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

    def noted(self) -> bytes:
        """Give its record as it is."""
        return os.pread(self.record, RECORD_BYTES, 0)

    def running(self, noted: bytes | None = None) -> Running | None:
        """Say what it runs, or ran when its record was as ``noted``, if anything; readable after its death."""
        return running_in(self.noted() if noted is None else noted)

    def ask_for_stack(self, *, interrupt: bool) -> None:
        """Let it write the stacks of its threads into its record, soon; nothing comes of it while it is stopped.

        With a signal, that works whatever it does; but what it does may be disturbed (a call of C returns early), so
        its results must not count any more.  Without, it works unless somebody holds the interpreter's lock.
        """
        if self.code() is None and self.pid is not None:
            os.ftruncate(self.record, STACK_AT)
            os.lseek(self.record, STACK_AT, os.SEEK_SET)  # the file is open once, for all that hold it
            if not interrupt:
                os.pwrite(self.record, b"?", ASKED_AT)
                return
            with contextlib.suppress(OSError):
                os.kill(self.pid, DUMP)

    def stack(self) -> str:
        """Give the stack that it wrote last, nothing if it did not: that of a crash, if it crashed."""
        text = os.pread(self.record, STACK_BYTES, STACK_AT).decode(errors="backslashreplace")
        return text[max(0, text.rfind("Fatal Python error")) :]

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
        except (ResourceError, WorkerError):
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
        """Give the exit code; the first look after its end reaps it, and ends what it has started."""
        if self._popen.returncode is None and self._popen.poll() is not None:
            signal_group(self._popen.pid, signal.SIGKILL)
        return self._popen.returncode


def running_in(noted: bytes) -> Running | None:
    """Say what a worker ran when its record was as ``noted``, if anything."""
    numbers = struct.unpack_from(f"{RECORD}q", noted)
    run, task, index = numbers[: INDEX + 1]
    if task < 0 or run <= 0:
        return None
    if index == UNKNOWN_INDEX or numbers[OP] == OUTSIDE:
        return Running(run, task, () if index == UNKNOWN_INDEX else (max(index, 0),), sys.maxsize)
    op, depth, flatmap = noted_op(numbers[OP])
    # What is no flatmap has given nothing, however much of the task there is.
    made = numbers[BASES + depth] if flatmap else sys.maxsize
    return Running(run, task, (max(index, 0), op, *numbers[OFFSETS : OFFSETS + depth]), made)


def interpreter(arguments: list[str], descriptors: tuple[int, ...], **pipes: int) -> subprocess.Popen[bytes]:
    """Start a fresh Python in a session of its own, without standard input, holding some of our descriptors.

    Numeric libraries start threads when they are imported, and a fork of a process with threads inherits their locks:
    so they have one each, see ``threads.py``.
    """
    if not sys.executable or getattr(sys, "frozen", False):  # a frozen program would start itself, without an end
        what = "is empty here" if not sys.executable else "is no interpreter in a frozen program"
        raise WorkerError(f"worker processes need sys.executable, which {what}; use Threads(n)")
    try:
        made: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own interpreter and our own arguments
            [sys.executable, *_flags(), "-c", *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            start_new_session=True,
            env={**os.environ, **ONE_EACH},
            **pipes,  # type: ignore[call-overload]
        )
    except OSError as error:
        lack = room.lack(error, "a worker process")
        raise lack or WorkerError(f"a worker process could not be started: {error}") from error
    return made


def _flags() -> list[str]:
    """Give the flags with which Python does there what it does here, as multiprocessing does.

    With -P, or what lies in the working folder would stand in for modules that we import. Without -S: who has that has
    set the search path later, which we do too.
    """
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
    return [*(flag for flag in flags if flag != "-S"), "-P"]


def _memory_file(name: str) -> int:
    """Make a small file that worker and driver share and that has no name on any disk."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create(name)
    else:
        tempfile = importlib.import_module("tempfile")
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.ftruncate(file, STACK_AT)
    return file
