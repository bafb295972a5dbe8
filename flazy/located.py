"""Turn an exception of user code into one that says which sample broke, where, and at which line.

The located error's class derives from the user's where that is safe, so ``except FileNotFoundError``
goes on working.  A `Cause` is what a worker sends of an exception: text that always travels, and the
exception itself only where it proved to survive the journey.
"""

from __future__ import annotations

import builtins
import contextlib
import copyreg
import itertools
import pathlib
import traceback
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from flazy.errors import FlazyError, SampleError, SourceError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Cause", "Place", "brief", "cause_of", "located", "placed", "spell_address"]

LONGEST_TEXT = 64 * 1024
LONGEST_BRIEF = 80  # characters that are said of a function's input
DEEPEST, MOST = 2, 8  # containers in containers, and parts of one, that are spelled there
EXACT_BITS = 256
NUMBERS = frozenset({int, float, bool, complex, type(None)})
PATHS = frozenset({pathlib.PosixPath, pathlib.PurePosixPath, pathlib.WindowsPath, pathlib.PureWindowsPath})
OURS = str(pathlib.Path(__file__).parent / "_")[:-1]  # with the separator: ``flazy-demo`` beside it is the user's
GENERATED = "<flazy kernel>"

# A class that also derives from one of these would end an iteration.
CONTROL = (StopIteration, StopAsyncIteration)
# What builtin exceptions keep outside their ``__dict__``.
BUILTIN_ATTRIBUTES = (
    "errno", "strerror", "filename", "filename2", "name", "path",
    "encoding", "object", "start", "end", "reason", "code", "value",
)  # fmt: skip
ATTRIBUTES = ("stage", "address", "cycle", "worker", "traceback")

Located = SampleError | SourceError


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exception happened: what a located error says besides the exception itself."""

    stage: str
    address: tuple[int, ...]
    cycle: int = 0
    worker: str | None = None
    noun: str = "sample"  # what is at the address


@dataclass(frozen=True, slots=True)
class Cause:
    """What is known of an exception: its name, message and traceback as text, and itself where it is here.

    ``builtin`` is the nearest builtin class, which stands in for the user's class where ``error`` is None.
    """

    name: str
    message: str
    traceback: str
    builtin: str
    error: BaseException | None


def cause_of(error: BaseException, said: str = "") -> Cause:
    """Describe an exception; never fails, whatever its ``__str__`` does.

    ``said`` tells what the function was called with, as `brief` spells it.
    """
    kind = type(error)
    builtin = next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
    message = _message(error)
    if said:
        message = f"{message} (called with {said})" if message else f"(called with {said})"
    return Cause(kind.__qualname__, message, _traceback(error), builtin, error)


def brief(value: Any) -> str:
    """Spell a function's input for a message, in a line: paths, text and numbers, of arrays what they are.

    Nothing of others is called, not even ``__repr__``: the names of their classes must do, and alone say nothing.
    """
    try:
        text = _brief(value, DEEPEST)
    except Exception:  # noqa: BLE001 - another thread may change a dict, and nothing may hide the error itself
        return ""
    return "" if text.startswith("<") else text if len(text) <= LONGEST_BRIEF else f"{text[: LONGEST_BRIEF - 2]} …"


def _brief(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is str or kind is bytes or kind in PATHS:
        return repr((value if kind not in PATHS else str(value))[:LONGEST_BRIEF])
    if kind in NUMBERS and (kind is not int or value.bit_length() <= EXACT_BITS):
        return repr(value)
    if kind is np.ndarray:
        return f"{value.dtype} array of shape {value.shape}"
    if isinstance(value, np.number | np.bool_) and kind.__module__ == "numpy":
        return repr(value.item())
    if kind is dict and depth:
        parts = [f"{_brief(key, 0)}: {_brief(part, depth - 1)}" for key, part in itertools.islice(value.items(), MOST)]
        return f"{{{', '.join(parts)}{', …' * (len(value) > MOST)}}}"
    if (kind is tuple or kind is list) and depth:
        parts = [_brief(part, depth - 1) for part in value[:MOST]]
        text = f"{', '.join(parts)}{', …' * (len(value) > MOST)}"
        return f"[{text}]" if kind is list else f"({text}{',' * (len(value) == 1)})"
    return f"<{kind.__qualname__}>"


def located(cause: Cause, place: Place, kind: type[Located] = SampleError) -> Located:
    """Make the error that is raised to the user; its ``__cause__`` is the exception itself, if it is here."""
    base = type(cause.error) if cause.error is not None else getattr(builtins, cause.builtin, Exception)
    said = {name: getattr(place, name) for name in ("stage", "address", "cycle", "worker")}
    attributes = {**_carried(cause.error), **said, "traceback": cause.traceback}
    error: Located = _made(kind, base, _text(cause, place), attributes)
    error.__cause__ = cause.error
    return error


def placed(error: Located, place: Place) -> Located:
    """Add to an error of our own where it belongs; what it says and its stack stay."""
    stack = f"\n\nThe stack of {place.worker}:\n{error.traceback}" if error.traceback else ""
    error.args = (f"{_failed(place)}: {error}{stack}",)
    error.stage, error.address, error.cycle, error.worker = place.stage, place.address, place.cycle, place.worker
    return error


def _failed(place: Place) -> str:
    where = f"{place.noun} {spell_address(place.address)}" + (f" of cycle {place.cycle}" if place.cycle else "")
    return f"{place.stage} failed on {where}"


def _text(cause: Cause, place: Place) -> str:
    text = f"{_failed(place)}: {cause.name}"
    if cause.message:
        text += f": {cause.message}"
    if place.worker is None:
        return text
    return f"{text}\n\nIn {place.worker}:\n{cause.traceback}"


def spell_address(address: tuple[int, ...]) -> str:
    """Give an address as messages have it: one number where it is one."""
    return str(address[0]) if len(address) == 1 else str(address)


def _carried(error: BaseException | None) -> dict[str, Any]:
    """Give the attributes of an exception that an ``except`` of its class may read."""
    carried: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # user code: properties and __getattr__
        carried.update(vars(error) if error is not None else {})
        carried.update({name: getattr(error, name) for name in BUILTIN_ATTRIBUTES if hasattr(error, name)})
    return carried


def _made(kind: Any, base: Any, text: str, attributes: dict[str, Any]) -> Any:
    """Make an error of ``kind`` and ``base``; of ``kind`` alone and with our attributes only where ``base`` resists."""
    with contextlib.suppress(Exception):  # not to be mixed, not made without arguments, not written to, or worse
        if (made := _derived(kind, base)) is not kind:
            return _filled(made, text, attributes)
    return _filled(kind, text, {name: attributes[name] for name in ATTRIBUTES if name in attributes})


def _filled(made: Any, text: str, attributes: dict[str, Any]) -> Any:
    error = made()
    error.args = (text,)
    for name, value in attributes.items():
        # Past a __setattr__ of the user's, e.g. that of a frozen dataclass.
        Exception.__setattr__(error, name, value)
    return error


@lru_cache(maxsize=256)
def _derived(kind: Any, base: Any) -> Any:
    if issubclass(base, kind):
        return base
    if not issubclass(base, Exception) or issubclass(base, CONTROL) or base in kind.__mro__:
        return kind
    body = {"__init__": _init, "__str__": _str, "__reduce__": _reduce, "_kind": kind}
    body |= {"__module__": kind.__module__, "__doc__": kind.__doc__}
    meta: Any = type(base)
    return _registered(meta)(kind.__name__, (kind, base), body)


@lru_cache(maxsize=256)
def _registered(meta: Any) -> Any:
    """Give a type for classes that are made here, since none is found under its name when it is unpickled.

    PyTorch's DataLoader pickles the class of an error in a worker; where that fails, the epoch ends as if it were over.
    """
    made = type(meta.__name__, (meta,), {})
    copyreg.pickle(made, _reduce_class)  # type: ignore[arg-type]  # the stubs know no classes of classes
    return made


def _reduce_class(kind: Any) -> tuple[object, ...]:
    return _named, (kind._kind, cause_of(kind()).builtin)  # noqa: SLF001 - a class of ours


def _named(kind: Any, builtin: str) -> Any:
    return _derived(kind, getattr(builtins, builtin))


def _init(self: BaseException, *args: object) -> None:
    """Leave out the user's ``__init__``, which wants arguments of its own."""
    self.args = args


def _str(self: BaseException) -> str:
    return str(self.args[0])


def _reduce(self: SampleError) -> tuple[object, ...]:
    """Pickle as the kind and the builtin class beneath the user's, which may not be importable there."""
    kind, builtin = self._kind, cause_of(self).builtin  # type: ignore[attr-defined]
    return _made, (kind, getattr(builtins, builtin), self.args[0], {name: getattr(self, name) for name in ATTRIBUTES})


def _message(error: BaseException) -> str:
    try:
        text = str.__str__(str(error))  # its __str__ may give a class of its own, which would have to be pickled
    except BaseException as second:  # noqa: BLE001 - user code; its failure is part of the report
        text = f"<its __str__ raised {type(second).__name__}>"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text):,} characters)"


def _traceback(error: BaseException) -> str:
    # Where no code of the user ran, our own lines help with a fault of ours, and not with what one of our errors says.
    trace = _users(error.__traceback__) or (None if isinstance(error, FlazyError) else error.__traceback__)
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as second:  # noqa: BLE001 - as above: __cause__ chains and notes are user code too
        text = "".join(traceback.format_tb(trace))
        text += f"{type(error).__qualname__} (that is all that could be formatted: {type(second).__name__})\n"
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT // 2]}\n…\n{text[-LONGEST_TEXT // 2 :]}"


def _users(trace: TracebackType | None) -> TracebackType | None:
    """Leave out our own frames on the way to the user's code."""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name != GENERATED and not name.startswith(OURS):
            return trace
        trace = trace.tb_next
    return None
