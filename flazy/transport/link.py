"""A worker's end: tasks come in on one socket, results go out on another.

Results are copied into ZeroMQ's memory as they are sent: a user's function may go on to write into the array that it
returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import zmq

from flazy.transport.arena import Block, Span, Window
from flazy.transport.layout import Layout
from flazy.transport.payload import Encoded, Payload, Placed
from flazy.transport.places import Place
from flazy.transport.reading import unpack
from flazy.transport.stretches import Stretch, arranged
from flazy.transport.wire import Message, Task, pack

__all__ = ["Link", "SocketLink"]

LINGER_MS = 2000  # for the last log records; results are counted by the driver before it says Bye


class Link(Protocol):
    """What a worker's loop needs to know of the world."""

    def receive(self, *, wait: bool) -> Message | None:
        """Give the next message; None if there is none and ``wait`` is false."""

    def send(self, message: Message) -> None:
        """Send a message; may block while the driver is slow."""

    def payload(self, values: Sequence[object], place: Place | None = None, *, pickle: bool = True) -> Payload:
        """Make a payload of values, some of which may lie on a place; ``pickle`` as in `codec.encode`.

        Raises
        ------
        Unencodable
            For values that cannot travel.
        """

    def arranged(self, values: Sequence[object], uniform: type | None) -> list[Stretch]:
        """Put values, which may be known to be of one type, into the form in which they travel best."""

    def place(self, task: Task, *, batched: bool) -> Place:
        """Give the place for what a task gives, which may be batched next."""


class SocketLink:
    """A link over ZeroMQ, with a window on the arena; its sockets belong to the thread that makes it."""

    def __init__(self, tasks: str, results: str, arena: int | None = None) -> None:
        self._window = Window(arena) if arena is not None else None
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
        if isinstance(message, Task) and isinstance(message.payload, Placed):
            # Read-only, so that it is copied when it is opened: another attempt must find the input as it was.
            return replace(message, payload=Encoded(message.payload.found(self._input)))
        return message

    def send(self, message: Message) -> None:
        """Send a message."""
        self._results.send_multipart(pack(message), copy=True)

    def payload(self, values: Sequence[object], place: Place | None = None, *, pickle: bool = True) -> Payload:
        """Encode values; large arrays go onto the place, as far as there is room."""
        encoded = Encoded.of(values, pickle=pickle)
        return place.placed(encoded.frames) if place is not None else encoded

    def arranged(self, values: Sequence[object], uniform: type | None) -> list[Stretch]:
        """Lay numbers and small arrays end to end."""
        return arranged(values, uniform)

    def place(self, task: Task, *, batched: bool) -> Place:
        """Give the block that came with a task, if one did."""
        if task.slab is None:
            return Place(self._window, task.block, batched=batched)
        spec, rows, first = task.slab
        return Place(self._window, task.block, Layout.of(spec, rows), first, batched=batched)

    def _input(self, span: Span) -> memoryview:
        assert self._window is not None
        _, offset, length, segment, segment_size = span
        return self._window.bytes_of(Block(offset, length, segment, segment_size)).toreadonly()

    def close(self) -> None:
        """Send what is under way, for a bounded time, and close."""
        self._tasks.close(linger=0)
        self._results.close()
        self._context.term()
