"""Bytes back into messages, nothing believed.

Here: the mirror image of ``wire.pack``, once for each direction.  Not here: what only the receiver can know, such as
whether a worker may say this now (``flazy.workers.fleet``), and the payload, which whoever consumes it opens.

The one rule: bytes are a message that may come this way, or `ProtocolError` is raised, whatever they are.  What a
worker sends is read without pickle, but for the payload of its results: the hub runs nobody's code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from flazy.collate import Batching
from flazy.errors import ProtocolError
from flazy.sample import Origin
from flazy.transport.arena import Block, Span
from flazy.transport.codec import Buffer, decode
from flazy.transport.payload import Encoded, Placed
from flazy.transport.wire import (
    BYE,
    CLOSE,
    CLOSED,
    GRANTED,
    HEADER,
    HELLO,
    LAST,
    LENT,
    LOGGED,
    NOTED,
    OPEN,
    PICKLED,
    REFUSED,
    RESULT,
    SENT,
    TASK,
    VERSION,
    Bye,
    Close,
    Closed,
    Granted,
    Hello,
    Logged,
    Message,
    Open,
    Refused,
    Result,
    Shipment,
    Task,
)

__all__ = ["Reply", "sender", "unpack", "unpack_from_worker", "whose"]

LONGEST_REASON = 200  # characters of what msgpack or numpy say of a message; it may quote all of it
FLAGS = LAST | LENT | SENT | NOTED | PICKLED
TEXT = (str, type(None))
RECORD: Final[dict[object, tuple[type, ...]]] = {  # what a log record is made of: see `flazy.workers.process`
    "name": TEXT, "levelno": (int,), "levelname": TEXT, "pathname": TEXT, "lineno": (int, type(None)), "funcName": TEXT,
    "created": (float, int), "process": (int, type(None)), "threadName": TEXT, "msg": TEXT, "exc_text": TEXT,
}  # fmt: skip

Reply = Hello | Result | Refused | Logged | Closed
M = TypeVar("M")


def unpack(frames: Sequence[Buffer]) -> Message:
    """Read what the driver sent; the payload stays encoded.

    Raises
    ------
    ProtocolError
        For anything that is no message, or none that goes this way.
    """
    return _unpacked(frames, _FROM_DRIVER)


def unpack_from_worker(frames: Sequence[Buffer]) -> Reply:
    """Read what a worker sent; the payload stays encoded, and nothing else is unpickled.

    Raises
    ------
    ProtocolError
        For anything that is no message, or none that goes this way; `sender` may know whose it is.
    """
    return _unpacked(frames, _FROM_WORKER)


def whose(frames: Sequence[Buffer]) -> tuple[int, int]:
    """Give the numbers of the worker and the run that a message says it is of; nothing else is looked at.

    Raises
    ------
    ProtocolError
        It has no header.
    """
    try:
        head = _Header(*HEADER.unpack(frames[0]))
    except (struct.error, IndexError, TypeError) as error:
        raise ProtocolError("a message without a header") from error
    return head.worker, head.run


def sender(frames: Sequence[Buffer]) -> int | None:
    """Give the number of the worker that a message says it is of; None where it has no header."""
    try:
        return _Header(*HEADER.unpack(frames[0])).worker
    except (struct.error, IndexError, TypeError):
        return None


class _Header(NamedTuple):
    kind: int
    version: int
    flags: int
    worker: int
    run: int
    task: int
    a: int
    b: int
    c: int


def _unpacked(frames: Sequence[Buffer], readers: Mapping[int, Callable[[_Header, Sequence[Buffer]], M]]) -> M:
    try:
        head = _Header(*HEADER.unpack(frames[0]))
        return _reader(head, readers)(head, frames[1:])
    except ProtocolError:
        raise
    except Exception as error:
        text = str(error)[:LONGEST_REASON]
        raise ProtocolError(f"a message that cannot be read: {type(error).__name__}: {text}") from error


def _reader(head: _Header, readers: Mapping[int, M]) -> M:
    if head.version != VERSION:
        raise ProtocolError(f"a message of protocol {head.version}; this is {VERSION}")
    if head.kind not in readers or head.flags & ~FLAGS:
        raise ProtocolError(f"a message of kind {head.kind} with flags {head.flags}, which does not come this way")
    return readers[head.kind]


def _read_task(head: _Header, rest: Sequence[Buffer]) -> Task:
    cycle, first, listed, block, row, slab, spans, *verdicts = _read(rest[:1], 7, 8)
    lent = None if block is None else Block(*_numbers(block, 4))
    origin = Origin(cycle, first, listed)  # as they are: to look at each address would take longer than many functions
    numbers = head.run, head.task, head.a, head.b, head.c
    return Task(*numbers, origin, _payload(rest[1:], spans), lent, row, slab, *verdicts)


def _read_result(head: _Header, rest: Sequence[Buffer]) -> Result:
    spans, filled, spec = [], 0, b""
    if head.flags & LENT:
        (spans, filled, spec), rest = _read(rest[:1], 3, pickle=False), rest[1:]
    payload = _payload(rest, spans)
    if _number(filled) > head.b or (filled and spans):
        raise ProtocolError(f"a result of {head.b} outputs of which {filled} lie in rows and {len(spans)} elsewhere")
    whose = head.worker, head.run, head.task
    return Result(*whose, head.a, head.b, bool(head.flags & LAST), head.c, payload, filled, _of(bytes, spec))


def _read_open(head: _Header, rest: Sequence[Buffer]) -> Open:
    surroundings, number, spans, dropped, batching = _read(rest[1:], 5)
    stream = rest[0] if head.flags & SENT else None
    placed = [(_number(offset), _number(length)) for offset, length in spans]
    shipment = Shipment(_number(number), stream, placed, [*map(_number, dropped)])
    flags = bool(head.flags & NOTED), bool(head.flags & PICKLED)
    return Open(head.run, shipment, _of(dict, surroundings), batching and Batching(*batching), *flags)


def _read_logged(head: _Header, rest: Sequence[Buffer]) -> Logged:
    (record,) = _read(rest, 1, pickle=False)
    for name, kind in ("name", str), ("levelno", int), ("msg", str):
        _of(kind, _of(dict, record).get(name))
    # Nothing else: logging calls some of what it finds in a record, or formats one thing by another.
    if not all(type(value) in RECORD.get(name, ()) for name, value in record.items()):
        raise ProtocolError("a log record that is none")
    return Logged(head.worker, record)


def _bare(make: Callable[[_Header], M]) -> Callable[[_Header, Sequence[Buffer]], M]:
    """Give what reads a message that is all header."""

    def read(head: _Header, rest: Sequence[Buffer]) -> M:
        if rest:
            raise ProtocolError(f"a message of kind {head.kind} with {len(rest)} frames behind its header")
        return make(head)

    return read


_FROM_DRIVER: Final[dict[int, Callable[[_Header, Sequence[Buffer]], Message]]] = {
    OPEN: _read_open,
    TASK: _read_task,
    GRANTED: _bare(lambda head: Granted(head.run, head.task, head.a)),
    CLOSE: _bare(lambda head: Close(head.run)),
    BYE: _bare(lambda _: Bye()),
}
_FROM_WORKER: Final[dict[int, Callable[[_Header, Sequence[Buffer]], Reply]]] = {
    HELLO: _bare(lambda head: Hello(head.worker, head.a)),
    RESULT: _read_result,
    REFUSED: lambda head, rest: Refused(head.worker, head.run, _of(str, _read(rest, 1, pickle=False)[0])),
    LOGGED: _read_logged,
    CLOSED: _bare(lambda head: Closed(head.worker, head.run)),
}


def _read(frames: Sequence[Buffer], *counts: int, pickle: bool = True) -> list[Any]:
    values = decode(frames, pickle=pickle)
    if len(values) not in counts:
        raise ProtocolError(f"a message body of {len(values)} values instead of {' or '.join(map(str, counts))}")
    return values


def _payload(frames: Sequence[Buffer], spans: object) -> Encoded | Placed:
    found: list[Span] = [_numbers(span, 5) for span in _of(list, spans)]  # type: ignore[misc]  # five of them
    if not (frames or found):
        raise ProtocolError("a message without its payload")
    return Placed(frames, found) if found else Encoded(frames)


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ProtocolError(f"a {type(value).__name__} in the place of a {kind.__name__}")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ProtocolError(f"a {type(value).__name__} in the place of a number of 0 or more")
    return int(value)


def _numbers(value: Any, length: int) -> tuple[int, ...]:
    if len(_of(tuple, value)) != length:
        raise ProtocolError(f"{len(value)} numbers instead of {length}")
    return tuple(map(_number, value))
