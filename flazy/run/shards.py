"""A shard of the stream: every n-th sample, or block of samples.

What other shards have is passed over at C's speed.  See `flazy.plan.shards` for the arithmetic.
"""

from __future__ import annotations

import itertools
import logging
import operator
from collections.abc import Generator, Iterator
from typing import Any

from flazy.errors import UnevenShards
from flazy.plan import nodes
from flazy.plan.ranks import ALONE, Rank, rank_of
from flazy.plan.shards import uneven
from flazy.run.stages import Remark, Stage
from flazy.sample import Address, fresh

__all__ = ["ShardStage", "sharded"]

log = logging.getLogger("flazy")

UNEVEN = (
    "shard() gave some of the {size} ranks more samples than others; a training with collective operations "
    'would wait for ever in the end: say shard(equal="pad") or shard(equal="drop"), or equal="none" to have it so'
)


def sharded(node: nodes.Shard, upstream: Stage, remark: Remark) -> Stage:
    """Open a shard; one of one is all there is.

    Parameters
    ----------
    node, upstream
        What, of what.
    remark
        Notes a warning for the end of the pass.
    """
    rank = rank_of(node)
    if rank.origin == ALONE:
        log.info("shard() found no ranks, so this is the only one: there is no torch.distributed, JAX, or RANK")
    return ShardStage(node, rank, upstream, remark) if rank.size > 1 else upstream


class ShardStage(Stage):
    """The samples of one shard."""

    def __init__(self, node: nodes.Shard, rank: Rank, upstream: Stage, remark: Remark) -> None:
        super().__init__(upstream)
        self.node = node
        self.rank = rank
        self.remark = remark
        self.rounds = Rounds(rank, node.block)
        self._given: tuple[Address, int] | None = None  # names a sample that was pulled before the upstream's last

    @property
    def address(self) -> Address:
        """What the sample came with."""
        return self.upstream.address if self._given is None else self._given[0]

    @property
    def cycle(self) -> int:
        """What the sample came with."""
        return self.upstream.cycle if self._given is None else self._given[1]

    def stream(self) -> Generator[Any, None, None]:
        """Give them."""
        match self.node.equal:
            case "pad":
                return self._padded()
            case "drop":
                return self._dropped()
        return self._all()

    def _all(self) -> Generator[Any, None, None]:
        """Give each; warn where nobody has said that shards may differ."""
        yield from self.rounds.own(iter(self.upstream))
        if self.node.equal is None and self.rank.origin and uneven(self.node, self.rank, self.rounds.seen):
            self.remark(UNEVEN.format(size=self.rank.size), UnevenShards)

    def _dropped(self) -> Generator[Any, None, None]:
        """Give those of whole rounds, each when its round is known to be whole."""
        samples = iter(self.upstream)
        block, before = self.node.block, self.rank.index * self.node.block
        behind = self.rank.size * block - before - block
        while passed(samples, before):
            held = [(self._name(), value) for value in itertools.islice(samples, block)]
            if len(held) < block or not passed(samples, behind):
                return
            for self._given, value in held:
                yield value

    def _padded(self) -> Generator[Any, None, None]:
        """Give each, and in a last round that is not whole the first again."""
        samples = iter(self.upstream)
        for head in samples:
            first, again = self._name(), fresh(head)
            break
        else:
            return
        is_own = False
        for value in self.rounds.own(itertools.chain([head], samples)):
            if not is_own:  # as it is now: the consumer may write into what it is given
                is_own, first, again = True, self._name(), fresh(value)
            yield value
        for _ in range(self._missing()):
            self._given = first
            yield fresh(again)

    def _missing(self) -> int:
        """Say how many less than the first shard this one has."""
        block, seen = self.node.block, self.rounds.seen
        return min(seen, block) - min(max(0, seen - self.rank.index * block), block)

    def _name(self) -> tuple[Address, int]:
        return self.upstream.address, self.upstream.cycle


class Rounds:
    """The rounds of a stream, and how far the last one is."""

    def __init__(self, rank: Rank, block: int) -> None:
        self._mask = bytes(rank.index * block) + b"\1" * block + bytes((rank.size - rank.index - 1) * block)
        self._at = iter(self._mask)

    def own(self, samples: Iterator[Any]) -> Iterator[Any]:
        """Give what is the shard's."""
        return itertools.compress(samples, itertools.chain.from_iterable(self._rounds()))

    def _rounds(self) -> Iterator[Iterator[int]]:
        while True:
            self._at = iter(self._mask)
            yield self._at

    @property
    def seen(self) -> int:
        """How many samples of the last round there were."""
        return len(self._mask) - operator.length_hint(self._at)


def passed(samples: Iterator[Any], count: int) -> bool:
    """Pass over so many samples; say whether there were so many."""
    return count == 0 or any(True for _ in itertools.islice(samples, count - 1, count))
