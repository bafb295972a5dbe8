"""The modules that functions refer to: which they are, whether both sides have the same, and which are sent along.

A function of a module is pickled as the names of both, so a worker runs what it finds there: nothing, or another
version of it.  Both sides' modules are compared before a function is sent (`references`, `known`, `compared`); what
lies beside the script is not compared but sent (`local_modules`, `sent_by_value`).

What is compared is what lies on disk; what was edited here since it was imported is not told from what runs here.  Of
what a function imports when it is called, relative imports are not seen, nor those inside a ``try``, nor those of
functions that are sent by name.
"""

from __future__ import annotations

import importlib
import itertools
import os
import pathlib
import pickletools
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from flazy.errors import InvalidArgument
from flazy.plan.shipping import importing
from flazy.remote.fingerprints import fingerprint, fingerprints, is_installed, is_standard
from flazy.remote.versions import SIDES, plain, table

__all__ = ["References", "compared", "known", "local_modules", "references", "sent_by_value"]

# Not compared by their files.  Of numpy and cloudpickle the versions are (`flazy.remote.versions`).  Of Flazy the
# protocol is, which says what must be equal: a release that mends something elsewhere is no reason to turn a machine
# away.  The program itself is sent by value.
COMPARED_OTHERWISE: Final = frozenset({"numpy", "cloudpickle", "flazy", "__main__", "__mp_main__"})
LISTED = 12  # modules in a message; of more, their number


# What a pickle refers to ------------------------------------------------------------------------------


class _Global(NamedTuple):
    module: str
    name: str


class _Alone(NamedTuple):
    """A tuple of one."""

    value: object


LOOKED_UP: Final = frozenset({_Global("cloudpickle.cloudpickle", "subimport"), _Global("builtins", "__import__")})
IMPORTING: Final = _Global(importing.__module__, importing.__qualname__)
TEXT: Final = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
GETS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
PUTS: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


class References(NamedTuple):
    """The modules that a pickle names: to look something up when it is loaded, to import when a function is called."""

    loaded: frozenset[str]
    called: frozenset[str]


def references(stream: bytes | bytearray | memoryview) -> References:
    """List the modules that a pickle of ours names, without unpickling it.

    Left out is what is compared otherwise: Python's own modules, numpy, cloudpickle and Flazy.
    """
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for name, is_loaded in _named(bytes(stream)):
        names[is_loaded].add(name)
    return References(*[frozenset({name for name in names[kind] if _is_compared(name)}) for kind in (True, False)])


def _is_compared(name: str) -> bool:
    return not is_standard(name) and name.partition(".")[0] not in COMPARED_OTHERWISE


def _named(stream: bytes) -> Iterator[tuple[str, bool]]:
    """Walk through a pickle and yield the modules that it looks something up in, and those that its code imports.

    Whoever writes a pickle puts the two names right before the instruction that looks them up, and a module's name
    right behind the function that imports it; so the two last things on the stack are all that is kept of it.
    """
    memo: dict[int, object] = {}
    below: object = None
    top: object = None
    operations: Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]] = pickletools.genops(stream)
    for code, argument, _ in operations:
        name = code.name
        if name == "MEMOIZE":
            memo[len(memo)] = top
        elif name in TEXT:
            if top is pickletools.markobject and below == IMPORTING:  # the first argument of that
                yield from ((module, False) for module in argument.split())
            below, top = top, argument
        elif name in GETS:
            below, top = top, memo.get(argument)
        elif name in PUTS:
            memo[argument] = top
        elif name == "STACK_GLOBAL":
            top = _Global(str(below), str(top))
            yield top.module, True
        elif name == "GLOBAL":
            below, top = top, _Global(*argument.split(" ", 1))
            yield top.module, True
        elif name == "TUPLE1":
            top = _Alone(top)
        elif name == "REDUCE" and below in LOOKED_UP and isinstance(top, _Alone):
            yield str(top.value), True
            below = top = None
        elif code.stack_after:
            below, top = top, pickletools.markobject if name == "MARK" else None


# Here and there ---------------------------------------------------------------------------------------


def known(stream: bytes | bytearray | memoryview) -> dict[str, str | None]:
    """Give the modules that a pickle refers to, with their fingerprints here.

    Modules that their package makes as it is imported (``torch._C._nn``) have no file to be found by; there the package
    stands for them.  What functions import when they are called and is not here either is left out: they must do
    without it, and will elsewhere.
    """
    names, called = references(stream)
    optional = {name: mark for name, mark in fingerprints(called - names).items() if mark is not None}
    marks = fingerprints(names)
    made = {name for name in names if marks[name] is None and "." in name and name in sys.modules}
    while made:
        parents = {name.rpartition(".")[0] for name in made}
        marks = {name: mark for name, mark in marks.items() if name not in made} | fingerprints(parents)
        made = {name for name in parents if marks[name] is None and "." in name}
    return dict(sorted({**optional, **marks}.items()))


def compared(
    here: Mapping[str, str | None],
    there: Mapping[str, str | None],
    *,
    sent: Collection[str] = (),
    called: tuple[str, str] = SIDES,
) -> str | None:
    """Say which modules are not the same on both sides, and what to do; None where all are.

    Parameters
    ----------
    here, there
        Fingerprints by name; ``there`` answers for the names of ``here``, and is not believed.
    sent
        Modules that went by value, and are referred to by name all the same.
    called
        What the two sides are called in the text.
    """
    apart = [name for name in sorted(here) if not _same(here[name], there.get(name))]
    if not apart:
        return None
    rows = [(plain(name, 60), _told(here[name]), _told(there.get(name))) for name in apart[:LISTED]]
    more = [f"  and {len(apart) - LISTED} more"] if len(apart) > LISTED else []
    named = [name for name in apart if not {*itertools.accumulate(name.split("."), "{}.{}".format)}.isdisjoint(sent)]
    own = sorted({name.partition(".")[0] for name in apart if _is_own(here[name]) and name not in named})
    todo = f"Install the same version on {called[1]} as on {called[0]}"
    if own:
        todo += f", or have the code sent along: Remote(..., ship={own})"
        if not named:
            todo += ". Import what is sent at the top of the file, not inside a function"
    if named:
        todo += (
            f". The code of {', '.join(named)} is sent, but that does not help a function which imports it when it is "
            "called (import it at the top of the file), nor objects in it that can be pickled by their names alone"
        )
    return "\n".join([*table([("module", *called), *rows]), *more, f"{todo}."])


def _same(here: str | None, there: str | None) -> bool:
    """Compare two fingerprints by what both tell; where both are installed, by the file itself."""
    if here is None or there is None:
        return False
    one, other = _parts(here), _parts(there)
    if not one.get("file") or not other.get("file"):
        # Compiled on one side at least: known to be there. Of text that is no fingerprint, nothing is known.
        kinds = {_kind(here), _kind(there)}
        return "extension" in kinds and kinds <= {"extension", "local", "installed"}
    if {_kind(here), _kind(there)} != {"installed"} and {"package"} <= one.keys() & other.keys():
        return one["package"] == other["package"]
    return one["file"] == other["file"]


def _kind(mark: str) -> str:
    return mark.partition(";")[0]


def _parts(mark: str) -> dict[str, str]:
    return {word: rest for word, _, rest in (part.partition(" ") for part in mark.split("; "))}


def _is_own(mark: str | None) -> bool:
    """Say whether code is somebody's own: not installed, or made while the program runs, without a file."""
    return mark is None or _kind(mark) == "local"


def _told(mark: str | None) -> str:
    """Spell a fingerprint: what tells the two apart at a glance, else the hash."""
    if mark is None:
        return "missing"
    parts = _parts(mark)
    size = re.findall(r"\d+ files, [\d,]+ bytes", mark[:1000])
    words = [f"version {parts['version']}" if "version" in parts else "", *size, parts.get("file", "")[:8]]
    return plain(", ".join(filter(None, words)) or _kind(mark), 50)


# By value ---------------------------------------------------------------------------------------------


def sent_by_value(ship: Iterable[str] = ()) -> tuple[str, ...]:
    """List what goes by value to other machines: what lies beside the script, and what is to be shipped.

    What is to be shipped and was not imported yet is imported.

    Raises
    ------
    InvalidArgument
        A name in ``ship`` that cannot be imported, or has no Python source; the modules before it are loaded.
    """
    for name in ship:
        _ready(name)
    return tuple(_tops({*ship, *local_modules()}))


def _ready(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a module that is imported runs, and may raise anything
        raise InvalidArgument(
            f"ship={name!r} of Remote: it cannot be imported here ({type(error).__name__}: {error}); "
            "give modules that this program can import, e.g. ship=[my_package]"
        ) from error
    if not _is_compared(name):
        raise InvalidArgument(f"ship={name!r} of Remote: every worker has that; leave it out")
    if not isinstance(module, ModuleType):
        raise InvalidArgument(f"ship={name!r} of Remote: what is loaded by that name is no module, and cannot be sent")
    if (fingerprint(name) or "").startswith("extension"):
        raise InvalidArgument(f"ship={name!r} of Remote: it is compiled, and cannot be sent; install it on the workers")


def local_modules() -> list[str]:
    """List the loaded modules that lie beside the script, or beneath its folder; a package stands for its modules.

    In an interactive session it is the working folder.  Not of them: what is installed in an environment beneath that
    folder, Flazy, pytest's ``conftest``, and what has no Python source.
    """
    folder = _script_folder()
    if folder is None:
        return []
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _may_be_sent(name, file) and _lies_in(folder, file):
            found.add(name)
    return list(_tops(found))


def _may_be_sent(name: str, file: str) -> bool:
    if not _is_compared(name) or name.rpartition(".")[2] == "conftest":
        return False
    module = sys.modules.get(name)
    is_itself = isinstance(module, ModuleType) and module.__name__ == name
    return is_itself and file.endswith(".py") and not is_installed(file)


def _lies_in(folder: pathlib.Path, file: str) -> bool:
    path = pathlib.Path(os.path.realpath(file))
    if is_installed(str(path)) or not path.is_relative_to(folder):
        return False
    between = path.relative_to(folder).parents
    return not any((folder / part / "pyvenv.cfg").exists() for part in between)


def _script_folder() -> pathlib.Path | None:
    """Find the folder from which the program's modules are imported; None for a program that is itself installed."""
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if not isinstance(file, str):
        return pathlib.Path.cwd().resolve()
    folder = pathlib.Path(os.path.realpath(file)).parent
    package = getattr(main, "__package__", None)  # of `python -m package.module`: the folder that the package is in
    for _ in filter(None, (package or "").split(".")):
        folder = folder.parent
    return None if is_installed(str(folder) + os.sep) or (folder.parent / "pyvenv.cfg").exists() else folder


def _tops(names: Iterable[str]) -> Iterator[str]:
    """Leave out what is inside another."""
    last = None
    for name in sorted(names, key=lambda name: name.split(".")):
        if last is None or not name.startswith(f"{last}."):
            last = name
            yield name
