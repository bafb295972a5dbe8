"""The source of a kernel, written out for the chain at hand.

A nested generator for each stage would cost more than the stages' own functions; here all of them stand in one loop,
with one ``try``.  Which stage failed is read from the line that the exception passed.  What is written depends on the
kinds of the ops alone: nothing of the user's is in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from flazy.located import GENERATED
from flazy.sample import ATOMS

__all__ = ["INDEX", "MIXED", "OUTSIDE", "PARTS", "TYPED", "UPSTREAM", "Shape", "compiled", "flatmaps_of"]

INDEX = 2  # the place of the index in a cursor's record
UPSTREAM = -1  # the "op" whose line asks the upstream for a sample
OUTSIDE = -2  # lines that run nobody's code: what is raised there was thrown in by the consumer

# What is done with an output; without any of these it is yielded.
TYPED = "append(v if type(v) is fine else keep(v))"
MIXED = "append(v if type(v) in ATOMS or fine(v) else keep(v))"
PARTS = "n = next_look() if n == 1 else n - 1"  # besides MIXED: the generator pauses where a part is full

Shape = tuple[tuple[str, bool, bool], ...]  # of each op: its kind, whether it has a setup=, whether it seeds globals


@lru_cache(maxsize=256)
def compiled(shape: Shape, *, count: bool, filling: str = "") -> tuple[Callable[..., Any], dict[int, int]]:
    """Write and compile the generator, or the loop, for a chain of this shape; also give the op behind each line."""
    lines, ops = _written(shape, count=count, filling=filling)
    names: dict[str, Any] = {}
    code = compile("\n".join(lines), GENERATED, "exec")  # of the kinds of the ops; nothing of the user's is in it
    known = {"enumerate": enumerate, "BaseException": BaseException, "type": type, "ATOMS": ATOMS}
    exec(code, known, names)  # noqa: S102 - see the line above
    return names["run"], {number: op for number, op in enumerate(ops, start=1) if op != OUTSIDE}


def _written(shape: Shape, *, count: bool, filling: str) -> tuple[list[str], list[int]]:
    more = {"": "", PARTS: ", append, keep, fine, notes, next_look"}.get(filling, ", append, keep, fine")
    lines = [f"def run(inputs, at, functions{more}):"]
    ops = [OUTSIDE]
    indent = 4

    def write(text: str, op: int = OUTSIDE) -> None:
        lines.append(" " * indent + text)
        ops.append(op)

    write("".join(f"f{number}, " for number in range(len(shape))) + "= functions")
    if flatmaps_of(shape):
        write("o = at.offsets")
    if count:
        write("w = at.record")
    if filling == PARTS:
        write("".join(f"note{number}, " for number in range(1 + flatmaps_of(shape))) + "= notes")
        write("n = 1")
    write("try:")
    indent += 4
    write("for i, v in inputs:" if count else "for v in inputs:", UPSTREAM)
    indent += 4
    if count:
        write(f"w[{INDEX}] = i")
    first_setup = next((number for number, (_, setup, _) in enumerate(shape) if setup), None)
    if first_setup is not None:
        write("r = at.kernel.resources()", first_setup)
    depths = itertools.accumulate((kind == "flatmap" for kind, _, _ in shape), initial=0)
    for number, ((kind, setup, seeds), depth) in enumerate(zip(shape, depths, strict=False)):
        line = _called(number, kind, depth, setup=setup, seeds=seeds)
        write(line, number)
        indent += 4 * line.endswith(":")
    for line in _collected(filling, shape):
        write(line)
    indent = 4
    write("except BaseException as error:")
    write("    raise at.failed(error)")
    return lines, ops


def flatmaps_of(shape: Shape) -> int:
    """Count the flatmaps."""
    return sum(kind == "flatmap" for kind, _, _ in shape)


def _collected(filling: str, shape: Shape) -> Iterator[str]:
    """Write what is done with an output."""
    if filling != PARTS:
        yield filling or "yield v"
        return
    yield MIXED
    yield "note0(i)"
    for depth in range(flatmaps_of(shape)):
        yield f"note{depth + 1}(o[{depth}])"
    yield PARTS
    yield "if not n:"
    yield "    yield"
    yield "    n = 1"


def _called(number: int, kind: str, depth: int, *, setup: bool, seeds: bool) -> str:
    """Write the line of one op; what follows a colon at its end is inside it."""
    resource = f", r[{number}]" if setup else ""
    call = f"f{number}(v{resource})"
    match kind:
        case "foreach":
            return f"{call}; v = None"
        case "filter":
            return f"if not {call}: continue"
        case "random":
            seeded = f"with at.seeded({number}, {depth}): " if seeds else ""
            return f"{seeded}v = f{number}(v, at.rng({number}, {depth}){resource})"
        case "flatmap":
            return f"for o[{depth}], v in enumerate({call}):"
    return f"v = {call}"
