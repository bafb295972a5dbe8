"""The host's side: processes of this machine that work for a trainer on another.

A fleet as any driver has it, with `Relayed` in the place of a stage: what the trainer says goes to the processes, what
they make goes back.  Nothing is unpickled in this process.  A process works on every run of the trainer; when a
connection fails all runs are closed, and the processes wait for the next session.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from flazy.errors import FlazyError, MissingExtra, ProtocolError
from flazy.remote import fingerprints, versions
from flazy.remote.messages import (
    Answer,
    Beat,
    Inquiry,
    Knock,
    Leaving,
    Message,
    Opened,
    Over,
    Passed,
    Stale,
    TurnedAway,
    Welcome,
    between_beats,
)  # fmt: skip
from flazy.remote.relayed import Relayed
from flazy.remote.reports import Reports
from flazy.remote.settings import Outcome, Settings, Snapshot
from flazy.remote.trainer import Trainer
from flazy.transport.line import LineEvent
from flazy.transport.squeeze import need
from flazy.transport.wire import Logged, pack
from flazy.workers.allocator import keep_memory
from flazy.workers.fleet import Fleet
from flazy.workers.folder import Folder, sweep
from flazy.workers.mailbox import Mailbox
from flazy.workers.threads import limited

__all__ = ["serve"]

PATIENCE_SECONDS = 10.0  # until the trainer has said how long it waits itself
TRIES = 2  # until a refusal is believed: a trainer that is killed just then looks like one with another key
FAULTS = 5  # sessions that end with a message that cannot be understood
RETRY_SECONDS = 0.5  # between tries to reach the trainer
LAST_WORD_SECONDS = 0.3  # for what a trainer that ends has said by the other link
SILENCE = 6  # times its patience, after which a trainer that says nothing is taken for gone: it may be sending much
LEAST_SILENCE_SECONDS = 60.0  # a debugger may have stopped it; of one whose machine is gone the system tells
END_SECONDS = 5.0  # for the processes to end
LINGER_MS = 500  # for the goodbye

TURNED_AWAY = {"VersionMismatch": 4, "CodeMismatch": 4, "AuthenticationError": 2}

NOBODY = "nobody answers there"
WRONG_TRAINER = (
    "the trainer's key does not match the join code, which is of another run, or of another program: take the line "
    "that the trainer shows now (of a tunnel that finds nobody at its other end it looks the same)"
)
KEY_REFUSED = (
    "the trainer does not accept this key: the join code is of an earlier run, or the key of this machine is not in "
    "the trainer's authorized_workers (flazy-worker keygen prints it)"
)

log = logging.getLogger("flazy")


def serve(settings: Settings, show: Callable[[Snapshot], None]) -> Outcome:
    """Work for a trainer until it ends, or SIGTERM or SIGINT comes; called in the main thread.

    Returns
    -------
    Outcome
        Every process has ended then, and nothing is left behind.
    """
    keep_memory()  # what goes through is large, and goes through ZeroMQ's memory twice
    agent = _Agent(settings, show)
    before = {number: signal.signal(number, agent.leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return agent.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Agent:
    """The loop; it waits in one place."""

    def __init__(self, settings: Settings, show: Callable[[Snapshot], None]) -> None:
        self._settings = settings
        self._code, self._keys = settings.code, settings.keys  # as they were last told
        self._show = show
        self._mailbox = Mailbox()
        self._folder = Folder()
        self._fleet = Fleet(self._folder.path, self._mailbox.post)
        self._fleet.log = self._log
        here = {"directory": str(pathlib.Path.cwd()), "path": list(sys.path), "environment": limited(os.environ)}
        around = {**here, "log_levels": {}}
        self._reports = Reports(self._fleet, around, self._tell, self._give, self._fail)
        self._relayed = Relayed(self._fleet, around, self._reports, self._tell)
        self._trainer: Trainer | None = None
        self._patience = PATIENCE_SECONDS
        self._started = False
        now = time.monotonic()
        self._apart_since: float | None = now
        self._retry_at = now
        self._heard = now
        self._next_beat = now
        self._refusals = 0
        self._faults = 0
        self._why = ""  # the last try to reach the trainer failed
        self._was_accepted = False  # in that try, by a system if not by a program
        self._torn_until: float | None = None  # one of the two links has ended, and the other may bring a last word
        self._outcome: Outcome | None = None

    def leave(self, *_signal: object) -> None:
        """End soon; a signal handler."""
        self._mailbox.post(self._leave)

    def _leave(self) -> None:
        others = "; the samples under way here are sent to others" if self._relayed.stages else ""
        self._end(0, f"told to leave{others}")

    def run(self) -> Outcome:
        """Work."""
        try:
            sweep()
            while self._outcome is None:
                self._wait()
                for action in self._mailbox.take():
                    action()
                self._fleet.tend()
                self._attend(time.monotonic())
            self._show(self._snapshot())
            return self._outcome
        finally:
            self._close()

    def _wait(self) -> None:
        now = time.monotonic()
        retry_at = self._retry_at if self._trainer is None else None
        times = [self._next_beat, self._fleet.next_deadline(), retry_at, self._torn_until]
        until = min(moment for moment in times if moment is not None)
        line = None if self._trainer is None else self._trainer.line
        others = [self._mailbox.fileno(), *self._fleet.sentinels(), *(line.sockets() if line else ())]
        self._fleet.hub.wait(others, max(0.0, until - now), line.writable() if line else ())

    def _attend(self, now: float) -> None:
        """See to the trainer: try to reach it, hear it, beat."""
        if self._trainer is None and now >= self._retry_at:
            self._call(now)
        if self._trainer is not None:
            try:
                self._hear()  # first: its last word may have come before the end of the connection
                # After that word the end of the connection is no news.
                while self._trainer is not None and self._outcome is None:
                    if (event := next(self._trainer.events(), None)) is None:
                        break
                    self._happened(event)
                if self._torn_until is not None and now >= self._torn_until and self._outcome is None:
                    self._break("the connection broke")
            except ProtocolError as error:
                self._faults += 1
                if self._faults == FAULTS:
                    self._end(1, f"the trainer goes on saying what cannot be understood: {error}; please report it")
                self._break(str(error))
        if self._trainer is not None:
            self._trainer.line.flush()
        if now >= self._next_beat:
            self._next_beat = now + between_beats(self._patience)
            self._beat(now)
            self._reports.look()
            self._show(self._snapshot())

    def _call(self, now: float) -> None:
        """Try to reach the trainer."""
        if self._settings.refresh is not None:
            with contextlib.suppress(FlazyError, OSError):  # it is not there at the moment; the last one may still do
                self._code, self._keys = self._settings.refresh()
        self._trainer = Trainer(self._code, self._keys, self._patience)
        self._heard = now

    def _happened(self, event: LineEvent) -> None:
        match event:
            case LineEvent.CONNECTED:
                self._tell(Knock(self._settings.name, self._settings.processes, versions.about()))
            case LineEvent.WRONG_TRAINER:
                self._refused(WRONG_TRAINER)
            case LineEvent.KEY_REFUSED:
                self._refused(KEY_REFUSED)
            case LineEvent.NO_ANSWER:
                self._break(NOBODY)
            case LineEvent.BROKEN:
                self._torn_until = time.monotonic() + LAST_WORD_SECONDS

    def _refused(self, why: str) -> None:
        """Give up, unless a second try may tell something else, or other keys may be there then."""
        self._refusals += 1
        again = self._settings.keep and self._settings.refresh is not None
        if again or self._refusals < TRIES:
            self._break(why)
        else:
            self._end(2, why)

    def _hear(self) -> None:
        while self._trainer is not None and self._outcome is None:
            message = next(self._trainer.receive(), None)
            if message is None:
                return
            self._heard = time.monotonic()
            self._take_in(message)

    def _take_in(self, message: Message) -> None:
        match message:
            case Welcome(heartbeat):
                self._patience, self._apart_since, self._refusals, self._why = heartbeat, None, 0, ""
                log.info("working for %s", self._where)
                self._started = True
                self._reports.begin(self._settings.processes)
            case TurnedAway(kind, reason):
                self._turned_away(kind, reason)
            case Stale():
                self._break("the trainer had lost sight of this machine")
            case Inquiry(run, names):
                self._tell(Answer(run, fingerprints.fingerprints(names)))
            case Opened():
                self._open(message)
            case Passed():
                self._relayed.passed(message)
            case Over(run=0):
                self._over()
            case Over(run):
                self._relayed.close(run)
            case Beat():
                pass

    def _open(self, message: Opened) -> None:
        try:
            if message.compression is not None:
                need(message.compression)
        except MissingExtra as error:
            self._end(4, f"the trainer compresses what it sends; here, {error}")
        else:
            self._relayed.open(message)

    def _turned_away(self, kind: str, reason: str) -> None:
        if self._settings.keep and kind == "CodeMismatch":
            log.warning("%s", reason)
        else:
            self._end(TURNED_AWAY.get(kind, 1), f"the trainer has turned this worker away: {reason}")

    def _over(self) -> None:
        if self._settings.keep:
            self._break("the trainer has ended")
        else:
            self._end(0, "the trainer has ended")

    def _beat(self, now: float) -> None:
        """Say that we are there; give up a trainer that is not."""
        if self._trainer is not None and self._trainer.session:
            self._tell(Beat(self._reports.results))
            if now - self._heard > max(SILENCE * self._patience, LEAST_SILENCE_SECONDS):
                self._break("the trainer is silent")
        elif self._trainer is not None and now - self._heard > self._patience:
            self._break(NOBODY)
        stopped = self._started and self._was_accepted
        borne = LEAST_SILENCE_SECONDS if stopped else 0.8 * self._patience
        if self._apart_since is not None and now - self._apart_since > borne and not self._settings.keep:
            self._end(3, f"{self._where} is gone: {self._why}" if self._started else self._unreached())

    def _unreached(self) -> str:
        code = self._code
        return (
            f"{self._where} cannot be reached from here: {self._why or NOBODY}. Is the program running, are its ports "
            f"{code.port} and {code.results_port} open for this machine, and is {code.host} the way to it from here "
            "(--trainer names another)?"
        )

    def _break(self, why: str) -> None:
        """End the session, and begin another soon."""
        self._torn_until = None
        if why != self._why:  # of a trainer that stays away for a night it is said once
            log.info("%s: %s", self._where, why)
        self._why = why
        if self._trainer is not None:
            self._was_accepted = self._trainer.line.was_accepted
            self._trainer.close()
            self._trainer = None
        self._relayed.drop()
        now = time.monotonic()
        self._retry_at = now + RETRY_SECONDS
        self._apart_since = now if self._apart_since is None else self._apart_since

    def _tell(self, message: Message) -> None:
        if self._trainer is not None and (self._trainer.session or isinstance(message, Knock)):
            self._trainer.tell(message)

    def _log(self, record: dict[str, Any]) -> None:
        """Bring a log record of a process to the trainer; while there is none, it stays here."""
        if self._trainer is not None and self._trainer.session:
            self._tell(Passed(pack(Logged(0, record))))
        else:
            self._fleet.relay.log(record)

    def _give(self, message: Passed) -> None:
        if self._trainer is not None:
            self._trainer.give(message)

    def _fail(self, error: BaseException) -> None:
        self._end(5, str(error))

    def _end(self, code: int, message: str) -> None:
        if self._outcome is None:
            self._outcome = Outcome(code, message)

    @property
    def _where(self) -> str:
        return f"the trainer at {self._code.host}:{self._code.port}"

    def _snapshot(self) -> Snapshot:
        reports, stages = self._reports, self._relayed.stages
        state = "connecting" if not self._started else "waiting for the trainer"
        if self._trainer is not None and self._trainer.session:
            state = ("working" if reports.ready else "starting") if stages else "waiting for work"
        if self._outcome is not None:
            state = "leaving"
        done = len(reports.ready), reports.samples, reports.nbytes
        return Snapshot(state, f"{self._code.host}:{self._code.port}", *done, stages)

    def _close(self) -> None:
        """Say goodbye and end every process."""
        if self._trainer is not None:
            self._tell(Leaving(self._reports.results))
            self._trainer.line.flush()
            self._trainer.close(LINGER_MS)
        self._fleet.end_all()
        until = time.monotonic() + END_SECONDS
        while not self._fleet.empty and time.monotonic() < until:
            deadlines = [moment for moment in (self._fleet.next_deadline(), until) if moment is not None]
            seconds = max(0.0, min(deadlines) - time.monotonic())
            self._fleet.hub.wait([self._mailbox.fileno(), *self._fleet.sentinels()], seconds)
            for action in self._mailbox.take():
                action()
            self._fleet.tend()
        self._fleet.close()
        self._folder.close()
        self._mailbox.close()
