"""The source of a kernel, written out for the chain at hand.

A nested generator for each stage would cost more than the stages' own functions; here all of them stand in one loop,
with one ``try``.  Which stage failed is read from the line that the exception passed.  What is written depends on the
kinds of the ops alone: nothing of the user's is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from flazy.located import GENERATED
from flazy.plan.guard import LeftOut
from flazy.sample import ATOMS

__all__ = [
    "BASES", "INDEX", "MIXED", "MOST_FLATMAPS", "OFFSETS", "OP", "OUTSIDE", "PARTS", "RECORD", "SETUP", "TYPED",
    "UPSTREAM", "Shape", "blank_record", "compiled", "flatmaps_of", "noted_op",
]  # fmt: skip

MOST_FLATMAPS = 16  # in one chain: Python compiles 20 nested blocks, and each flatmap is one

# The places in a cursor's record, behind the run and the task.  All but the index are written where calls are noted
# one by one: the op, the offset in each flatmap, and the outputs of the task before each flatmap's present call.
INDEX, OP, OFFSETS, BASES = 2, 3, 4, 4 + MOST_FLATMAPS
RECORD = BASES + MOST_FLATMAPS
DEPTH, FLATMAP = 2**16, 2**32  # to an op is added so many times its depth, and this if it is a flatmap: see `noted_op`

UPSTREAM = -1  # the "op" whose line asks the upstream for a sample
OUTSIDE = -2  # lines that run nobody's code: what is raised there was thrown in by the consumer
SETUP = -3  # what the record says in the place of an op while a setup= runs

# What is done with an output; without any of these it is yielded.
TYPED = "append(v if type(v) is fine else keep(v))"
MIXED = "append(v if type(v) in ATOMS or fine(v) else keep(v))"
PARTS = "n = next_look() if n == 1 else n - 1"  # besides MIXED: the generator pauses where a part is full

# Of each op: its kind, whether it has a setup=, whether it seeds globals, and whether it is guarded: see ``guard.py``.
Shape = tuple[tuple[str, bool, bool, bool], ...]


def noted_op(code: int) -> tuple[int, int, bool]:
    """Read how an op is noted: its number, how many flatmaps stand before it, and whether it is one."""
    return (code % DEPTH, code // DEPTH % DEPTH, code >= FLATMAP) if code >= 0 else (code, 0, False)


def blank_record() -> list[int]:
    """Make a record in ordinary memory; nothing runs."""
    return [0, -1, -1, OUTSIDE] + [0] * (RECORD - OFFSETS)


@lru_cache(maxsize=256)
def compiled(
    shape: Shape, *, count: bool, filling: str = "", noted: bool = False
) -> tuple[Callable[..., Any], dict[int, int]]:
    """Write and compile the generator, or the loop, for a chain of this shape; also give the op behind each line."""
    source = _Source(shape, filling, noted=noted)
    source.write_all(count=count)
    names: dict[str, Any] = {}
    code = compile("\n".join(source.lines), GENERATED, "exec")  # of the kinds of the ops, nothing of the user's
    known = {"enumerate": enumerate, "BaseException": BaseException, "type": type, "ATOMS": ATOMS}
    exec(code, {**known, "LeftOut": LeftOut}, names)  # noqa: S102 - see the line above
    return names["run"], {number: op for number, op in enumerate(source.ops, start=1) if op != OUTSIDE}


class _Source:
    """The lines of a loop, and the op behind each of them."""

    def __init__(self, shape: Shape, filling: str, *, noted: bool) -> None:
        more = {"": "", PARTS: ", append, keep, fine, notes, next_look"}.get(filling, ", append, keep, fine")
        self.lines = [f"def run(inputs, at, functions{more}):"]
        self.ops = [OUTSIDE]
        self._shape = shape
        self._filling = filling
        self._noted = noted
        self._indent = 4

    def write_all(self, *, count: bool) -> None:
        """Write the function."""
        self._head(count=count)
        self._write("try:")
        self._indent += 4
        self._write("for i, v in inputs:" if count else "for v in inputs:", UPSTREAM)
        self._indent += 4
        if count:
            self._write(f"w[{INDEX}] = i")
        first_setup = next((number for number, (_, setup, *_) in enumerate(self._shape) if setup), None)
        if first_setup is not None:
            self._note(SETUP)
            self._write("r = at.kernel.resources()", first_setup)
        inner = depth = 0
        for number, (kind, *_) in enumerate(self._shape):
            self._op(number, depth, inner)
            if kind == "flatmap":
                inner, depth = number, depth + 1
        for line in self._collected():
            self._write(line)
        if depth:
            self._note(inner)
        self._indent = 4
        self._write("except BaseException as error:")
        self._write("    raise at.failed(error, v)")

    def _write(self, text: str, op: int = OUTSIDE) -> None:
        self.lines.append(" " * self._indent + text)
        self.ops.append(op)

    def _note(self, op: int) -> None:
        if self._noted:
            self._write(f"w[{OP}] = {self._code(op)}")

    def _code(self, op: int) -> int:
        if op < 0:
            return op
        depth = sum(kind == "flatmap" for kind, *_ in self._shape[:op])
        return op + DEPTH * depth + FLATMAP * (self._shape[op][0] == "flatmap")

    def _head(self, *, count: bool) -> None:
        depth = flatmaps_of(self._shape)
        self._write("".join(f"f{number}, " for number in range(len(self._shape))) + "= functions")
        self._write("v = None")
        if depth:
            self._write("o = at.offsets")
        if count:
            self._write("w = at.record")
        if depth and self._noted:
            self._write("made = at.made")
        if self._filling == PARTS:
            self._write("".join(f"note{number}, " for number in range(1 + depth)) + "= notes")
            self._write("n = 1")

    def _op(self, number: int, depth: int, inner: int) -> None:
        """Write the call of an op; what follows a colon at its end is inside it."""
        kind, setup, seeds, guarded = self._shape[number]
        drops = guarded and self._filling in ("", PARTS)
        self._note(number)
        if kind == "flatmap" and self._noted:
            self._write(f"w[{BASES + depth}] = made()")
        next_sample = f"w[{OP}] = {self._code(inner)}; continue" if self._noted and depth else "continue"
        resource = f", r[{number}]" if setup else ""
        call = f"f{number}(v{resource})"
        if kind == "filter" and not guarded:
            self._write(f"if not {call}: {next_sample}", number)
            return
        line = {
            "filter": f"g = {call}",
            "flatmap": f"for o[{depth}], v in enumerate({call}):",
            "foreach": f"v = {call}" if guarded else call,
        }.get(kind, f"v = {call}")
        if kind == "random" and not guarded:
            seeded = f"with at.seeded({number}, {depth}): " if seeds else ""
            line = f"{seeded}v = f{number}(v, at.rng({number}, {depth}){resource})"
        self._write(line, number)
        self._indent += 4 * (kind == "flatmap")
        if drops:
            self._left_out("g" if kind == "filter" else "v", number if kind == "flatmap" else inner, next_sample)
        if kind == "filter":
            self._write(f"if not g: {next_sample}")
        if kind == "foreach":
            self._write("v = None")

    def _left_out(self, name: str, inner: int, next_sample: str) -> None:
        """Write what is done where a sample is left out: a worker tells it in the place of an output."""
        self._write(f"if type({name}) is LeftOut:")
        self._indent += 4
        if self._filling == PARTS:
            for line in (f"append({name})", *self._noted_origin()):
                self._write(line)
        self._write(f"w[{OP}] = {self._code(inner)}; continue" if "; " in next_sample else next_sample)
        self._indent -= 4

    def _collected(self) -> Iterator[str]:
        """Write what is done with an output."""
        if self._filling != PARTS:
            yield self._filling or "yield v"
            return
        yield MIXED
        yield from self._noted_origin()

    def _noted_origin(self) -> Iterator[str]:
        yield "note0(i)"
        for depth in range(flatmaps_of(self._shape)):
            yield f"note{depth + 1}(o[{depth}])"
        yield PARTS
        yield "if not n:"
        yield "    yield"
        yield "    n = 1"


def flatmaps_of(shape: Shape) -> int:
    """Count the flatmaps."""
    return sum(kind == "flatmap" for kind, *_ in shape)
