"""The runtime of this process: one hub thread that owns every socket, every worker process and every dispatcher.

Other threads post functions to it; it waits in one place, its poller, and for nothing else.  It starts with the first
parallel stage and ends with `shutdown` or the interpreter.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from flazy.errors import ClosedRun
from flazy.run.session import Broken, Session
from flazy.transport.arena import Arena
from flazy.workers import room
from flazy.workers.fleet import Fleet
from flazy.workers.folder import Folder, sweep
from flazy.workers.mailbox import Mailbox
from flazy.workers.zygote import Begun

__all__ = ["Runtime", "arena", "end_at_exit", "runtime", "shutdown"]

JOIN_SECONDS = 10.0

log = logging.getLogger("flazy")


class Attended(Protocol):
    """What else the hub thread sees to: sockets of its own, and what is to be done with them."""

    def sockets(self) -> Iterable[Any]:
        """Give what becomes readable when there is something to do."""

    def writable(self) -> Iterable[Any]:
        """Give what waits to be written to."""

    @property
    def next_deadline(self) -> float:
        """When there is something to do at the latest."""

    def tend(self) -> None:
        """Do it; never blocks."""

    def end(self) -> None:
        """Take in that the runtime ends."""

    def close(self) -> None:
        """Give everything back; idempotent."""


class Runtime:
    """The hub thread; `post`, `new_run` and `open` may be called from any thread, the rest is its own.

    ``ended`` says why it gives nothing any more, and is None while it does.
    """

    def __init__(self, begun: Begun | None = None) -> None:
        room.descriptors(room.RUNTIME, "the runtime")
        room.threads(room.RUNTIME_THREADS, "the threads of the runtime")
        folder = Folder()
        self._mailbox = Mailbox()
        self._stop_at: float | None = None
        self._why: str | None = "Flazy's thread has died; please report it"
        self._runs = itertools.count(1)
        self.open_sessions: set[Session] = set()
        self.ended: ClosedRun | None = None
        self._folder = folder
        self._attended: list[Attended] = []
        self.opening = threading.Lock()  # held by whoever opens what is to be attended
        self.fleet = Fleet(folder.path, self.post, begun)
        self.thread = threading.Thread(target=self._run, name="flazy-hub", daemon=True)
        self.thread.start()

    def new_run(self) -> int:
        """Give a number to a parallel stage."""
        return next(self._runs)

    def post(self, action: Callable[[], None]) -> None:
        """Run a function in the hub thread, soon; never blocks, so finalizers may call it."""
        self._mailbox.post(action)

    def open(self, session: Session) -> None:
        """Open a session, soon; where the thread has ended, who waits for it is told so."""
        self.open_sessions.add(session)
        self.post(lambda: self._open(session))
        if self.ended is not None:  # looked at after the session can be seen, so that one of the two tells it
            session.outlet.put(Broken(self.ended))

    def _open(self, session: Session) -> None:
        if self._stop_at is None:  # else it was posted as we were told to stop, and nobody would end its workers
            session.open()

    @property
    def folder(self) -> str:
        """A private folder, which goes with the runtime."""
        return self._folder.path

    @property
    def attended(self) -> list[Attended]:
        """What was given to `attend`."""
        return list(self._attended)

    def attend(self, what: Attended) -> None:
        """See to more sockets from now on, and close them at the end; nobody else uses them any more."""
        self._attended.append(what)
        self.post(lambda: None)  # so that the poller hears of them

    def end(self, why: str) -> None:
        """Tell whoever waits, or will, that nothing comes any more."""
        self.ended = ClosedRun(why)
        for session in list(self.open_sessions):
            session.outlet.put(Broken(self.ended))

    def stop(self, why: str | None) -> None:
        """End the workers, then the thread, in bounded time; without a reason nobody is told."""
        self.post(lambda: self._stop(why))
        self.thread.join(JOIN_SECONDS)
        if self.thread.is_alive():
            log.warning("the hub thread did not end within %.0f s", JOIN_SECONDS)

    def _stop(self, why: str | None) -> None:
        if self._stop_at is None:
            self._stop_at = time.monotonic() + JOIN_SECONDS - 2
            self._why = why
            self._end_sessions()
            for attended in self.attended:
                self._call(attended.end)
            self.fleet.end_all()

    def _end_sessions(self) -> None:
        if self._why is not None:
            self.end(self._why)
            for session in list(self.open_sessions):
                session.close()

    def _run(self) -> None:
        try:
            sweep()
            while self._stop_at is None or not (self.fleet.empty or time.monotonic() > self._stop_at):
                self._wait()
                for action in self._mailbox.take():
                    self._call(action)
                self._call(self.fleet.tend)
                for attended in self.attended:
                    self._call(attended.tend)
        finally:
            self._end_sessions()
            for attended in self.attended:
                attended.close()
            self.fleet.close()
            self._folder.close()
            self._mailbox.close()

    def _wait(self) -> None:
        """Sleep until a message, a death, a posted function or a deadline; the only place where the hub waits."""
        attended = self.attended
        times = [self.fleet.next_deadline(), self._stop_at, *(each.next_deadline for each in attended)]
        deadlines = [time_s for time_s in times if time_s is not None]
        seconds = min(deadlines) - time.monotonic() if deadlines else None
        readable = [self._mailbox.fileno(), *self.fleet.sentinels()]
        for each in attended:
            readable.extend(each.sockets())
        self.fleet.hub.wait(readable, seconds, [socket for each in attended for socket in each.writable()])

    def _call(self, action: Callable[[], None]) -> None:
        """Run one action; a fault of ours is logged with its trace and breaks what is open, rather than hang it."""
        try:
            action()
        except Exception as error:
            if (lack := room.lack(error, "the runtime")) is None:
                log.exception("a fault in the hub; please report it")
            for session in list(self.open_sessions):
                session.broken(lack or error)


_lock = threading.Lock()
_runtime: Runtime | None = None
_before_fork: list[Runtime] = []


def runtime(begun: Begun | None = None) -> Runtime:
    """Give the runtime of this process; the first call starts it, with a zygote that is there, or without."""
    global _runtime  # one a process is the point
    try:
        with _lock:
            if _runtime is None or not _runtime.thread.is_alive():
                _runtime, begun = Runtime(begun), None
            return _runtime
    finally:
        if begun is not None:  # another thread was first, or there is no room for a runtime
            begun.close()


def arena() -> Arena | None:
    """Give the shared memory of this process, if there is any by now."""
    running = _runtime
    return None if running is None else running.fleet.arena


def shutdown() -> None:
    """End all workers and threads of Flazy in this process; returns in bounded time, and later runs start anew."""
    _stop("flazy.shutdown() ended this run; iterate the dataset for another")


def _stop(why: str | None) -> None:
    global _runtime
    with _lock:
        ending, _runtime = _runtime, None
    if ending is not None:
        ending.stop(why)


def end_at_exit() -> None:
    """End without a word: what still iterates in a daemon thread would only print a traceback over the end."""
    _stop(None)


def _pin_before_fork() -> None:
    """Let nothing be written again that the child may look at."""
    if _runtime is not None and _runtime.fleet.arena is not None:
        _runtime.fleet.arena.before_fork()


def _forget_after_fork() -> None:
    """Leave the parent's threads and sockets to the parent: a forked child has neither."""
    global _runtime, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    if _runtime is not None:
        if _runtime.fleet.arena is not None:
            _runtime.fleet.arena.after_fork_in_child()
        _before_fork.append(_runtime)  # kept, so that nothing of it is closed here
        _runtime.end("this process was forked while the run was open, and its workers stayed with the parent")
    _runtime = None


os.register_at_fork(before=_pin_before_fork, after_in_child=_forget_after_fork)
