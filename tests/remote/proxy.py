"""A TCP proxy with faults: what a bad network does between a trainer and its hosts, switched on by a test.

It listens at another address of the loopback on the ports of the trainer itself, so that a join code which names that
address leads through it. ``UP`` is from a host to the trainer, ``DOWN`` back; a *link* is one of the trainer's ports.

The one rule: one thread has all sockets. A test hands it what is to be done and has it done when the call returns, so
no test waits for a time to pass.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["DOWN", "UP", "Proxy"]

UP, DOWN = "up", "down"

HELD = 4 * 2**20  # bytes of one direction that wait here, at most; then its sender is made to wait
PIECE = 2**16
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() drops what was not sent, and tells the other side by a reset

Address = tuple[str, int]


@dataclass(slots=True, eq=False)
class Mine:
    """What is to happen at one byte of a direction; or its end, which comes behind all others."""

    what: str
    link: int = 0
    way: str = UP
    at: int = 0  # of all bytes of the direction, from the first connection on
    happened: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Flow:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    held: deque[tuple[float, bytes | Mine]] = field(default_factory=deque)  # with the time when it is due
    nbytes: int = 0
    read_all: bool = False  # nothing more is taken from the source
    sent_all: bool = False

    def hold(self, due: float, thing: bytes | Mine) -> None:
        self.held.append((due, thing))
        self.nbytes += len(thing) if isinstance(thing, bytes) else 0
        self.read_all = self.read_all or isinstance(thing, Mine)


@dataclass(slots=True, eq=False)
class Connection:
    """One host's connection to one port."""

    link: int
    flows: dict[str, Flow]


class Proxy:
    """Forward the ports of a trainer, until told otherwise.

    Parameters
    ----------
    targets
        The trainer's ports, with their address: the links 0, 1 and so on.
    address
        Where to listen; the ports are the same, or free ones where ``same_ports`` is false.
    """

    def __init__(self, targets: Sequence[Address], address: str = "127.0.0.2", *, same_ports: bool = True) -> None:
        self.targets = list(targets)
        self.counts: Counter[tuple[int, str]] = Counter()  # bytes that were passed on, by link and direction
        self.accepted = 0
        self._address = address
        self.addresses = [(address, port if same_ports else 0) for _, port in targets]
        self._read: Counter[tuple[int, str]] = Counter()
        self._connections: list[Connection] = []
        self._mines: list[Mine] = []
        self._delay_s = 0.0
        self._bytes_per_s: float | None = None
        self._allowed = 0.0  # bytes that may be sent now, where there is a rate
        self._allowed_at = 0.0
        self._stopped: frozenset[str] = frozenset()
        self._listeners: list[socket.socket] = []
        self._ended = False
        self._orders: deque[tuple[Callable[[], Any], threading.Event]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end)
        self._thread.join(10)
        self._wake.close()
        self._woken.close()

    # What a test may ask for --------------------------------------------------------------------------

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def delay(self, seconds: float) -> None:
        """Hold back for so long whatever comes from now on, each way."""
        self._do(lambda: setattr(self, "_delay_s", seconds))

    def throttle(self, bytes_per_s: float | None) -> None:
        """Pass on no more than that, all connections together; None for as much as there is."""

        def begin() -> None:
            self._bytes_per_s, self._allowed, self._allowed_at = bytes_per_s, 0.0, time.monotonic()

        self._do(begin)

    def stop(self, *ways: str) -> None:
        """Pass on nothing more these ways (both, if none is named), and say so to nobody; new ones are accepted."""
        self._do(lambda: setattr(self, "_stopped", frozenset(ways or (UP, DOWN))))

    def go_on(self) -> None:
        """Pass on what was held back, and everything again."""
        self._do(lambda: setattr(self, "_stopped", frozenset()))

    def cut(self, link: int | None = None) -> None:
        """Reset all connections, or those of one link, now."""

        def cut() -> None:
            for connection in list(self._connections):
                if link in (None, connection.link):
                    self._drop(connection, reset=True)

        self._do(cut)

    def after(self, nbytes: int, what: str, *, link: int = 0, way: str = UP) -> threading.Event:
        """Let something happen to the byte after so many more of a direction; the event says that it has.

        ``cut`` resets its connection, ``truncate`` closes it as if all had been sent, ``flip`` changes one bit of it.
        """
        if what not in {"cut", "truncate", "flip"}:
            raise ValueError(f"what={what!r}")
        mine = Mine(what, link, way)

        def lay() -> None:
            mine.at = self._read[link, way] + nbytes
            self._mines.append(mine)

        self._do(lay)
        return mine.happened

    def refuse(self) -> None:
        """Let nobody connect; connections that are there stay."""
        self._do(self._deafen)

    def accept(self) -> None:
        """Let them connect again."""
        self._do(self._listen)

    # In the thread ------------------------------------------------------------------------------------

    def _do(self, order: Callable[[], Any]) -> None:
        done = threading.Event()
        self._orders.append((order, done))
        self._wake.send(b".")
        if not done.wait(10):
            raise TimeoutError("the proxy's thread does not answer")

    def _run(self) -> None:
        while not self._ended:
            self._step(self._wait(time.monotonic()))

    def _step(self, ready: set[int]) -> None:
        if self._woken.fileno() in ready:
            self._woken.recv(4096)
            while self._orders:
                order, done = self._orders.popleft()
                order()
                done.set()
        for listener in self._listeners:
            if listener.fileno() in ready:
                self._take(listener)
        for connection in list(self._connections):
            self._move(connection, ready)

    def _wait(self, now: float) -> set[int]:
        poll = select.poll()
        for listener in (self._woken, *self._listeners):
            poll.register(listener, select.POLLIN)
        wanted: Counter[int] = Counter()
        until = now + 60
        for connection in self._connections:
            for way, flow in connection.flows.items():
                if self._takes(way, flow):
                    wanted[flow.source.fileno()] |= select.POLLIN
                due = self._due(way, flow, now)
                if due <= now:
                    wanted[flow.sink.fileno()] |= select.POLLOUT
                else:
                    until = min(until, due)
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        return {descriptor for descriptor, _ in poll.poll((until - now) * 1000 + 1)}

    def _takes(self, way: str, flow: Flow) -> bool:
        return not flow.read_all and way not in self._stopped and flow.nbytes < HELD

    def _due(self, way: str, flow: Flow, now: float) -> float:
        """Say when the next of what is held may go on."""
        if not flow.held or flow.sent_all or way in self._stopped:
            return now + 60
        due = flow.held[0][0]
        if self._bytes_per_s is not None and self._allowance(now) < 1:
            due = max(due, now + 1 / self._bytes_per_s)
        return due

    def _allowance(self, now: float) -> float:
        """Give what a rate allows by now; what was not used for a tenth of a second is lost."""
        assert self._bytes_per_s is not None
        most = max(1.0, self._bytes_per_s / 10)
        self._allowed = min(most, self._allowed + (now - self._allowed_at) * self._bytes_per_s)
        self._allowed_at = now
        return self._allowed

    def _take(self, listener: socket.socket) -> None:
        link = self._listeners.index(listener)
        try:
            client, _ = listener.accept()
        except OSError:  # it went before it was met
            return
        self.accepted += 1
        try:
            server = socket.create_connection(self.targets[link], timeout=10)
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append(Connection(link, {UP: Flow(client, server), DOWN: Flow(server, client)}))

    def _move(self, connection: Connection, ready: set[int]) -> None:
        try:
            for way, flow in connection.flows.items():
                if flow.source.fileno() in ready and self._takes(way, flow):
                    self._receive(connection.link, way, flow)
                if flow.sink.fileno() in ready:
                    self._send(connection, way, flow)
        except BlockingIOError:
            return
        except OSError:  # one side has reset it, so the other is told the same
            self._drop(connection, reset=True)
            return
        if all(flow.sent_all for flow in connection.flows.values()):
            self._drop(connection, reset=False)

    def _receive(self, link: int, way: str, flow: Flow) -> None:
        try:
            piece = bytearray(flow.source.recv(PIECE))
        except BlockingIOError:
            return
        due = time.monotonic() + self._delay_s
        if not piece:
            flow.hold(due, Mine("end"))
            return
        for thing in self._mined(link, way, piece):
            flow.hold(due, thing)

    def _mined(self, link: int, way: str, piece: bytearray) -> Iterator[bytes | Mine]:
        """Give what goes on of what has come, and what happens behind it."""
        begin = self._read[link, way]
        end = self._read[link, way] = begin + len(piece)
        here = [mine for mine in self._mines if (mine.link, mine.way) == (link, way) and mine.at < end]
        for mine in sorted(here, key=lambda mine: mine.at):
            self._mines.remove(mine)
            if mine.what != "flip":
                yield bytes(piece[: mine.at - begin])
                yield mine
                return
            piece[mine.at - begin] ^= 1
            mine.happened.set()
        yield bytes(piece)

    def _send(self, connection: Connection, way: str, flow: Flow) -> None:
        now = time.monotonic()
        while self._due(way, flow, now) <= now:
            due, thing = flow.held.popleft()
            if isinstance(thing, Mine):
                self._finish(connection, flow, thing)
                return
            most = len(thing) if self._bytes_per_s is None else int(self._allowance(now))
            try:
                sent = flow.sink.send(thing[:most]) if thing else 0
            except BlockingIOError:
                flow.held.appendleft((due, thing))
                return
            self.counts[connection.link, way] += sent
            self._allowed -= sent
            flow.nbytes -= sent
            if sent < len(thing):
                flow.held.appendleft((due, thing[sent:]))

    def _finish(self, connection: Connection, flow: Flow, mine: Mine) -> None:
        if mine.what == "end":
            flow.sink.shutdown(socket.SHUT_WR)
            flow.sent_all = True
        else:
            self._drop(connection, reset=mine.what == "cut")
        mine.happened.set()

    def _drop(self, connection: Connection, *, reset: bool) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        for flow in connection.flows.values():
            with contextlib.suppress(OSError):  # it is gone already
                if reset:
                    flow.sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                else:  # what nobody has read makes a reset of a close
                    flow.sink.shutdown(socket.SHUT_WR)
                    while flow.sink.recv(PIECE):
                        pass
        for flow in connection.flows.values():
            flow.sink.close()

    def _listen(self) -> None:
        for link, address in enumerate(self.addresses):
            listener = socket.create_server(address, backlog=128)
            listener.setblocking(False)
            self.addresses[link] = listener.getsockname()
            self._listeners.append(listener)

    def _deafen(self) -> None:
        while self._listeners:
            self._listeners.pop().close()

    def _end(self) -> None:
        self._deafen()
        for connection in list(self._connections):
            self._drop(connection, reset=True)
        self._ended = True
