"""The actors of this process: who of them works for whom, who is new, idle or ending.

Owned by the hub thread.  As with processes, an actor works for one parallel stage at a time, then waits, warm, for the
next that asks the same of Ray and has the same search path; but not for long, since what it holds others may want.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from flazy.core.events import Blame
from flazy.errors import ProtocolError, WorkerError
from flazy.transport.reading import unpack_from_worker
from flazy.transport.wire import Bye, Close, Closed, Logged, Message, Open, Refused, Result, Shipment, Task, pack
from flazy.workers.deaths import Death
from flazy.workers.launch import running_in
from flazy.workers.ray.actor import Fault, Item, as_buffers, as_frames
from flazy.workers.ray.courier import Courier, Ending
from flazy.workers.ray.record import Here, death_of
from flazy.workers.ray.stored import Stored
from flazy.workers.relay import Relay

__all__ = ["Actors", "Opened", "Tenant"]

IDLE_SECONDS = 10.0  # for which an actor waits for more to do
FREE_SECONDS = 2.0  # for which one may go on with a run that was closed
GRACE_SECONDS = 2.0  # from Bye to the end by force
PARTED = "the connection to Ray was closed while the stage was open"

log = logging.getLogger("flazy")


@dataclass(frozen=True, slots=True)
class Opened:
    """What an actor is asked for, and what it is to be ready for."""

    options: dict[str, Any]
    message: Open
    kernel: Any  # where it lies in the object store

    def same_home(self, other: Opened) -> bool:
        """Say whether an actor that was started for the other will do."""
        mine, others = self.message.surroundings, other.message.surroundings
        return self.options == other.options and mine["path"] == others["path"]


class Tenant(Protocol):
    """For whom actors work, one run each."""

    run: int

    def joined(self, worker: int) -> None:
        """Take in that a worker is ready for the run."""

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> None:
        """Take in that a worker is gone, and whether that was its own doing."""

    def result(self, result: Result) -> None:
        """Take in a part."""

    def broken(self, error: BaseException) -> None:
        """Take in that workers cannot be had, or cannot work on the run."""


@dataclass(slots=True, eq=False)
class _Member:
    """One actor.

    ``run`` is the last that it was opened for; ``free``: it is there, and works on none; ``turn`` counts what was done
    with it, so that a timer finds out whether it is out of date; ``foul`` says how it broke the protocol, or why it
    cannot go on.
    """

    number: int
    owner: Tenant | None
    opened: Opened
    here: Here | None = None
    run: int = 0
    free: bool = False
    turn: int = 0
    foul: str = ""
    ending: bool = False

    @property
    def name(self) -> str:
        """Spell it for messages."""
        return f"Ray actor {self.here.pid} on {self.here.host}" if self.here is not None else "Ray actor"


class Actors:
    """All actors of this process in one cluster.

    Parameters
    ----------
    post
        Runs a function in the hub thread, soon.
    relay
        Brings log records to the caller.
    """

    def __init__(self, post: Callable[[Callable[[], None]], None], relay: Relay) -> None:
        self.post = post
        self.relay = relay
        self._members: dict[int, _Member] = {}
        self._numbers = itertools.count(1)
        self._stopped = False
        self.dropped = 0  # messages that came too late to count
        self.courier = Courier(self)

    # For pools --------------------------------------------------------------------------------------

    def lease(self, n: int, owner: Tenant, opened: Opened) -> None:
        """Give ``n`` actors to an owner: warm ones, then new ones, for which others that are idle make room."""
        idle = [member for member in self._members.values() if member.owner is None and not member.ending]
        suited = sorted((each for each in idle if opened.same_home(each.opened)), key=lambda each: not each.free)
        for member in suited[:n]:
            member.owner, member.opened = owner, opened
            member.turn += 1
            if member.free:
                self._join(member)
            elif member.here is not None:
                self._within(FREE_SECONDS, member, self._kill)
        if len(suited) < n:
            for member in idle:
                if member not in suited:
                    self._end(member)
        for _ in range(n - len(suited)):
            self.start(owner, opened)

    def start(self, owner: Tenant, opened: Opened) -> None:
        """Start one actor."""
        if self._stopped:
            owner.broken(WorkerError(PARTED))
            return
        number = next(self._numbers)
        self._members[number] = _Member(number, owner, opened)
        self.courier.start(number, opened.options)

    def send(self, number: int, message: Message) -> None:
        """Send to an actor; never blocks."""
        if number in self._members:
            self._send(number, message)

    def release(self, owner: Tenant) -> None:
        """Take an owner's actors back, to wait for the next; what they still send for it is dropped."""
        for member in self._members.values():
            if member.owner is owner:
                member.owner = None
                member.turn += 1
                if member.run == owner.run:
                    self._send(member.number, Close(owner.run))
                # One that waits for room in the cluster may wait for ever, and asks for more nodes meanwhile.
                self._within(FREE_SECONDS, member, self._kill if member.here is not None else self._end)

    def name(self, number: int) -> str:
        """Spell an actor that is there."""
        member = self._members.get(number)
        return member.name if member is not None else "Ray actor"

    def stop(self) -> None:
        """End all actors and the courier; called by whoever ends the program, in any thread."""
        self._stopped = True
        for number in list(self._members):
            self._send(number, Bye())
        self.courier.stop()

    # Reports of the courier, in its thread ----------------------------------------------------------

    def heard(self, number: int, items: list[Item]) -> None:
        """Take in what an actor has sent."""
        self.post(lambda: self._heard(number, items))

    def ended(self, number: int, ending: Ending) -> None:
        """Take in that an actor has ended."""
        self.post(lambda: self._ended(number, ending))

    def parted(self) -> None:
        """Take in that there is no connection any more."""
        self.post(self._parted)

    # ------------------------------------------------------------------------------------------------

    def _parted(self) -> None:
        members = list(self._members.values())
        self._members.clear()
        self._stopped = True
        for owner in {id(member.owner): member.owner for member in members if member.owner is not None}.values():
            owner.broken(WorkerError(PARTED))

    def _heard(self, number: int, items: list[Item]) -> None:
        member = self._members.get(number)
        for item in items:
            if member is None or member.foul:
                self.dropped += 1
                continue
            try:
                self._take_in(member, item)
            except ProtocolError as error:
                member.foul = f"sent what breaks the protocol ({error})"
                self.courier.kill(number)

    def _take_in(self, member: _Member, item: Item) -> None:
        match item:
            case Here():
                member.here = item
                self._is_free(member)
            case Fault():
                member.foul = f"cannot go on: {item.trace}"
                self.courier.kill(member.number)
            case list():
                self._read(member, unpack_from_worker(as_buffers(item)))

    def _read(self, member: _Member, message: object) -> None:
        owner = member.owner
        match message:
            case Closed():
                if message.run == member.run and not member.free:
                    self._is_free(member)
            case Logged():
                self.relay.log(message.record)
            case Result() if owner is not None and owner.run == message.run:
                if message.worker != member.number:
                    raise ProtocolError(f"a result in the name of worker {message.worker}")
                owner.result(message)
            case Refused() if owner is not None and owner.run == message.run:
                what = "a Ray actor could not load the functions of this stage"
                owner.broken(WorkerError(f"{what}:\n\n{message.reason}"))
            case _:
                self.dropped += 1  # of a run that was closed meanwhile

    def _is_free(self, member: _Member) -> None:
        member.free = True
        member.turn += 1
        if member.owner is not None:
            self._join(member)
        elif not member.ending:
            self._within(IDLE_SECONDS, member, self._end)

    def _join(self, member: _Member) -> None:
        assert member.owner is not None
        member.free, member.run = False, member.owner.run
        opened = member.opened
        # The kernel itself is already there, in the object store.
        frames = as_frames(pack(_without_kernel(opened.message)))
        self.courier.send(member.number, frames, opened.kernel, opens=True)
        member.owner.joined(member.number)

    def _send(self, number: int, message: Message) -> None:
        stored = None
        if isinstance(message, Task) and isinstance(message.payload, Stored):
            stored = message.payload.reference
            message = message.payload.left_out_of(message)
        self.courier.send(number, as_frames(pack(message)), stored)

    def _end(self, member: _Member) -> None:
        if not member.ending:
            member.ending, member.owner = True, None
            member.turn += 1
            self._send(member.number, Bye())
            if member.here is None:
                self._kill(member)  # it has not begun, and may never
            else:
                self._within(GRACE_SECONDS, member, self._kill)

    def _kill(self, member: _Member) -> None:
        self.courier.kill(member.number)

    def _within(self, seconds: float, member: _Member, action: Callable[[_Member], None]) -> None:
        """Do something with an actor after some time, if nothing has happened to it until then."""
        turn = member.turn

        def act() -> None:
            if member.turn == turn and member.number in self._members:
                action(member)

        self.courier.later(seconds, lambda: self.post(act))

    def _ended(self, number: int, ending: Ending) -> None:
        member = self._members.pop(number, None)
        if member is None or self._stopped:
            return
        owner = member.owner
        if owner is None or member.ending:
            if member.foul:
                self.relay.warn(f"{member.name} {member.foul}")
            return
        death, own = death_of(member.name, ending.note, ending.said)
        if member.foul:
            death, own = Death(member.name, member.foul), True
        elif ending.orderly:
            death, own = Death(member.name, "has left"), False
        elif member.here is None:
            death, own = Death(member.name, "could not begin", words=ending.said), True
        running = running_in(ending.note.record) if ending.note is not None else None
        blame = None
        if running is not None and running.run == owner.run:
            blame = Blame(running.task, running.place, own, made=running.made)
        owner.lost(number, death, blame, own=own)


def _without_kernel(message: Open) -> Open:
    return Open(message.run, Shipment(0, b""), message.surroundings, message.batching)
