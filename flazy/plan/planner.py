"""From what the user asked for to what is run: pure rules over frozen nodes, nothing is started.

A linear stretch of a plan is handled as a list of nodes, upstream first (its *spine*), so that no rule
recurses.  The result is a tree of `Step` (one node, in the caller's process) and `Chain` (record nodes
fused into one kernel, with the place where it runs).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from flazy.collate import STACKED, Batching
from flazy.plan import nodes
from flazy.plan.batching import Window
from flazy.plan.kernel import Op
from flazy.plan.loops import MOST_FLATMAPS
from flazy.plan.nodes import Node, RecordNode, spine_of
from flazy.plan.ray import Ray
from flazy.plan.remote import Remote
from flazy.plan.shards import behind_batch
from flazy.plan.where import Processes, Where

__all__ = ["Asked", "Chain", "Physical", "Step", "chains_of", "plan", "processes_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What stages downstream ask of all those before them: ``serial`` that they have no workers, ``settled`` order."""

    serial: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One node on its own; ``ordinal`` numbers the random stages of the plan, and is 0 for others.

    ``asked`` is for a plan that the node makes when it is reached.
    """

    node: Node
    upstreams: tuple[Physical, ...] = ()
    ordinal: int = 0
    asked: Asked = Asked()


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Record nodes that run as one kernel; ``where`` None: in the caller's process.

    ``batching`` is what the batch that follows makes of the outputs, where workers can see to that.
    """

    upstream: Physical
    ops: tuple[Op, ...]
    where: Where | None
    ordered: bool
    batching: Batching | None = None


Physical = Step | Chain
Rule = Callable[[list[Node]], list[Node]]


def plan(root: Node, *, first_ordinal: int = 0, asked: Asked = Asked()) -> Physical:
    """Plan a logical plan.

    Parameters
    ----------
    root
        Its last node.
    first_ordinal
        Where the numbering of random stages starts: a part that is made while the plan runs must not share
        numbers with the rest.
    asked
        What the rest asks of such a part.
    """
    return _plan(root, itertools.count(first_ordinal), asked)


def processes_of(physical: Physical) -> int:
    """Count the worker processes that a plan starts on this machine."""
    return sum(chain.where.processes for chain in chains_of(physical) if chain.where is not None)


def chains_of(physical: Physical) -> Iterator[Chain]:
    """Give the chains of a plan."""
    todo = [physical]
    while todo:
        part = todo.pop()
        if isinstance(part, Chain):
            yield part
            todo.append(part.upstream)
        else:
            todo.extend(part.upstreams)


def _plan(root: Node, ordinals: Iterator[int], asked: Asked) -> Physical:
    spine = spine_of(root)
    for rule in RULES:
        spine = rule(spine)
    # Everything upstream of the last .serial() is serial.
    parallel_from = _last(spine, nodes.Serial)
    # And everything upstream of a shard is in order, or it would not be clear what is whose.
    settled_to = _last(spine, nodes.Shard)
    below = Asked(asked.serial or parallel_from >= 0, asked.settled or settled_to >= 0)
    branches = tuple(_plan(branch, ordinals, below) for branch in spine[0].upstreams)
    made: Physical = Step(spine[0], branches, next(ordinals) if isinstance(spine[0], nodes.Lazy) else 0, below)
    for place, node in enumerate(spine[1:], start=1):
        if isinstance(node, RecordNode):
            where = None if asked.serial or place < parallel_from else node.where
            made = _joined(made, node, ordinals, where, ordered=node.ordered or asked.settled or place < settled_to)
        elif not isinstance(node, nodes.Serial):
            if isinstance(node, nodes.Batch):
                made = _batched(made, node)
            made = Step(node, (made,), next(ordinals) if isinstance(node, nodes.Shuffle | nodes.Sample) else 0)
    return made


def _last(spine: list[Node], kind: type[Node]) -> int:
    return max((place for place, node in enumerate(spine) if isinstance(node, kind)), default=-1)


def _joined(
    below: Physical, node: RecordNode, ordinals: Iterator[int], where: Where | None, *, ordered: bool
) -> Chain:
    """Add a record node to the chain below it, where that runs in the same place in the same order."""
    op = _op(node, ordinals)
    ordered = ordered or where is None
    joins = node.joins and node.where is None
    if isinstance(below, Chain) and (joins or (below.where, below.ordered) == (where, ordered)) and _fits(below):
        return Chain(below.upstream, (*below.ops, op), below.where, below.ordered)
    return Chain(below, (op,), where, ordered)


def _batched(below: Physical, node: nodes.Batch) -> Physical:
    """Let the worker processes right before a batch make it, or fill its rows.

    Only where the place of each sample is known before it is made: one to one, and in order.
    """
    if not isinstance(below, Chain) or not isinstance(below.where, Processes | Remote | Ray):
        return below
    if node.fn is not None or node.leaves != STACKED:
        return below
    if not below.ordered or not all(op.one_to_one for op in below.ops):
        return below
    return replace(below, batching=Batching(node.size, node.default_dtype))


def _fits(chain: Chain) -> bool:
    """Say whether a chain may grow."""
    return sum(op.kind == "flatmap" for op in chain.ops) < MOST_FLATMAPS


def _op(node: RecordNode, ordinals: Iterator[int]) -> Op:
    if isinstance(node, nodes.RandomMap):
        stage = next(ordinals)
        return Op(node.kind, node.name, node.fn, node.setup, node.seed, stage, node.seed_globals, node.on_error)
    return Op(node.kind, node.name, node.fn, node.setup, policy=node.on_error)


# Rules ----------------------------------------------------------------------------------------------


def push_takes(spine: list[Node]) -> list[Node]:
    """Move each ``take`` upstream as far as it commutes, so that no more is dispatched than is asked for."""
    done = list(spine)
    for start in range(len(done)):
        place = start
        while isinstance(take := done[place], nodes.Take):
            if (count := _count_below(take.count, done[place - 1])) is None:
                break
            done[place - 1 : place + 1] = [nodes.Take(take.upstream, count), done[place - 1]]
            place -= 1
    return done


def _count_below(count: int, below: Node) -> int | None:
    """Say how many samples ``below`` needs to give ``count``; None where a ``take`` does not commute with it."""
    match below:
        case RecordNode():
            return count if below.one_to_one else None
        case nodes.Enumerate() | nodes.Prefetch() | nodes.Progress() | nodes.Serial() | nodes.Epoch():
            return count
        case nodes.Skip():
            return count + below.count
        case nodes.Stride():
            return (count - 1) * below.step + 1 if count else 0
        case nodes.Batch():
            return count * below.size
        case Window(drop_remainder=True):  # with the remainder, what take() cuts off would be windows, too
            return (count - 1) * below.stride + below.size if count else 0
    return None


def shuffle_indices(spine: list[Node]) -> list[Node]:
    """Let a full shuffle, or a sample, right behind an indexed source draw indices instead of items."""
    done = list(spine)
    for place in range(1, len(done) - 1):
        behind = done[place + 1]
        full = isinstance(behind, nodes.Sample) or (isinstance(behind, nodes.Shuffle) and behind.buffer_size is None)
        if isinstance(done[place], nodes.Fetch) and full:
            done[place : place + 2] = [behind, done[place]]
    return done


def push_shards(spine: list[Node]) -> list[Node]:
    """Move each shard upstream as far as it commutes, so that no rank makes what others take."""
    done = list(spine)
    for start in range(len(done)):
        place = start
        while isinstance(shard := done[place], nodes.Shard) and (swapped := _swapped(shard, done[place - 1])):
            done[place - 1 : place + 1] = swapped
            place -= 1
    return done


def _swapped(shard: nodes.Shard, below: Node) -> tuple[Node, Node] | None:
    """Give a shard in front of ``below`` and what comes behind it then; None where they do not commute.

    A batch is the block of its samples, so a shard of batches is one of blocks.  Not where shards are made equal, since
    that would be by samples then.
    """
    match below:
        case nodes.Batch() if shard.equal in (None, "none"):
            block, least = behind_batch(shard, below)
            moved = replace(shard, upstream=below.upstream, block=block, least=least)
            return moved, replace(below, upstream=moved, shards=(*below.shards, shard))
        case RecordNode(one_to_one=True) | nodes.Prefetch() | nodes.Progress() | nodes.Serial() | nodes.Epoch():
            moved = replace(shard, upstream=below.upstream)
            return moved, replace(below, upstream=moved)
    return None


# Twice: what has moved may have stood in the way of another.
RULES: tuple[Rule, ...] = (shuffle_indices, push_takes, push_shards) * 2
