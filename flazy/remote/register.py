"""Who is there and who works on what: the tables of the trainer's side, and what follows when they change.

Used by the hub thread.  What hosts say is heard in ``hosts.py``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from flazy.errors import FlazyError, NoWorkers
from flazy.remote.host import ASKED, OPEN, REFUSED, Allowance, Host, User
from flazy.remote.messages import Envelope, Inquiry, Message, Opened, Over, Passed, TurnedAway, pack
from flazy.transport.codec import Buffer
from flazy.transport.door import Door
from flazy.transport.squeeze import squeezed
from flazy.transport.wire import Granted, Task
from flazy.transport.wire import pack as pack_wire
from flazy.workers.deaths import Death

__all__ = ["Caller", "Register"]

MOST_WARNINGS = 5  # at once
MOST_PAST = 4096  # connections; more are hardly open at a time


class Caller(Protocol):
    """The program as hosts know it: what it hears of them."""

    def warn(self, text: str) -> None:
        """Take in a warning."""

    def log(self, record: dict[str, object]) -> None:
        """Take in a log record of a worker."""


class Register:
    """The hosts of one door, their workers, and the runs that these may work on.

    Parameters
    ----------
    door
        The two sockets.
    caller
        Brings warnings and log records to the caller.
    how
        Says how workers are started; it holds no secret.
    """

    def __init__(self, door: Door, caller: Caller, how: str) -> None:
        self.door = door
        self._caller = caller
        self._how = how
        self._by_routing: dict[bytes, Host] = {}
        self._by_session: dict[int, Host] = {}
        self._workers: dict[int, tuple[Host, int]] = {}
        self._users: dict[int, User] = {}
        self._past: dict[bytes, None] = {}  # connections that have had their session, or were refused one
        self._alone: dict[int, tuple[float, float]] = {}  # runs without a worker: how long they bear it, and until when
        self._last_refusal = ""
        self._warnings = Allowance(MOST_WARNINGS)
        self._unsaid = 0
        self._at_end = False

    def admit(self, user: User, patience: float | None) -> None:
        """Let every host work on a run, those included that come later; for so long it may have none, None: ever."""
        self._users[user.run] = user
        if patience is not None:
            self._alone[user.run] = patience, time.monotonic() + patience
        for host in list(self._by_session.values()):
            self._ask(host, user)

    def dismiss(self, user: User) -> None:
        """Let nobody work on it any more; idempotent."""
        if self._users.pop(user.run, None) is None:
            return
        self._alone.pop(user.run, None)
        for host in list(self._by_session.values()):
            if host.runs.pop(user.run, None) is not None:
                self._say(host, Over(user.run))

    def has(self, worker: int) -> bool:
        """Say whether a number is that of a worker here."""
        return worker in self._workers

    def spelled(self, worker: int) -> str | None:
        """Spell a worker, if it is here."""
        found = self._workers.get(worker)
        return None if found is None else found[0].spelled(worker)

    def give(self, worker: int, message: Task | Granted, samples: int, first: int) -> None:
        """Send to a worker; never blocks. Nothing, to one that is gone: that is known to whoever must know."""
        if worker not in self._workers:
            return
        host, theirs = self._workers[worker]
        frames: Sequence[Buffer] = pack_wire(message)
        sizes: Sequence[int] = ()
        if self._users[message.run].terms.compression is not None:
            frames, sizes = squeezed(frames)
        self._say(host, Passed(frames, theirs, samples, first, sizes))

    # What follows ---------------------------------------------------------------------------------------

    def _say(self, host: Host, message: Message) -> None:
        frames = pack(message, Envelope(host.session, host.sent))
        host.sent += 1
        if not self.door.send(host.routing, frames) and host.session in self._by_session:
            self._lose(host, "is not connected any more")

    def _reply(self, routing: bytes, message: Message) -> None:
        self.door.send(routing, pack(message, Envelope(0, 0)))

    def _turn_away(self, routing: bytes, kind: str, reason: str) -> None:
        self._reply(routing, TurnedAway(kind, reason))
        self._shut(routing)

    def _shut(self, routing: bytes) -> None:
        """Hear nothing of a connection any more.

        libzmq closes none of those that have come to us.  An honest host makes a new one for each session, and to one
        that begins anew on the same without end, the functions would be sent each time.
        """
        self._past[routing] = None
        if len(self._past) > MOST_PAST:
            del self._past[next(iter(self._past))]

    def _warn_seldom(self, text: str) -> None:
        """Warn of what somebody could go on doing, after a few times only once a second."""
        if not self._warnings.take(time.monotonic()):
            self._unsaid += 1
            return
        more = f" ({self._unsaid} more since the last warning of the kind)" if self._unsaid else ""
        self._unsaid = 0
        self._caller.warn(text + more)

    def _withdraw(self, host: Host, user: User, error: FlazyError) -> None:
        """Let a host work on a run no more, which it cannot."""
        at_work = host.runs.get(user.run) == OPEN
        host.runs[user.run] = REFUSED
        for number in list(host.workers.values()) if at_work else ():
            user.lost(number, Death(host.spelled(number), "cannot work on this stage"), None, own=False)
        self._refuse([user], error)
        self._count_alone()

    def _refuse(self, users: Sequence[User], error: FlazyError) -> None:
        """Tell those who have no worker; the others go on, and the caller is warned."""
        self._last_refusal = str(error)
        self._warn_seldom(str(error))
        for user in users:
            if not self._at_work(user):
                user.refused(error)

    def _at_work(self, user: User) -> bool:
        return any(host.workers and host.runs.get(user.run) == OPEN for host in self._by_session.values())

    def _ask(self, host: Host, user: User) -> None:
        """Compare code before any function is sent."""
        host.runs[user.run] = ASKED
        if user.parcel.modules:
            self._say(host, Inquiry(user.run, list(user.parcel.modules)))
        else:
            self._open(host, user)

    def _open(self, host: Host, user: User) -> None:
        host.runs[user.run] = OPEN
        parcel, terms = user.parcel, user.terms
        known = host.book.has(parcel.number)
        used = {self._users[run].parcel.number for run in host.runs if run in self._users}
        dropped = [] if known else host.book.add(parcel, used)
        stream, aside = (None, ()) if known else (parcel.stream, parcel.aside)
        self._say(host, Opened(
            user.run, parcel.number, stream, aside, dropped, terms.batching, terms.timeout, terms.pickled,
            terms.compression, terms.log_levels, terms.stages,
        ))  # fmt: skip
        for number in list(host.workers.values()):
            self._join(host, user, number)

    def _join(self, host: Host, user: User, number: int) -> None:
        if number not in self._workers:  # the host was found gone as this was told to it, or to another user
            return
        if user.run in self._alone:
            patience, _ = self._alone[user.run]
            self._alone[user.run] = patience, float("inf")
        user.joined(number, host.spelled(number))

    def _opened(self, host: Host) -> list[User]:
        return [self._users[run] for run, state in host.runs.items() if state == OPEN and run in self._users]

    def _lose(self, host: Host, how: str, *, own: bool = False) -> None:
        """Count nothing of a session any more; nothing changes where it was lost before.

        Anybody who speaks to a host may find it gone, in the middle of what it does for another reason.
        """
        if self._by_session.pop(host.session, None) is None:
            return
        self._by_routing.pop(host.routing, None)
        self._shut(host.routing)
        host.late.clear()
        users, numbers = self._opened(host), list(host.workers.values())
        for number in numbers:
            del self._workers[number]
        if not self._at_end:  # else it goes because we have said so
            self._warn_seldom(f"{host.name} {how}" + ("; its samples are sent again" if users and numbers else ""))
        for number in numbers:
            for user in users:
                user.lost(number, Death(host.spelled(number), f"is lost: its machine {how}"), None, own=own)
        self._count_alone()

    def _count_alone(self) -> None:
        """Begin to count the time of runs that have no worker any more."""
        for run, (patience, until) in list(self._alone.items()):
            if until == float("inf") and not self._at_work(self._users[run]):
                self._alone[run] = patience, time.monotonic() + patience

    def _look_at_lonely(self, now: float) -> None:
        """Break what has had no worker for longer than it bears."""
        for run, (patience, until) in list(self._alone.items()):
            if now >= until:
                del self._alone[run]
                self._users[run].broken(NoWorkers(self._nobody(patience)))

    def _nobody(self, patience: float) -> str:
        refused, seen = self.door.guard.refusals, self.door.guard.refused
        keys = ""
        if seen:
            keys = f"\nSomebody came with a key that may not join, {refused} times, the last from {seen[-1]}."
        last = f"\nThe last that came was turned away. {self._last_refusal}" if self._last_refusal else ""
        return f"no worker was connected for {patience:g} s. {self._how}{keys}{last}"
