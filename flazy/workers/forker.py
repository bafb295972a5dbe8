"""The zygote's own end: fork for each request, report how children end; see ``zygote.py``."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import random
import select
import signal
import socket
import sys
import time
from typing import Any

import numpy as np

from flazy.workers.allocator import keep_memory
from flazy.workers.contract import GROUP_SECONDS, MESSAGE_BYTES, NO_MEMORY, NO_PROCESS
from flazy.workers.remains import clear, signal_group

__all__ = ["serve"]

DESCRIPTORS = 3  # with a request: record, standard output, standard error
LOOK_SECONDS = 0.02


def serve(control: int) -> str | None:
    """Fork for each request; returns the request in each child, and None in the zygote when the driver is gone.

    A child thus leaves through the end of the program, like any other.
    """
    gc.freeze()
    keep_memory()
    with socket.socket(fileno=control) as requests:
        message, inherited, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 2)
        if len(inherited) < 2:
            return None
        about, given = json.loads(message), dict(zip(("alive", "arena"), inherited, strict=True))
        with contextlib.suppress(ProcessLookupError):
            brood = Brood(requests, about["driver"])
            while (request := brood.wait()) is not None:
                argument, descriptors = json.loads(request[0]), request[1]
                try:
                    pid = os.fork()
                except OSError as error:
                    brood.refuse(argument["worker"], error)
                else:
                    if pid == 0:
                        return _become_worker({**argument, **given}, descriptors, brood.files())
                    brood.add(argument["worker"], pid)
                for descriptor in descriptors:
                    os.close(descriptor)
            brood.end()
        clear(about["folder"])
        return None


class Brood:
    """The workers that live, and the groups of those that have ended: what functions have started there and left.

    A worker's group is ended with it.  First by SIGTERM, so that a resource tracker of multiprocessing, which does
    not hear that, can still remove what it knows of; a little later by SIGKILL.

    Parameters
    ----------
    requests
        The socket to the driver, from which requests come, and by which it is told.
    driver
        The driver's process.  It is watched too, since the other end of the socket lives on in what it has forked.

    Raises
    ------
    ProcessLookupError
        If the driver is gone.
    """

    def __init__(self, requests: socket.socket, driver: int) -> None:
        self._requests = requests
        self._driver = os.pidfd_open(driver)
        self._alive: dict[int, int] = {}  # by pidfd
        self._left: dict[int, float] = {}  # groups that outlive their leader, and when they are killed

    def files(self) -> list[int]:
        """Give what is of no use to a child."""
        return [self._driver, *self._alive]

    def add(self, worker: int, pid: int) -> None:
        """Watch a worker, and tell that it is there."""
        child = os.pidfd_open(pid)
        self._alive[child] = pid
        self._tell({"worker": worker, "pid": pid}, [child])

    def refuse(self, worker: int, error: OSError) -> None:
        """Tell that a worker could not be forked."""
        self._tell({"worker": worker, "refused": NO_MEMORY if error.errno == errno.ENOMEM else NO_PROCESS}, [])

    def wait(self) -> tuple[bytes, list[int]] | None:
        """Give the next request, bury who ends meanwhile; None when the driver has no more, or is gone."""
        while True:
            soonest = max(0.0, min(self._left.values()) - time.monotonic()) if self._left else None
            requests = self._requests.fileno()
            ready = select.select([requests, *self.files()], [], [], soonest)[0]
            for child in self._alive.keys() & ready:
                self._bury(child)
            for pid, at in list(self._left.items()):
                if at <= time.monotonic():
                    del self._left[pid]
                    signal_group(pid, signal.SIGKILL)
            if self._driver in ready:
                return None
            if requests in ready:
                try:
                    message, descriptors, _, _ = socket.recv_fds(self._requests, MESSAGE_BYTES, DESCRIPTORS)
                except OSError:
                    return None
                return (message, descriptors) if message else None

    def end(self) -> None:
        """End all that is left; returns in bounded time."""
        for child, pid in self._alive.items():
            if not signal_group(pid, signal.SIGTERM):  # it leads no group yet
                signal.pidfd_send_signal(child, signal.SIGTERM)
        self._bury_until(time.monotonic() + GROUP_SECONDS)
        for child, pid in self._alive.items():
            signal_group(pid, signal.SIGKILL)
            signal.pidfd_send_signal(child, signal.SIGKILL)
        for pid in self._left:
            signal_group(pid, signal.SIGKILL)
        self._left.clear()
        self._bury_until(time.monotonic() + GROUP_SECONDS)

    def _bury_until(self, until: float) -> None:
        """Bury who ends until nobody is left; nothing tells of the members of a group, so look at these."""
        while self._alive or any(signal_group(pid, 0) for pid in self._left):
            for child in select.select(list(self._alive), [], [], LOOK_SECONDS)[0]:
                self._bury(child)
            if time.monotonic() > until:
                return

    def _bury(self, child: int) -> None:
        pid = self._alive.pop(child)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(child)
        if signal_group(pid, signal.SIGTERM):
            self._left[pid] = time.monotonic() + GROUP_SECONDS
        self._tell({"pid": pid, "code": code}, [])

    def _tell(self, message: dict[str, int], descriptors: list[int]) -> None:
        with contextlib.suppress(OSError):  # the driver is gone; the next look at the socket says so
            socket.send_fds(self._requests, [json.dumps(message).encode()], descriptors)


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
