"""Who may come in from another machine: keys, the rule what may be bound, and the guard that answers for each caller.

CURVE encrypts and proves who is there; which of those who prove it are let in is asked of a *guard* in the same context
(ZAP, RFC 27).  Where there is no guard, or it does not answer, libzmq lets nobody in, since every socket here enforces
its domain.

The one rule: no key is ever part of a message, a log line or a repr; a public key is a name, and is no secret.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

import zmq
from zmq.utils import z85

from flazy.errors import InvalidArgument, SecurityError

__all__ = [
    "DOMAIN", "Address", "Guard", "KeyPair", "address_of", "endpoint", "ensure_curve", "ensure_guarded", "from_raw",
    "is_literal", "new_keys", "public_of", "to_raw",
]  # fmt: skip

log = logging.getLogger("flazy")

DOMAIN = b"flazy"
KEY = re.compile(rb"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # z85: five characters for four bytes
BYTES = 32  # of a key


class KeyPair(NamedTuple):
    """A key and its secret, in z85 (40 characters each)."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        """Show the public half."""
        return f"KeyPair({self.public.decode('ascii', 'replace')}, …)"

    def __reduce__(self) -> NoReturn:
        """Stay in this process."""
        raise SecurityError("keys are not pickled: they would go wherever the pickle goes")


def new_keys() -> KeyPair:
    """Make a key that nobody had before."""
    ensure_curve()
    return KeyPair(*zmq.curve_keypair())


def public_of(secret: bytes) -> bytes:
    """Give the public key that goes with a secret one."""
    ensure_curve()
    return zmq.curve_public(secret)


def to_raw(key: bytes) -> bytes:
    """Give the 32 bytes of a key.

    Raises
    ------
    ValueError
        For what is no key; it is not shown.
    """
    raw: bytes | None = None
    if KEY.fullmatch(key):
        try:
            raw = z85.decode(key)
        except Exception:  # noqa: BLE001 - five characters that stand for more than four bytes: see below
            raw = None
    if raw is None or len(raw) != BYTES:
        raise ValueError("this is no key") from None
    return raw


def from_raw(raw: bytes) -> bytes:
    """Spell 32 bytes as a key; ValueError for any other number of them."""
    if len(raw) != BYTES:
        raise ValueError(f"a key of {len(raw)} bytes")
    return z85.encode(raw)


def ensure_curve() -> None:
    """Make sure that pyzmq can encrypt.

    Raises
    ------
    SecurityError
        Where it cannot; local workers do not need it.
    """
    if not zmq.has("curve"):
        raise SecurityError(
            "workers on other machines need CURVE, which the installed pyzmq does not have: install a wheel of pyzmq, "
            "which holds libsodium (pip install --force-reinstall --only-binary :all: pyzmq). "
            "Workers on this machine work without"
        )


# Addresses ------------------------------------------------------------------------------------------

LISTEN = re.compile(r"tcp://(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:/\s]+)):(?P<port>[0-9]{1,5})")
NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*", re.ASCII)
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)", re.ASCII)  # a last label that C libraries take for an IPv4 address
EXAMPLE = "give tcp://address:port, e.g. 'tcp://0.0.0.0:5555' for every address of this machine, or 'tcp://[::]:5555'"


class Address(NamedTuple):
    """Where to listen; a port of 0 is any that is free."""

    host: str
    port: int
    results_port: int


def address_of(listen: str, results_port: int | None = None) -> Address:
    """Read ``tcp://host:port``; nothing that two readers might read in two ways is taken.

    Raises
    ------
    InvalidArgument
        For anything else.
    """
    found = LISTEN.fullmatch(listen) if isinstance(listen, str) else None
    star = " ('*' stands for nothing here)" if "*" in str(listen) else ""
    if found is None:
        raise InvalidArgument(f"{listen!r} is no address to listen on{star}; {EXAMPLE}")
    host, port = found["six"] or found["name"], int(found["port"])
    if not (_is_six(host) if found["six"] else is_literal(host) or _is_name(host)):
        raise InvalidArgument(f"{host!r} in {listen!r} is neither an address nor a machine's name{star}; {EXAMPLE}")
    results = (port and port + 1) if results_port is None else results_port
    for number in (port, results):
        if not 0 <= number <= 65535:
            raise InvalidArgument(f"there is no port {number} ({listen!r}, results_port={results_port}): up to 65535")
    if port and port == results:
        raise InvalidArgument(f"port {port} cannot be both: results_port= is another, e.g. {port % 65535 + 1}")
    return Address(host, port, results)


def endpoint(host: str, port: int) -> str:
    """Spell an address for ZeroMQ."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def is_literal(host: str) -> bool:
    """Say whether a host is an address, not a name that somebody has to look up."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return _is_six(host)
    return True


def ensure_guarded(host: str, keys: KeyPair | None) -> None:
    """Make sure that nothing without keys can be reached from another machine; to be called before a bind.

    Loopback is an address in 127.0.0.0/8 or ``::1``, written out.  A name is none, ``localhost`` included: whoever
    answers for names would decide.

    Raises
    ------
    SecurityError
        For any other host without keys.
    """
    if keys is None and not _is_loopback(host):
        raise SecurityError(
            f"nothing listens on {host!r} without keys: whoever can reach the port could send samples to this program. "
            "Without keys, only a loopback address may be bound, e.g. 'tcp://127.0.0.1:5555'"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host) in ipaddress.IPv4Network("127.0.0.0/8")
    except ValueError:
        return _is_six(host) and ipaddress.IPv6Address(host) == ipaddress.IPv6Address(1)


def _is_six(host: str) -> bool:
    """Say whether it is an IPv6 address; those of a zone (``fe80::1%eth0``) and disguised IPv4 addresses are not."""
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return address.scope_id is None and address.ipv4_mapped is None


def _is_name(host: str) -> bool:
    return len(host) <= 253 and bool(NAME.fullmatch(host)) and not NUMBER.fullmatch(host.rpartition(".")[2])


# The guard ------------------------------------------------------------------------------------------

VERSION: Final = b"1.0"  # of ZAP
AT_ONCE = 1000  # requests in one call, so that whoever knocks without end keeps nobody from his work
PARTS = 9  # of a request of CURVE: who asks, a delimiter, and seven of RFC 27


class Guard:
    """Answers for every connection of a context whether it may come in.  It belongs to one thread.

    Parameters
    ----------
    context
        Of the sockets that it guards; one that is made before there is a guard lets nobody in.
    allowed
        Says whether a public key (z85) is one of those that are let in. Where it raises, nobody is.
    clock
        Gives seconds.

    Attributes
    ----------
    refusals : int
        How many were refused.
    refused : deque of str
        The addresses of the last of them.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        allowed: Callable[[bytes], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.refusals = 0
        self.refused: deque[str] = deque(maxlen=16)
        self._allowed = allowed
        self._clock = clock
        self._told = 0
        self._told_at = -1.0
        # Not a REP, which stays in a state of its own after a request that it cannot read.
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")

    def answer(self, *, unheard: bool = False) -> None:
        """Answer all who wait; ``unheard`` where a refusal is neither counted nor logged.

        Never blocks and never raises, whatever was asked.
        """
        for _ in range(AT_ONCE if not self.socket.closed else 0):
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            status, reason, user = self._verdict(request)
            # What libzmq cannot match with a request of its own ends that connection.
            reply = [*request[:2], VERSION, *(request[3:4] or [b""]), status, reason.encode(), user, b""]
            try:
                self.socket.send_multipart(reply, zmq.NOBLOCK)
            except zmq.ZMQError as error:  # the connection is gone, and with it the question
                reason = f"{reason} ({error.strerror})"
            if status != b"200" and not unheard:
                self._refuse(_address(request), reason)

    def close(self) -> None:
        """Answer no more: from here on nobody comes in.  May be called twice."""
        self.socket.close(linger=0)

    def _verdict(self, request: Sequence[bytes]) -> tuple[bytes, str, bytes]:
        """Give status, reason and name of who asks."""
        if len(request) < 3 or request[1] != b"" or request[2] != VERSION:
            return b"500", "a question that is none", b""
        if len(request) != PARTS or request[7] != b"CURVE" or len(request[8]) != BYTES:
            return b"400", "not with CURVE", b""
        if request[4] != DOMAIN:
            return b"400", "not for this domain", b""
        public = from_raw(request[8])
        try:
            if self._allowed(public) is True:
                return b"200", "", public
        except Exception as error:  # noqa: BLE001 - whatever keeps us from knowing whom we let in lets nobody in
            return b"500", f"whom to let in could not be read: {type(error).__name__}: {error}"[:200], b""
        return b"400", "its key is not one of those that are let in", b""

    def _refuse(self, address: str, reason: str) -> None:
        self.refusals += 1
        self.refused.append(address)
        now = self._clock()
        if self._told and now - self._told_at < 1.0:
            return
        others = self.refusals - self._told - 1
        beside = f" and {others} others since the last such line" if others else ""
        log.warning("A connection from %s was refused: %s%s (%d in all)", address, reason, beside, self.refusals)
        self._told, self._told_at = self.refusals, now


def _address(request: Sequence[Any]) -> str:
    """Give the address in a request, as it may stand in a log."""
    text = bytes(request[5]).decode("ascii", "replace") if len(request) > 5 else ""
    return "".join(letter for letter in text if letter.isprintable())[:64] or "an unknown address"
