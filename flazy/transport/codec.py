"""Values to frames and back: what every message body goes through.

Here: `encode` and `decode`, pickle with its buffers out of band, and what is said of a value that cannot travel.
Not here: the layout of a skeleton (``packing.py``, ``unpacking.py``), the header of a message, sockets.

::

    frames = [skeleton, array, array, …, buffer 1, buffer 0, pickle]

Arrays lie in the order in which the skeleton refers to them.  What must be pickled is pickled once for all values,
so that a class is named once; that stream is the last frame and its out-of-band buffers lie before it, last first.
A reader thus takes arrays from the left and what pickle needs from the right, and needs no index that could lie.

The one rule: a value comes back with its type or `Unencodable` is raised; a frame is read or `ProtocolError` is.
"""

from __future__ import annotations

import io
import itertools
import pickle as pickling
import reprlib
from collections import ChainMap, deque
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NoReturn

import cloudpickle
import numpy as np

from flazy.errors import ProtocolError
from flazy.transport import arrays
from flazy.transport.arrays import Buffer
from flazy.transport.packing import INLINE, Refused, Writer
from flazy.transport.unpacking import Reader

__all__ = ["Buffer", "Unencodable", "decode", "encode", "nbytes"]

# Why a value cannot travel without pickle, and what its user may do: it is another machine that has this rule.
NOT_PICKLED = (
    "it would have to be pickled, which is not allowed for what comes from another machine; return arrays, numbers, "
    "text, lists, tuples or dicts of these, or say Remote(..., allow_pickle=True) if you trust that machine"
)

MISSING = "install what it needs, or send arrays, numbers, text, and lists, tuples and dicts of these instead"

# numpy loads this module when it is first named; until then cloudpickle would make a copy of its classes.
LOADED = (np.rec,)


class Unencodable(ValueError):
    """A value holds something that cannot travel.

    Attributes
    ----------
    path : str
        Where it is, e.g. ``sample["meta"][3]``; ``sample`` alone is the value itself.
    kind : str
        The name of its type.
    index : int
        Which of the values.
    reason : str
        Why not, in the words of what refused it.
    """

    def __init__(self, path: str, kind: str, index: int, reason: str) -> None:
        super().__init__(path, kind, index, reason)
        self.path = path
        self.kind = kind
        self.index = index
        self.reason = reason

    def __str__(self) -> str:
        """Say what is where, and why it cannot travel."""
        return f"{self.path} is of type {self.kind}, which cannot travel to or from a worker: {self.reason}"


def encode(values: Sequence[object], *, pickle: bool = True) -> list[Buffer]:
    """Turn values into frames.

    Parameters
    ----------
    values : sequence of object
        Anything; a ``memmap`` becomes a plain array, and a list that occurs twice becomes two.
    pickle : bool
        Whether values that msgpack, numpy and our own types cannot carry may be pickled.  Between machines they
        may not, because the reader would run what the writer says.

    Returns
    -------
    list of bytes-like
        First the skeleton; then large arrays and out-of-band buffers, which are *not* copied: they change if the
        values are changed before the frames are sent.

    Raises
    ------
    Unencodable
        For the first value that cannot travel; nothing has been changed or kept.
    """
    try:
        return _frames(values, pickle=pickle)
    except Exception as error:
        for index, value in enumerate(values):
            if (fault := _fault(value, pickle=pickle)) is not None:
                raise _blame(value, index, fault, pickle=pickle) from error
        raise


def decode(frames: Sequence[Buffer], *, pickle: bool = True) -> list[object]:
    """Turn frames back into values.

    Parameters
    ----------
    frames : sequence of bytes-like
        From `encode`, or one frame that msgpack-numpy packed from a list.
    pickle : bool
        Whether to unpickle what was pickled; False for frames from another machine.

    Returns
    -------
    list of object
        Arrays in it are writable and share the memory of frames that are writable and aligned.

    Raises
    ------
    ProtocolError
        For anything that `encode` could not have made; without ``pickle``, nothing has been executed.
    """
    try:
        skeleton, *rest = frames
        return Reader(deque(rest), _unpickled if pickle else _not_unpickled).read(skeleton)
    except ProtocolError:
        raise
    except ImportError as error:  # only what was pickled needs modules; the traceback would tell of us alone
        raise ProtocolError(f"a sample cannot be read here ({error}): {MISSING}") from None
    except Exception as error:  # msgpack and numpy raise at least nine types for bytes that are wrong
        raise ProtocolError(f"a message that cannot be read: {type(error).__name__}: {error}") from error


def nbytes(frames: Sequence[Buffer]) -> int:
    """Give the size of frames in bytes."""
    return sum(frame.nbytes if isinstance(frame, memoryview) else len(frame) for frame in frames)


def _frames(values: Sequence[object], *, pickle: bool) -> list[Buffer]:
    writer = Writer(pickle=pickle)
    skeleton = writer.write(values)
    return [skeleton, *writer.buffers, *(_pickled(writer.opaque) if writer.opaque else ())]


def _pickled(objects: list[object]) -> list[Buffer]:
    """Pickle objects; the stream is the last frame, its buffers lie before it from last to first."""
    buffers: list[Buffer] = []

    def keeps_in_band(buffer: pickling.PickleBuffer) -> bool:
        memory = buffer.raw()
        if memory.nbytes < INLINE:
            return True
        buffers.append(memory)
        return False

    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=keeps_in_band).dump(objects)
    return [*reversed(buffers), stream.getvalue()]


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"cannot pickle {type(value).__name__!r} object without changing what it is")


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types, so this is a subclass of Any
    """Not pickle's: what that makes of an instance of a class of ``__main__`` cannot be read in a worker.

    And not quite cloudpickle's, which turns an open file into a ``StringIO`` of its contents and a memoryview
    into bytes.
    """

    dispatch_table: ClassVar = ChainMap(
        dict.fromkeys((io.TextIOWrapper, memoryview), _refuse), cloudpickle.Pickler.dispatch_table
    )


def _unpickled(frames: deque[Buffer]) -> list[object]:
    stream = frames.pop()
    buffers = (arrays.writable(frames.pop()) for _ in itertools.repeat(None))
    objects = pickling.loads(stream, buffers=buffers)  # noqa: S301  # from a process of ours; see decode(pickle=)
    if type(objects) is not list:
        raise ProtocolError(f"a pickled {type(objects).__name__} in the place of a list")
    return objects


def _not_unpickled(frames: deque[Buffer]) -> list[object]:
    raise ProtocolError(f"a pickled value among {len(frames)} frames from where none is allowed; it was not read")


def _fault(value: object, *, pickle: bool) -> Exception | None:
    try:
        _frames([value], pickle=pickle)
    except Exception as error:  # noqa: BLE001  # __reduce__ is the user's and raises what it likes
        return error
    return None


def _blame(value: object, index: int, fault: Exception, *, pickle: bool) -> Unencodable:
    """Find the innermost thing that cannot travel, by trying."""
    path, seen = "sample", {id(value)}
    while not isinstance(fault.__context__, RecursionError):  # then no part is to blame but the depth of it all
        for step, item in _items(value):
            if id(item) not in seen and (inner := _fault(item, pickle=pickle)) is not None:
                path, value, fault = path + step, item, inner
                seen.add(id(item))
                break
        else:
            break
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(fault, Refused):
        return Unencodable(path, name, index, NOT_PICKLED)
    return Unencodable(path, name, index, str(fault) or type(fault).__name__)


def _items(value: object) -> Iterator[tuple[str, object]]:
    """Walk through one level of a container, with the base class's own iterator."""
    if isinstance(value, dict):
        for key, item in dict.items(value):
            shown = f'"{key}"' if isinstance(key, str) else reprlib.repr(key)
            yield f"[{shown}]", item
            yield f" key {shown}", key
    sequences: dict[Any, str] = {list: "[{}]", tuple: "[{}]", set: " member", frozenset: " member"}
    for base, step in sequences.items():
        if isinstance(value, base):
            for position, item in enumerate(base.__iter__(value)):
                yield step.format(position), item
