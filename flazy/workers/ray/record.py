"""What an actor was doing when it died: written into a small file there, read by the driver afterwards.

Ray does not tell how a process ended.  So a crash leaves its stack behind the record, and ``os._exit`` its code; after
anything else nobody knows, and it counts as a death that came from outside.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import mmap
import os
import pathlib
import re
import signal
import socket
import tempfile
import time
from typing import NamedTuple, NoReturn

from flazy.workers.contract import RECORD_BYTES, STACK_AT, STACK_BYTES, STALE
from flazy.workers.deaths import OWN_SIGNALS, Death, tidy

__all__ = ["Here", "Note", "Record", "death_of", "read", "read_open", "remove"]

PREFIX = "flazy-ray-"
SHM = "/dev/shm"  # noqa: S108 - a file of ours is made in it, for nobody else to read
NAMELESS = "/proc/"
FORGOTTEN_SECONDS = 3600.0  # after which a record that nobody holds is one that nobody will ask for
LEFT = "flazy: os._exit "
GUESSES = re.compile("Some common causes include|There are some potential root causes")
CRASHES = {  # as faulthandler spells them
    "Segmentation fault": signal.SIGSEGV,
    "Aborted": signal.SIGABRT,
    "Bus error": signal.SIGBUS,
    "Floating": signal.SIGFPE,
    "Illegal instruction": signal.SIGILL,
}


class Here(NamedTuple):
    """The first that an actor says: where it is, and where its record lies."""

    pid: int
    host: str
    node: str
    path: str


class Note(NamedTuple):
    """A record and the text behind it, as they were left."""

    record: bytes
    text: str


class Record:
    """The actor's side.

    Parameters
    ----------
    near
        The driver is on the same node, and opens a file that has no name in any folder: so nothing can be left behind.
    """

    def __init__(self, *, near: bool) -> None:
        if near and hasattr(os, "memfd_create"):
            self._file = os.memfd_create(PREFIX)
            self.path = f"{NAMELESS}{os.getpid()}/fd/{self._file}"
        else:
            folder = SHM if os.path.isdir(SHM) else tempfile.gettempdir()  # noqa: PTH112 - a path is text here
            _sweep(folder)
            self._file, self.path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        os.ftruncate(self._file, STACK_AT)
        self.memory = memoryview(mmap.mmap(self._file, RECORD_BYTES)).cast("q")
        self.memory[1] = -1
        self._note_ends()

    def here(self, node: str) -> Here:
        """Say where it is."""
        return Here(os.getpid(), socket.gethostname(), node, self.path)

    def close(self) -> None:
        """Remove the file; nobody will ask for it."""
        remove(self.path)

    def _note_ends(self) -> None:
        """Let a crash write its stack behind the record, and ``os._exit`` its code."""
        os.lseek(self._file, STACK_AT, os.SEEK_SET)
        faulthandler.enable(self._file, all_threads=False)  # the others are Ray's
        leave, pid, file = os._exit, os.getpid(), self._file

        def noted(status: int) -> NoReturn:
            if os.getpid() == pid:  # else it is a child that a function has forked
                os.pwrite(file, f"{LEFT}{status}\n".encode(), STACK_AT)
            leave(status)

        os._exit = noted


def read(path: str) -> Note | None:
    """Read the record of an actor that has died, and remove it; on its own node.  None where there is none."""
    try:
        with pathlib.Path(path).open("rb") as file:
            return read_open(file.fileno())
    except OSError:
        return None
    finally:
        remove(path)


def remove(path: str) -> None:
    """Remove the name of a record, if it has one."""
    if not path.startswith(NAMELESS):
        pathlib.Path(path).unlink(missing_ok=True)


def read_open(file: int) -> Note:
    """Read it from an open file."""
    text = os.pread(file, STACK_BYTES, STACK_AT).decode(errors="backslashreplace")
    return Note(os.pread(file, RECORD_BYTES, 0), text)


def death_of(name: str, note: Note | None, said: str) -> tuple[Death, bool]:
    """Say how an actor ended, and whether that was its own doing; ``said`` is what Ray has to say."""
    text = note.text if note is not None else ""
    if text.startswith(LEFT):
        code = int(text.removeprefix(LEFT).partition("\n")[0])
        if code == STALE:
            return Death(name, "ended, since modules that it had loaded have changed", code), False
        return Death(name, f"exited with code {code}", code), True
    _, fatal, kind = text.partition("Fatal Python error: ")
    number = next((number for start, number in CRASHES.items() if kind.startswith(start)), None)
    if number is None:
        return Death(name, "was killed, or its node was lost", words=_short(said)), False
    stack = tidy(fatal + kind)
    return Death(name, f"was killed by {number.name}", -number, stack), number in OWN_SIGNALS


def _short(said: str) -> str:
    """Keep of what Ray says what it knows, without what it guesses."""
    known = said[max(0, said.find("The actor is dead because")) :]
    return " ".join(GUESSES.split(known)[0].split())


def _sweep(folder: str) -> None:
    """Remove what actors left that were killed together with their driver."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.stat().st_mtime < time.time() - FORGOTTEN_SECONDS:
                _remove_if_free(entry.path)


def _remove_if_free(path: str) -> None:
    with contextlib.suppress(OSError):  # it is another user's, held, or gone
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pathlib.Path(path).unlink(missing_ok=True)
        finally:
            os.close(file)
