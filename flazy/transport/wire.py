"""The messages between driver and workers, and their bytes.

::

    [header | body frames …]        header: kind, version, flags, worker, run, task and three numbers

Messages are frozen values; whoever gets one never sees a header.  Between threads the same messages pass as they are.

Here: the messages, and `pack`.  Not here: the way back (``reading.py``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flazy.collate import Batching
from flazy.sample import Origin
from flazy.transport.arena import Block
from flazy.transport.codec import Buffer, encode
from flazy.transport.payload import Encoded, Payload, Placed

__all__ = [
    "Bye",
    "Close",
    "Closed",
    "Granted",
    "Hello",
    "Logged",
    "Message",
    "Open",
    "Refused",
    "Result",
    "Shipment",
    "Task",
    "pack",
]

VERSION = 3
HEADER = struct.Struct("<BBB5xQQQQQQ")
LAST, LENT, SENT, NOTED, PICKLED = 1, 2, 4, 8, 16

Numbers = tuple[int, int, int]
Slab = tuple[bytes, int, int]  # see `Task`


# Driver to worker -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shipment:
    """A kernel as one worker is told of it.

    ``stream`` is None where the worker has it, by its number; what is ``dropped``, the worker forgets, be it this one.
    ``spans`` say where the memory of large captured arrays lies in the arena's file: offset and length.
    """

    number: int
    stream: Buffer | None
    spans: Sequence[tuple[int, int]] = ()
    dropped: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Open:
    """Be ready for a run: its kernel (a `Shipment`, or ops by reference) and the caller's surroundings.

    ``batching`` is what becomes of the outputs, where workers can see to that.  ``noted``: somebody looks at the time
    that each call takes, so each is to be noted.  ``pickled``: what cannot travel otherwise may be pickled in results;
    not where their reader is on another machine, for it would run what the writer says.
    """

    run: int
    kernel: Any
    surroundings: dict[str, Any]
    batching: Batching | None = None
    noted: bool = False
    pickled: bool = True


@dataclass(frozen=True, slots=True)
class Task:
    """Work on some inputs: leave out the first ``skip`` outputs, send at most ``credit`` parts.

    Large arrays of the first part may be written into ``block``.  Where outputs are batched, ``row`` is the place of
    the first sample in its batch; with a ``slab`` the block takes samples row by row: what they look like, how many
    rows the block has, and which is the first of this task.  ``verdicts`` say which calls are not to be made, as plain
    values.
    """

    run: int
    task: int
    attempt: int
    skip: int
    credit: int
    origin: Origin
    payload: Payload
    block: Block | None = None
    row: int = 0
    slab: Slab | None = None
    verdicts: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """Send ``parts`` more of a task."""

    run: int
    task: int
    parts: int


@dataclass(frozen=True, slots=True)
class Close:
    """Forget a run: its tasks, its kernel, and what its functions opened; the answer is `Closed`."""

    run: int


@dataclass(frozen=True, slots=True)
class Bye:
    """End; everything that was sent is counted."""


# Worker to driver -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """A worker has started, and is ready for runs; the first message of each, and its only one of this kind."""

    worker: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Closed:
    """A worker has closed a run: nothing of it comes any more, and it reads and writes none of its memory."""

    worker: int
    run: int


@dataclass(frozen=True, slots=True)
class Result:
    """A part of a task; ``nanos`` is the time that its functions took.

    ``filled`` outputs lie in rows of the block that was lent for the batch; ``spec`` says what others look like, where
    they too could.
    """

    worker: int
    run: int
    task: int
    start: int
    outputs: int
    last: bool
    nanos: int
    payload: Payload
    filled: int = 0
    spec: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """A run cannot be worked on; ``reason`` is the traceback."""

    worker: int
    run: int
    reason: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A log record: the attributes that make it."""

    worker: int
    record: dict[str, Any]


Message = Open | Task | Granted | Close | Bye | Hello | Result | Refused | Logged | Closed
OPEN, TASK, GRANTED, CLOSE, BYE, HELLO, RESULT, REFUSED, LOGGED, CLOSED = range(1, 11)


def pack(message: Message) -> list[Buffer]:
    """Make frames of a message; arrays in its payload are not copied."""
    match message:
        case Task():
            origin = message.origin
            numbers = (message.attempt, message.skip, message.credit)
            head = _header(TASK, run=message.run, task=message.task, numbers=numbers)
            block = message.block and (message.block.offset, message.block.size, *message.block.of)
            spans = message.payload.spans if isinstance(message.payload, Placed) else []
            where = (block, message.row, message.slab, spans)
            about = [origin.cycle, origin.first, origin.listed, *where, *filter(None, [message.verdicts])]
            return [head, *encode(about), *_frames(message.payload)]
        case Result():
            numbers = (message.start, message.outputs, message.nanos)
            whose = {"worker": message.worker, "run": message.run, "task": message.task}
            flags = LAST * message.last
            spans = message.payload.spans if isinstance(message.payload, Placed) else []
            if not (spans or message.filled or message.spec):
                return [_header(RESULT, flags=flags, numbers=numbers, **whose), *_frames(message.payload)]
            head = _header(RESULT, flags=flags | LENT, numbers=numbers, **whose)
            lent = encode([spans, message.filled, message.spec], pickle=False)
            return [head, *lent, *_frames(message.payload)]
        case Granted():
            return [_header(GRANTED, run=message.run, task=message.task, numbers=(message.parts, 0, 0))]
        case Open():
            return _pack_open(message)
        case Close():
            return [_header(CLOSE, run=message.run)]
        case Bye():
            return [_header(BYE)]
        case Hello():
            return [_header(HELLO, worker=message.worker, numbers=(message.pid, 0, 0))]
        case Closed():
            return [_header(CLOSED, worker=message.worker, run=message.run)]
        case Refused():
            return [_header(REFUSED, worker=message.worker, run=message.run), *encode([message.reason], pickle=False)]
        case Logged():
            return [_header(LOGGED, worker=message.worker), *encode([message.record], pickle=False)]


def _pack_open(message: Open) -> list[Buffer]:
    kernel: Shipment = message.kernel
    batching = message.batching and (message.batching.size, message.batching.default_dtype)
    flags = SENT * (kernel.stream is not None) | NOTED * message.noted | PICKLED * message.pickled
    head = _header(OPEN, flags=flags, run=message.run)
    rest = encode([message.surroundings, kernel.number, kernel.spans, kernel.dropped, batching])
    return [head, kernel.stream or b"", *rest]


def _header(
    kind: int, *, flags: int = 0, worker: int = 0, run: int = 0, task: int = 0, numbers: Numbers = (0, 0, 0)
) -> bytes:
    return HEADER.pack(kind, VERSION, flags, worker, run, task, *numbers)


def _frames(payload: Payload) -> Sequence[Buffer]:
    assert isinstance(payload, Encoded | Placed), "only encoded values cross a socket"
    return payload.frames
