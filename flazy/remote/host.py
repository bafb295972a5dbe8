"""One session, as the trainer sees it; and what the trainer needs to know of a run to let hosts work on it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flazy.core.events import Blame
from flazy.errors import ProtocolError
from flazy.remote.messages import Died, Leaving
from flazy.remote.parcel import Book, Parcel
from flazy.transport.wire import Result
from flazy.workers.deaths import Death
from flazy.workers.launch import Running

__all__ = [
    "ASKED", "LONGEST", "OPEN", "REFUSED", "Allowance", "Host", "Terms", "User", "blame_of", "death_of", "new_number",
    "number_of_session",
]  # fmt: skip

REMOTE_BIT = 1 << 62  # workers of other machines are numbered apart from those of this one
MOST_SLOW = 64  # calls that take long, of which a host may tell at once
NONCE_BITS = 24  # as of the fleet's numbers: one that is wrong is nobody's
ASKED, OPEN, REFUSED = range(3)  # what a host is to a run: asked for its modules, at work, of no use

_numbers = itertools.count(1)


class User(Protocol):
    """A parallel stage that hosts may work on; see `flazy.workers.member.Tenant`."""

    @property
    def run(self) -> int:
        """The number of its run."""

    @property
    def parcel(self) -> Parcel:
        """Its functions."""

    @property
    def terms(self) -> Terms:
        """On which terms."""

    def joined(self, worker: int, name: str) -> None:
        """Take in that a worker is ready for the run."""

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> None:
        """Take in that a worker is gone, and whether that was its own doing."""

    def result(self, result: Result) -> None:
        """Take in a part."""

    def slow(self, worker: int, running: Running, seconds: float, stack: str) -> None:
        """Take in that a worker has been at the same call for long."""

    def refused(self, error: Exception) -> None:
        """Take in that a host is of no use to the run, which matters where there is no other."""

    def broken(self, error: BaseException) -> None:
        """Take in that workers cannot be had, or cannot work on the run."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run is to be worked on: see `flazy.remote.messages.Opened` and `flazy.plan.remote.Remote`."""

    batching: tuple[int, str | None] | None
    timeout: float | None
    pickled: bool
    compression: str | None
    log_levels: dict[str, int]
    stages: str
    batch: int = 0


@dataclass(slots=True, eq=False)
class Host:
    """One session.

    ``told`` and ``results`` count the messages that have come, by either way, ``sent`` those that went; ``workers`` are
    its processes: their numbers there, and here.  ``late`` are deaths that wait for the results that were sent before.
    """

    session: int
    routing: bytes
    key: bytes
    name: str
    processes: int
    heard: float
    told: int = 0
    results: int = 0
    sent: int = 0
    claimed: int = 0  # results that it says it has sent
    moved: float = 0.0  # when the last of them came
    workers: dict[int, int] = field(default_factory=dict)
    pids: dict[int, int] = field(default_factory=dict)  # by the numbers here
    runs: dict[int, int] = field(default_factory=dict)  # ASKED, OPEN or REFUSED
    book: Book = field(default_factory=Book)
    late: list[Died | Leaving] = field(default_factory=list)
    slow: Allowance = field(default_factory=lambda: Allowance(MOST_SLOW))

    def spelled(self, worker: int) -> str:
        """Spell one of its workers, by its number here."""
        return f"worker process {self.pids.get(worker, '?')} on {self.name}"


@dataclass(slots=True)
class Allowance:
    """So many things at once, and ``a_second`` of them in the long run; whoever can go on without end is not heard."""

    most: float
    a_second: float = 1.0
    used: float = 0.0
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Say whether there may be one more now."""
        self.used = max(0.0, self.used - (now - self.at) * self.a_second)
        self.at = now
        if self.used + 1 > self.most:
            return False
        self.used += 1
        return True


def new_number() -> int:
    """Give a number that no worker has had."""
    return REMOTE_BIT | next(_numbers) << NONCE_BITS | secrets.randbits(NONCE_BITS)


def number_of_session() -> int:
    """Give a number that nobody can guess: messages of a session carry it."""
    return secrets.randbits(63) + 1


def death_of(fields: Sequence[Any], host: str) -> Death:
    """Make a death of what a host said of it.

    Raises
    ------
    ProtocolError
        It is none.
    """
    if len(fields) != len(DEATH) or not all(type(field) in kinds for field, kinds in zip(fields, DEATH, strict=True)):
        raise ProtocolError("a death that is none")
    if not _are_small([field for field in fields if isinstance(field, int | float)]):
        raise ProtocolError("a death with numbers that there are not")
    cut: list[Any] = [field[:LONGEST] if isinstance(field, str) else field for field in fields]
    worker, how, code, stack, hint, seconds, words = cut
    return Death(f"{worker} on {host}", how, code, stack, hint, seconds, words)


def blame_of(fields: Sequence[Any] | None, death: Death) -> Blame | None:
    """Make a blame of what a host said of it, for a death.

    Raises
    ------
    ProtocolError
        It is none.
    """
    if fields is None:
        return None
    if [type(field) for field in fields] != BLAME or not {int}.issuperset(map(type, fields[1])):
        raise ProtocolError("a blame that is none")
    blame = Blame(*fields)
    if not _are_small([blame.task, blame.made, *blame.place]) or (blame.overdue and death.seconds is None):
        raise ProtocolError("a blame for what cannot be")
    return blame


def _are_small(numbers: Iterable[float]) -> bool:
    """Say whether numbers are such as can be compared and spelled; not so NaN, and ints of any size."""
    return all(-(2**63) <= number < 2**63 for number in numbers)


DEATH: tuple[set[type[Any]], ...] = ({str}, {str}, {int, type(None)}, {str}, {str}, {int, float, type(None)}, {str})
BLAME = [int, tuple, bool, bool, int]


LONGEST = 64 * 1024  # characters of a stack, or of last words
