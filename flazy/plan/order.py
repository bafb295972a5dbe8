"""Whether all processes that make a plan get the same samples in the same order, as shards need it.

Nothing is known of parts that are made when they are reached, and of functions: those of ``transform`` and ``filter``
are taken to give the same for the same samples.
"""

from __future__ import annotations

from flazy.plan import nodes
from flazy.plan.batching import Window
from flazy.plan.explain import step
from flazy.plan.nodes import Node, RandomMap, RecordNode, spine_of

__all__ = ["differs"]

# Which samples these give depends on how many there are, never on what they are.
BY_NUMBER = (
    nodes.Batch | nodes.Cache | nodes.Enumerate | nodes.Epoch | nodes.Prefetch | nodes.Progress | nodes.Repeat
    | nodes.Sample | nodes.Serial | nodes.Shard | nodes.Shuffle | nodes.Skip | nodes.Stride | nodes.Take | Window
)  # fmt: skip


def differs(root: Node) -> str | None:
    """Say which stage makes the order of a plan another one in another process; None if none does."""
    return _differs(root, serial=False)[0]


def _differs(root: Node, *, serial: bool) -> tuple[str | None, RandomMap | None]:
    """Do it; and give a random stage whose samples are others in another process."""
    first, *rest = spine_of(root)
    serial_to = max((place for place, node in enumerate(rest) if isinstance(node, nodes.Serial)), default=-1)
    drawn: RandomMap | None = None
    for branch in first.upstreams:
        reason, random = _differs(branch, serial=serial or serial_to >= 0)
        if reason is not None:
            return reason, None
        drawn = drawn or random
    for place, node in enumerate(rest):
        if isinstance(node, RandomMap) and node.drawn:
            drawn = drawn or node
        if (reason := _reason(node, drawn, serial=serial or place < serial_to)) is not None:
            return reason, None
    return None, drawn


def _reason(node: Node, drawn: RandomMap | None, *, serial: bool) -> str | None:
    match node:
        case nodes.Shuffle(drawn=True) | nodes.Sample(drawn=True):
            verb = type(node).__name__.lower()
            return f"{step(node)} without seed= draws its order anew in every process; say {verb}(…, seed=0)"
        case RecordNode(ordered=False) if node.where is not None and not serial:
            return f"{step(node)} gives its samples in any order; leave out ordered=False"
    if drawn is not None and not (node.one_to_one if isinstance(node, RecordNode) else isinstance(node, BY_NUMBER)):
        random = f"{step(drawn)} without seed= draws other numbers in every process"
        return f"{random}, and what {step(node)} gives depends on them; say random_map(…, seed=0)"
    return None
