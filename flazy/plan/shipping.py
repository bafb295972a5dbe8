"""Kernels as bytes: what is sent to worker processes, and what is said of a function that cannot be.

Functions and classes of a module go by reference, which is its name and theirs, and only those of the program itself by
value.  Other machines may lack a module; so there are modules that go by value for one stream.

Loaded when the first plan with worker processes opens, since it needs cloudpickle.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import io
import operator
import pickle
import sys
import threading
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any, ClassVar, NamedTuple

import cloudpickle

from flazy.errors import UnserializableFunction
from flazy.plan.kernel import Op

__all__ = ["LARGE", "Pickled", "dump_ops", "load_ops", "sending"]

LARGE = 2**20  # bytes from which the memory of a captured array is left out of the stream


class Pickled(NamedTuple):
    """A chain as a stream, and the memory of large captured arrays, which is not copied and not in the stream."""

    stream: bytes
    aside: Sequence[memoryview] = ()


def dump_ops(ops: tuple[Op, ...], *, whole: bool = False, by_value: Sequence[str] = ()) -> Pickled:
    """Pickle a chain for workers.

    Parameters
    ----------
    ops
        The chain.
    whole
        Whether all of it is in the stream, the memory of large arrays too.
    by_value
        Modules that are loaded, and whose functions and classes are in the stream themselves, with the globals that
        they use; and so are those of the modules inside them. A function has globals of its own in each stream: a
        cache in a global comes as it is now, and is not shared with another kernel. A class stays the same class in
        whatever stream it comes. A module that is used as an object (``import helper``) comes with all its globals, in
        a dict that is not the one of its functions; it is not among the loaded modules there, so an ``import`` inside a
        function does not find it.

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

    with sending(by_value):
        try:
            return Pickled(_dumps(ops, stays), aside)
        except Exception as error:
            for op in ops:
                then = op.policy.then if op.policy is not None else None
                for role, fn in (("", op.fn), ("setup of ", op.setup), ("on_error of ", then)):
                    if (problem := _Culprit(by_value).of(fn)) is not None:
                        raise UnserializableFunction(
                            f"{role}{op.name} cannot be sent to worker processes: {problem}"
                        ) from error
            raise


# cloudpickle's registry is the process's, so what is registered for one stream must not be seen by another that is made
# at the same time.  Taken again by the same thread where an object's own pickling opens a dataset.
_registering = threading.RLock()


@contextlib.contextmanager
def sending(names: Iterable[str]) -> Iterator[None]:
    """Have modules pickled by value for a while; those that the user has registered stay so."""
    with _registering:
        before = cloudpickle.list_registry_pickle_by_value()
        ours = [sys.modules[name] for name in names if name in sys.modules and name not in before]
        try:
            for module in ours:
                cloudpickle.register_pickle_by_value(module)
            yield
        finally:
            for module in ours:
                if module.__name__ in cloudpickle.list_registry_pickle_by_value():
                    cloudpickle.unregister_pickle_by_value(module)


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
    """Reduce code as cloudpickle does, but with the name of its file, and of the modules that it imports when it runs.

    From 3.1.3 on cloudpickle leaves the file out; then no traceback of a worker could show the user's line.  The
    modules are there to be read from the stream, by whoever asks whether another machine has them.
    """
    make, arguments, *rest = cloudpickle.Pickler.dispatch_table[CodeType](code)
    named = tuple([code.co_filename if part == NAMELESS else part for part in arguments])
    if imported := _imported(code):
        return importing, (" ".join(imported), make, *named), *rest
    return make, named, *rest


def importing(_modules: str, make: Callable[..., CodeType], *arguments: Any) -> CodeType:
    """Make code that imports modules when it runs; pickles refer to this."""
    return make(*arguments)


def _imported(code: CodeType) -> list[str]:
    """List the modules of the import statements in a function's code.

    But for relative ones, and for those inside a ``try``, without which the function can do (or a ``with``, which looks
    the same).
    """
    if IMPORT not in code.co_code[::2]:
        return []
    rows = [row for row in dis.get_instructions(code) if row.opcode != dis.EXTENDED_ARG]
    decoded: Any = dis.Bytecode(code)
    handlers = {row.offset for row in rows if row.opname == "PUSH_EXC_INFO"}  # not a generator's own, round all of it
    tried = [range(part.start, part.end) for part in decoded.exception_entries if part.target in handlers]
    return sorted({
        str(row.argval)
        for level, _, row in zip(rows, rows[1:], rows[2:], strict=False)
        if row.opcode == IMPORT and level.argval == 0 and not any(row.offset in part for part in tried)
    })


NAMELESS = "<dynamic-code>"
IMPORT = dis.opmap["IMPORT_NAME"]  # of a level, of names and, in itself, of a module
LOADING = frozenset({"__builtins__", "__cached__", "__loader__", "__spec__"})  # of a module; how it came to be here


def _module_reduced(module: ModuleType) -> tuple[Any, ...]:
    """Reduce a module as cloudpickle does, but one that goes by value so that modules may refer to each other.

    cloudpickle makes such a module's globals a part of how it is made, and so would go round for ever; and it takes the
    loader along, which may be of a class that is nowhere else.
    """
    make, arguments = cloudpickle.Pickler.dispatch_table[ModuleType](module)
    if len(arguments) == 1:
        return make, arguments
    name, state = arguments
    return ModuleType, (name,), {key: value for key, value in state.items() if key not in LOADING}


def _remembering_reduced(function: Any) -> str | tuple[Any, ...]:
    """Reduce what `functools.lru_cache` made: an object that knows no way to be pickled but by its name."""
    if _is_found(function) and not _goes_by_value(function.__module__, cloudpickle.list_registry_pickle_by_value()):
        return str(function.__qualname__)
    return remembering, (function.__wrapped__, function.cache_parameters())


def remembering(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    """Make a function with a cache of its own, which is empty; pickles refer to this."""
    made: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return made


def _cached_property_reduced(part: functools.cached_property[Any]) -> tuple[Any, ...]:
    """Reduce a cached property without the lock that it has until Python 3.12."""
    return functools.cached_property, (part.func,), {"attrname": part.attrname, "__doc__": part.__doc__}


def _is_found(function: Any) -> bool:
    try:
        found = operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
    except (AttributeError, KeyError):
        return False
    return found is function and function.__module__ != "__main__"


def _goes_by_value(module: str, registered: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in registered)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types, so this is a subclass of Any
    """cloudpickle's, but for code, for modules that go by value, and for what remembers results."""

    dispatch_table: ClassVar = ChainMap(
        {
            type(functools.lru_cache(len)): _remembering_reduced,
            functools.cached_property: _cached_property_reduced,
            CodeType: _reduced,
            ModuleType: _module_reduced,
        },
        cloudpickle.Pickler.dispatch_table,
    )


DEEP = 6  # levels of closures, globals, defaults and attributes in which a culprit is looked for
HERE = "Open it inside the function or in setup=, or use workers=Threads(n)"


class _Culprit:
    """The search for the captured variable that is in the way; what was looked into is not looked into again."""

    def __init__(self, by_value: Sequence[str]) -> None:
        self._by_value = by_value
        self._seen: dict[int, Any] = {}  # by identity, and held so that it stays one

    def of(self, value: Any, name: str = "", owner: str = "", depth: int = DEEP) -> str | None:
        """Say what is in the way and what to do; None where nothing is, or where it is not to be found here."""
        try:
            _dumps(value)
        except Exception as error:  # noqa: BLE001 - anything that a __reduce__ may raise
            self._seen[id(value)] = value
            parts = list(_captured(value)) if depth else []
            for inner, part, whose in sorted(parts, key=lambda each: _weight(each[1])):
                if id(part) not in self._seen:
                    path = f"{name}.{inner}" if name else inner
                    if (problem := self.of(part, path, whose or owner, depth - 1)) is not None:
                        return problem
            if any(id(part) in self._seen for _, part, _ in parts):
                return None if name else f"it cannot be pickled ({error}). {HERE}"
            return self._told(value, name, owner, error)
        return None

    def _told(self, value: Any, name: str, owner: str, error: Exception) -> str:
        if not name:
            return f"it cannot be pickled ({error}). {HERE}"
        what = f"it captures {name!r}, a {type(value).__module__}.{type(value).__qualname__}, which cannot be pickled"
        if not _goes_by_value(owner, self._by_value):
            return f"{what} ({error}). {HERE}"
        return (
            f"{what} ({error}). It is a variable of the module {owner!r}, which is sent by value, since the workers' "
            "machines may not have it. Open it inside the function or in setup=, or install the module as a package, "
            "here and on those machines"
        )


def _weight(value: Any) -> int:
    """Order what a value captures: what is in the way is rather a plain value than a function that captures it."""
    return 2 if isinstance(value, ModuleType) else 1 if isinstance(value, FunctionType | type) else 0


def _captured(value: Any) -> Iterable[tuple[str, Any, str]]:
    """Yield names, what they stand for, and of globals the module."""
    code = getattr(value, "__code__", None)
    if code is not None:
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            yield name, cell.cell_contents, ""
        for name in code.co_names:
            if name in value.__globals__:
                yield name, value.__globals__[name], str(value.__globals__.get("__name__"))
    for name in ("func", "__self__", "__func__", "__wrapped__"):
        if (part := getattr(value, name, None)) is not None and not isinstance(value, type):
            yield name, part, ""
    if isinstance(value, dict):
        yield from ((str(key), part, "") for key, part in value.items())
    elif isinstance(value, ModuleType):
        yield from ((name, part, value.__name__) for name, part in vars(value).items() if name not in LOADING)
    elif isinstance(value, type):
        yield from ((name, part, value.__module__) for name, part in vars(value).items() if not name.startswith("__"))
    else:
        yield from ((name, part, "") for name, part in getattr(value, "__dict__", {}).items())
