"""A host that has a key and means harm: it knocks as it should, is given tasks, and then says what it likes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import zmq

from flazy.remote import messages, versions
from flazy.remote.join import JoinCode
from flazy.remote.messages import FROM_TRAINER, Envelope, Joined, Knock, Passed, TurnedAway, Welcome
from flazy.transport import reading
from flazy.transport.codec import Buffer, encode
from flazy.transport.curve import KeyPair
from flazy.transport.line import Line, LineEvent
from flazy.transport.payload import Encoded
from flazy.transport.stretches import ROWS
from flazy.transport.wire import Result, Task, pack

__all__ = ["Rogue"]

PATIENCE_S = 20.0  # only a test that fails takes as long


class Rogue:
    """One connection of such a host.

    Parameters
    ----------
    code, keys
        Where the trainer is, and a key that it accepts.
    """

    def __init__(self, code: JoinCode, keys: KeyPair, name: str = "rogue") -> None:
        self.name = name
        self.line = Line(code.host, code.port, code.results_port, code.trainer, keys)
        self.events: list[LineEvent] = []
        self.heard: list[messages.Message] = []
        self.session = 0
        self.told = 0
        self.given = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def come_in(self, workers: int = 1) -> Self:
        """Knock, and have some workers join."""
        self.knock()
        for worker in range(1, 1 + workers):
            self.tell(Joined(worker, 4711))
        return self

    def knock(self, **about: Any) -> None:
        """Begin a session."""
        self.until(lambda: LineEvent.CONNECTED in self.events)
        self.tell(Knock(self.name, 1, versions.about() | about))
        if not about:
            self.until(lambda: self.session)

    def task(self, worker: int = 1) -> Task:
        """Wait for a task of one of our workers."""

        def found() -> Task | None:
            passed = [each for each in self.heard if isinstance(each, Passed) and each.worker == worker]
            tasks = [reading.unpack(each.frames) for each in passed]
            return next((task for task in tasks if isinstance(task, Task)), None)

        task: Task = self.until(found)
        return task

    def tell(self, message: messages.Message) -> None:
        """Say something as a host does."""
        self.say(messages.pack(message, Envelope(self.session, self.told)))

    def give(self, result: Result, sizes: Sequence[int] = ()) -> None:
        """Send a result as a host does."""
        self.send(pack(result), sizes)

    def send(self, frames: Sequence[Buffer], sizes: Sequence[int] = ()) -> None:
        """Send the frames of what is said to be a result."""
        self.line.send_result(messages.pack(Passed(frames, sizes=sizes), Envelope(self.session, self.given)))
        self.given += 1

    def say(self, frames: Sequence[Buffer]) -> None:
        """Say anything."""
        self.line.send(frames)
        self.told += self.session > 0

    def until(self, wanted: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        """Listen until something is there, and give it."""
        deadline = time.monotonic() + seconds
        while not (found := wanted()):
            left = deadline - time.monotonic()
            assert left > 0, f"{self.events} {self.heard[-3:]}"
            poller = zmq.Poller()
            for socket in self.line.sockets():
                poller.register(socket, zmq.POLLIN)
            for socket in self.line.writable():
                poller.register(socket, zmq.POLLIN | zmq.POLLOUT)
            poller.poll(int(left * 1000) + 1)
            self.events += self.line.events()
            self.line.flush()
            for frames in self.line.receive():
                self._take(frames)
        return found

    @property
    def turned_away(self) -> TurnedAway | None:
        """What it was told when it was sent away."""
        return next((message for message in self.heard if isinstance(message, TurnedAway)), None)

    def _take(self, frames: Sequence[Buffer]) -> None:
        envelope, message = messages.unpack(frames, FROM_TRAINER)
        if isinstance(message, Welcome):
            self.session, self.told = envelope.session, 0
        self.heard.append(message)


def result_of(task: Task, values: Sequence[object] = (0,), worker: int = 1, **fields: Any) -> Result:
    """Make a result of a task, in one part, of values that travel without pickle; fields may say something else."""
    frames = encode([None, (ROWS, len(values), list(values))], pickle=False)
    about = {"start": task.skip, "outputs": len(values), "last": True, "nanos": 0, "payload": Encoded(frames)}
    return Result(worker, task.run, task.task, **{**about, **fields})
