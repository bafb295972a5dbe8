"""The trainer's side of workers on other machines: who is there, and who works on what.

Used by the hub thread.  What a host says is never believed: a message that breaks the protocol ends its session, and
costs nobody else anything; a message of a session that is over is counted and dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from flazy.errors import CodeMismatch, ProtocolError, VersionMismatch, WorkerError
from flazy.remote import code, versions
from flazy.remote.host import ASKED, LONGEST, OPEN, Host, blame_of, death_of, new_number, number_of_session
from flazy.remote.messages import (
    FROM_HOST,
    Answer,
    Beat,
    Died,
    Joined,
    Knock,
    Leaving,
    Message,
    Over,
    Passed,
    Slow,
    Stale,
    TurnedAway,
    Welcome,
    between_beats,
    unpack,
)  # fmt: skip
from flazy.remote.register import Caller, Register
from flazy.transport.codec import Buffer
from flazy.transport.door import Door
from flazy.transport.parts import checked
from flazy.transport.payload import Decoded, Encoded
from flazy.transport.reading import unpack_from_worker, whose
from flazy.transport.squeeze import expanded
from flazy.transport.wire import Logged, Refused, Result
from flazy.workers.launch import Running

__all__ = ["Hosts"]

AT_ONCE = 64  # results that are taken in before others have their turn
STUCK_SECONDS = 300.0  # for which nothing comes of the results that a host says it has sent
MOST_PROCESSES = 4096  # of one host
TRAINER = "the trainer"  # in what is read on both sides
TAKEN_BACK = "its key may not work here any more"
LINGER_MS = 300  # for a host that is slow to hear that the trainer ends


class Hosts(Register):
    """Everybody who has come in by one door.

    Parameters
    ----------
    door, caller, how
        As of `Register`.
    heartbeat
        Seconds of silence after which a host counts as lost.
    is_allowed
        Says whether a key, by which somebody has come in, still may.
    room
        Gives memory for so many bytes of a result, or None.
    """

    def __init__(
        self, door: Door, caller: Caller, how: str, *, heartbeat: float, is_allowed: Callable[[bytes], bool],
        room: Callable[[int], Buffer | None],
    ) -> None:  # fmt: skip
        super().__init__(door, caller, how)
        self._heartbeat = heartbeat
        self._is_allowed = is_allowed
        self._room = room
        self._about = versions.about()
        self._next_beat = 0.0
        self.dropped = 0  # messages of sessions that are over

    # For the hub thread's loop ----------------------------------------------------------------------

    def sockets(self) -> Iterable[Any]:
        """Give what becomes readable when there is something to take in."""
        return self.door.sockets()

    def writable(self) -> Iterable[Any]:
        """Give what waits to be written to."""
        return self.door.writable()

    @property
    def next_deadline(self) -> float:
        """When `tend` has something to do."""
        return min([self._next_beat, *(until for _, until in self._alone.values())])

    def tend(self) -> None:
        """Take in what has come, send what waited, beat, look who is silent; never blocks."""
        self.door.answer()
        for routing, key, frames in self.door.receive_control():
            self._hear(routing, key, frames)
        for key, frames in self.door.receive_results(AT_ONCE, self._room):
            self._collect(key, frames)
        self._flush()
        now = time.monotonic()
        if (late := now - self._next_beat) >= 0:
            self._next_beat = now + between_beats(self._heartbeat)
            self._beat(now, late)
        self._look_at_lonely(now)

    def end(self) -> None:
        """Tell every host that the trainer ends."""
        self._at_end = True
        for host in list(self._by_session.values()):
            self._say(host, Over(0))
        self._flush()

    def close(self) -> None:
        """Close the door, a moment after the last word."""
        self.door.close(LINGER_MS if self._by_session else 0)

    @property
    def hosts(self) -> Iterable[Host]:
        """Those that are there."""
        return self._by_session.values()

    # Sessions ---------------------------------------------------------------------------------------

    def _flush(self) -> None:
        for routing in self.door.flush():
            if (host := self._by_routing.get(routing)) is not None:
                self._lose(host, "is not connected any more")

    def _hear(self, routing: bytes, key: bytes, frames: Sequence[Buffer]) -> None:
        host = self._by_routing.get(routing)
        if host is None and routing in self._past:
            self.dropped += 1
            return
        try:
            envelope, message = unpack(frames, FROM_HOST)
            if host is None:
                self._let_in(routing, key, message)
            elif (envelope.session, key) != (host.session, host.key) or isinstance(message, Knock):
                self._expel(host, ProtocolError("a message of another session"))
            elif envelope.before != host.told:
                self._part(host, "has lost messages on the way")
            else:
                host.told += 1
                host.heard = time.monotonic()
                self._take_in(host, message)
        except ProtocolError as error:
            if host is None:
                self._shut(routing)
                self._warn_seldom(f"dropped a message of somebody who has not been let in: {error}")
            else:
                self._expel(host, error)

    def _let_in(self, routing: bytes, key: bytes, knock: Message) -> None:
        if not isinstance(knock, Knock):
            raise ProtocolError(f"a {type(knock).__name__} before any knock")
        if not self._is_allowed(key):  # which it was when it connected
            self._turn_away(routing, "AuthenticationError", TAKEN_BACK)
            return
        name = versions.plain(knock.name) or "a machine without a name"
        if (text := versions.differences(self._about, knock.about, called=(TRAINER, name))) is not None:
            error = VersionMismatch(f"{name} cannot work for this program:\n{text}")
            self._turn_away(routing, "VersionMismatch", str(error))
            self._refuse(list(self._users.values()), error)
            return
        if not 0 < knock.processes <= MOST_PROCESSES:
            raise ProtocolError(f"a host of {knock.processes} processes")
        now = time.monotonic()
        host = Host(number_of_session(), routing, key, name, knock.processes, heard=now, moved=now)
        self._by_routing[routing] = self._by_session[host.session] = host
        self._say(host, Welcome(self._heartbeat))
        self._caller.log({"name": "flazy", "levelno": logging.INFO, "levelname": "INFO", "msg": _joined(host)})
        for user in list(self._users.values()):
            self._ask(host, user)

    def _take_in(self, host: Host, message: Message) -> None:
        match message:
            case Beat(sent):
                host.claimed = max(host.claimed, sent)
            case Joined(worker, pid):
                self._add(host, worker, pid)
            case Died() | Leaving():
                if len(host.late) >= MOST_PROCESSES:
                    raise ProtocolError(f"{len(host.late)} deaths behind results that have not come")
                host.late.append(message)
                self._bury(host)
            case Answer(run, found):
                self._compare(host, run, found)
            case Slow(worker, run, task, place, seconds, stack):
                is_known = worker in host.workers and host.runs.get(run) == OPEN and run in self._users
                if is_known and host.slow.take(host.heard):
                    self._users[run].slow(host.workers[worker], Running(run, task, place, 0), seconds, stack[:LONGEST])
            case Passed():
                self._pass_on(host, message)

    def _add(self, host: Host, worker: int, pid: int) -> None:
        if worker in host.workers or len(host.workers) >= MOST_PROCESSES:
            raise ProtocolError(f"worker {worker} has joined twice, or is one too many")
        number = host.workers[worker] = new_number()
        host.pids[number] = pid
        self._workers[number] = host, worker
        for user in self._opened(host):
            self._join(host, user, number)

    def _compare(self, host: Host, run: int, found: dict[str, str | None]) -> None:
        user = self._users.get(run)
        if user is None or host.runs.get(run) != ASKED:
            return
        sides = TRAINER, host.name
        text = code.compared(user.parcel.modules, found, sent=user.parcel.sent, called=sides)
        if text is None:
            self._open(host, user)
            return
        error = CodeMismatch(f"{host.name} has other code than this program:\n{text}")
        self._say(host, TurnedAway("CodeMismatch", str(error)))
        self._withdraw(host, user, error)

    def _pass_on(self, host: Host, message: Passed) -> None:
        reply = unpack_from_worker(message.frames)
        match reply:
            case Logged(record=record):
                self._caller.log({name: _cut(value) for name, value in record.items()})
            case Refused(run=run, reason=reason) if host.runs.get(run) == OPEN and run in self._users:
                what = f"a worker process on {host.name} could not load the functions of this stage"
                self._withdraw(host, self._users[run], WorkerError(f"{what}:\n\n{reason[:LONGEST]}"))
            case Result():
                raise ProtocolError("a result by the way of tasks")

    # Results ----------------------------------------------------------------------------------------

    def _collect(self, key: bytes, frames: Sequence[Buffer]) -> None:
        host = None
        try:
            envelope, message = unpack(frames, frozenset({Passed}))
            host = self._by_session.get(envelope.session)
            if host is None or host.key != key:
                self.dropped += 1
                return
            if envelope.before != host.results:
                self._part(host, "has lost results on the way")
                return
            host.results += 1
            host.moved = time.monotonic()
            assert isinstance(message, Passed)
            self._result(host, message)
            self._bury(host)
        except ProtocolError as error:
            if host is None:
                self._warn_seldom(f"dropped a result that cannot be read: {error}")
            else:
                self._expel(host, error)

    def _result(self, host: Host, message: Passed) -> None:
        worker, run = whose(message.frames)
        number, user = host.workers.get(worker), self._users.get(run)
        if number is None or user is None or host.runs.get(run) != OPEN:
            self.dropped += 1  # of a run that is over, or a worker that has died: nobody looks into it
            return
        if message.sizes and user.terms.compression is None:
            raise ProtocolError("a compressed result, for which nobody has asked")
        frames = expanded(message.frames, message.sizes) if message.sizes else message.frames
        result = unpack_from_worker(frames)
        if not isinstance(result, Result) or (result.worker, result.run) != (worker, run):
            raise ProtocolError(f"a {type(result).__name__} by the way of results")
        if not isinstance(result.payload, Encoded) or result.filled or result.spec:
            raise ProtocolError("a result in shared memory, of another machine")
        payload: Encoded | Decoded = result.payload
        if not user.terms.pickled:
            # Now and not when the consumer opens it: if it is not what it should be, that costs this host alone.
            payload = Decoded(result.payload.frames)
            checked(payload, result.outputs, user.terms.batch)
        user.result(replace(result, worker=number, payload=payload))

    # Ends -------------------------------------------------------------------------------------------

    def _bury(self, host: Host) -> None:
        """Report deaths, and that a host leaves, each after the results that were sent before it."""
        while host.late and host.late[0].results <= host.results:
            last = host.late.pop(0)
            if isinstance(last, Leaving):
                self._lose(host, "has left")
                return
            if last.worker not in host.workers:
                raise ProtocolError(f"worker {last.worker} has died, but was not there")
            death = death_of(last.death, host.name)
            blame = blame_of(last.blame, death)
            number = host.workers.pop(last.worker)
            del self._workers[number]
            for user in self._opened(host):
                user.lost(number, death, blame if user.run == last.run else None, own=last.own)
            self._count_alone()

    def _expel(self, host: Host, error: ProtocolError) -> None:
        """End the session of a host that broke the protocol; that counts as its own doing."""
        self._turn_away(host.routing, "ProtocolError", str(error))
        self._lose(host, f"sent what breaks the protocol ({error})", own=True)

    def _part(self, host: Host, how: str) -> None:
        """End a session over a connection that has failed; the host may begin another."""
        self._reply(host.routing, Stale())
        self._lose(host, how)

    def _beat(self, now: float, late: float) -> None:
        for host in list(self._by_session.values()):
            host.heard = min(now, host.heard + late)  # we did not listen: who wakes from a stop finds nobody silent
            stuck = host.claimed > host.results and now - host.moved > STUCK_SECONDS
            if now - max(host.heard, host.moved) > self._heartbeat:
                self._part(host, f"was silent for {self._heartbeat:g} s")
            elif not self._is_allowed(host.key):
                self._turn_away(host.routing, "AuthenticationError", TAKEN_BACK)
                self._lose(host, "may not work here any more: its key was taken back")
            elif stuck:
                self._part(host, "has sent results that do not come through")
            else:
                self._say(host, Beat(0))


def _joined(host: Host) -> str:
    return f"{host.name} works for this program, with {host.processes} process{'' if host.processes == 1 else 'es'}"


def _cut(value: Any) -> Any:
    return value[:LONGEST] if isinstance(value, str) else value
