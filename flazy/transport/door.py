"""The trainer's two sockets for workers of other machines: a ROUTER for control, a PULL for results.

Both speak CURVE, and a guard in the same context says who may come in.  That this holds is tried before anybody else
may come: a stranger, whose key nobody knows, has to be refused at both, or nothing listens.

Whose a message is says its ``user_id``, the public key that was proven; a routing id only says where an answer goes.
It is chosen by the other side if that likes, so it is believed by nobody, and told to nobody: who knew the next one
that libzmq gives could take it first.

All of it belongs to one thread, and nothing blocks after the constructor.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import zmq

from flazy.errors import InvalidArgument, ResourceError, SecurityError
from flazy.transport import curve
from flazy.transport.codec import Buffer
from flazy.transport.curve import Address, Guard, KeyPair
from flazy.transport.hub import COPY_BYTES
from flazy.transport.payload import LARGE
from flazy.transport.pieces import PIECE

__all__ = ["Door"]

# Of a frame: nobody sends longer ones, and whoever connects may have one in our memory before it is known who it is.
MOST_BYTES = PIECE + 2**20
HANDSHAKE_MS = 5000  # the default of 30 s keeps a descriptor for that long for each who connects and says nothing
BACKLOG = 512
SOCKETS = 64  # of the context: connections are none, but a stranger and a monitor are
AT_ONCE = 1000  # messages, so that a host which sends without end keeps nobody waiting
MOST_THREADS = 4  # a port; each decrypts about 1.3 GB/s
CORES_A_THREAD = 4  # a program has other things to do as well
TRIAL_SECONDS = 10.0  # a stranger is refused within milliseconds
EVENT = struct.Struct("=HI")

REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
TRIAL = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED | REFUSED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
)  # fmt: skip


class Door:
    """Two ports, open to those who hold a key that is allowed.

    Parameters
    ----------
    address
        Where to listen; a name of a machine is looked up.
    keys
        Of this program.
    allowed
        Says whether a public key (z85) may come in; asked for each connection, by `answer`.
    heartbeat
        Seconds after which a connection whose other side acknowledges nothing is given up by the system.
    threads
        Of libzmq, which encrypt and decrypt, for each of both ports; with ``None`` by the cores that there are.

    Attributes
    ----------
    ports : tuple of int
        Those that are bound, for control and for results.
    guard : Guard
        Which counts whom it refused.

    Raises
    ------
    SecurityError
        Where keys are missing, or a stranger was not refused.
    ResourceError
        Where a port is in use, or may not be bound.
    InvalidArgument
        Where the address is not one of this machine.
        After each of these, nothing listens.
    """

    def __init__(
        self,
        address: Address,
        keys: KeyPair,
        allowed: Callable[[bytes], bool],
        *,
        heartbeat: float = 10.0,
        threads: int | None = None,
    ) -> None:
        curve.ensure_curve()
        curve.ensure_guarded(address.host, keys)
        host = _looked_up(address.host)
        self._waiting: dict[bytes, deque[Sequence[Buffer]]] = {}
        threads = threads or max(1, min(MOST_THREADS, _cores() // CORES_A_THREAD))
        self._context = zmq.Context(2 * threads)
        try:
            self._context.set(zmq.MAX_SOCKETS, SOCKETS)
            self.guard = Guard(self._context, allowed)
            self._control = self._socket(zmq.ROUTER, keys, host, heartbeat)
            self._control.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self._results = self._socket(zmq.PULL, keys, host, heartbeat)
            # A connection goes to the thread that has the fewest. As each host makes two, in turns, the results of all
            # hosts would be decrypted by one thread, and another would have nothing but beats to do.
            self._control.setsockopt(zmq.AFFINITY, 2**threads - 1)
            self._results.setsockopt(zmq.AFFINITY, (2**threads - 1) << threads)
            self.ports = _bind(self._control, host, address.port), _bind(self._results, host, address.results_port)
            self._try_strangers(host, keys.public)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """Give what is to be polled for something to read: the guard's, control, results."""
        return [each for each in (self.guard.socket, self._control, self._results) if not each.closed]

    def writable(self) -> list[zmq.Socket[bytes]]:
        """Give what is to be polled for room to write, so that `flush` has something to do."""
        return [self._control] if self._waiting else []

    def answer(self) -> None:
        """Answer all who want to come in."""
        self.guard.answer()

    def receive_control(self) -> Iterator[tuple[bytes, bytes, list[Buffer]]]:
        """Give what is there: where an answer goes, whose a message is, its frames."""
        for _ in range(AT_ONCE):
            if (frames := _received(self._control)) is None:
                return
            if (user := _user(frames[-1])) is not None:
                yield frames[0].bytes, user, _owned(frames[1:])

    def receive_results(
        self, most: int, room: Callable[[int], Buffer | None] = lambda _: None
    ) -> Iterator[tuple[bytes, list[Buffer]]]:
        """Give whose a message is and its frames, of so many messages at most, in writable memory.

        ``room`` gives memory for a large frame, if it has any: it may know of pages that are there already, and those
        of a new block cost more than what is copied into them.
        """
        for _ in range(most):
            if (frames := _received(self._results)) is None:
                return
            if (user := _user(frames[-1])) is not None:
                yield user, _owned(frames, room)

    def send(self, routing_id: bytes, frames: Sequence[Buffer]) -> bool:
        """Send in order, now or when the socket takes it; False where nobody is there any more."""
        if routing_id in self._waiting:
            self._waiting[routing_id].append(frames)
            return True
        sent = self._try(routing_id, frames)
        if sent is None:
            self._waiting[routing_id] = deque([frames])
        return sent is not False

    def flush(self) -> list[bytes]:
        """Send what waits, as far as it is taken; give those for whom something waited and who are gone."""
        gone = []
        for routing_id, waiting in list(self._waiting.items()):
            sent: bool | None = True
            while waiting and (sent := self._try(routing_id, waiting[0])):
                waiting.popleft()
            if sent is False:
                gone.append(routing_id)
            if not waiting or sent is False:
                del self._waiting[routing_id]
        return gone

    def forget(self, routing_id: bytes) -> None:
        """Drop what waits for one of them."""
        self._waiting.pop(routing_id, None)

    def close(self, linger_ms: int = 0) -> None:
        """Close both ports; what was sent has so long to go out.  May be called twice."""
        self._waiting.clear()
        self._context.destroy(linger=linger_ms)

    def _try(self, routing_id: bytes, frames: Sequence[Buffer]) -> bool | None:
        """Send now; None where there is no room, False where nobody is there."""
        try:
            # Copied: sending without a copy starts a thread of pyzmq's that never ends.
            self._control.send_multipart([routing_id, *frames], zmq.NOBLOCK, copy=True)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            if error.errno == errno.EHOSTUNREACH:
                return False
            raise
        return True

    def _socket(self, kind: int, keys: KeyPair, host: str, heartbeat: float) -> zmq.Socket[bytes]:
        made: zmq.Socket[bytes] = self._context.socket(kind)
        options = {
            zmq.CURVE_SERVER: 1,
            zmq.ZAP_ENFORCE_DOMAIN: 1,  # without it, libzmq lets everybody in where no guard answers
            zmq.LINGER: 0,
            zmq.SNDHWM: 0,
            zmq.RCVHWM: 0,
            zmq.MAXMSGSIZE: MOST_BYTES,
            zmq.HANDSHAKE_IVL: HANDSHAKE_MS,
            zmq.TCP_MAXRT: int(heartbeat * 1000),
            zmq.TCP_KEEPALIVE: 1,
            zmq.BACKLOG: BACKLOG,
            zmq.IPV6: int(":" in host),
        }
        for option, value in options.items():
            made.setsockopt(option, value)
        made.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        made.setsockopt(zmq.ZAP_DOMAIN, curve.DOMAIN)
        return made

    def _try_strangers(self, host: str, public: bytes) -> None:
        """See that whom nobody knows is refused at both ports."""
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is bound, not a bind
        # Of the kinds that belong there, since others are turned away before anybody asks the guard.
        strangers = [self._stranger(kind, host, public) for kind in (zmq.DEALER, zmq.PUSH)]
        monitors = [stranger.get_monitor_socket(TRIAL) for stranger in strangers]
        for stranger, port in zip(strangers, self.ports, strict=True):
            stranger.connect(curve.endpoint(here, port))
        seen = self._outcomes(monitors)
        for stranger, monitor in zip(strangers, monitors, strict=True):
            stranger.disable_monitor()
            stranger.close(linger=0)
            monitor.close(linger=0)
        if seen != [REFUSED] * len(strangers):
            raise SecurityError(
                f"a stranger with a new key was not refused at ports {self.ports[0]} and {self.ports[1]} of {host} "
                f"({', '.join(map(_in_words, seen))}), so nothing listens there; what keeps strangers out "
                f"(libzmq {zmq.zmq_version()} with CURVE and ZAP) does not work as it should, or does not get to work "
                "on this machine"
            )

    def _stranger(self, kind: int, host: str, public: bytes) -> zmq.Socket[bytes]:
        made: zmq.Socket[bytes] = self._context.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RECONNECT_IVL, -1)
        made.setsockopt(zmq.IPV6, int(":" in host))
        made.setsockopt(zmq.CURVE_SERVERKEY, public)
        keys = curve.new_keys()
        made.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        made.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        return made

    def _outcomes(self, monitors: Sequence[zmq.Socket[bytes]]) -> list[int]:
        """Wait for what becomes of each; 0 where time was up."""
        outcomes = dict.fromkeys(range(len(monitors)), 0)
        deadline = time.monotonic() + TRIAL_SECONDS
        while not all(outcomes.values()) and (left := deadline - time.monotonic()) > 0:
            poller = zmq.Poller()
            for each in (self.guard.socket, *(monitors[index] for index, seen in outcomes.items() if not seen)):
                poller.register(each, zmq.POLLIN)
            poller.poll(int(left * 1000) + 1)
            self.guard.answer(unheard=True)
            for index, monitor in enumerate(monitors):
                if not outcomes[index] and monitor.poll(0):
                    outcomes[index] = EVENT.unpack(monitor.recv_multipart()[0])[0]
        return list(outcomes.values())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _looked_up(host: str) -> str:
    """Give the address of a name, since libzmq binds none."""
    if curve.is_literal(host):
        return host
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidArgument(
            f"the name {host!r} stands for no address ({getattr(error, 'strerror', error)}); {curve.EXAMPLE}"
        ) from error
    return str(found[0][4][0])


def _bind(bound: zmq.Socket[bytes], host: str, port: int) -> int:
    """Bind a socket and give its port."""
    to = curve.endpoint(host, port)
    try:
        bound.bind(to)
    except zmq.ZMQError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV, errno.EINVAL):
            raise InvalidArgument(f"{host} is no address of this machine to listen on; {curve.EXAMPLE}") from error
        taken = "another program listens there, or another Remote of this one, each of which has two ports"
        why = taken if error.errno == errno.EADDRINUSE else f"{error.strerror}"
        failed = ResourceError(
            f"{to} cannot be listened on: {why}; take another port, e.g. {_another(port)}, or 0 for any that is free"
        )
        failed.errno = error.errno
        raise failed from error
    text = bound.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(text, bytes)
    return int(text.rstrip(b"\0").rpartition(b":")[2])


def _another(port: int) -> int:
    return port + 10 if 1024 <= port < 65500 else 5555


def _in_words(event: int) -> str:
    return str(zmq.Event(event).name).lower() if event else "nothing happened"


def _received(source: zmq.Socket[bytes]) -> list[zmq.Frame] | None:
    try:
        return source.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None


def _user(frame: zmq.Frame) -> bytes | None:
    """Give the key that was proven for a frame; what has none came past the guard and is dropped."""
    try:
        return str(frame.get("User-Id")).encode()
    except zmq.ZMQError:
        return None


def _owned(frames: Sequence[zmq.Frame], room: Callable[[int], Buffer | None] = lambda _: None) -> list[Buffer]:
    """Give the memory of frames, as `Hub.receive` does and for its reasons."""
    return [_copied(frame, room(len(frame)) if len(frame) >= LARGE else None) for frame in frames]


def _copied(frame: zmq.Frame, memory: Buffer | None) -> Buffer:
    if memory is not None:
        memoryview(memory)[:] = frame.buffer
        return memory
    return bytearray(frame.buffer) if len(frame) < COPY_BYTES else frame.buffer
