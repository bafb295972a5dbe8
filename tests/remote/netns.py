"""Machines of our own: network namespaces with addresses, and links that delay, lose and part.

A link is made of two devices (TUN) whose packets a thread of the test carries over, and does to them what it is told;
or of a ``veth`` pair with ``tc netem``, which many kernels do not have. Both know the same faults. The trainer is in
the namespace of the test, and has one address for all hosts. Addresses are of 198.18.0.0/15, which is for benchmarks
(RFC 2544) and routed nowhere.

The one rule: nothing stays. TUN devices go with the process that holds them; a namespace has the number of its process
in its name, and whoever makes one first removes those of the dead.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["FROM_HOST", "KINDS", "TO_HOST", "Machine", "Network", "reason_against"]

TO_HOST, FROM_HOST = "to host", "from host"

PREFIX = "fzt"  # then the number of the process, and of the machine
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h
CLONE_NEWNET = 0x40000000  # linux/sched.h
MTU = 9000  # a packet costs a thread of Python some 20 us

_numbers = itertools.count(1)


def run(*words: str) -> str:
    """Run a command of the system, and give what it prints."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


# Links ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """What a link does one way."""

    delay_s: float = 0.0
    loss: float = 0.0  # of 1


class Carried:
    """A link of two TUN devices: a thread takes packets from one to the other.

    What is lost is drawn from a seed.
    """

    def __init__(self, here: str, there: str, namespace: str) -> None:
        self._ends = [_tun(here), _tun(there)]
        run("ip", "link", "set", there, "netns", namespace)
        self._faults = {TO_HOST: Fault(), FROM_HOST: Fault()}
        self._random = random.Random(there)
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._carry, name=here, daemon=True)
        self._thread.start()

    def set(self, way: str, fault: Fault) -> None:
        """Do that from now on; what is under way arrives as it would have."""
        self._faults[way] = fault

    def close(self) -> None:
        os.close(self._woken)  # the other end of the pipe hangs up
        self._thread.join(10)
        for descriptor in (*self._ends, self._wake):
            os.close(descriptor)

    def _carry(self) -> None:
        poll = select.poll()
        for descriptor in (self._wake, *self._ends):
            poll.register(descriptor, select.POLLIN)
        under_way: list[tuple[float, int, int, bytes]] = []  # due, order, to which end, packet
        order = itertools.count()
        while True:
            rest = [max(0.0, under_way[0][0] - time.monotonic()) * 1000] if under_way else [None]
            for descriptor, _ in poll.poll(*rest):
                if descriptor == self._wake:
                    return
                way = TO_HOST if descriptor == self._ends[0] else FROM_HOST
                due, fault = time.monotonic(), self._faults[way]
                with contextlib.suppress(OSError):  # a device that is down
                    packet = os.read(descriptor, 2 * MTU)
                    if self._random.random() >= fault.loss:
                        heapq.heappush(under_way, (due + fault.delay_s, next(order), way == TO_HOST, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(under_way)
                with contextlib.suppress(OSError):  # the same
                    os.write(self._ends[end], packet)


def _tun(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class Emulated:
    """A link of a ``veth`` pair, each end of which sends through ``tc netem``."""

    def __init__(self, here: str, there: str, namespace: str) -> None:
        self._sends = {TO_HOST: ["dev", here], FROM_HOST: ["dev", there]}
        self._tc = {TO_HOST: ["tc"], FROM_HOST: ["tc", "-n", namespace]}
        self._here = here
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", namespace)
        try:
            for way in (TO_HOST, FROM_HOST):
                self.set(way, Fault())
        except OSError:
            self.close()
            raise

    def set(self, way: str, fault: Fault) -> None:
        how = ["delay", f"{fault.delay_s * 1000:.3f}ms", "loss", f"{fault.loss:.2%}", "limit", "100000"]
        run(*self._tc[way], "qdisc", "replace", *self._sends[way], "root", "netem", *how)

    def close(self) -> None:
        run("ip", "link", "del", self._here)


KINDS: dict[str, Callable[[str, str, str], Carried | Emulated]] = {"carried": Carried, "netem": Emulated}


# Machines -------------------------------------------------------------------------------------------------


class Machine:
    """A namespace with an address of its own, and a link to the test's."""

    def __init__(self, kind: str, trainer: str, address: str) -> None:
        number = next(_numbers)
        self.name = f"{PREFIX}{os.getpid()}-{number}"
        self.address = address
        self.interface = here = f"{PREFIX}{os.getpid():x}h{number}"  # this end of its link
        there = f"{PREFIX}{os.getpid():x}t{number}"
        with contextlib.ExitStack() as made:
            run("ip", "netns", "add", self.name)
            made.callback(_remove, self.name)
            self._link = KINDS[kind](here, there, self.name)
            made.callback(self._link.close)
            inside = ["ip", "-n", self.name]
            run("ip", "addr", "add", trainer, "peer", address, "dev", here)
            run("ip", "link", "set", here, "mtu", str(MTU), "up")
            run(*inside, "addr", "add", address, "peer", trainer, "dev", there)
            run(*inside, "link", "set", there, "mtu", str(MTU), "up")
            run(*inside, "link", "set", "lo", "up")
            self._made = made.pop_all()

    @property
    def command(self) -> tuple[str, ...]:
        """What stands before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def fault(self, *ways: str, delay_s: float = 0.0, loss: float = 0.0) -> None:
        """Delay and lose packets these ways (both, if none is named) from now on."""
        for way in ways or (TO_HOST, FROM_HOST):
            self._link.set(way, Fault(delay_s, loss))

    def part(self, *ways: str) -> None:
        """Let nothing through these ways (both, if none is named), and say so to nobody."""
        self.fault(*ways, loss=1.0)

    def heal(self) -> None:
        """Be as at first."""
        self.fault()

    def inside(self, make: Callable[[], Any]) -> Any:
        """Call something there, such as what makes a socket; a socket stays where it was made."""

        def enter() -> Any:
            with Path("/run/netns", self.name).open() as file:
                _enter(file.fileno())
            return make()

        with concurrent.futures.ThreadPoolExecutor(1) as other:  # the namespace is a thread's own
            return other.submit(enter).result(20)

    def close(self) -> None:
        """Remove it with its link; whatever runs there has ended before, or has no network any more."""
        self._made.close()


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):  # it is gone already
        run("ip", "netns", "del", name)


class Network:
    """Some machines; ``trainer`` is the address of this one for all of them, and is there as long as they are.

    Parameters
    ----------
    machines
        How many.
    kind
        One of `KINDS`.
    """

    def __init__(self, machines: int = 1, *, kind: str = "carried") -> None:
        sweep()
        block = f"198.{18 + os.getpid() // 256 % 2}.{os.getpid() % 256}"  # of two sessions at once, each its own
        self.trainer = f"{block}.1"
        self.machines: list[Machine] = []
        with contextlib.ExitStack() as made:
            for number in range(machines):
                self.machines.append(Machine(kind, self.trainer, f"{block}.{2 + number}"))
                made.callback(self.machines[-1].close)
            self._made = made.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()


def sweep() -> None:
    """Remove what sessions left that were killed."""
    for name in list(_names()):
        number = name.removeprefix(PREFIX).partition("-")[0]
        if number.isdigit() and not Path("/proc", number).exists():
            _remove(name)


def _names() -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir("/run/netns") as entries:
        yield from (entry.name for entry in entries if entry.name.startswith(PREFIX))


def reason_against(kind: str = "carried") -> str:
    """Say why there can be no such network here; nothing where there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.getuid() != 0:
        return "network namespaces are for root"
    missing = [name for name in ("ip", *(["tc"] if kind == "netem" else [])) if shutil.which(name) is None]
    if missing:
        return f"there is no {missing[0]} here"
    try:
        Network(kind=kind).__exit__()
    except OSError as error:
        return f"no link of kind {kind}: {error}"
    return ""
