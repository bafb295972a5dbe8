"""A trainer that says what it is told to, for the host's side alone."""

from __future__ import annotations

import os
import socket
import threading
from typing import Self

import psutil
import zmq

from flazy.remote.join import JoinCode
from flazy.remote.messages import FROM_HOST, Beat, Envelope, Knock, Message, Over, TurnedAway, pack, unpack
from flazy.transport.curve import Address, new_keys
from flazy.transport.door import Door

__all__ = ["Trainer"]

SESSION = 77


class Trainer:
    """It answers each knock with the same words, from a thread of its own, until it is closed.

    Parameters
    ----------
    answers
        What it says to who knocks: messages of a session, or frames as they are.
    beats
        It hears so many, and says then that it has ended.
    closed
        Whether it lets nobody in.
    torn
        Whether its results link ends a moment before it says that it has ended.

    Attributes
    ----------
    keys, guests : KeyPair
        Its own, and those by which one is let in.
    heard : list of Message
        What was said to it.
    """

    def __init__(
        self, *answers: Message | list[bytes], beats: int = 0, closed: bool = False, torn: bool = False
    ) -> None:
        self.keys, self.guests = new_keys(), new_keys()
        self.heard: list[Message] = []
        self._answers = answers
        self._beats = beats
        self._torn = torn
        allowed = None if closed else self.guests.public
        self._door = Door(Address("127.0.0.1", 0, 0), self.keys, lambda public: public == allowed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="trainer of a test")
        self._thread.start()

    @property
    def code(self) -> JoinCode:
        """Where it is."""
        return JoinCode("127.0.0.1", *self._door.ports, self.keys.public, None)

    def count(self, kind: type[Message]) -> int:
        """Count what was said to it."""
        return sum(isinstance(message, kind) for message in self.heard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)
        self._door.close()

    def _listen(self) -> None:
        poller = zmq.Poller()
        for each in self._door.sockets():
            poller.register(each, zmq.POLLIN)
        while not self._end.is_set():
            poller.poll(20)
            self._door.answer()
            for routing, _, frames in self._door.receive_control():
                self._hear(routing, unpack(frames, FROM_HOST)[1])

    def _hear(self, routing: bytes, message: Message) -> None:
        self.heard.append(message)
        if isinstance(message, Knock):
            for count, answer in enumerate(self._answers):
                self._say(routing, answer, count)
        elif isinstance(message, Beat) and self._beats == self.count(Beat):
            if self._torn:
                self._tear()
                self._end.wait(0.1)  # the host has long seen it when it hears the rest
            self._say(routing, Over(0), len(self._answers))

    def _say(self, routing: bytes, words: Message | list[bytes], count: int) -> None:
        if not isinstance(words, list):  # a refusal is not of a session
            words = pack(words, Envelope(0, 0) if isinstance(words, TurnedAway) else Envelope(SESSION, count))
        self._door.send(routing, words)

    def _tear(self) -> None:
        """End the connection of the results link, whatever ZeroMQ thinks of it."""
        for each in psutil.Process().net_connections("tcp"):
            if each.laddr.port == self._door.ports[1] and each.raddr:
                with socket.socket(fileno=os.dup(each.fd)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
