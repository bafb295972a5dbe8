"""ZeroMQ PUSH/PULL over TCP, as tensorpack's ``send_dataflow_zmq`` and ``RemoteDataZMQ`` have it, written by hand.

Workers have a source of their own and push what they make; the only credit is the high water mark. Nothing is asked
for, so nothing is ordered: each output says its number. No worker that is lost would be noticed. Found by hand: two
messages in each queue, a whole batch in one frame, and two threads for ZeroMQ, which CURVE needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import zmq

from benchmarks.peers.elsewhere import Worker, started
from benchmarks.workloads import Workload

UNORDERED = True
HIGH_WATER = 2
THREADS = 2


@dataclass(frozen=True, slots=True)
class Format:
    """How an output becomes frames, and how it is read again."""

    pack: Callable[[int, Any], Sequence[Any]]
    unpack: Callable[[Sequence[zmq.Frame]], tuple[int, Any]]


def as_frames(number: int, array: Any) -> Sequence[Any]:
    """Give a header and the array as it lies in memory."""
    return msgpack.packb([number, array.dtype.str, array.shape]), array


def from_frames(frames: Sequence[zmq.Frame]) -> tuple[int, Any]:
    """Look at the array where it was received."""
    number, dtype, shape = msgpack.unpackb(frames[0].buffer)
    return number, np.frombuffer(frames[1].buffer, dtype).reshape(shape)


FRAMES = Format(as_frames, from_frames)


@dataclass(frozen=True, slots=True)
class Push:
    """What a worker is told."""

    work: Workload
    first: int
    workers: int
    address: str
    server_key: bytes
    format: Format

    def run(self) -> None:
        """Make every n-th output and push it; end when all have been taken."""
        with zmq.Context(THREADS) as context, context.socket(zmq.PUSH) as socket:
            socket.set_hwm(HIGH_WATER)
            if self.server_key:
                socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_serverkey = self.server_key
            socket.connect(self.address)
            for number in range(self.first, self.work.pieces(), self.workers):
                socket.send_multipart(self.format.pack(number, self.work.output(number)), copy=False)


@dataclass(frozen=True, slots=True)
class Pulled:
    """A pass for each ``iter()``, with workers of its own, as in tensorpack."""

    work: Workload
    workers: int
    curve: bool
    format: Format

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        with zmq.Context(THREADS) as context, context.socket(zmq.PULL) as socket:
            socket.set_hwm(HIGH_WATER)
            socket.linger = 0
            server_key = b""
            if self.curve:
                server_key, socket.curve_secretkey = zmq.curve_keypair()
                socket.curve_server = True
            port = socket.bind_to_random_port("tcp://127.0.0.1")
            processes = [self.start(first, f"tcp://127.0.0.1:{port}", server_key) for first in range(self.workers)]
            try:
                for _ in range(self.work.pieces()):
                    yield self.format.unpack(socket.recv_multipart(copy=False))
            finally:
                for process in processes:
                    process.kill()  # one that has sent everything has nothing else to do
                    process.wait()

    def start(self, first: int, address: str, server_key: bytes) -> Worker:
        """Start one worker."""
        return started(Push(self.work, first, self.workers, address, server_key, self.format))


def pipeline(work: Workload, workers: int = 2, *, curve: bool = False, format: Format = FRAMES) -> Pulled:  # noqa: A002
    return Pulled(work, workers, curve, format)
