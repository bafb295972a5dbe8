"""Stages that keep samples, and give them in another order or in another pass, each with its own address."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Iterator
from typing import Any

from flazy.plan import nodes
from flazy.run.stages import Open, Stage, head
from flazy.sample import Address, fresh, rng_for

__all__ = ["CacheStage", "Reordered", "ShuffleStage"]

Kept = tuple[Address, int, Any]  # address, cycle, sample


class Reordered(Stage):
    """A stage whose last sample is not its upstream's last."""

    def __init__(self, *upstreams: Stage) -> None:
        super().__init__(*upstreams)
        self._address: Address = ()
        self._cycle: int | None = None

    @property
    def address(self) -> Address:
        """What the sample came with."""
        return self._address

    @property
    def cycle(self) -> int:
        """What the sample came with."""
        return self.upstream.cycle if self._cycle is None else self._cycle


def named(upstream: Stage) -> Iterator[Kept]:
    """Pull a stage, with what names each sample."""
    for value in upstream:
        yield upstream.address, upstream.cycle, value


class ShuffleStage(Reordered):
    """A random order, of everything or through a buffer."""

    def __init__(self, node: nodes.Shuffle | nodes.Sample, upstream: Stage, ordinal: int, cycle: int) -> None:
        super().__init__(upstream)
        self.node = node
        self.rng = rng_for(node.seed, ordinal, cycle, ())

    def stream(self) -> Generator[Any, None, None]:
        """Give the samples in the drawn order."""
        order: Iterator[Kept]
        if isinstance(self.node, nodes.Sample):
            order = self._sampled(self.node.count)
        elif self.node.buffer_size is None:
            order = self._all()
        else:
            order = self._buffered(self.node.buffer_size)
        for self._address, self._cycle, value in order:
            yield value

    def _all(self) -> Iterator[Kept]:
        kept: list[Any] = list(named(self.upstream))
        for place in self.rng.permutation(len(kept)):
            sample, kept[place] = kept[place], None  # given once: its memory is the consumer's now
            yield sample

    def _buffered(self, size: int) -> Iterator[Kept]:
        samples = named(self.upstream)
        buffer = list(head(samples, size))
        draws = self._draws()
        for sample in samples:
            place = int(next(draws) * len(buffer))
            given, buffer[place] = buffer[place], sample
            yield given
        for place in self.rng.permutation(len(buffer)):
            yield buffer[place]

    def _sampled(self, count: int) -> Iterator[Kept]:
        """Draw a uniform sample in one pass: Algorithm R (Vitter, Random sampling with a reservoir, 1985)."""
        samples = named(self.upstream)
        reservoir = list(head(samples, count))
        draws = self._draws()
        for seen, sample in enumerate(samples, start=count + 1):
            place = int(next(draws) * seen)
            if place < count:
                reservoir[place] = sample
        for place in self.rng.permutation(len(reservoir)):
            yield reservoir[place]

    def _draws(self) -> Iterator[float]:
        """Give uniform numbers, drawn in blocks: a single draw costs as much as a hundred."""
        while True:
            yield from self.rng.random(1024).tolist()


# What is kept: address, how many cycles after that of the pass, sample.
_caches: weakref.WeakKeyDictionary[nodes.Cache, list[Kept]] = weakref.WeakKeyDictionary()
_caches_lock = threading.Lock()


class CacheStage(Reordered):
    """The samples of the first full pass, kept in this process for every plan that holds the node."""

    def __init__(self, node: nodes.Cache, open_upstream: Open, cycle: int) -> None:
        super().__init__()
        self.node = node
        self.open_upstream = open_upstream
        self._cycle = self.opened_at = cycle

    def stream(self) -> Generator[Any, None, None]:
        """Give what is kept, or fill; what is given is a copy, so that changes in place stay the consumer's."""
        kept = _caches.get(self.node)
        if kept is None:
            self.upstreams = (self.open_upstream(self.opened_at),)
            filled: list[Kept] = []
            for address, cycle, value in named(self.upstream):
                self._address, self._cycle = address, cycle
                filled.append((address, cycle - self.opened_at, value))
                yield fresh(value)
            with _caches_lock:
                _caches.setdefault(self.node, filled)
            return
        for self._address, later, value in kept:
            self._cycle = self.opened_at + later
            yield fresh(value)
