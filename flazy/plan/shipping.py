"""Kernels as bytes: what is sent to worker processes, and what is said of a function that cannot be.

Loaded when the first plan with worker processes opens, since it needs cloudpickle.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any, ClassVar, NamedTuple

import cloudpickle

from flazy.errors import UnserializableFunction
from flazy.plan.kernel import Op

__all__ = ["LARGE", "Pickled", "dump_ops", "load_ops"]

LARGE = 2**20  # bytes from which the memory of a captured array is left out of the stream


class Pickled(NamedTuple):
    """A chain as a stream, and the memory of large captured arrays, which is not copied and not in the stream."""

    stream: bytes
    aside: Sequence[memoryview] = ()


def dump_ops(ops: tuple[Op, ...], *, whole: bool = False) -> Pickled:
    """Pickle a chain for workers; as a ``whole``, all of it is in the stream.

    Raises
    ------
    UnserializableFunction
        Names the stage and, where it can be found, the variable that cannot be pickled.
    """
    aside: list[memoryview] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        memory = buffer.raw()
        if whole or memory.nbytes < LARGE:
            return True
        aside.append(memory)
        return False

    try:
        return Pickled(_dumps(ops, stays), aside)
    except Exception as error:
        for op in ops:
            then = op.policy.then if op.policy is not None else None
            for role, fn in (("", op.fn), ("setup of ", op.setup), ("on_error of ", then)):
                if (problem := _unpicklable(fn)) is not None:
                    raise UnserializableFunction(
                        f"{role}{op.name} cannot be sent to worker processes: {problem}. "
                        "Open it inside the function or in setup=, or use workers=Threads(n)"
                    ) from error
        raise


def load_ops(stream: bytes | bytearray | memoryview, aside: Iterable[memoryview] = ()) -> tuple[Op, ...]:
    """Unpickle a chain; only workers call this, on bytes of their own driver."""
    ops: tuple[Op, ...] = cloudpickle.loads(stream, buffers=aside)
    return ops


# In a process that multiprocessing has spawned, the program is a module of this name, which workers do not have: what
# is defined there travels whole, as what is in ``__main__`` does.
if "__mp_main__" in sys.modules:
    cloudpickle.register_pickle_by_value(sys.modules["__mp_main__"])


def _dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffer_callback).dump(value)
    return stream.getvalue()


def _reduced(code: CodeType) -> tuple[Any, ...]:
    """Reduce code as cloudpickle does, but with the name of its file.

    From 3.1.3 on cloudpickle leaves that out; then no traceback of a worker could show the user's line.
    """
    make, arguments, *rest = cloudpickle.Pickler.dispatch_table[CodeType](code)
    named = tuple([code.co_filename if part == NAMELESS else part for part in arguments])
    return make, named, *rest


NAMELESS = "<dynamic-code>"


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types, so this is a subclass of Any
    """cloudpickle's, but for `_reduced`."""

    dispatch_table: ClassVar = ChainMap({CodeType: _reduced}, cloudpickle.Pickler.dispatch_table)


def _unpicklable(value: Any, name: str = "", seen: int = 3) -> str | None:
    """Say which captured variable is in the way: closures, globals, defaults, attributes, ``seen`` levels deep."""
    try:
        _dumps(value)
    except Exception as error:  # noqa: BLE001 - anything that a __reduce__ may raise
        for inner, part in _captured(value) if seen else ():
            if (problem := _unpicklable(part, f"{name}.{inner}" if name else inner, seen - 1)) is not None:
                return problem
        what = f"it captures {name!r}, a {type(value).__module__}.{type(value).__qualname__}" if name else "it"
        return f"{what}, which cannot be pickled ({error})" if name else f"it cannot be pickled ({error})"
    return None


def _captured(value: Any) -> Iterable[tuple[str, Any]]:
    code = getattr(value, "__code__", None)
    if code is not None:
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            yield name, cell.cell_contents
        for name in code.co_names:
            if name in value.__globals__:
                yield name, value.__globals__[name]
    for name in ("func", "__self__", "__func__", "__wrapped__"):
        if (part := getattr(value, name, None)) is not None and not isinstance(value, type):
            yield name, part
    if isinstance(value, dict):
        yield from ((str(key), part) for key, part in value.items())
    elif not isinstance(value, type):
        yield from getattr(value, "__dict__", {}).items()
