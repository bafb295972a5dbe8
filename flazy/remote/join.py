"""Join codes: all that a worker on another machine needs to know, in one word to paste.

::

    fz1.<base64url of: version, ports, flags, length of host | host | trainer's public key | secret key | crc32>

A code with a secret key lets whoever has it work for the trainer, for as long as that runs, so it is shown to nobody
but the person at the terminal: no message here quotes a code, not even a wrong one.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from typing import Final, NamedTuple, NoReturn

from flazy.errors import InvalidArgument, SecurityError
from flazy.transport.curve import from_raw, to_raw

__all__ = ["VARIABLE", "JoinCode", "decode", "line"]

VARIABLE = "FLAZY_JOIN"
VERSION = 1
HEAD = struct.Struct("!BHHBB")  # version, both ports, flags, bytes of the host
CRC = struct.Struct("!I")
KEY = 32  # bytes
WITH_SECRET: Final = 1
CODE = re.compile(r"fz([1-9][0-9]{0,3})\.(.*)", re.DOTALL)
LETTERS = re.compile(r"[A-Za-z0-9_-]*")
# What stands round a code in the line that is pasted: a shell's export, the variable, quotes, and the command.
AROUND = re.compile(rf"(?:(?:export\s+)?{VARIABLE}\s*=)?(.*?)(?:;?\s+flazy-worker(?:\s.*)?)?", re.DOTALL)
ADVICE = "copy the whole line again that the trainer has shown"


class JoinCode(NamedTuple):
    """Where a trainer is, and the keys to it.

    ``trainer`` is its public key; ``secret`` is the key with which a worker shows who it is, or None where that has
    one of its own.  Both are in z85, as `flazy.transport.curve.KeyPair` has them.
    """

    host: str
    port: int
    results_port: int
    trainer: bytes
    secret: bytes | None = None

    def encode(self) -> str:
        """Spell it as one word.

        Raises
        ------
        InvalidArgument
            For a host or a port that no machine has.
        """
        host = self.host.encode()
        if not 0 < len(host) < 256 or not all(0 < port < 65536 for port in (self.port, self.results_port)):
            raise InvalidArgument(f"no machine is reached at {self.host!r}, ports {self.port} and {self.results_port}")
        flags = WITH_SECRET if self.secret is not None else 0
        head = HEAD.pack(VERSION, self.port, self.results_port, flags, len(host))
        body = head + host + to_raw(self.trainer) + (to_raw(self.secret) if self.secret is not None else b"")
        whole = body + CRC.pack(zlib.crc32(body))
        return f"fz{VERSION}." + base64.urlsafe_b64encode(whole).rstrip(b"=").decode()

    def __repr__(self) -> str:
        """Show where it leads, and no secret."""
        kind = "a secret" if self.secret is not None else "no secret"
        return f"JoinCode({self.host!r}, {self.port}, {self.results_port}, {self.trainer.decode()}, with {kind})"

    def __reduce__(self) -> NoReturn:
        """Stay in this process."""
        raise SecurityError("join codes are not pickled: their keys would go wherever the pickle goes")


def line(code: JoinCode) -> str:
    """Give the line to paste on another machine."""
    return f"{VARIABLE}={code.encode()} flazy-worker"


def decode(text: str) -> JoinCode:
    """Read a code, or the line that it was pasted in.

    Quotes, white space (a terminal may have broken the line), ``FLAZY_JOIN=`` before it and ``flazy-worker`` behind it
    are passed over.

    Raises
    ------
    InvalidArgument
        For anything else; it says what is wrong, and never shows the code.
    """
    around = AROUND.fullmatch(text.strip().strip("'\"").strip())
    word = re.sub(r"[\s'\"]", "", around[1] if around else text)
    found = CODE.fullmatch(word)
    if found is None:
        raise InvalidArgument(f"this is not a join code, which begins with 'fz{VERSION}.': {ADVICE}")
    if int(found[1]) != VERSION:
        raise InvalidArgument(
            f"this join code is of version {found[1]}, and this Flazy reads version {VERSION}: "
            "install the same Flazy here as the trainer has (pip install --upgrade flazy)"
        )
    if not LETTERS.fullmatch(found[2]):
        raise InvalidArgument(f"this join code is mistyped: it holds a character that no join code has; {ADVICE}")
    return _read(_bytes(found[2]))


def _bytes(word: str) -> bytes:
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _cut_off() from None


def _cut_off() -> InvalidArgument:
    return InvalidArgument(f"this join code is cut off: {ADVICE}")


def _read(whole: bytes) -> JoinCode:
    if len(whole) < HEAD.size:
        raise _cut_off()
    version, port, results_port, flags, length = HEAD.unpack_from(whole)
    keys = 2 if flags & WITH_SECRET else 1
    if len(whole) < HEAD.size + length + keys * KEY + CRC.size:
        raise _cut_off()
    body, crc = whole[: -CRC.size], whole[-CRC.size :]
    if CRC.pack(zlib.crc32(body)) != crc:
        raise InvalidArgument(f"this join code is mistyped: its check sum is wrong; {ADVICE}")
    rest = body[HEAD.size + length :]
    host = body[HEAD.size : HEAD.size + length].decode("utf-8", "replace")
    if version != VERSION or flags not in {0, WITH_SECRET} or len(rest) != keys * KEY or not (port and results_port):
        raise InvalidArgument(f"this join code holds what no trainer writes: {ADVICE}")
    secret = from_raw(rest[KEY:]) if flags & WITH_SECRET else None
    return JoinCode(host, port, results_port, from_raw(rest[:KEY]), secret)
