"""How many samples a plan gives, as far as that is known without running it."""

from __future__ import annotations

import math

from flazy.errors import UnknownLength
from flazy.plan import nodes
from flazy.plan.batching import BucketBatch, Pack, Window
from flazy.plan.nodes import Node, spine_of
from flazy.plan.shards import length_of_shard

__all__ = ["known_length", "length_of"]

Length = float | int | None


def length_of(root: Node) -> Length:
    """Give the number of samples, ``math.inf`` for a plan that repeats without end, or None if unknown."""
    first, *rest = spine_of(root)
    length = _start(first)
    for node in rest:
        length = _after(node, length)
    return length


def known_length(root: Node) -> int:
    """Give the number of samples; see `length_of`.

    Raises
    ------
    UnknownLength
        Where only a pass could tell, and where there is no end.
    """
    length = length_of(root)
    if length is None:
        raise UnknownLength("the length of this dataset is not known before a pass over it; count() makes one")
    if length == math.inf:
        raise UnknownLength("this dataset repeats without end and has no length")
    return int(length)


def _start(node: Node) -> Length:
    match node:
        case nodes.Source():
            return node.length
        case nodes.Zip():
            known = [length for length in map(length_of, node.branches) if length is not None]
            return min(known, default=None)
        case nodes.Join():
            lengths = [length_of(branch) for branch in node.branches]
            if math.inf in lengths:
                return math.inf
            return None if None in lengths else sum(length for length in lengths if length is not None)
    return None


def _after(node: Node, length: Length) -> Length:
    match node:
        case nodes.Take() | nodes.Sample():
            return length if length is None else min(length, node.count)
        case nodes.Skip():
            return length if length is None else max(0, length - node.count)
        case nodes.Stride():
            return length if length in (None, math.inf) else -(-length // node.step)
        case nodes.Batch():
            return _windows(length, node.size, node.size, drop_remainder=node.drop_remainder)
        case Window():
            return _windows(length, node.size, node.stride, drop_remainder=node.drop_remainder)
        case nodes.Shard():
            return length if length is None or length == math.inf else length_of_shard(node, int(length))
        case nodes.Repeat():
            if node.times is None:
                return length if length == 0 else math.inf
            return 0 if node.times == 0 else None if length is None else length * node.times
        case nodes.Transform():
            return None
    if isinstance(node, BucketBatch | Pack) or (isinstance(node, nodes.RecordNode) and not node.one_to_one):
        return math.inf if length == math.inf else None
    return length


def _windows(length: Length, size: int, stride: int, *, drop_remainder: bool) -> Length:
    """Count the samples with which a window begins: every ``stride``-th, as long as it is full, or has any."""
    if length is None or length == math.inf:
        return length
    return max(0, length - size + stride) // stride if drop_remainder else -(-length // stride)
