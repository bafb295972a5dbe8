"""The floors of Flazy: who may import whom, and what nobody may call.

The tables are the rule and the test; docs/design.md explains them.  Names in them are modules inside
``flazy``: "plan" stands for the package and all its modules, "plan.kernel" for that module alone.
"""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "flazy"

BASE = ("errors", "sample", "located", "collate", "dtypes", "ragged", "leaves")

# What a package may import of Flazy, besides its own modules.  From the top floor down.
FLOORS: dict[str, tuple[str, ...]] = {
    "": ("torch", "datasets", "feeds", "readers", "writers", "run", "remote", "workers", "transport", "plan", *BASE),
    "torch": ("datasets", "verbs", "feeds", "run", "plan", *BASE),
    "datasets": ("verbs", "feeds", "readers", "writers", "run", "workers", "transport", "plan", "core", *BASE),
    "verbs": ("feeds", "readers", "writers", "run", "workers", "transport", "plan", "core", *BASE),
    "feeds": ("run", "errors", "collate", "dtypes", "ragged", "sample"),
    "writers": ("readers", "errors", "sample", "dtypes"),
    "readers": ("errors", "sample"),
    "run": ("plan", "remote", "workers", "transport", "core", *BASE),
    "remote": ("plan", "workers", "transport", "core.events", *BASE),
    "workers": (
        *("transport", "core.events", *BASE),
        *("plan.guard", "plan.kernel", "plan.loops", "plan.policy", "plan.ray", "plan.shipping", "plan.where"),
    ),
    "transport": ("errors", "sample", "collate", "dtypes"),
    "plan": BASE,
    "core": (),
    "leaves": ("collate", "errors", "ragged"),
    "collate": ("errors", "dtypes"),
    "dtypes": ("errors",),
    "located": ("errors",),
    "sample": ("ragged",),
    "ragged": ("errors",),
    "errors": (),
}

# Imports upwards that are made for types alone and never run: (package, imported) -> why.
FOR_TYPES: dict[tuple[str, str], str] = {("verbs", "datasets"): "a verb returns the class that it is mixed into"}

# Where a package that is not part of Python may be imported; any other package is not to be imported at all.
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "numpy": tuple(set(FLOORS) - {"core"}),
    "msgpack": ("transport",),
    "msgpack_numpy": ("transport",),
    "zmq": ("transport",),
    "ml_dtypes": ("dtypes",),
    "cloudpickle": ("plan.shipping", "transport.codec", "feeds"),
    "google_crc32c": ("readers", "writers"),
    "threadpoolctl": ("workers.threads",),
    "tqdm": ("run",),
    "tensorflow": ("feeds",),
    "torch": ("feeds",),
    "jax": ("feeds",),
    "keras": ("feeds",),
    "pandas": ("feeds",),
    "lz4": ("transport.squeeze",),
    "ray": ("workers.ray",),
}

# Modules whose functions may import, because it is their work to load things when they are first asked for.
LOADERS: dict[str, str] = {
    "": "workers need a part of the package, and start sooner when the rest is loaded as it is asked for",
    "readers": "the registry loads a format when it is first read",
    "writers": "the registry loads a format when it is first written",
    "datasets": "the runtime and the feeds load when a dataset first needs them",
    "torch": "the same: what makes a loader needs PyTorch, which may be missing",
    "verbs": "the same, for the verbs that need them",
    "feeds": "each feed loads a framework that may be missing",
    "run.build": "stages that need a thread, a library or the parallel runtime load when a plan has them",
    "transport.squeeze": "compression is asked for by few, and may be missing",
    "run.runs": "the parallel runtime loads when a run opens its first parallel stage",
    "run.shipped": "so does what it is pickled by",
    "run.segment": "what listens on a network, and Ray, load when a stage has such workers; Ray may be missing",
}

COMPUTED = "(a computed name)"

# Single imports inside functions elsewhere: (module, imported) -> why it cannot stand at the top.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("workers.threads", "threadpoolctl"): "few workers need it, and it may be missing",
    ("dtypes", "ml_dtypes"): "few need it, and it may be missing",
    ("remote.code", COMPUTED): "what a user asks to have sent is loaded if it was not",
    ("workers.launch", "tempfile"): "Linux does without, and the zygote's start waits for what is loaded here",
}

# What a library that streams has no place for, and why.
FORBIDDEN: dict[str, str] = {
    "print": "a library does not print",
    "sleep": "wait for what you wait for; do not sleep",
    "join": "join() without a timeout may never return",
    "bare except": "a bare except also catches the end of the program",
    "silence": "an error is swallowed unseen",
}

# (module, forbidden thing) -> why it is right there.
PERMITS: dict[tuple[str, str], str] = {
    ("remote.cli", "print"): "a command line speaks to the person who typed it",
    ("plan.guard", "sleep"): "between two tries it waits for as long as its user has asked for",
    ("workers.relay", "silence"): "the caller's streams and log filters raise what they like, and the relay goes on",
    ("located", "silence"): "an attribute of a user's exception may fail to be read or set in any way it likes",
}


# Reading ----------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: a name inside Flazy (``ours``) or the name of a package."""

    target: str
    ours: bool
    line: int
    in_function: bool
    for_types: bool


def names_of(package: Path) -> dict[str, Path]:
    """Map the names of all modules inside the package to their files."""
    found = {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.py")}
    return {name.removesuffix("__init__").removesuffix("."): path for name, path in found.items()}


def read(module: str) -> ast.Module:
    """Parse one module of Flazy."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports_of(
    tree: ast.AST, known: set[str], *, in_function: bool = False, for_types: bool = False
) -> Iterator[Import]:
    """Yield every import of a module, at the top of it or not."""
    for node in ast.iter_child_nodes(tree):
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = for_types or (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))
        for name in imported_names(node):
            ours = name == "flazy" or name.startswith("flazy.")
            target = nearest(name.removeprefix("flazy").removeprefix("."), known) if ours else name.partition(".")[0]
            yield Import(target, ours, node.lineno, in_function, for_types)
        yield from imports_of(node, known, in_function=inside, for_types=typing)


def imported_names(node: ast.AST) -> list[str]:
    """Give the full names that a statement or a call imports; ``from`` may name modules or what is in them."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            return [f"{'flazy.relative.' * bool(level)}{module}.{alias.name}" for alias in names]
        case ast.Call(args=[name, *_]) if called(node) in {"__import__", "import_module"}:
            return [str(name.value) if isinstance(name, ast.Constant) else f"flazy.{COMPUTED}"]
    return []


def called(call: ast.Call) -> str:
    """Give the last word of what is called: ``sleep`` for ``time.sleep()``."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def nearest(name: str, known: set[str]) -> str:
    """Give the longest part of a dotted name that is a module; a name that is none stays, and no table allows it."""
    parts = name.split(".")
    leading = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((part for part in leading if part in known or part in FLOORS), name)


def within(module: str, places: tuple[str, ...]) -> bool:
    """Say whether a module is one of the places, or inside one."""
    return any(module == place or module.startswith(f"{place}.") for place in places)


# Judging ----------------------------------------------------------------------------------------------


def faults(module: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Yield what is wrong with one module."""
    if module.partition(".")[0] not in FLOORS:
        yield f"{where(module, 1)}: has no floor (see FLOORS)"
        return
    for found in imports_of(tree, known):
        for fault in import_faults(module, found):
            yield f"{where(module, found.line)}: {fault}"
    for node in ast.walk(tree):
        thing = forbidden(node)
        if thing and (module, thing) not in PERMITS:
            yield f"{where(module, node.lineno)}: {FORBIDDEN[thing]}"


def where(module: str, line: int) -> str:
    """Name a place as editors understand it; a planted module has no file."""
    path = MODULES.get(module)
    return f"{path.relative_to(PACKAGE.parent) if path else module}:{line}"


def import_faults(module: str, found: Import) -> Iterator[str]:
    """Judge one import by the tables."""
    floor = module.partition(".")[0]
    upwards = found.for_types and (floor, found.target) in FOR_TYPES
    below = within(found.target, (*FLOORS[floor], floor or "errors")) or found.target == COMPUTED
    if found.ours and not below and not upwards:
        yield f"{floor or 'flazy'} may not import flazy.{found.target} (see FLOORS)"
    if not found.ours and found.target not in sys.stdlib_module_names:
        places = tuple(FLOORS) if found.for_types and found.target in THIRD_PARTY else THIRD_PARTY.get(found.target, ())
        if not within(module, places) or floor == "core":
            yield f"{found.target} may be imported only in {', '.join(places) or 'nothing'} (see THIRD_PARTY)"
    if found.in_function and not loads(module) and (module, found.target) not in EXCEPTIONS:
        yield f"{found.target} is imported inside a function (see LOADERS and EXCEPTIONS)"


def loads(module: str) -> bool:
    """Say whether a module may import inside its functions: a loader itself, or one feed or verb."""
    return module in LOADERS or within(module, ("feeds", "verbs"))


def forbidden(node: ast.AST) -> str | None:
    """Name the forbidden thing that a statement or a call is."""
    match node:
        case ast.Call(func=ast.Name(id="print")):
            return "print"
        case ast.Call() if called(node) == "sleep":
            return "sleep"
        case ast.Call(func=ast.Attribute(attr="join"), args=[], keywords=[]):
            return "join"
        case ast.ExceptHandler(type=None):
            return "bare except"
        case ast.ExceptHandler(type=caught, body=body) if is_broad(caught) and all(map(does_nothing, body)):
            return "silence"
        case ast.Call(args=args) if called(node) == "suppress" and any(map(is_broad, args)):
            return "silence"
    return None


def is_broad(caught: ast.expr) -> bool:
    """Say whether an exception class, or one in a tuple of them, catches everything."""
    return any(isinstance(node, ast.Name) and node.id in {"Exception", "BaseException"} for node in ast.walk(caught))


def does_nothing(node: ast.stmt) -> bool:
    """Say whether a statement is a ``pass``, an ellipsis or a ``continue``."""
    ellipsis = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return ellipsis or isinstance(node, ast.Pass | ast.Continue)


def runs(found: Import) -> bool:
    """Say whether an import loads a module of ours; one for types alone never runs."""
    return found.ours and not found.for_types


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Give one cycle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


# The tests --------------------------------------------------------------------------------------------

MODULES = names_of(PACKAGE)


@pytest.mark.parametrize("module", sorted(MODULES), ids=lambda name: name or "flazy")
def test_module_keeps_to_its_floor(module):
    assert list(faults(module, read(module), set(MODULES))) == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: {found.target for found in imports_of(read(name), set(MODULES)) if runs(found)} for name in MODULES}

    assert cycle(graph) == []


def test_every_exception_is_still_needed():
    imports = {(name, found.target) for name in MODULES for found in imports_of(read(name), set(MODULES))}
    things = {(name, forbidden(node)) for name in MODULES for node in ast.walk(read(name))}

    assert set(EXCEPTIONS) - imports == set()
    assert {permit for permit in PERMITS if permit[0] in MODULES} - things == set()


# The checker itself -----------------------------------------------------------------------------------

KNOWN = {"", "errors", "core", "core.events", "plan", "plan.where", "run", "run.runtime", "workers", "datasets"}


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("plan.nodes", "from flazy.run.runtime import Runtime", "plan may not import flazy.run.runtime"),
        ("util", "", "has no floor"),
        ("plan.nodes", "from flazy import run", "plan may not import flazy.run"),
        ("plan.nodes", "import flazy", "plan may not import flazy."),
        ("plan.nodes", "from ..run import runtime", "plan may not import flazy.relative"),
        ("core.dispatch", "from flazy.errors import FlazyError", "core may not import flazy.errors"),
        ("workers.pool", "from flazy.core.dispatch import Dispatcher", "workers may not import flazy.core"),
        ("workers.pool", "if TYPE_CHECKING:\n    from flazy.run import Run", "workers may not import flazy.run"),
        ("core.dispatch", "import numpy as np", "numpy may be imported only in"),
        ("core.dispatch", "if TYPE_CHECKING:\n    import numpy as np", "numpy may be imported only in"),
        ("run.segment", "import zmq.utils", "zmq may be imported only in transport"),
        ("transport.wire", "from cloudpickle import dumps", "cloudpickle may be imported only in plan.shipping"),
        ("run.run", "import leftpad", "leftpad may be imported only in nothing"),
        ("plan.kernel", "def f():\n    import json", "json is imported inside a function"),
        ("plan.kernel", "def f(name):\n    import_module(name)", "(a computed name) is imported inside a function"),
        ("plan.kernel", "def f():\n    importlib.import_module('flazy.run.runtime')", "plan may not import"),
        ("verbs.records", "from flazy.datasets import Dataset", "verbs may not import flazy.datasets"),
        ("run.run", "print('done')", "does not print"),
        ("run.run", "time.sleep(1)", "do not sleep"),
        ("run.run", "thread.join()", "join() without a timeout"),
        ("run.run", "try: f()\nexcept: raise", "bare except"),
        ("run.run", "try: f()\nexcept Exception: pass", "swallowed"),
        ("run.run", "for x in y:\n    try: f()\n    except (OSError, BaseException): continue", "swallowed"),
        ("run.run", "with contextlib.suppress(Exception): f()", "swallowed"),
    ],
)
def test_checker_finds_what_is_planted(module, source, fault):
    found = list(faults(module, ast.parse(source), KNOWN))

    assert found
    assert any(fault in text for text in found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("plan.nodes", "from flazy.plan.where import Where\nimport numpy as np"),
        ("workers.pool", "from flazy.core.events import Lost"),
        ("datasets", "def open(self):\n    from flazy.run.runtime import Runtime"),
        ("run.build", "def late(name):\n    return importlib.import_module(name)"),
        ("verbs.records", "if TYPE_CHECKING:\n    from flazy.datasets import Dataset"),
        ("datasets", "if TYPE_CHECKING:\n    import tensorflow as tf"),
        ("feeds.torch", "def torch(run):\n    import torch"),
        ("run.run", "', '.join(names)\nthread.join(5.0)"),
        ("run.run", "try: f()\nexcept Exception as error: raise Located from error"),
        ("run.run", "try: f()\nexcept OSError: pass"),
        ("run.run", "try: x = f()\nexcept Exception: x = 1"),
        ("remote.cli", "print('listening')"),
    ],
)
def test_checker_lets_pass_what_is_right(module, source):
    assert list(faults(module, ast.parse(source), KNOWN)) == []


def test_circle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []
