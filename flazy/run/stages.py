"""The stages of the caller's process: one class a node, each iterated once.

A stage gives plain values.  Which sample the last value was is asked of it (``address``, ``cycle``) only where
a random stage, an error or a parallel stage needs to know, so that a plain loop costs what Python costs.
A stage whose upstream must be opened later, or again, holds a function that opens it.
"""

from __future__ import annotations

import itertools
import operator
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import GeneratorType
from typing import Any

from flazy.errors import EmptyDataset, FlazyError, SourceError
from flazy.located import Place, cause_of, located
from flazy.plan import nodes
from flazy.plan.kernel import Cursor
from flazy.plan.loops import INDEX
from flazy.plan.sources import POSITIONED, taker
from flazy.run.groups import Group, Rows
from flazy.sample import Address

__all__ = [
    "Counted",
    "EnumerateStage",
    "Open",
    "Remark",
    "RepeatStage",
    "SkipStage",
    "SourceStage",
    "Stage",
    "StrideStage",
    "TakeStage",
    "TransformStage",
    "head",
    "spell_cycle",
]

Open = Callable[[int], "Stage"]  # cycle -> a freshly opened stage
Remark = Callable[[str, type[Warning]], None]  # notes a warning for the end of the pass


def head(samples: Iterator[Any], count: int) -> Iterator[Any]:
    """Give the first samples; ``count`` may be larger than what ``islice`` takes."""
    return itertools.islice(samples, min(count, sys.maxsize))


class Stage:
    """One open stage.

    Iterate it once, from one thread; then, or instead, close it.  ``address`` and ``cycle`` are those of the sample
    that was given last.
    """

    # Addresses are consecutive and the cycle is one: whoever needs them may count from the first.
    dense = False

    def __init__(self, *upstreams: Stage) -> None:
        self.upstreams = upstreams
        self._running: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        """Start; the generator is the stage's state."""
        self._running = self.stream()
        return self._running

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples."""
        raise NotImplementedError

    def groups(self, size: int) -> Iterator[Group]:
        """Give the samples in groups that make a batch, in place of iterating; the last may be smaller."""
        samples = iter(self)
        while rows := list(head(samples, size)):
            yield Group((Rows(rows),), len(rows))

    @property
    def upstream(self) -> Stage:
        """The only upstream, or the first."""
        return self.upstreams[0]

    @property
    def address(self) -> Address:
        """The address of the last sample."""
        return self.upstream.address

    @property
    def cycle(self) -> int:
        """The cycle of the last sample."""
        return self.upstream.cycle

    def close(self) -> None:
        """End what runs, from here upstream; idempotent.

        Iterative along a line of stages, since plans may be deeper than Python's stack.
        """
        todo: list[Stage] = [self]
        failed: BaseException | None = None
        while todo:
            stage = todo.pop()
            try:
                stage.stop()
            except BaseException as error:  # noqa: BLE001 - a user's clean-up; the rest is closed before it is raised
                failed = error if failed is None else failed
            todo.extend(stage.upstreams)
        try:
            if failed is not None:
                raise failed
        finally:
            del failed  # or frame and exception would hold each other

    def stop(self) -> None:
        """End this stage alone."""
        running = self._running
        if isinstance(running, GeneratorType) and running.gi_running:
            # Its own function closes us, or another thread does. It must be there until it comes to its end: whoever
            # pulls it may be an iterator of C, which does not hold it, and would free what is still running.
            return
        self._running = None
        if isinstance(running, GeneratorType):
            running.close()


class SourceStage(Stage):
    """The user's iterable.

    Its position is read from the iterator where that knows it (``positioned``), else it is counted.
    """

    dense = True

    def __init__(self, node: nodes.Source, cycle: int) -> None:
        super().__init__()
        self.node = node
        self.record = Cursor().record  # a chain right behind writes its own, in which it counts for the source
        self.positioned = False
        self._cycle = cycle
        self._iterable: Iterable[Any] = ()
        self._pulled: Iterator[Any] = iter(())
        self._length = 0

    def pull(self) -> Iterator[Any]:
        """Start a pass over the user's object."""
        try:
            iterable = self._iterable = self.node.pull()
            pulled = self._pulled = iter(iterable)
        except FlazyError:
            raise
        except Exception as error:
            raise self.failed(error) from error
        self.positioned = type(pulled) in POSITIONED
        self._length = operator.length_hint(pulled) if self.positioned else 0
        return pulled

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples, counting them."""
        pulled = self.pull()
        try:
            if self.positioned:
                yield from pulled
            else:
                for self.record[INDEX], value in enumerate(pulled):
                    yield value
        except (GeneratorExit, KeyboardInterrupt, FlazyError):
            raise
        except BaseException as error:
            raise self.failed(error) from error

    def taker(self) -> Callable[[int], Sequence[Any]] | None:
        """Give what takes the next so many samples at once; whoever uses it reads in no other way, and counts."""
        return taker(self._iterable, self._pulled)

    def failed(self, error: BaseException) -> BaseException:
        """Say which sample was asked for when the source raised."""
        if isinstance(error, FlazyError):
            return error
        place = Place(f"source {self.node.label}", (self.address[0] + 1,), self._cycle)
        return located(cause_of(error), place, SourceError)

    def stop(self) -> None:
        """End, and let go of the user's iterator: a generator of which nobody else knows is closed by that."""
        super().stop()
        self._iterable, self._pulled = (), iter(())

    @property
    def address(self) -> Address:
        """The position."""
        if self.positioned:
            return (self._length - operator.length_hint(self._pulled) - 1,)
        return (self.record[INDEX],)

    @property
    def cycle(self) -> int:
        """The cycle that this pass was opened with."""
        return self._cycle


class Counted(Stage):
    """A stage after which a sample's address is its position there."""

    position = -1

    @property
    def address(self) -> Address:
        """The position."""
        return (self.position,)


class TransformStage(Counted):
    """A user's function over the iterator."""

    def __init__(self, node: nodes.Transform, upstream: Stage) -> None:
        super().__init__(upstream)
        self.node = node

    def stream(self) -> Generator[Any, None, None]:
        """Give what the user's iterator gives; its errors are located by the position asked for."""
        try:
            for position, value in enumerate(self.node.fn(iter(self.upstream))):
                self.position = position
                yield value
        except (GeneratorExit, KeyboardInterrupt, FlazyError):
            raise
        except BaseException as error:
            place = Place(f"transform({self.node.label})", (self.position + 1,), self.cycle)
            raise located(cause_of(error), place) from error


class EnumerateStage(Stage):
    """Number the samples."""

    def __init__(self, node: nodes.Enumerate, upstream: Stage) -> None:
        super().__init__(upstream)
        self.dense = upstream.dense
        self.start = node.start

    def stream(self) -> Generator[Any, None, None]:
        """Give pairs."""
        yield from enumerate(self.upstream, self.start)


class TakeStage(Stage):
    """The first samples; never asks for one more."""

    def __init__(self, node: nodes.Take, upstream: Stage) -> None:
        super().__init__(upstream)
        self.dense = upstream.dense
        self.count = node.count

    def stream(self) -> Generator[Any, None, None]:
        """Give them, then close the upstream at once: it may hold workers."""
        yield from head(iter(self.upstream), self.count) if self.count else ()
        self.upstream.close()


class SkipStage(Stage):
    """All but the first samples."""

    def __init__(self, node: nodes.Skip, upstream: Stage) -> None:
        super().__init__(upstream)
        self.dense = upstream.dense
        self.count = node.count

    def stream(self) -> Generator[Any, None, None]:
        """Give the rest."""
        yield from itertools.islice(iter(self.upstream), min(self.count, sys.maxsize), None)


class StrideStage(Stage):
    """Every n-th sample."""

    def __init__(self, node: nodes.Stride, upstream: Stage) -> None:
        super().__init__(upstream)
        self.step = node.step

    def stream(self) -> Generator[Any, None, None]:
        """Give them; nothing behind the last is asked for before it is wanted."""
        yield from itertools.islice(iter(self.upstream), 0, None, min(self.step, sys.maxsize))


class RepeatStage(Stage):
    """The upstream again and again, each time at its own cycle."""

    def __init__(self, node: nodes.Repeat, open_upstream: Open, cycle: int) -> None:
        super().__init__()
        self.node = node
        self.open_upstream = open_upstream
        self.first_cycle = cycle

    @property
    def cycle(self) -> int:
        """The cycle of the last sample; before the first, of the pass."""
        return self.upstream.cycle if self.upstreams else self.first_cycle

    def stream(self) -> Generator[Any, None, None]:
        """Open the upstream for each repetition; one that gives nothing would repeat for ever."""
        times = self.node.times
        for number in itertools.count() if times is None else range(times):
            self.upstreams = (self.open_upstream(spell_cycle(self.first_cycle, times, number)),)
            any_sample = False
            for value in self.upstream:
                any_sample = True
                yield value
            self.upstream.close()
            if not any_sample and times is None:
                raise EmptyDataset("repeat() without end of a dataset that gives no sample would never give one")


def spell_cycle(outer: int, times: int | None, repetition: int) -> int:
    """Give the cycle of a repetition: 0, 1, 2 … in the first pass, and never again the same in a later one."""
    return outer * times + repetition if times is not None else (outer << 32) + repetition
