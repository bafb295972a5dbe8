"""Sections of a physical plan: the stages between one consumer and the threads or workers that it waits for.

The loop pulls the last section, the feeder of a parallel stage, or the thread of a prefetch, the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator

from flazy.leaves import Padded
from flazy.plan import nodes
from flazy.plan.batching import BucketBatch, Pack, Window
from flazy.plan.explain import step
from flazy.plan.functions import Selected, SelectedTuple, unstack
from flazy.plan.kernel import Op
from flazy.plan.planner import Chain, Physical, Step

__all__ = ["batched", "ends_in_workers", "functions_in", "is_bar", "is_edge", "stages_in"]

EVERY = 64  # dimensions: as many as numpy has
# They pass samples on, or count them, and are never what takes the time.
PASSING = (
    nodes.Take | nodes.Skip | nodes.Stride | nodes.Enumerate | nodes.Repeat | nodes.Epoch | nodes.Progress | nodes.Join
)


def batched(physical: Physical) -> int:
    """Say whether samples are batches, as far as the plan tells: how many dimensions, from the first, may differ."""
    todo = [physical]
    found = 0
    while todo:
        match part := todo.pop():
            case Chain():  # unbatch() is a flatmap
                todo += [] if any(op.kind == "flatmap" for op in part.ops) else [part.upstream]
            case Step(node=nodes.Batch(leaves=Padded()) | BucketBatch()):
                return EVERY
            case Step(node=nodes.Batch() | Window()):
                found = 1
            case Step(node=node):
                todo += () if isinstance(node, nodes.Transform | Pack) else part.upstreams
    return found


def is_edge(part: Physical) -> bool:
    """Say whether what is upstream of a part is pulled by another thread than its consumer."""
    return part.where is not None if isinstance(part, Chain) else isinstance(part.node, nodes.Prefetch)


def is_bar(part: Physical) -> bool:
    """Say whether a part is a progress bar, which tells how long what is upstream of it was waited for."""
    return isinstance(part, Step) and isinstance(part.node, nodes.Progress)


def stages_in(section: Physical) -> list[str]:
    """Name the stages of a section that may take time, upstream first."""
    return [name for part in _parts(section) for name in _names(part)]


def functions_in(section: Physical) -> list[str]:
    """Name the stages of a section that run a user's function and would do so in workers, if they were given any."""
    chains = [part for part in _parts(section) if isinstance(part, Chain)]
    return [op.name for chain in chains for op in chain.ops if _is_users(op)]


def ends_in_workers(physical: Physical) -> bool:
    """Say whether what the plan gives are, one by one, the outputs of a parallel stage."""
    while isinstance(physical, Step) and isinstance(physical.node, nodes.Progress | nodes.Epoch):
        (physical,) = physical.upstreams
    return isinstance(physical, Chain) and physical.where is not None


def _parts(section: Physical) -> Iterator[Physical]:
    """Give the parts of a section, upstream first."""
    line: list[Physical] = []
    todo = [section]
    while todo:
        part = todo.pop()
        if not is_edge(part):
            line.append(part)
            todo.extend([part.upstream] if isinstance(part, Chain) else part.upstreams)
    return reversed(line)


def _names(part: Physical) -> list[str]:
    if isinstance(part, Chain):
        return [op.name for op in part.ops]
    if isinstance(part.node, nodes.Source | nodes.Lazy):
        return [f"source({part.node.label})"]
    return [] if isinstance(part.node, PASSING) else [step(part.node)]


def _is_users(op: Op) -> bool:
    return op.fn is not unstack and not isinstance(op.fn, Selected | SelectedTuple)
