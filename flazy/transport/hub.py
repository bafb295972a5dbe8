"""The driver's sockets: one PULL for all results, one PUSH for each worker.

A shared PUSH would deal messages to whichever worker is next, and lose those of one that dies; a PUSH of a
worker's own dies with it, and the core sends its tasks again.  Every send is non-blocking: what a socket does not take
now (its peer has not connected yet, or has just died) waits here, bounded by the core's credit.

All of it belongs to one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import zmq

from flazy.transport.codec import Buffer

__all__ = ["Hub"]

Pollable = int | zmq.Socket[bytes]

COPY_BYTES = 64 * 2**20


class Hub:
    """Sockets under a private folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.context = zmq.Context()
        self.results = self._socket(zmq.PULL)
        self.results.setsockopt(zmq.RCVHWM, 0)
        self._bind(self.results, "results")
        self._tasks: dict[int, zmq.Socket[bytes]] = {}
        self._waiting: dict[int, deque[Sequence[Buffer]]] = {}

    def endpoint(self, name: str) -> str:
        """Spell an address in the folder."""
        return f"ipc://{self.folder}/{name}"

    def add(self, worker: int) -> str:
        """Bind a socket for a worker's tasks and give its address."""
        socket = self._socket(zmq.PUSH)
        socket.setsockopt(zmq.SNDHWM, 0)
        self._tasks[worker] = socket
        return self._bind(socket, f"tasks-{worker}")

    def remove(self, worker: int) -> None:
        """Drop a worker's socket and what waits for it."""
        self._waiting.pop(worker, None)
        if (socket := self._tasks.pop(worker, None)) is not None:
            socket.close(linger=0)

    def send(self, worker: int, frames: Sequence[Buffer]) -> None:
        """Send in order, now or when the socket takes it; nothing, to a worker that was removed."""
        if worker not in self._tasks:
            return
        if worker in self._waiting:
            self._waiting[worker].append(frames)
        elif not self._try(worker, frames):
            self._waiting[worker] = deque([frames])

    def wait(self, others: Iterable[Pollable], seconds: float | None, writable: Iterable[Pollable] = ()) -> None:
        """Sleep until a result comes, a socket takes what waits, one of ``others`` is readable, or time is up."""
        poller = zmq.Poller()
        poller.register(self.results, zmq.POLLIN)
        events: dict[Pollable, int] = dict.fromkeys((self._tasks[worker] for worker in self._waiting), zmq.POLLOUT)
        for other in others:
            events[other] = zmq.POLLIN
        for other in writable:
            events[other] = events.get(other, 0) | zmq.POLLOUT
        for socket, event in events.items():
            poller.register(socket, event)
        poller.poll(None if seconds is None else max(0, int(seconds * 1000) + 1))

    def flush(self) -> None:
        """Send what waits, as far as sockets take it."""
        for worker, waiting in list(self._waiting.items()):
            while waiting and self._try(worker, waiting[0]):
                waiting.popleft()
            if not waiting:
                del self._waiting[worker]

    def receive(self) -> Iterator[list[Buffer]]:
        """Give every message that is there, in writable memory.

        Frames of pyzmq are freed here, in the hub: when one is freed it looks at signals, and what their handlers raise
        is printed and forgotten.  In the main thread that would lose a Ctrl-C.  Only of the very large ones the copy
        is saved nevertheless.
        """
        while True:
            try:
                frames = self.results.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            yield [bytearray(frame.buffer) if len(frame) < COPY_BYTES else frame.buffer for frame in frames]

    def close(self) -> None:
        """Close every socket at once; unsent messages are dropped."""
        for worker in list(self._tasks):
            self.remove(worker)
        self.results.close(linger=0)
        self.context.destroy(linger=0)

    def _try(self, worker: int, frames: Sequence[Buffer]) -> bool:
        with suppress(zmq.Again):
            # Copied: sending without a copy starts a thread of pyzmq's that never ends.
            self._tasks[worker].send_multipart(frames, zmq.NOBLOCK, copy=True)
            return True
        return False

    def _bind(self, socket: zmq.Socket[bytes], name: str) -> str:
        """Bind a socket; where there is no space for its file, that is an OSError."""
        endpoint = self.endpoint(name)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise OSError(error.errno, error.strerror, self.folder) from error
        return endpoint

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        return socket
