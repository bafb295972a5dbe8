"""A chain of record nodes as one loop: the only code that is shipped to workers.

The loop's source is written out for the chain (``loops.py``).  (A builtin ``map`` would be as fast, and would end
silently when a user's function raises ``StopIteration``.)

The same kernel runs in the caller's process and in workers; they differ in the `Cursor`, and in what is done with an
output: `Kernel.run` yields it, `Kernel.fill` and `Kernel.parts` collect it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flazy.located import brief
from flazy.plan.guard import Refusal, guarded
from flazy.plan.loops import (
    INDEX,
    MIXED,
    OFFSETS,
    OUTSIDE,
    PARTS,
    TYPED,
    Shape,
    blank_record,
    compiled,
    flatmaps_of,
)
from flazy.plan.policy import Policy, SkippedSample
from flazy.sample import Address, SeededGlobals, key_of, rng_for

__all__ = ["UNKNOWN", "Cursor", "Kernel", "Op"]

UNKNOWN = -2  # stands in the place of the index where inputs are not noted one by one


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
    policy: Policy | None = None

    @property
    def shape(self) -> tuple[str, bool, bool, bool]:
        """What its lines in the loop depend on."""
        return self.kind, self.setup is not None, self.seed_globals, self.policy is not None

    @property
    def one_to_one(self) -> bool:
        """Each sample gives exactly one."""
        return self.kind not in ("filter", "flatmap") and not (self.policy is not None and self.policy.drops)


class Kernel:
    """A compiled chain, with the resources that its ``setup=`` functions opened.

    ``depth`` counts the flatmaps: that many offsets follow the input's address in an output's.
    """

    def __init__(self, ops: tuple[Op, ...]) -> None:
        self.ops = ops
        self.shape: Shape = tuple([op.shape for op in ops])
        self.one_to_one = all(op.one_to_one for op in ops)
        self.depth = flatmaps_of(self.shape)
        self.random = any(op.kind == "random" for op in ops)
        self._guarded = any(op.policy is not None for op in ops)
        self.leaves_out = any(op.policy is not None and op.policy.drops for op in ops)
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
        run = self._compiled(at, count=count)
        made: Generator[Any, None, None] = run(
            enumerate(inputs, start) if count else inputs, at, self._functions(at)
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
        run = self._compiled(at, count=count, filling=TYPED if isinstance(fine, type) else MIXED)
        run(enumerate(inputs, start) if count else inputs, at, self._functions(at), append, keep, fine)

    def parts(
        self,
        inputs: Iterable[Any],
        at: Cursor,
        outputs: Outputs,
        fine: Callable[[Any], bool],
        *,
        start: int,
    ) -> Generator[None, None, None]:
        """Put outputs and their origins where they are collected; pauses when these are full.

        As `fill`, for chains of any kind.
        """
        run = self._compiled(at, count=True, filling=PARTS)
        made: Generator[None, None, None] = run(
            enumerate(inputs, start), at, self._functions(at),
            outputs.append, outputs.keep, fine, outputs.notes, outputs.next_look,
        )  # fmt: skip
        return made

    def _compiled(self, at: Cursor, *, count: bool, filling: str = "") -> Callable[..., Any]:
        """Give the loop, and put the cursor at its beginning."""
        at.begin(self)
        run, self.op_of_line = compiled(self.shape, count=count, filling=filling, noted=at.noted)
        return run

    def _functions(self, at: Cursor) -> list[Callable[..., Any]]:
        """Give what the loop calls."""
        if not self._guarded and not at.refusals:
            return [op.fn for op in self.ops]
        return [guarded(op, number, at, refusals=bool(at.refusals)) for number, op in enumerate(self.ops)]

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

    def calls_with_last(self, op: int) -> bool:
        """Say whether an op that fails does so on the last value; a flatmap may have given others since."""
        return op >= 0 and self._setting_up is None and self.ops[op].kind != "flatmap"

    def name_of(self, op: int) -> str:
        """Name an op that has failed, for messages."""
        return f"{'setup of ' if self._setting_up is not None else ''}{self.ops[op].name}"


class Outputs(Protocol):
    """Where the outputs of a part are collected.

    ``notes`` take the index of an output's input, then its offset in each flatmap.
    """

    append: Callable[[Any], None]
    notes: Sequence[Callable[[int], None]]

    def keep(self, value: Any) -> Any:
        """Copy a value that its function may write into again."""

    def next_look(self) -> int:
        """Say after how many outputs to ask again; 0 when the part is full."""


class Cursor:
    """Where a running kernel is: the input, and the offset in each flatmap that is open.

    ``noted`` says that its record, which can be read from outside, shall tell each call.  ``refusals`` are the calls
    that are not to be made, by index, op and offsets.  ``made`` counts the outputs so far, where calls are noted;
    ``omit`` takes in that so many outputs, which were received before, are not made again; ``left_out`` takes in that a
    sample is left out, where nobody hands that on.
    """

    __slots__ = ("kernel", "left_out", "made", "noted", "offsets", "omit", "record", "refusals")

    def __init__(self, record: MutableSequence[int] | memoryview | None = None, *, noted: bool = False) -> None:
        self.kernel: Kernel
        # A worker's lies in memory that can be read after its death.
        self.record = blank_record() if record is None else record
        self.noted = noted
        self.offsets: MutableSequence[int] | memoryview = []
        self.refusals: Mapping[tuple[int, ...], Refusal] = {}
        self.made: Callable[[], int] = int
        self.omit: Callable[[int], object] = abs
        self.left_out: Callable[[SkippedSample], object] = id

    def begin(self, kernel: Kernel) -> None:
        """Stand before the first input of a kernel."""
        self.kernel = kernel
        if not self.noted:
            self.offsets = [0] * kernel.depth
        elif kernel.depth:
            assert isinstance(self.record, memoryview), "what is noted is noted in memory that others read"
            self.offsets = self.record[OFFSETS : OFFSETS + kernel.depth]

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

    def locate(self, op: int, error: BaseException, said: str) -> BaseException:
        """Make the error that leaves the kernel.

        ``op`` is the index of the op, or `UPSTREAM`; ``said`` tells what its function was called with, where that is
        known.
        """
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

    def refusal(self, op: int, depth: int) -> Refusal | None:
        """Give the reason for which the present call is not to be made, if there is one."""
        return self.refusals.get((self.index, op, *self.offsets[:depth]))

    def passes(self, error: BaseException) -> bool:
        """Say whether an exception is not the function's."""
        return False

    def failed(self, error: BaseException, value: Any) -> BaseException:
        """Give what the user sees of an exception that passed through the generator, where ``value`` was the last.

        It is raised there, since a frame that raises what it holds would be kept, with all samples and iterators in
        the frames below it, until the next garbage collection.
        """
        trace = error.__traceback__
        op = self.kernel.op_at(trace.tb_lineno if trace else 0)
        if op == OUTSIDE:
            return error
        made = self.locate(op, error, brief(value) if self.kernel.calls_with_last(op) else "")
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
