"""Hosts that are played: one that does as it is told, and one that says whatever it likes.

The one rule: everything is drawn from the generator that is given, so that a seed is enough to make it again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace

import numpy as np

from flazy.plan.kernel import Op
from flazy.remote import messages, versions
from flazy.remote.messages import (
    FROM_TRAINER,
    Answer,
    Beat,
    Died,
    Envelope,
    Inquiry,
    Joined,
    Knock,
    Leaving,
    Passed,
    Slow,
    Stale,
    TurnedAway,
    Welcome,
)  # fmt: skip
from flazy.transport import reading
from flazy.transport.codec import decode, encode
from flazy.transport.payload import Encoded
from flazy.transport.stretches import BATCHES, COLUMNS, NUMBERS, ROWS
from flazy.transport.wire import Logged, Refused, Result, Task, pack
from tests.transport.hive import lied, output
from tests.transport.mutations import EXTREMES, grammatical, mutated

HONEST, LIAR = b"H" * 40, b"L" * 40
LIES = 0.3  # of what the liar says
FINGERPRINT = "local; file 81c5; package 6a0f"  # as in `flazy.remote.fingerprints`
HUGE = 10**5000  # more digits than Python turns into text
ODD = (*EXTREMES, HUGE, -1, -HUGE, 0.5, float("nan"), float("inf"), None, True, "", "x", "\ud800", b"", b"x", (), (1,),
       (-1,), (0, 2**40), (HUGE,), [], [1], {}, {"x": "y"}, {"x": None}, ((),))  # fmt: skip


class PlayedDoor:
    """Gives what was put, and keeps what is sent."""

    def __init__(self) -> None:
        self.control = deque()
        self.results = deque()
        self.sent = {}

    def answer(self):
        pass

    def receive_control(self):
        while self.control:
            routing, key, frames = self.control.popleft()
            yield routing, key, [bytearray(frame) for frame in frames]

    def receive_results(self, most, room):
        while self.results and (most := most - 1) >= 0:
            key, frames = self.results.popleft()
            yield key, [bytearray(frame) for frame in frames]

    def send(self, routing, frames):
        self.sent.setdefault(routing, deque()).append([bytes(frame) for frame in frames])
        return True

    def flush(self):
        return []


class PlayedCaller:
    """Keeps what it is told."""

    def __init__(self):
        self.warnings = []
        self.records = 0

    def warn(self, text):
        self.warnings.append(text)

    def log(self, record):
        self.records += 1


class PlayedHost:
    """A host of two processes that does as it is told."""

    def __init__(self, door, key, number):
        self.door = door
        self.key = key
        self.number = number
        self.connections = 0
        self.lost = 0
        self.tasks = set()
        self.connect()

    def connect(self):
        """Begin anew."""
        self.connections += 1
        self.routing = bytes([self.number, self.connections % 256, self.connections // 256])
        self.session = self.told = self.given = 0
        self.say(Knock(f"host {self.number}", 2, versions.about()))

    def receive(self, frames):
        """Take in a message."""
        _, message = messages.unpack(frames, FROM_TRAINER)
        match message:
            case Welcome():
                self.session = messages.unpack(frames, FROM_TRAINER)[0].session
                self.say(Joined(1, 1000 + self.number))
                self.say(Joined(2, 2000 + self.number))
                self.say(Beat(0))
            case Inquiry(run, names):
                self.say(Answer(run, dict.fromkeys(names, FINGERPRINT)))
            case Passed():
                inner = reading.unpack(message.frames)
                if isinstance(inner, Task):
                    self.work(message.worker, inner)
            case Stale() | TurnedAway():
                self.lost += 1
                self.connect()

    def work(self, worker, task):
        """Do a task, in one part."""
        self.tasks.add(task.task)
        values = [value for _, _, rows in decode(task.payload.frames) for value in rows]
        outputs = [output(value) for value in values[task.skip :]]
        payload = Encoded(encode([None, *([(ROWS, len(outputs), outputs)] if outputs else [])], pickle=False))
        self.give(Result(worker, task.run, task.task, task.skip, len(outputs), True, 1000, payload))

    def say(self, message):
        """Say something."""
        self.put(messages.pack(message, Envelope(self.session, self.told)))

    def give(self, result):
        """Send a result."""
        self.put_result(messages.pack(Passed(pack(result)), Envelope(self.session, self.given)))

    def put(self, frames):
        """Send frames by the way of tasks; those of a session are counted."""
        self.told += self.session > 0
        self.door.control.append((self.routing, self.key, [bytes(frame) for frame in frames]))

    def put_result(self, frames):
        """Send frames by the way of results."""
        self.given += 1
        self.door.results.append((self.key, [bytes(frame) for frame in frames]))


class Liar(PlayedHost):
    """One that changes what it says, and says more."""

    def __init__(self, door, key, number, rng):
        self.rng = rng
        self.kept = [[b"junk"]]
        super().__init__(door, key, number)

    def put(self, frames):
        """Change it, or put another before it."""
        for each in self._lies(frames, self.odd_message):
            super().put(each)

    def give(self, result):
        """Lie about what was done."""
        if self.rng.random() < LIES:
            result = lied(self.rng, result) if self.rng.random() < 0.6 else self.bomb(result)
        super().give(result)

    def put_result(self, frames):
        """Change it, or put another before it."""
        for each in self._lies(frames, self.odd_result):
            super().put_result(each)

    def _lies(self, frames, other):
        frames = [bytes(frame) for frame in frames]
        self.kept = [*self.kept[-20:], frames]
        match self.rng.randrange(8) if self.rng.random() < LIES and self.session else 9:
            case 0 | 1:
                return [mutated(self.rng, frames, self.rng.choice(self.kept))]
            case 2:
                return [frames, frames]
            case 3:
                return []
            case 4:
                return [[frames[0], *grammatical(self.rng)], frames]
            case 5 | 6 | 7:
                return [other(), frames]
        return [frames]

    def odd_message(self):
        """Make a message of a session with anything in its fields."""
        kind = self.rng.choice([Knock, Joined, Died, Answer, Slow, Leaving, Beat, Passed, Passed])
        envelope = Envelope(self.session, self.told)
        if kind is Passed:
            inner = self.rng.choice([
                Logged(1, {"name": "x", "levelno": 30, "msg": "hello"}),
                Logged(1, {"name": "x", "levelno": 30, "msg": "\ud800", self.odd_text(): self.odd()}),
                Refused(self.rng.randrange(3), 1, "no"),
            ])  # fmt: skip
            return messages.pack(Passed(pack(inner), self.odd_int(), 0, 0, self.odd_sizes()), envelope)
        values = [self._near(kind, field.name) for field in fields(kind)]
        if self.rng.random() < 0.5:
            values[self.rng.randrange(len(values))] = self.odd()
        try:
            return messages.pack(kind(*values), envelope)
        except Exception:  # that cannot be packed, so nobody can say it
            return messages.pack(Beat(0), envelope)

    def _near(self, kind, name):
        """Give a field that is not far from the truth."""
        death = ("worker 1", "died", self.odd_int(), "", "", self.rng.choice((None, 1.0, self.odd())), "")
        return {
            "name": "liar", "processes": self.odd_int(), "about": versions.about(), "worker": self.rng.randrange(4),
            "pid": self.odd_int(), "death": death, "run": self.rng.randrange(3), "own": self.rng.random() < 0.5,
            "blame": self.rng.choice((None, (self.odd_int(), (0, 0), True, False, 0), (0, (0, 0), True, True, 0),
                                      (0, (), True, True, HUGE), (0, (0, 0), False, self.odd(), self.odd()))),
            "results": self.rng.choice((0, self.given, self.odd_int())), "found": {}, "task": self.rng.randrange(9),
            "place": self.rng.choice(((), (0,), (0, 0), (2**63, 2**63), (0, 0, 5), (HUGE,))),
            "seconds": self.odd_int(), "stack": "stack", "sent": self.odd_int(),
        }[name]  # fmt: skip

    def odd_result(self):
        """Make a result of whatever it likes."""
        whose = self.rng.randrange(4), self.rng.randrange(3), self.rng.randrange(9)
        payload = Encoded(encode([None, (ROWS, 1, [0])], pickle=False))
        result = Result(*whose, 0, 1, self.rng.random() < 0.5, 0, payload)
        frames = pack(self.bomb(result) if self.rng.random() < 0.5 else result)
        return messages.pack(Passed(frames, sizes=self.odd_sizes()), Envelope(self.session, self.given))

    def bomb(self, result):
        """Make a result of a few bytes that claims much, or something that there is not."""
        many = self.rng.choice((2**20, 2**40, 2**62))
        body = self.rng.choice([
            [None, (ROWS, many, range(many))],
            [None, (COLUMNS, many, (0, range(many)))],
            [None, (COLUMNS, many, (1, range(many)))],
            [None, (COLUMNS, 1, (0, range(many)))],
            [None, (COLUMNS, 1, (2, range(many), range(many)))],
            [None, (COLUMNS, 1, (3, [(1, range(many))]))],
            [None, (NUMBERS, many, range(many))],
            [None, (ROWS, many, np.zeros((many, 0), np.uint8))],
            [None, (COLUMNS, many, (0, np.zeros((many, 0), np.uint8)))],
            [None, (COLUMNS, many, (1, np.zeros((many, 0), np.uint8)))],
            [None, (NUMBERS, many, np.zeros((many >> 4, 0), np.int64))],
            [None, (BATCHES, many, np.zeros((many, 0), np.uint8))],
            [(None, None, range(many)), (ROWS, 1, [1])],
            [(None, ("s", 0, (), "n", "m", "t", "eval", (1, 2)), []), (ROWS, 1, [1])],
            [(None, ("s", 2**40, (-1,), "n", "m", "t", "SystemExit", None), []), (ROWS, 1, [1])],
            [{}, (ROWS, 1, [1])], [None, ROWS], [None, (ROWS, HUGE, [1])], [None, (ROWS, "1", [1])], [],
        ])  # fmt: skip
        frames = encode(body, pickle=False)
        if self.rng.random() < 0.2:
            frames = encode([None, (ROWS, 1, [Op])])
        return replace(result, outputs=self.rng.choice((1, many)), payload=Encoded(frames))

    def odd(self):
        """Give anything."""
        return self.rng.choice(ODD)

    def odd_int(self):
        """Give a number."""
        return self.rng.choice((0, 1, 2, 3, *EXTREMES, HUGE))

    def odd_text(self):
        """Give a text."""
        return self.rng.choice(("args", "exc_info", "created", "name", "levelno", "msecs", "x", ""))

    def odd_sizes(self):
        """Give sizes of frames before they were compressed."""
        return self.rng.choice(((), (), (0,), (0, 0), (0, 0, 2**30), (2**62,) * 3, (0, 0, 2**30, 2**30)))
