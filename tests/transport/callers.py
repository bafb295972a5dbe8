"""Both ends of a connection in one thread, for tests of them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import zmq

from flazy.transport.curve import KeyPair, address_of, new_keys
from flazy.transport.door import Door
from flazy.transport.line import Line, LineEvent

TRAINER, HOST = new_keys(), new_keys()
PATIENCE_S = 20.0  # only a test that fails takes as long


class Entry:
    """A door on loopback, whom it lets in, and what came through it."""

    def __init__(self, listen: str = "tcp://127.0.0.1:0", **how) -> None:
        self.listed = {HOST.public}
        self.door = Door(address_of(listen), TRAINER, lambda public: public in self.listed, **how)
        self.control: list[tuple[bytes, bytes, list]] = []
        self.results: list[tuple[bytes, list]] = []
        self.lines: list[Line] = []

    def line(self, keys: KeyPair = HOST, server: bytes = TRAINER.public, ports: Sequence[int] = (), **how) -> Line:
        """Make a line to it."""
        made = Line(how.pop("host", "127.0.0.1"), *(ports or self.door.ports), server, keys, **how)
        self.lines.append(made)
        return made

    def step(self, others: Sequence[zmq.Socket] = (), seconds: float = PATIENCE_S) -> None:
        """Wait until there is something to do, and do what a hub does."""
        poller = zmq.Poller()
        for each in (*self.door.sockets(), *others):
            poller.register(each, zmq.POLLIN)
        poller.poll(int(seconds * 1000))
        self.door.answer()
        self.control += self.door.receive_control()
        self.results += self.door.receive_results(100)

    def until(self, wanted, others: Sequence[zmq.Socket] = ()):
        """Go on until something is there, and give it."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := wanted()):
            assert time.monotonic() < deadline
            self.step(others, deadline - time.monotonic())
        return found

    def event(self, line: Line) -> LineEvent:
        """Give what becomes of a line next."""
        return self.until(lambda: list(line.events())[:1], line.sockets())[0]

    def connected(self, **how) -> Line:
        """Make a line and wait until it stands."""
        line = self.line(**how)
        assert self.event(line) is LineEvent.CONNECTED
        return line

    def close(self) -> None:
        """Close everything."""
        for line in self.lines:
            line.close()
        self.door.close()
