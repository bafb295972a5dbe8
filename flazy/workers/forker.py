"""The zygote's own end: fork for each request, report how children end; see ``zygote.py``."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import os
import random
import select
import socket
import sys
from typing import Any

import numpy as np

from flazy.workers.contract import MESSAGE_BYTES, NO_MEMORY, NO_PROCESS

__all__ = ["serve"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES = 32 * 2**20  # the largest threshold that glibc takes
DESCRIPTORS = 3  # with a request: record, standard output, standard error


def serve(control: int) -> str | None:
    """Fork for each request; returns the request in each child, and None in the zygote when the driver is gone.

    A child thus leaves through the end of the program, like any other.
    """
    gc.freeze()
    _keep_memory()
    children: dict[int, int] = {}
    with socket.socket(fileno=control) as requests:
        _, inherited, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
        if len(inherited) < 2:
            return None
        given = dict(zip(("alive", "arena"), inherited, strict=True))
        while True:
            for ready in select.select([requests.fileno(), *children], [], [])[0]:
                if ready in children:
                    _bury(requests, ready, children.pop(ready))
                    continue
                try:
                    message, descriptors, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, DESCRIPTORS)
                except OSError:
                    return None
                if not message:
                    return None
                argument = json.loads(message)
                try:
                    pid = os.fork()
                except OSError as error:
                    refused = NO_MEMORY if error.errno == errno.ENOMEM else NO_PROCESS
                    _tell(requests, {"worker": argument["worker"], "refused": refused}, [])
                else:
                    if pid == 0:
                        return _become_worker({**argument, **given}, descriptors, list(children))
                    child = os.pidfd_open(pid)
                    children[child] = pid
                    _tell(requests, {"worker": argument["worker"], "pid": pid}, [child])
                for descriptor in descriptors:
                    os.close(descriptor)


def _keep_memory() -> None:
    """Let C's allocator keep what it has of large blocks, rather than ask the system for it at every array.

    Its own rule gives memory back as soon as two arrays of some hundred kilobytes are free, and each page of the next
    one is then cleared anew: numpy code on images takes 1.6 times as long (measured: crop, flip and normalise of
    256 x 256 pixels).  Bounded, so that a worker holds little more than it has needed at once.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _become_worker(argument: dict[str, Any], descriptors: list[int], others: list[int]) -> str:
    gc.enable()
    os.setsid()
    for other in others:
        os.close(other)
    record, output, error = descriptors
    for descriptor, number in ((output, 1), (error, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    random.seed()
    if "numpy.random" in sys.modules:  # else it is seeded when it is loaded, which takes longer than a worker's start
        np.random.seed()  # noqa: NPY002 - the global state must not be that of every other worker
    return json.dumps({**argument, "record": record})


def _bury(requests: socket.socket, child: int, pid: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(child)
    _tell(requests, {"pid": pid, "code": code}, [])


def _tell(requests: socket.socket, message: dict[str, int], descriptors: list[int]) -> None:
    with contextlib.suppress(OSError):  # the driver is gone; the next look at the socket says so
        socket.send_fds(requests, [json.dumps(message).encode()], descriptors)
