"""How a worker is handed its join code: by the environment, a file or standard input, alone or in its line.

The one rule: a code with a key is not taken from where others can see it, and no message shows one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from flazy.errors import InvalidArgument, MissingFile, SecurityError
from flazy.remote.join import VARIABLE, JoinCode, decode

__all__ = ["EXPOSED", "awaited", "found_in", "harmless", "held_by", "hidden", "taken", "typed_in"]

LONGEST = 64 * 1024  # characters that are read; a code is far shorter
ENV_START = 47  # in /proc/self/stat, behind the name of the command: see proc(5)
LOOK_S = 0.5  # between two looks: file systems that machines share tell nobody of a new file
CODE = re.compile(r"fz\d+\.[\w=-]{16,}", re.ASCII)

EXPOSED = (
    "a join code with a key does not belong on the command line, where ps shows it to everybody on this machine:\n"
    f"write {VARIABLE}=… before flazy-worker, or use --join-file F, or --join - with the code on standard input"
)


def taken() -> str:
    """Give the variable, which nobody finds any more: neither what we start, nor by ``/proc`` and ``ps e``.

    These show the environment as it was at our start, from our own memory, where functions that run here as the same
    user could read it. Where that is no file of Linux's, it stays.
    """
    given = os.environ.pop(VARIABLE, "")
    if given and sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            start, end = map(int, fields[ENV_START : ENV_START + 2])
            found = b"\0" + ctypes.string_at(start, end - start) if start else b""
            if (place := found.find(f"\0{VARIABLE}=".encode())) >= 0:
                ctypes.memset(start + place + len(VARIABLE) + 1, 0, len(os.fsencode(given)))
    return given


def found_in(text: str, where: str) -> JoinCode:
    """Read the code in what was handed; ``where`` it was is said in the InvalidArgument that is raised for others."""
    try:
        return decode(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error}") from error


def typed_in(stream: TextIO) -> JoinCode:
    """Read the code in the first line of standard input, which need not end behind it; the same error."""
    try:
        text = stream.readline(LONGEST)
    except UnicodeError:
        text = ""
    return found_in(text, "standard input")


def hidden(text: str) -> str:
    """Take join codes out of a text that somebody may keep."""
    return CODE.sub("fz…", text)


def harmless(text: str) -> JoinCode:
    """Read the code that was typed behind ``--join``, where ps shows it to everybody on the machine.

    Raises
    ------
    InvalidArgument
        Where it holds a key, or is none at all.
    """
    if hidden(text) == text:
        raise InvalidArgument(f"--join takes - for standard input; a file is --join-file {text}")
    code = found_in(text, "--join")
    if code.secret is not None:
        raise InvalidArgument(EXPOSED)
    return code


def awaited(path: str, within_s: float | None, tell: Callable[[str], None]) -> JoinCode | None:
    """Give the code that a file holds, as soon as it holds one; None if it does not within a time.

    Parameters
    ----------
    path
        The file; its folder must be there.
    within_s
        None: for ever.
    tell
        Is told what is waited for, once.

    Raises
    ------
    MissingFile
        For a file in a folder that there is not.
    InvalidArgument, SecurityError
        As `held_by` does.
    """
    file = Path(path).expanduser()
    if not file.parent.is_dir():
        raise MissingFile(f"--join-file {path}: there is no folder {file.parent}")
    until = None if within_s is None else time.monotonic() + within_s
    never = threading.Event()
    is_told = False
    while (code := held_by(file)) is None:
        if until is not None and time.monotonic() >= until:
            return None
        if not is_told:
            tell(f"waiting for a trainer to write {file}")
            is_told = True
        never.wait(LOOK_S)
    return code


def held_by(file: Path) -> JoinCode | None:
    """Read a file; None where it is not there, or is empty, for it is being written.

    Raises
    ------
    InvalidArgument
        For a file that holds something else, or cannot be read.
    SecurityError
        For one that others could read, or could have written.
    """
    try:
        with file.open(encoding="utf-8") as opened:
            about = os.fstat(opened.fileno())
            text = opened.read(LONGEST)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise InvalidArgument(f"--join-file {file} cannot be read: {error}") from error
    if not text.strip():
        return None
    code = found_in(text, f"--join-file {file}")
    _ensure_ours(file, about, readable=code.secret is None)
    return code


def _ensure_ours(file: Path, about: os.stat_result, *, readable: bool) -> None:
    """Make sure that nobody else wrote the file, nor can read it where it holds a key."""
    if about.st_uid not in {os.getuid(), 0}:
        raise SecurityError(f"--join-file {file} belongs to another user, whose functions would run here as you")
    if about.st_mode & (0o022 if readable else 0o077):
        raise SecurityError(
            f"--join-file {file} can be {'written' if about.st_mode & 0o022 else 'read'} by others "
            f"({stat.filemode(about.st_mode)}): make it yours alone with chmod 600 {file}"
        )
