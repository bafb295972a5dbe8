"""What trainer and hosts say to each other, and its bytes.

::

    [envelope | body frames …]      envelope: magic, protocol, kind, session, count; how frames were cut, if any was

Most bodies are plain values.  A task, a part and the like are messages of ``flazy.transport.wire`` behind the envelope,
as they pass between a driver and its processes; a worker's number in them is the one that it has on its host.

The count numbers what came before in the session by the same way, so a message that a broken connection lost is missed.

The one rule: bytes are a message that may come this way, or `ProtocolError` is raised, whatever they are.  Nothing of
what a host says is unpickled here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from flazy.errors import ProtocolError
from flazy.transport.codec import Buffer, decode, encode
from flazy.transport.pieces import cut, joined

__all__ = [
    "PROTOCOL", "Answer", "Beat", "Died", "Envelope", "Inquiry", "Joined", "Knock", "Leaving", "Opened", "Over",
    "Passed", "Slow", "Stale", "TurnedAway", "Welcome", "between_beats", "pack", "unpack",
]  # fmt: skip

PROTOCOL = 1
MAGIC = 0x7A66  # "fz"
ENVELOPE = struct.Struct("<HBBQQ")
BEAT_SECONDS = 1.0  # between two, where nobody is more impatient than
BEATS = 4  # times so long: one that is late, on a busy machine, is not missed
TEXT = 1000  # characters of a name or a reason, at most; tracebacks and stacks are cut where they are made


# Host to trainer ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Knock:
    """Let me in.  ``about`` is what `flazy.remote.versions` tells of an interpreter; ``processes`` will work."""

    name: str
    processes: int
    about: dict[str, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """A process is ready; ``worker`` is its number on its host."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class Died:
    """A process is gone: the fields of a `flazy.workers.deaths.Death` and of a `Blame`, or None; see `Tenant.lost`.

    ``results`` so many results of the host were sent before.
    """

    worker: int
    death: tuple[Any, ...]
    run: int
    blame: tuple[Any, ...] | None
    own: bool
    results: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host knows of the modules that it was asked for, by name; None where there is none."""

    run: int
    found: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Slow:
    """A call takes long: see `Tenant.slow`."""

    worker: int
    run: int
    task: int
    place: tuple[int, ...]
    seconds: float
    stack: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """Count on me no longer; ``results`` so many results were sent before."""

    results: int


# Either way -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Beat:
    """I am there; a host has ``sent`` so many results by the other way."""

    sent: int


def between_beats(heartbeat: float) -> float:
    """Give the seconds from one beat to the next, where so many of silence are taken for a loss."""
    return min(BEAT_SECONDS, heartbeat / BEATS)


@dataclass(frozen=True, slots=True)
class Passed:
    """A message of ``flazy.transport.wire`` in its frames; beside it what a host needs to know of a task.

    ``worker`` is whom it is for (0: in the message itself); ``samples`` and ``first`` as in `flazy.workers.lending`.
    """

    frames: Sequence[Buffer]
    worker: int = 0
    samples: int = 0
    first: int = 0
    sizes: Sequence[int] = ()  # of frames before they were compressed, 0 for those that were not; () if none was


# Trainer to host ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """Come in: the session has begun; who is silent for ``heartbeat`` seconds counts as gone."""

    heartbeat: float


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """No; ``kind`` is the name of an error of ours."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stale:
    """Your session is over, whatever you think; knock again."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Say what you know of these modules."""

    run: int
    modules: list[str]


@dataclass(frozen=True, slots=True)
class Opened:
    """Be ready for a run, all of you.

    ``stream`` and ``aside`` are the kernel (`flazy.plan.shipping.Pickled`): None where it was sent before in this
    session, by ``number``; those of ``dropped`` are not used again.
    """

    run: int
    number: int
    stream: Buffer | None
    aside: Sequence[Buffer]
    dropped: list[int]
    batching: tuple[Any, ...] | None
    timeout: float | None
    pickled: bool
    compression: str | None
    log_levels: dict[str, int]
    stages: str


@dataclass(frozen=True, slots=True)
class Over:
    """A run is closed; with run 0, the trainer ends."""

    run: int


Told = Knock | Joined | Died | Answer | Slow | Leaving
Said = Welcome | TurnedAway | Stale | Inquiry | Opened | Over
Message = Told | Said | Beat | Passed
KINDS: Final[tuple[type[Any], ...]] = (
    Knock, Joined, Died, Answer, Slow, Leaving, Beat, Passed, Welcome, TurnedAway, Stale, Inquiry, Opened, Over,
)  # fmt: skip
FROM_HOST: Final = frozenset({Knock, Joined, Died, Answer, Slow, Leaving, Beat, Passed})
FROM_TRAINER: Final = frozenset({Beat, Passed, Welcome, TurnedAway, Stale, Inquiry, Opened, Over})


class Envelope(NamedTuple):
    """Whose message it is, and how many came before it."""

    session: int
    before: int


def pack(message: Message, envelope: Envelope) -> list[Buffer]:
    """Make frames of a message; arrays in it are not copied."""
    frames, counts = cut(_body(message))
    head = ENVELOPE.pack(MAGIC, PROTOCOL, KINDS.index(type(message)), *envelope)
    return [head + struct.pack(f"<{len(counts)}I", *counts), *frames]


def _body(message: Message) -> list[Buffer]:
    match message:
        case Passed():
            about = [message.worker, message.samples, message.first, tuple(message.sizes)]
            return [*encode([about], pickle=False), *message.frames]
        case Opened():
            rest = [*_fields(message)[:2], message.stream is not None, *_fields(message)[4:]]
            stream = [] if message.stream is None else [message.stream]
            return [*encode([rest], pickle=False), *stream, *message.aside]
    return encode([_fields(message)], pickle=False)


def unpack(frames: Sequence[Buffer], allowed: frozenset[type[Any]]) -> tuple[Envelope, Message]:
    """Read a message of one of the kinds that are allowed.

    Raises
    ------
    ProtocolError
        For anything else.
    """
    try:
        head, body = bytes(frames[0]), frames[1:]
        magic, protocol, kind, *numbers = ENVELOPE.unpack(head[: ENVELOPE.size])
        known = _kind(magic, protocol, kind, allowed)
        if len(head) > ENVELOPE.size:
            body = joined(body, [count for (count,) in struct.iter_unpack("<I", head[ENVELOPE.size :])])
        return Envelope(*numbers), _made(known, body)
    except ProtocolError:
        raise
    except Exception as error:
        raise ProtocolError(f"a message that cannot be read: {type(error).__name__}: {str(error)[:200]}") from error


def _kind(magic: int, protocol: int, kind: int, allowed: frozenset[type[Any]]) -> type[Any]:
    if magic != MAGIC or protocol != PROTOCOL:
        raise ProtocolError(f"a message of protocol {protocol}, not of {PROTOCOL}")
    if kind >= len(KINDS) or KINDS[kind] not in allowed:
        raise ProtocolError(f"a message of kind {kind}, which does not come this way")
    return KINDS[kind]


def _made(kind: type[Any], frames: Sequence[Buffer]) -> Message:
    (body,) = decode(frames[:1], pickle=False)
    if type(body) is not list:
        raise ProtocolError(f"a {type(body).__name__} in the place of a message's fields")
    if kind is Passed:
        worker, samples, first, sizes = body
        return _checked(Passed(frames[1:], worker, samples, first, sizes))
    if kind is Opened:
        run, number, is_sent, *rest = body
        stream = frames[1] if is_sent else None
        if type(is_sent) is not bool or (not is_sent and len(frames) > 1):
            raise ProtocolError(f"a kernel that was not sent, in {len(frames) - 1} frames")
        return _checked(Opened(run, number, stream, frames[2:], *rest))
    if len(frames) > 1:
        raise ProtocolError(f"a message with {len(frames) - 1} frames behind its fields")
    return _checked(kind(*body))


def _all(kinds: tuple[type[Any], ...], values: Iterable[Any]) -> bool:
    return set(kinds).issuperset(map(type, values))


def _is_number(value: Any) -> bool:
    # Python has ints of any size, which it can neither compare with a float nor turn into text.
    return type(value) is int and 0 <= value < 2**64


def _is_small(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _is_seconds(value: Any) -> bool:
    return (type(value) is float and 0 <= value < math.inf) or _is_number(value)


def _is_table(value: Any, *kinds: type[Any]) -> bool:
    return type(value) is dict and _all((str,), value) and _all(kinds, value.values())


def _is_batching(value: Any) -> bool:
    return type(value) is tuple and tuple(map(type, value)) in {(int, str), (int, type(None))}


# What a field may hold, by its annotation: the trainer believes nothing that a host says.
CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "int": _is_number,
    "str": lambda value: type(value) is str,
    "str | None": lambda value: value is None or type(value) is str,
    "bool": lambda value: type(value) is bool,
    "float": _is_seconds,
    "float | None": lambda value: value is None or _is_seconds(value),
    "dict[str, str]": lambda value: _is_table(value, str),
    "dict[str, str | None]": lambda value: _is_table(value, str, type(None)),
    "dict[str, int]": lambda value: _is_table(value, int),
    "list[int]": lambda value: type(value) is list and all(map(_is_number, value)),
    "list[str]": lambda value: type(value) is list and _all((str,), value),
    # Places of calls: those outside of any function are below 0.
    "tuple[int, ...]": lambda value: type(value) is tuple and _all((int,), value) and all(map(_is_small, value)),
    "tuple[Any, ...]": lambda value: type(value) is tuple,
    "tuple[Any, ...] | None": lambda value: value is None or type(value) is tuple,
    "tuple[int, str | None] | None": lambda value: value is None or _is_batching(value),
    "Sequence[int]": lambda value: type(value) is tuple and all(map(_is_number, value)),
}
FRAMES: Final = frozenset({"Sequence[Buffer]", "Buffer | None"})  # which whoever reads them checks


def _checked(message: Any) -> Message:
    for field in fields(message):
        value, kind = getattr(message, field.name), str(field.type)
        if kind not in FRAMES and not CHECKS[kind](value):
            raise ProtocolError(f"{field.name} of {type(message).__name__} is not {kind}: a {type(value).__name__}")
    made: Message = message
    return made


def _fields(message: Any) -> list[Any]:
    return [getattr(message, field.name) for field in fields(message)]
