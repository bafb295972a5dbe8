"""What a host is told at its start, and what it tells: where it stands, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from flazy.remote.join import JoinCode
from flazy.transport.curve import KeyPair

__all__ = ["EXITS", "Outcome", "Settings", "Snapshot"]

EXITS: Final[dict[int, str]] = {
    0: "the trainer has ended, or this worker was told to leave and has",
    1: "a fault of Flazy",
    2: "refused: wrong usage, join code or key",
    3: "the trainer is gone, or cannot be reached",
    4: "the trainer has other versions or other code",
    5: "worker processes cannot start here, or die faster than they work",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a host is told at its start.

    Parameters
    ----------
    code, keys
        Where the trainer is and by which key it is known, and ours.
    processes
        How many.
    name
        By which the trainer speaks of this machine.
    keep
        Wait for the trainer to come back: for the next epoch, the next run.
    refresh
        Gives code and keys anew before each try, since the trainer may have others by then.
    """

    code: JoinCode
    keys: KeyPair
    processes: int
    name: str
    keep: bool = False
    refresh: Callable[[], tuple[JoinCode, KeyPair]] | None = None


class Outcome(NamedTuple):
    """How it ended: the exit code, and what happened and what to do, for a person."""

    code: int
    message: str


class Snapshot(NamedTuple):
    """Where it stands: ``state`` in words, processes that are ready, and what was done since the start."""

    state: str
    trainer: str
    processes: int
    samples: int
    nbytes: int
    stages: tuple[str, ...]
