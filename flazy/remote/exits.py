"""How ``flazy-worker`` can end: the one table of its exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["MEANINGS", "Exit", "table"]


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    FAULT = 1
    REFUSED = 2
    GONE = 3
    DIFFERENT = 4
    NO_PROCESSES = 5


MEANINGS: Final[dict[Exit, str]] = {
    Exit.DONE: "the trainer has ended, or this worker was told to leave (Ctrl-C, SIGTERM) and has",
    Exit.FAULT: "a fault of Flazy",
    Exit.REFUSED: "refused: an option, a file, a join code or a key is wrong",
    Exit.GONE: "the trainer is gone, or cannot be reached",
    Exit.DIFFERENT: "versions or code are others than the trainer's",
    Exit.NO_PROCESSES: "worker processes cannot start",
}


def table() -> str:
    """Spell the table, a line for each."""
    return "\n".join(f"  {code:d}  {meaning}" for code, meaning in MEANINGS.items())
