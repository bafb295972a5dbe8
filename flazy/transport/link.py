"""A worker's end: tasks come in on one socket, results go out on another.

Results are copied into ZeroMQ's memory as they are sent: a user's function may go on to write into the array that it
returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import zmq

from flazy.transport.arena import Block, Window
from flazy.transport.payload import Encoded, Payload, Placed
from flazy.transport.wire import Close, Message, Result, Task, pack, unpack

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
    """A link over ZeroMQ, with a window on the arena; its sockets belong to the thread that makes it."""

    def __init__(self, tasks: str, results: str, arena: int | None = None) -> None:
        self._window = Window(arena) if arena is not None else None
        self._lent: dict[tuple[int, int], Block] = {}
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
        message = unpack([frame.buffer for frame in frames])
        if isinstance(message, Task) and message.block is not None:
            self._lent[message.run, message.task] = message.block
        elif isinstance(message, Close):
            self._lent = {key: block for key, block in self._lent.items() if key[0] != message.run}
        return message

    def send(self, message: Message) -> None:
        """Send a message; large arrays go into the block that came with the task, if one did."""
        if isinstance(message, Result) and isinstance(message.payload, Encoded) and self._window is not None:
            block = self._lent.pop((message.run, message.task), None)
            if block is not None and message.payload.large:
                placed = Placed.into(self._window.bytes_of(block), message.payload.frames)
                message = replace(message, payload=placed)
        self._results.send_multipart(pack(message), copy=True)

    def payload(self, values: Sequence[object]) -> Payload:
        """Encode values."""
        return Encoded.of(values)

    def close(self) -> None:
        """Send what is under way, for a bounded time, and close."""
        self._tasks.close(linger=0)
        self._results.close()
        self._context.term()
