"""Stages with several upstreams, and the one whose upstream is made when it is reached.

The branch number stands in front of a sample's address.  Branches are opened when they are needed and closed
when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NoReturn

from flazy.errors import LengthMismatch
from flazy.plan import nodes
from flazy.run.stages import Open, Stage
from flazy.sample import Address

__all__ = ["ConcatStage", "LazyStage", "RoundRobinStage", "ZipStage"]


class Branches(Stage):
    """What the joins share: opening branches at the join's cycle, and the address of the last sample."""

    def __init__(self, opens: Sequence[Open], cycle: int) -> None:
        super().__init__()
        self.opens = opens
        self.first_cycle = cycle
        self.branch = 0
        self.current: Stage | None = None

    def open(self, number: int) -> Stage:
        """Open a branch; it is closed with the join at the latest."""
        stage = self.opens[number](self.first_cycle)
        self.upstreams = (*self.upstreams, stage)
        return stage

    def end(self, stage: Stage) -> None:
        """Close a branch that is exhausted: it may hold workers."""
        stage.close()
        self.upstreams = tuple(other for other in self.upstreams if other is not stage)

    @property
    def address(self) -> Address:
        """The branch, then the address there."""
        return (self.branch, *self.current.address) if self.current is not None else ()

    @property
    def cycle(self) -> int:
        """The cycle of the last sample."""
        return self.current.cycle if self.current is not None else self.first_cycle


class ConcatStage(Branches):
    """One branch after the other."""

    def stream(self) -> Generator[Any, None, None]:
        """Give them all."""
        for number in range(len(self.opens)):
            self.branch, self.current = number, self.open(number)
            yield from self.current
            self.end(self.current)


class RoundRobinStage(Branches):
    """One sample of each branch in turn; a branch that ends drops out."""

    def stream(self) -> Generator[Any, None, None]:
        """Give them all."""
        stages = {number: self.open(number) for number in range(len(self.opens))}
        running = {number: iter(stage) for number, stage in stages.items()}
        while running:
            for number, samples in list(running.items()):
                for value in samples:
                    self.branch, self.current = number, stages[number]
                    yield value
                    break
                else:
                    del running[number]
                    self.end(stages[number])


class ZipStage(Branches):
    """One sample of each branch, together."""

    def __init__(self, node: nodes.Zip, opens: Sequence[Open], cycle: int) -> None:
        super().__init__(opens, cycle)
        self.node = node

    def stream(self) -> Generator[Any, None, None]:
        """Give tuples or dicts; an end that not all branches share is an error."""
        stages = [self.open(number) for number in range(len(self.opens))]
        running = [iter(stage) for stage in stages]
        names = self.node.names
        count = 0
        while stages:
            self.current = stages[0]
            values, ended = [], []
            for number, samples in enumerate(running):
                for value in samples:
                    values.append(value)
                    break
                else:
                    ended.append(number)
            if ended:
                if values:
                    self._uneven(ended, count)
                return
            count += 1
            yield dict(zip(names, values, strict=True)) if names is not None else tuple(values)

    def _uneven(self, ended: Sequence[int], count: int) -> NoReturn:
        """Name the branches that ended."""
        spelled = [self.node.names[number] if self.node.names else number for number in ended]
        raise LengthMismatch(
            f"zip: dataset {', '.join(map(repr, spelled))} ended after {count} samples and another goes on; "
            "cut the longer with take(), or repeat() the shorter"
        )


class LazyStage(Stage):
    """A plan that a user's function gives, made when the stage is iterated."""

    def __init__(self, node: nodes.Lazy, open_made: Callable[[nodes.Node], Stage], cycle: int) -> None:
        super().__init__()
        self.node = node
        self.open_made = open_made
        self.first_cycle = cycle

    @property
    def cycle(self) -> int:
        """The cycle of the last sample; before the first, of the pass."""
        return self.upstream.cycle if self.upstreams else self.first_cycle

    def stream(self) -> Generator[Any, None, None]:
        """Make, open and iterate it."""
        self.upstreams = (self.open_made(self.node.make()),)
        yield from self.upstream
