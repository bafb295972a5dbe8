"""The sizes that keep Flazy readable: lines, methods, parameters, docstrings.

``LIMITS`` is the rule; ``EXCEPTIONS`` holds what is larger for a reason.  A function's lines are counted from
``def`` to its end, without the docstring.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LIMITS: dict[str, int] = {
    "lines in a file": 400,
    "lines in a function": 40,
    "positional parameters": 5,
    "public methods": 12,
    "public methods of Dataset": 55,
    "statements in a method of Dataset": 6,
    "docstrings missing": 0,
}

# (rule, place) -> why it may be larger.  A place is what a message names: file, or file::Class.method.
EXCEPTIONS: dict[tuple[str, str], str] = {}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Count:
    """One thing counted, at one place."""

    rule: str
    place: str
    line: int
    number: int


# Counting ---------------------------------------------------------------------------------------------


def counts(path: str, source: str, *, library: bool = True) -> Iterator[Count]:
    """Count everything that has a limit; of files outside the library, only the lines."""
    yield Count("lines in a file", path, 1, len(source.splitlines()))
    if library:
        yield from counts_inside(ast.parse(source), f"{path}::", public=True)


def counts_inside(tree: ast.Module | ast.ClassDef, prefix: str, *, public: bool) -> Iterator[Count]:
    """Count what a module or a class defines."""
    owner = tree if isinstance(tree, ast.ClassDef) else None
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not is_overload(node):
                yield from of_function(node, f"{prefix}{node.name}", owner)
            case ast.ClassDef():
                yield from of_class(node, f"{prefix}{node.name}")
                yield from counts_inside(node, f"{prefix}{node.name}.", public=public and is_public(node))
            case _:
                continue
        if public and is_public(node):
            yield Count("docstrings missing", f"{prefix}{node.name}", node.lineno, int(ast.get_docstring(node) is None))


def of_function(node: Function, place: str, owner: ast.ClassDef | None) -> Iterator[Count]:
    """Count the lines and parameters of one function or method."""
    docstring = node.body[0] if ast.get_docstring(node) is not None else None
    taken = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    yield Count("lines in a function", place, node.lineno, node.end_lineno - node.lineno + 1 - taken)

    positional = len(node.args.posonlyargs) + len(node.args.args)
    is_bound = owner is not None and "staticmethod" not in decorators(node)
    yield Count("positional parameters", place, node.lineno, positional - is_bound)

    if owner is not None and is_dataset(owner) and is_public(node):
        statements = sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) - 1 - bool(docstring)
        yield Count("statements in a method of Dataset", place, node.lineno, statements)


def of_class(node: ast.ClassDef, place: str) -> Iterator[Count]:
    """Count the public methods of one class; the overloads of a method are one."""
    names = {inner.name for inner in node.body if isinstance(inner, Function) and is_public(inner)}
    rule = "public methods of Dataset" if is_dataset(node) else "public methods"
    yield Count(rule, place, node.lineno, len(names))


def is_dataset(node: ast.ClassDef) -> bool:
    """Say whether a class is Dataset, or one of those that hold its verbs and are mixed into it."""
    return node.name == "Dataset" or node.name.endswith("Verbs")


def is_public(node: Function | ast.ClassDef) -> bool:
    """Say whether a name is part of what others may use; what a dunder does is Python's to say."""
    return not node.name.startswith("_")


def is_overload(node: Function) -> bool:
    """Say whether this is only one more signature, or the setter of a property that is documented."""
    return bool(decorators(node) & {"overload", "setter", "deleter"})


def decorators(node: Function) -> set[str]:
    """Give the last words of all decorators."""
    return {ast.unparse(decorator).partition("(")[0].rpartition(".")[2] for decorator in node.decorator_list}


def too_much(found: Iterator[Count]) -> list[Count]:
    """Keep what is over its limit."""
    return [count for count in found if count.number > LIMITS[count.rule]]


# The tests --------------------------------------------------------------------------------------------

FILES = [
    path.relative_to(ROOT)
    for folder in ("flazy", "tests", "examples", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def counted(path: Path) -> Iterator[Count]:
    """Count one file of the repository."""
    source = (ROOT / path).read_text(encoding="utf-8")
    return counts(path.as_posix(), source, library=path.parts[0] == "flazy")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_file_keeps_to_the_house_sizes(path):
    found = [
        f"{path}:{count.line}: {count.place.rpartition('::')[2]}: {count.number} {count.rule}"
        for count in too_much(counted(path))
        if (count.rule, count.place) not in EXCEPTIONS
    ]

    assert not found, "\n".join([*found, f"the limits are {LIMITS}"])


def test_dataset_has_not_too_many_methods_in_all():
    rule = "public methods of Dataset"
    library = [path for path in FILES if path.parts[0] == "flazy"]
    found = [count for path in library for count in counted(path) if count.rule == rule]

    assert sum(count.number for count in found) <= LIMITS[rule], [(count.place, count.number) for count in found]


def test_every_exception_is_still_needed():
    needed = {(count.rule, count.place) for path in FILES for count in too_much(counted(path))}

    assert set(EXCEPTIONS) - needed == set()


# The counts themselves --------------------------------------------------------------------------------


def method(name, statements=1):
    return f"    def {name}(self):\n        'Do it.'\n" + "        pass\n" * statements


def many(count):
    return "".join(f"    def f{number}(self): 'Do it.'\n" for number in range(count))


@pytest.mark.parametrize(
    ("rule", "place", "line", "source"),
    [
        ("lines in a file", "m.py", 1, "\n" * 401),
        ("lines in a function", "m.py::f", 1, "def f():\n    'Do it.'\n" + "    pass\n" * 40),
        ("lines in a function", "m.py::A._f", 3, "class A:\n    'It.'\n" + method("_f", 40)),
        ("positional parameters", "m.py::f", 1, "def f(a, b, /, c, d, e, g=1):\n    'Do it.'"),
        ("public methods", "m.py::A", 1, "class A:\n    'It.'\n" + many(13)),
        ("public methods of Dataset", "m.py::Dataset", 1, "class Dataset:\n    'It.'\n" + many(56)),
        ("statements in a method of Dataset", "m.py::Dataset.f", 3, "class Dataset:\n    'It.'\n" + method("f", 7)),
        ("docstrings missing", "m.py::f", 1, "def f(): pass"),
        ("docstrings missing", "m.py::A", 1, "class A: pass"),
        ("docstrings missing", "m.py::A.f", 3, "class A:\n    'It.'\n    def f(self): pass"),
    ],
)
def test_what_is_too_large_is_found(rule, place, line, source):
    found = [(count.rule, count.place, count.line) for count in too_much(counts("m.py", source))]

    assert (rule, place, line) in found


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    'Do it.'\n" + "    pass\n" * 39,
        "def f(a, b, c, d, e, *, g, h):\n    'Do it.'",
        "class A:\n    'It.'\n    def f(self, a, b, c, d, e): 'Do it.'",
        "class _A:\n    def f(self): pass",
        "class A:\n    'It.'\n    def _f(self): pass\n    def __len__(self): return 1",
        "class A:\n    'It.'\n    @overload\n    def f(self, x): ...\n    def f(self, x, y=1): 'Do it.'",
        "class A:\n    'It.'\n" + many(12),
        "class Dataset:\n    'It.'\n" + many(55) + method("f0", 6),
    ],
)
def test_what_is_in_bounds_passes(source):
    assert too_much(counts("m.py", source)) == []
