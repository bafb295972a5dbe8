"""A chain of record nodes as one generator: the only code that is shipped to workers.

The generator's source is written out for the chain at hand, since a nested generator for each stage would cost
more than the stages' own functions.  It has one ``try``; which stage failed is read from the line that the
exception passed.  (A builtin ``map`` would be as fast, and would end silently when a user's function raises
``StopIteration``.)

The same kernel runs in the caller's process and in workers; they differ in the `Cursor` only.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, MutableSequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flazy.located import GENERATED
from flazy.sample import ATOMS, Address, SeededGlobals, key_of, rng_for

__all__ = ["UPSTREAM", "Cursor", "Kernel", "Op"]

UPSTREAM = -1  # the "op" whose line asks the upstream for a sample
INDEX = 2  # the place of the index in a cursor's record, and what stands there when inputs are not noted one by one
UNKNOWN = -2
OUTSIDE = -2  # lines that run nobody's code: what is raised there was thrown in by the consumer


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One record node without its upstream: what a worker needs of it.

    ``stage`` is the ordinal among the random stages of the plan (random maps only).
    """

    kind: str
    name: str
    fn: Callable[..., Any]
    setup: Callable[[], Any] | None = None
    seed: int = 0
    stage: int = 0
    seed_globals: bool = False

    @property
    def one_to_one(self) -> bool:
        """Each sample gives exactly one."""
        return self.kind not in ("filter", "flatmap")


class Kernel:
    """A compiled chain, with the resources that its ``setup=`` functions opened.

    ``depth`` counts the flatmaps: that many offsets follow the input's address in an output's.
    """

    def __init__(self, ops: tuple[Op, ...]) -> None:
        self.ops = ops
        self.one_to_one = all(op.one_to_one for op in ops)
        self.depth = sum(op.kind == "flatmap" for op in ops)
        self.random = any(op.kind == "random" for op in ops)
        self._resources: list[Any] | None = None
        self._setting_up: int | None = None
        self.op_of_line: dict[int, int] = {}

    def run(
        self, inputs: Iterable[Any], at: Cursor, *, count: bool = True, start: int = 0
    ) -> Generator[Any, None, None]:
        """Give the outputs of ``inputs``; ``at`` follows where it is and locates what fails.

        Inputs are counted from ``start``.  ``count`` False leaves ``at.index`` alone, for inputs whose position is
        known otherwise: counting costs as much as half a function call a sample.
        """
        at.kernel = self
        at.offsets = [0] * self.depth
        shape = tuple((op.kind, op.setup is not None, op.seed_globals) for op in self.ops)
        run, self.op_of_line = _compiled(shape, count=count)
        made: Generator[Any, None, None] = run(
            enumerate(inputs, start) if count else inputs, at, [op.fn for op in self.ops]
        )
        return made

    def fill(
        self,
        inputs: Iterable[Any],
        at: Cursor,
        append: Callable[[Any], None],
        keep: Callable[[Any], Any],
        fine: Callable[[Any], bool] | type,
        *,
        count: bool,
        start: int,
    ) -> None:
        """Hand the outputs of ``inputs`` to ``append``, without a generator in between; only for one-to-one chains.

        What can be written into is handed on as what ``keep`` makes of it, unless it is ``fine``.  If that is a type,
        everything but its instances is.
        """
        at.kernel = self
        at.offsets = []
        shape = tuple((op.kind, op.setup is not None, op.seed_globals) for op in self.ops)
        run, self.op_of_line = _compiled(shape, count=count, filling=TYPED if isinstance(fine, type) else MIXED)
        run(enumerate(inputs, start) if count else inputs, at, [op.fn for op in self.ops], append, keep, fine)

    def resources(self) -> list[Any]:
        """Give what the ``setup=`` functions returned; the first call, before the first sample, calls them."""
        if self._resources is None:
            opened: list[Any] = []
            try:
                for number, op in enumerate(self.ops):
                    self._setting_up = number
                    opened.append(op.setup() if op.setup is not None else None)
            except BaseException:
                _close(opened)
                raise
            self._resources, self._setting_up = opened, None
        return self._resources

    def close(self) -> None:
        """Close what ``setup=`` opened, last first: by ``close()``, else as a context manager."""
        opened, self._resources = self._resources or [], None
        _close(opened)

    def op_at(self, line: int) -> int:
        """Give the op whose function ran at a line of the generator; that of a ``setup=`` is the one it is for."""
        return self.op_of_line.get(line, OUTSIDE) if self._setting_up is None else self._setting_up

    def name_of(self, op: int) -> str:
        """Name an op that has failed, for messages."""
        return f"{'setup of ' if self._setting_up is not None else ''}{self.ops[op].name}"


class Cursor:
    """Where a running kernel is: the input, and the offset in each flatmap that is open."""

    __slots__ = ("kernel", "offsets", "record")

    def __init__(self, record: MutableSequence[int] | memoryview | None = None) -> None:
        self.kernel: Kernel
        # Run, task and index of the input; a worker's lies in memory that can be read after its death.
        self.record = [0, 0, -1] if record is None else record
        self.offsets: list[int] = []

    @property
    def index(self) -> int:
        """The number of the present input."""
        return self.record[INDEX]

    def base(self) -> Address:
        """Give the address of the present input."""
        raise NotImplementedError

    def cycle(self) -> int:
        """Give the cycle of the present input."""
        raise NotImplementedError

    def locate(self, op: int, error: BaseException) -> BaseException:
        """Make the error that leaves the kernel; ``op`` is the index of the op, or `UPSTREAM`."""
        raise NotImplementedError

    def address(self, depth: int) -> Address:
        """Give the address of the present sample, behind ``depth`` flatmaps."""
        return (*self.base(), *self.offsets[:depth])

    def depth(self, op: int) -> int:
        """Count the flatmaps before an op."""
        return sum(other.kind == "flatmap" for other in self.kernel.ops[: max(op, 0)])

    def rng(self, op: int, depth: int) -> Any:
        """Make the generator of the present sample at a random op."""
        chosen = self.kernel.ops[op]
        return rng_for(chosen.seed, chosen.stage, self.cycle(), self.address(depth))

    def seeded(self, op: int, depth: int) -> SeededGlobals:
        """Seed the global generators for one call."""
        chosen = self.kernel.ops[op]
        return SeededGlobals(key_of(chosen.seed, chosen.stage, self.cycle(), *self.address(depth)))

    def failed(self, error: BaseException) -> BaseException:
        """Give what the user sees of an exception that passed through the generator.

        It is raised there, since a frame that raises what it holds would be kept, with all samples and iterators in
        the frames below it, until the next garbage collection.
        """
        trace = error.__traceback__
        op = self.kernel.op_at(trace.tb_lineno if trace else 0)
        if op == OUTSIDE:
            return error
        made = self.locate(op, error)
        if made is not error and made.__cause__ is None:
            made.__cause__ = error
        return made


def _close(opened: list[Any]) -> None:
    with contextlib.ExitStack() as closing:  # last first; one that fails keeps none from being closed
        for resource in opened:
            if callable(close := getattr(resource, "close", None)):
                closing.callback(close)
            elif callable(leave := getattr(resource, "__exit__", None)):
                closing.callback(leave, None, None, None)


Run = Callable[..., Any]
TYPED = "append(v if type(v) is fine else keep(v))"
MIXED = "append(v if type(v) in ATOMS or fine(v) else keep(v))"


@lru_cache(maxsize=256)
def _compiled(
    shape: tuple[tuple[str, bool, bool], ...], *, count: bool, filling: str = ""
) -> tuple[Run, dict[int, int]]:
    """Write and compile the generator, or the loop, for a chain of this shape; also give the op behind each line."""
    lines, ops = _written(shape, count=count, filling=filling)
    names: dict[str, Any] = {}
    code = compile("\n".join(lines), GENERATED, "exec")  # of the kinds of the ops; nothing of the user's is in it
    known = {"enumerate": enumerate, "BaseException": BaseException, "type": type, "ATOMS": ATOMS}
    exec(code, known, names)  # noqa: S102 - see the line above
    return names["run"], {number: op for number, op in enumerate(ops, start=1) if op != OUTSIDE}


def _written(
    shape: tuple[tuple[str, bool, bool], ...], *, count: bool, filling: str
) -> tuple[list[str], list[int]]:
    lines = [f"def run(inputs, at, functions{', append, keep, fine' if filling else ''}):"]
    ops = [OUTSIDE]
    indent = 4

    def write(text: str, op: int = OUTSIDE) -> None:
        lines.append(" " * indent + text)
        ops.append(op)

    write("".join(f"f{number}, " for number in range(len(shape))) + "= functions")
    if any(kind == "flatmap" for kind, _, _ in shape):
        write("o = at.offsets")
    if count:
        write("w = at.record")
    write("try:")
    indent += 4
    write(f"for w[{INDEX}], v in inputs:" if count else "for v in inputs:", UPSTREAM)
    indent += 4
    first_setup = next((number for number, (_, setup, _) in enumerate(shape) if setup), None)
    if first_setup is not None:
        write("r = at.kernel.resources()", first_setup)
    depths = itertools.accumulate((kind == "flatmap" for kind, _, _ in shape), initial=0)
    for number, ((kind, setup, seeds), depth) in enumerate(zip(shape, depths, strict=False)):
        line = _called(number, kind, depth, setup=setup, seeds=seeds)
        write(line, number)
        indent += 4 * line.endswith(":")
    write(filling or "yield v")
    indent = 4
    write("except BaseException as error:")
    write("    raise at.failed(error)")
    return lines, ops


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
