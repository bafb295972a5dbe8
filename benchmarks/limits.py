"""What this machine can do at best: copying memory, raw ZeroMQ, and a bare ring in shared memory.

    python -m benchmarks.limits

The unit is in the name of each figure. Nothing here checks, orders or recovers anything: a library comes near to
these figures, and never above them.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from benchmarks.workloads import IMAGE, image

IMAGE_BYTES = IMAGE.nbytes
ROWS = 32
SLOTS = 4  # of each worker
SECONDS = 0.3

FORK = multiprocessing.get_context("fork")


def limits() -> dict[str, float]:
    """Measure everything, in about four seconds."""
    return {
        "copy 600 KB that is in the cache (GB/s)": copying(1, 1),
        "copy 600 KB from and to 600 MB (GB/s)": copying(1000, 1000),
        "copy 600 KB into fresh pages (GB/s)": copying_fresh(),
        "ZeroMQ, ipc, 600 KB (MB/s)": sockets(IMAGE_BYTES, copy=True) * IMAGE_BYTES / 1e6,
        "ZeroMQ, ipc, 600 KB, no copies (MB/s)": sockets(IMAGE_BYTES, copy=False) * IMAGE_BYTES / 1e6,
        "ZeroMQ, ipc, 100 bytes (messages/s)": sockets(100, copy=True),
        "ring, function returns the image, 1 worker (MB/s)": ring(1, 1, put_returned),
        "ring, function returns the image, 2 workers (MB/s)": ring(2, 1, put_returned),
        "ring, function writes into the ring, 2 workers (MB/s)": ring(2, 1, put_written),
        "ring of batches, function returns each row, 2 workers (MB/s)": ring(2, ROWS, put_returned),
    }


# Memory -----------------------------------------------------------------------------------------------


def copying(sources: int, targets: int) -> float:
    """Copy images between some places in turn."""
    from_ = np.ones((sources, IMAGE_BYTES // 4), np.float32)
    to = np.ones((targets, IMAGE_BYTES // 4), np.float32)
    return rate(lambda number: np.copyto(to[number % targets], from_[number % sources])) * IMAGE_BYTES / 1e9


def copying_fresh() -> float:
    """Copy images into memory that has no pages yet."""

    def copy(_: int) -> None:
        with mmap.mmap(-1, IMAGE_BYTES) as pages:
            pages.write(payload)

    payload = IMAGE.tobytes()
    return rate(copy) * IMAGE_BYTES / 1e9


def rate(act: Callable[[int], Any]) -> float:
    """Count how often something can be done in a second."""
    act(0)
    number, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < SECONDS:
        for _ in range(10):
            act(number)
            number += 1
    return number / taken


# Sockets ----------------------------------------------------------------------------------------------


def sockets(size: int, *, copy: bool) -> float:
    """Count the messages a second from one process to another."""
    with tempfile.TemporaryDirectory() as folder, zmq.Context() as context, context.socket(zmq.PULL) as socket:
        address = f"ipc://{Path(folder) / 'limits'}"
        socket.bind(address)
        process = FORK.Process(target=send_forever, args=(address, size, copy), daemon=True)
        process.start()
        try:
            for _ in range(10):
                socket.recv(copy=copy)
            return rate(lambda _: socket.recv(copy=copy))
        finally:
            process.kill()
            process.join(5.0)


def send_forever(address: str, size: int, copy: bool) -> None:  # noqa: FBT001 - arguments of a process have no names
    """Send the same bytes until killed."""
    socket = zmq.Context().socket(zmq.PUSH)
    socket.connect(address)
    payload = bytes(size)
    while True:
        socket.send(payload, copy=copy)


# A ring -----------------------------------------------------------------------------------------------


def put_returned(row: Any, number: int) -> None:
    """Copy what a function returns."""
    np.copyto(row, image(number))


def put_written(row: Any, number: int) -> None:
    """Let the function write where it shall be."""
    np.copyto(row, IMAGE)
    row[0, 0, 0] = number


def ring(workers: int, rows: int, put: Callable[[Any, int], None]) -> float:
    """Give MB/s of images through slots in shared memory, filled by workers and looked at here, in turn.

    A pipe tells each worker which of its slots is free, and another tells here which is full: no polling.
    """
    shape = (workers, SLOTS, rows, *IMAGE.shape)
    memory = mmap.mmap(-1, int(np.prod(shape)) * 4)
    slots = np.frombuffer(memory, np.float32).reshape(shape)
    ends = [(os.pipe(), os.pipe()) for _ in range(workers)]
    processes = [
        FORK.Process(target=fill, args=(slots[worker], *ends[worker], put), daemon=True) for worker in range(workers)
    ]
    for process, (free, _) in zip(processes, ends, strict=True):
        process.start()
        os.write(free[1], bytes(range(SLOTS)))

    def take(number: int) -> None:
        worker = number % workers
        free, full = ends[worker]
        slot = os.read(full[0], 1)
        if slots[worker, slot[0], 0, 0, 0, 0] < 0:
            raise ValueError("a slot was not filled")
        os.write(free[1], slot)

    try:
        for number in range(2 * SLOTS * workers):
            take(number)
        return rate(take) * rows * IMAGE_BYTES / 1e6
    finally:
        for process in processes:
            process.kill()
            process.join(5.0)
        for end in (end for pipes in ends for pipe in pipes for end in pipe):
            os.close(end)


def fill(slots: Any, free: tuple[int, int], full: tuple[int, int], put: Callable[[Any, int], None]) -> None:
    """Fill slots as they become free, until killed."""
    number = 0
    while slot := os.read(free[0], 1):
        for row in slots[slot[0]]:
            put(row, number)
            number += 1
        os.write(full[1], slot)


if __name__ == "__main__":
    for name, value in limits().items():
        print(f"{name:64}{value:14,.1f}")
