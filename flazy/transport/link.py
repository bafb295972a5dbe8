"""A worker's end: tasks come in on one socket, results go out on another.

Results are copied into ZeroMQ's memory as they are sent: a user's function may go on to write into the array that it
returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import zmq

from flazy.transport.payload import Encoded, Payload
from flazy.transport.wire import Message, pack, unpack

__all__ = ["Link", "SocketLink"]

LINGER_MS = 2000  # for the last log records; results are counted by the driver before it says Bye


class Link(Protocol):
    """What a worker's loop needs to know of the world."""

    def receive(self, *, wait: bool) -> Message | None:
        """Give the next message; None if there is none and ``wait`` is false."""

    def send(self, message: Message) -> None:
        """Send a message; may block while the driver is slow."""

    def payload(self, values: Sequence[object]) -> Payload:
        """Make a payload of values."""


class SocketLink:
    """A link over ZeroMQ; its sockets belong to the thread that makes it."""

    def __init__(self, tasks: str, results: str) -> None:
        self._context = zmq.Context()
        self._tasks: zmq.Socket[bytes] = self._context.socket(zmq.PULL)
        self._tasks.setsockopt(zmq.RCVHWM, 0)
        self._tasks.connect(tasks)
        self._results: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        self._results.setsockopt(zmq.SNDHWM, 0)
        self._results.setsockopt(zmq.LINGER, LINGER_MS)
        self._results.connect(results)

    def receive(self, *, wait: bool) -> Message | None:
        """Give the next message."""
        try:
            frames = self._tasks.recv_multipart(0 if wait else zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return unpack([frame.buffer for frame in frames])

    def send(self, message: Message) -> None:
        """Send a message."""
        self._results.send_multipart(pack(message), copy=True)

    def payload(self, values: Sequence[object]) -> Payload:
        """Encode values."""
        return Encoded.of(values)

    def close(self) -> None:
        """Send what is under way, for a bounded time, and close."""
        self._tasks.close(linger=0)
        self._results.close()
        self._context.term()
