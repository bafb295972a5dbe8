"""The end of a host: a DEALER and a PUSH to the trainer, and what becomes of their connections.

A connection that breaks is never mended: what was under way is lost, and a new one would go on with the next message.
So whoever owns the line is told, and makes a new one with a session of its own.  For the same reason nothing is given
to ZeroMQ before both links stand, or after one of them has ended: it waits here, and `Line.pending` tells.

All of it belongs to one thread, and nothing blocks but the constructor, which looks a name up, and `close`, which
takes as long as it is told.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum, auto

import zmq

from flazy.transport import curve
from flazy.transport.codec import Buffer, nbytes
from flazy.transport.curve import KeyPair
from flazy.transport.hub import COPY_BYTES
from flazy.transport.pieces import PIECE

__all__ = ["Line", "LineEvent"]

HANDSHAKE_MS = 5000
LARGEST = PIECE + 2**20  # bytes of a frame, as of the door
# Twelve days, and a line that broke is closed at once.  With -1, "never", libzmq drops what has come and was not read
# when a connection ends, such as the last words of the other side; and 2**31 ms overflow in its older versions.
NEVER_MS = 2**30
EVENT = struct.Struct("=HI")
Waiting = deque[Sequence[Buffer]]

WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECTED
)  # fmt: skip


class LineEvent(Enum):
    """What became of a line; all but the first are its end, and how each is known is said here."""

    CONNECTED = auto()
    """Both links have shaken hands: the trainer holds its key, and knows ours (HANDSHAKE_SUCCEEDED twice)."""

    KEY_REFUSED = auto()
    """We are not let in, as it was said by ERROR 400 (HANDSHAKE_FAILED_AUTH).

    CURVE does not encrypt that command, so somebody who is not the trainer could say it, too.
    """

    WRONG_TRAINER = auto()
    """Who answers does not hold the trainer's key.

    Known for certain where it says something else than CURVE, or something that its key did not make
    (HANDSHAKE_FAILED_PROTOCOL).  A libzmq with another key says nothing: it closes the connection once it has read our
    hello, which it cannot decrypt (HANDSHAKE_FAILED_NO_DETAIL with EPIPE).  So would a trainer that is killed in
    that very moment, or a tunnel whose other end finds nobody: a second try tells.
    """

    NO_ANSWER = auto()
    """Nobody is there: the name is unknown, the connection was refused or took too long (CLOSED before any
    connection), or who is there does not answer as a trainer does: it is silent (HANDSHAKE_FAILED_NO_DETAIL after
    `HANDSHAKE_MS`), resets the connection, or speaks no ZMTP at all (DISCONNECTED without any handshake)."""

    BROKEN = auto()
    """A link that had shaken hands is gone: closed, reset, or not acknowledged for ``heartbeat`` (DISCONNECTED)."""


class _Link:
    """One socket and its monitor."""

    def __init__(self, made: zmq.Socket[bytes], to: str) -> None:
        self.socket = made
        self.monitor: zmq.Socket[bytes] = made.get_monitor_socket(WATCHED)
        self.is_open = False
        self.was_accepted = False
        made.connect(to)

    def events(self) -> Iterator[LineEvent]:
        """Give what its monitor has told."""
        while True:
            try:
                event, value = EVENT.unpack(self.monitor.recv_multipart(zmq.NOBLOCK)[0])
            except zmq.Again:
                return
            if event == zmq.EVENT_CONNECTED:
                self.was_accepted = True
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_open = True
                yield LineEvent.CONNECTED
            else:
                yield LineEvent.BROKEN if self.is_open else _failure(event, value)

    def send(self, waiting: Waiting) -> None:
        """Send what waits, as far as it is taken."""
        while waiting:
            try:
                # Copied: sending without a copy starts a thread of pyzmq's that never ends.
                self.socket.send_multipart(waiting[0], zmq.NOBLOCK, copy=True)
            except zmq.Again:
                return
            waiting.popleft()


class Line:
    """One pair of connections to a trainer.

    Parameters
    ----------
    host
        A name or an address. Of a name with several addresses the first is taken, IPv4 before IPv6.
    port, results_port
        Of the trainer's `Door`.
    server_public
        The trainer's public key (z85), which it has to prove.
    keys
        Our own.
    heartbeat
        Seconds after which a connection whose other side acknowledges nothing is given up; so is one that is not
        made in that time.
    """

    def __init__(
        self, host: str, port: int, results_port: int, server_public: bytes, keys: KeyPair, *, heartbeat: float = 10.0
    ) -> None:
        curve.ensure_curve()
        self._ended: LineEvent | None = None
        self._links: list[_Link] = []
        self._waiting: tuple[Waiting, Waiting] = deque(), deque()
        self._told = False
        self._context = zmq.Context(2)  # so that results are encrypted while tasks are decrypted
        address = _looked_up(host)
        if address is None:
            return
        try:
            for kind, number in ((zmq.DEALER, port), (zmq.PUSH, results_port)):
                made = self._socket(kind, address, server_public, heartbeat)
                made.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
                made.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
                self._links.append(_Link(made, curve.endpoint(address, number)))
        except BaseException:
            self.close()
            raise

    @property
    def pending(self) -> int:
        """The bytes that wait, for the links to stand or for room; after the end of the line, those that are lost."""
        return sum(nbytes(frames) for waiting in self._waiting for frames in waiting)

    @property
    def was_accepted(self) -> bool:
        """Whether a connection was made, even if nobody has answered on it: so it is where a program is stopped."""
        return any(link.was_accepted for link in self._links)

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """Give what is to be polled for something to read: control and both monitors."""
        return [*(link.socket for link in self._links[:1]), *(link.monitor for link in self._links)]

    def writable(self) -> list[zmq.Socket[bytes]]:
        """Give what is to be polled for room to write, so that `flush` has something to do."""
        pairs = zip(self._links, self._waiting, strict=False) if self._stands else ()
        return [link.socket for link, waiting in pairs if waiting]

    def send(self, frames: Sequence[Buffer]) -> None:
        """Send by the control link, in order, now or when it can."""
        self._waiting[0].append(frames)
        self.flush()

    def send_result(self, frames: Sequence[Buffer]) -> None:
        """Send by the results link, in order, now or when it can."""
        self._waiting[1].append(frames)
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as it is taken."""
        if self._stands:
            for link, waiting in zip(self._links, self._waiting, strict=True):
                link.send(waiting)

    def receive(self) -> Iterator[list[Buffer]]:
        """Give every message that is there, in writable memory, as `Hub.receive` does."""
        while self._links:
            try:
                frames = self._links[0].socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            yield [bytearray(frame.buffer) if len(frame) < COPY_BYTES else frame.buffer for frame in frames]

    def events(self) -> Iterator[LineEvent]:
        """Give what became of the line since the last call: CONNECTED once, and then its end, once."""
        if not self._links and self._ended is None:
            self._ended = LineEvent.NO_ANSWER
            yield self._ended
        for link in self._links:
            for event in link.events():
                if self._ended is not None:
                    continue
                if event is not LineEvent.CONNECTED:
                    self._ended = event
                    yield event
                elif self._stands and not self._told:
                    self._told = True
                    self.flush()
                    yield event

    def close(self, linger_ms: int = 0) -> None:
        """Close both links; what was sent has so long to go out, and this takes as long.  May be called twice."""
        for link in self._links:
            link.socket.disable_monitor()
            link.monitor.close(linger=0)
            link.socket.close(linger=linger_ms)
        self._links.clear()
        self._ended = self._ended or LineEvent.BROKEN
        self._context.destroy()

    @property
    def _stands(self) -> bool:
        return self._ended is None and bool(self._links) and all(link.is_open for link in self._links)

    def _socket(self, kind: int, address: str, server_public: bytes, heartbeat: float) -> zmq.Socket[bytes]:
        made: zmq.Socket[bytes] = self._context.socket(kind)
        options = {
            zmq.LINGER: 0,
            zmq.SNDHWM: 0,
            zmq.RCVHWM: 0,
            zmq.MAXMSGSIZE: LARGEST,
            zmq.RECONNECT_IVL: NEVER_MS,
            zmq.CONNECT_TIMEOUT: max(1, int(heartbeat * 1000)),
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.TCP_MAXRT: max(1, int(heartbeat * 1000)),
            zmq.TCP_KEEPALIVE: 1,
            zmq.IPV6: int(":" in address),
        }
        for option, value in options.items():
            made.setsockopt(option, value)
        made.setsockopt(zmq.CURVE_SERVERKEY, server_public)
        return made


def _failure(event: int, value: int) -> LineEvent:
    """Say why a link never stood."""
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return LineEvent.KEY_REFUSED
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        return LineEvent.WRONG_TRAINER
    if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and value == errno.EPIPE:
        return LineEvent.WRONG_TRAINER
    return LineEvent.NO_ANSWER


def _looked_up(host: str) -> str | None:
    """Give the address of a name, since libzmq says nothing of a name that nobody knows."""
    if curve.is_literal(host):
        return host
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    families = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    return str(families[0][4][0])
