"""One clean process that forks workers in milliseconds, with everything imported that they need.

The caller's own process is never forked for this: it may hold threads, locks or a GPU.  The zygote is a fresh
interpreter with a single thread, which does nothing but fork, and report how its children end.  Linux only.

Here is the driver's end, the other is in ``forker.py``.  They speak in messages over a socket pair; descriptors travel
with them.  This module loads little, so that the interpreter can begin while the driver loads the rest of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any, NamedTuple

from flazy.errors import ResourceError, WorkerError
from flazy.workers import launch, room
from flazy.workers.contract import MESSAGE_BYTES
from flazy.workers.remains import signal_group

__all__ = ["Begun", "Zygote", "begin", "is_supported"]

BURY_SECONDS = 5.0  # it has closed its end of the socket, so it has ended or is about to

# Collecting garbage while modules are loaded, which make next to none, takes a tenth of the time.
START = """
import gc; gc.disable()
import sys; sys.path.insert(0, sys.argv[1])
from flazy.workers import forker, process
for name in sys.argv[3:]: __import__(name)
argument = forker.serve(int(sys.argv[2]))
if argument is not None: process.main(argument)
"""

# What the zygote loads if the driver has, since functions will want it: once, rather than in each worker.
COMMON = ("numpy.random",)


def is_supported() -> bool:
    """Say whether this system has what it takes."""
    return hasattr(os, "pidfd_open") and hasattr(socket, "send_fds") and sys.platform == "linux"


class Begun(NamedTuple):
    """A zygote that loads what it needs; `Zygote` makes use of it, or it is closed."""

    socket: socket.socket
    popen: subprocess.Popen[bytes]

    def close(self) -> None:
        """End it."""
        self.socket.close()
        self.popen.kill()
        self.popen.communicate()


def begin() -> Begun:
    """Start the interpreter, without waiting for it.

    Raises
    ------
    ResourceError
        Where there is no room for one, and for what else the runtime needs.
    WorkerError
        Where none can be started for another reason.
    """
    room.descriptors(room.RUNTIME, "the runtime of worker processes")
    mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        popen = launch.interpreter(
            [START, launch.ROOT, str(other.fileno()), *(name for name in COMMON if name in sys.modules)],
            (other.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except (ResourceError, WorkerError):
        mine.close()
        raise
    finally:
        other.close()
    return Begun(mine, popen)


class Zygote:
    """The driver's end; never blocks, but where a request fills the socket.

    Parameters
    ----------
    alive
        The reading end of the pipe that tells workers of the driver's end; inherited by them.
    arena
        The arena's file, likewise.
    folder
        The folder of our sockets, which it removes when we are gone.
    begun
        The process, if it is there; None: it is started.
    """

    def __init__(self, alive: int, arena: int, folder: str, begun: Begun | None = None) -> None:
        self._socket, self._popen = begin() if begun is None else begun
        with contextlib.suppress(OSError):  # it is dead: the first look at the socket says so too
            about = {"driver": os.getpid(), "folder": folder}
            socket.send_fds(self._socket, [json.dumps(about).encode()], [alive, arena])
        self._socket.setblocking(False)
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self.outputs = (self._popen.stdout, self._popen.stderr)
        self.broken = False
        self._asked: dict[int, Forked] = {}
        self._children: dict[int, Forked] = {}

    def fileno(self) -> int:
        """Give the file that is readable when there is something to receive."""
        return self._socket.fileno()

    def start(self, argument: dict[str, Any]) -> Forked:
        """Ask for a worker; it is there when `receive` has told it so."""
        worker = Forked(argument["worker"], self._popen)
        outputs, writers = zip(os.pipe(), os.pipe(), strict=True)
        worker.outputs = (os.fdopen(outputs[0], "rb", buffering=0), os.fdopen(outputs[1], "rb", buffering=0))
        self._asked[argument["worker"]] = worker
        try:
            self._socket.setblocking(True)
            socket.send_fds(self._socket, [json.dumps(argument).encode()], [worker.record, *writers])
        except OSError:
            self._break()  # its end is seen by `receive` too, and leads to `bury`
        finally:
            self._socket.setblocking(False)
            for writer in writers:
                os.close(writer)
        return worker

    def receive(self) -> None:
        """Take in what the zygote has to say: that a worker is there, or how one ended."""
        while not self.broken:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES, 1)
            except BlockingIOError:
                return
            except OSError:
                message, descriptors = b"", []
            if not message:
                self._break()
                return
            told = json.loads(message)
            if "refused" in told:
                self._asked.pop(told["worker"]).ended = told["refused"]
            elif "code" in told:
                self._children.pop(told["pid"]).ended = told["code"]
            else:
                worker = self._asked.pop(told["worker"])
                if worker.sentinel is not None:
                    os.close(worker.sentinel)
                worker.pid = told["pid"]
                worker.sentinel = descriptors[0] if descriptors else None  # none if this process may open no more
                self._children[told["pid"]] = worker

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def kill(self) -> None:
        """End it at once, since it stands still; its children live on."""
        self._popen.kill()

    def close(self, timeout_s: float) -> None:
        """End the process, and with it the children that are left."""
        self._socket.close()
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _break(self) -> None:
        """Go on without it: nobody tells any more how its children end."""
        self.broken = True
        for worker in self._children.values():
            worker.orphaned = True

    def bury(self, last_words: str) -> None:
        """Say of the workers that were asked for and did not come that they have ended as it did, and why."""
        code = self._popen.wait(BURY_SECONDS)
        for worker in self._asked.values():
            if worker.pid is None:
                worker.ended, worker.last_words = code, last_words
            else:
                worker.orphaned = True
        self._asked.clear()


class Forked(launch.Worker):
    """A worker that the zygote forked; its exit code comes from there."""

    ended: int | None = None
    last_words = ""  # of the zygote, where that ended instead of forking it
    orphaned = False

    def __init__(self, worker: int, zygote: subprocess.Popen[bytes]) -> None:
        super().__init__(worker)
        self._zygote = zygote

    def fileno(self) -> int:
        """Give the pidfd."""
        return -1 if self.sentinel is None else self.sentinel

    def greeted(self, pid: int) -> None:
        """Take its pid from itself, where the zygote died between forking it and telling."""
        if self.pid is None:
            self.pid = pid
            try:
                self.sentinel = os.pidfd_open(pid)
            except ProcessLookupError:
                self.ended = launch.UNKNOWN

    def end(self, number: int) -> None:
        """Send a signal; to a zygote that does not get to fork it, where it is not there yet."""
        if self.pid is None and self.ended is None:
            self._zygote.send_signal(number)
        else:
            super().end(number)

    def watched(self) -> int | None:
        """Nothing while the zygote is there, which tells when it ends."""
        return self.sentinel if self.orphaned else None

    def code(self) -> int | None:
        """Give the exit code, once the zygote has told it; without a zygote, that it has ended."""
        alone = self.ended is None and self.orphaned and self.sentinel is not None
        if alone and select.select([self], [], [], 0)[0]:
            self.ended = launch.UNKNOWN
            assert self.pid is not None
            signal_group(self.pid, signal.SIGKILL)  # as the zygote would have done, had it been there
        return self.ended
