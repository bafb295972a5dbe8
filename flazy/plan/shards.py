"""The arithmetic of shards: which samples are whose, and how many each has.

A *round* is a block for every shard; the last round of a pass may be incomplete.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from flazy.plan.nodes import Batch, Shard
from flazy.plan.ranks import Rank, rank_of

__all__ = ["behind_batch", "length_of_shard", "numbers_of", "uneven"]


def length_of_shard(node: Shard, length: int) -> int:
    """Say how many of ``length`` samples are the shard's."""
    rank = rank_of(node)
    if rank.size == 1:
        return length
    rounds, rest = divmod(length, rank.size * node.block)
    whole = rounds * node.block
    if node.equal == "drop":
        return whole
    if node.equal == "pad":
        return whole + min(rest, node.block)
    return whole + min(max(0, rest - rank.index * node.block), node.block)


def uneven(node: Shard, rank: Rank, rest: int) -> bool:
    """Say whether a last round of ``rest`` samples gives some shards more than others, at the end of the plan."""
    given = rest // node.block + (rest % node.block >= node.least)
    return 0 < given < rank.size


def numbers_of(shards: Sequence[Shard]) -> Iterator[int]:
    """Give the positions in a stream of the samples of a shard of a shard … of it, without end."""
    numbers: Iterator[int] = itertools.count()
    for shard in reversed(shards):
        numbers = _numbers_of(shard, numbers)
    return numbers


def _numbers_of(node: Shard, numbers: Iterator[int]) -> Iterator[int]:
    rank = rank_of(node)
    return ((at // node.block * rank.size + rank.index) * node.block + at % node.block for at in numbers)


def behind_batch(node: Shard, batch: Batch) -> tuple[int, int]:
    """Give ``block`` and ``least`` of a shard in front of a batch that gives what this one behind it gives."""
    least = node.least * batch.size if batch.drop_remainder else (node.least - 1) * batch.size + 1
    return node.block * batch.size, least
