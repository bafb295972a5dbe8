"""Where a stage runs: frozen values, chosen once with ``workers=``.

Nothing starts here.  ``None`` stands for the caller's own process and thread.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from flazy.errors import InvalidArgument, InvalidType

__all__ = ["Processes", "Threads", "Where", "where_of"]


@dataclass(frozen=True, slots=True)
class Workers:
    """What every kind of workers has.

    Parameters
    ----------
    n
        How many; each parallel stage has that many of its own.
    window
        Samples that may be under way in the stage at a time (read from upstream and not yet taken by the
        consumer).  ``None``: 32 chunks a worker (4 inputs of a flatmap), enough to work through a long step of the
        consumer, within 128 MiB.
    chunk
        Samples that travel together.  ``None``: sized by the time that the function takes, so that a slow
        one goes sample by sample and a fast one is not slowed by messages.  Never changes results.
    """

    n: int
    window: int | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("n", "window", "chunk"):
            value = getattr(self, name)
            if value is None and name != "n":
                continue
            try:
                number = operator.index(value)
            except TypeError:
                raise InvalidType(f"{name}={value!r} of {type(self).__name__} must be an int") from None
            if number < 1:
                raise InvalidArgument(f"{name}={value!r} of {type(self).__name__} must be at least 1")
            object.__setattr__(self, name, number)


@dataclass(frozen=True, slots=True)
class Processes(Workers):
    """Worker processes on this machine: for functions that hold the GIL.  ``workers=8`` means this."""

    def __str__(self) -> str:
        """Spell it for plans and messages."""
        return f"{self.n} process" + ("es" if self.n > 1 else "")


@dataclass(frozen=True, slots=True)
class Threads(Workers):
    """Threads of the caller's process: for functions that wait or release the GIL.  Samples pass by reference."""

    def __str__(self) -> str:
        """Spell it for plans and messages."""
        return f"{self.n} thread" + ("s" if self.n > 1 else "")


Where = Processes | Threads


def where_of(workers: int | Where | None) -> Where | None:
    """Read a ``workers=`` argument.

    Raises
    ------
    InvalidArgument
        For a negative number.
    InvalidType
        For anything but None, an int, `Processes` or `Threads`.
    """
    if workers is None or isinstance(workers, Workers):
        return workers
    try:
        n = operator.index(workers)
    except TypeError:
        raise InvalidType(
            f"workers={workers!r}: give a number of processes (0 or None: none), Processes(n, …) or Threads(n)"
        ) from None
    if isinstance(workers, bool):
        raise InvalidType(f"workers={workers}: give a number of processes, e.g. workers=4")
    if n < 0:
        raise InvalidArgument(f"workers={n} is negative; 0 or None runs the stage in your own process")
    return Processes(n) if n else None
