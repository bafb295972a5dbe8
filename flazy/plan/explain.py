"""Plans as text: the logical one as ``repr`` shows it, and what is run, as ``explain`` shows it."""

from __future__ import annotations

from flazy.plan import nodes
from flazy.plan.batching import BucketBatch, Pack, Window
from flazy.plan.nodes import Node, RecordNode, spine_of
from flazy.plan.planner import Chain, Physical, Step, chains_of, plan, processes_of
from flazy.plan.ranks import rank_of
from flazy.plan.remote import Remote
from flazy.plan.where import Processes

__all__ = ["explain", "spell", "step"]


def spell(root: Node) -> str:
    """Spell a logical plan as the calls that make it."""
    first, *rest = spine_of(root)
    return "".join([_start(first), *(f".{step(node)}" for node in rest)])


def explain(root: Node) -> str:
    """Draw both plans, upstream first."""
    physical = plan(root)
    started = _started(physical)
    return "\n".join(["Logical plan", *_logical(root, 1), f"Physical plan ({started})", *_physical(physical, 1)])


def _started(physical: Physical) -> str:
    """Say who will work."""
    count = processes_of(physical)
    own = [f"{count} worker process{'es' if count != 1 else ''}"] * bool(count)
    others = ["workers of other machines"] * any(isinstance(chain.where, Remote) for chain in chains_of(physical))
    return " and ".join([*own, *others]) or "no worker processes"


def _start(node: Node) -> str:
    match node:
        case nodes.Source():
            return f"Dataset({node.label})"
        case nodes.Lazy():
            return f"Dataset({node.label})"
        case nodes.Zip(names=tuple() as names):
            parts = [f"{name}={spell(branch)}" for name, branch in zip(names, node.branches, strict=True)]
            return f"Dataset.zip({', '.join(parts)})"
        case nodes.Zip():
            return f"Dataset.zip({', '.join(map(spell, node.branches))})"
    return f"Dataset.{type(node).__name__.lower()}([{', '.join(map(spell, node.upstreams))}])"


def step(node: Node) -> str:
    """Spell one node without its upstream, as the verb that makes it."""
    match node:
        case RecordNode():
            return _record(node)
        case nodes.Transform():
            return f"transform({node.label})"
        case nodes.Batch() | Window() | BucketBatch() | Pack():
            return _batching(node)
        case nodes.Shuffle():
            return f"shuffle({node.buffer_size or ''})"
        case nodes.Enumerate():
            return f"enumerate({node.start or ''})"
        case nodes.Repeat():
            return f"repeat({'' if node.times is None else node.times})"
        case nodes.Take() | nodes.Skip() | nodes.Prefetch() | nodes.Sample():
            return f"{type(node).__name__.lower()}({node.count})"
        case nodes.Stride():
            return f"stride({node.step})"
        case nodes.Epoch():
            return f"epoch({node.cycle})"
        case nodes.Shard():
            given = [] if node.num_shards is None else [f"{node.num_shards}, {node.index}"]
            return f"shard({', '.join(given + ([] if node.equal is None else [f'equal={node.equal!r}']))})"
    return f"{type(node).__name__.lower()}()"


def _batching(node: nodes.Batch | Window | BucketBatch | Pack) -> str:
    match node:
        case nodes.Batch():
            own = [] if node.fn is None else [f"fn={node.label}"]
            return _call(node.leaves.verb, node.size, *own, *node.leaves.options, *_kept(node))
        case Window():
            stride = [] if node.stride == 1 else [f"stride={node.stride}"]
            return _call("window", node.size, *stride, *_kept(node))
        case BucketBatch():
            size = node.sizes[0] if len(set(node.sizes)) == 1 else list(node.sizes)
            boundaries = list(node.boundaries)
            return _call("bucket_batch", node.label, boundaries, size, *node.leaves.options, *_kept(node))
        case Pack():
            return _call("pack", *_pack(node))


def _call(verb: str, *arguments: object) -> str:
    return f"{verb}({', '.join(map(str, arguments))})"


def _kept(node: nodes.Batch | Window | BucketBatch) -> list[str]:
    return [] if node.drop_remainder else ["drop_remainder=False"]


def _pack(node: Pack) -> list[object]:
    pad = [] if node.row.pad == 0 else [f"pad={node.row.pad!r}"]
    how = ["split=True"] if node.open_rows is None else []
    return [node.row.length, *pad, *how, *(["drop_remainder=True"] if node.drop_remainder else [])]


def _record(node: RecordNode) -> str:
    if not node.verb:
        return node.name
    where = f", workers={_workers(node)}" if node.where is not None else ""
    guard = f", on_error={node.on_error}" if node.on_error is not None else ""
    return f"{node.verb}({node.label}{where}{'' if node.ordered else ', ordered=False'}{guard})"


def _workers(node: RecordNode) -> str:
    where = node.where
    if isinstance(where, Processes) and Processes(where.n) == where:
        return str(where.n)
    return repr(where)


def _logical(root: Node, indent: int) -> list[str]:
    first, *rest = spine_of(root)
    lines = ["  " * indent + _start_line(first)]
    for branch in first.upstreams:
        lines += _logical(branch, indent + 1)
    return lines + ["  " * indent + step(node) + _remark(node) for node in rest]


def _start_line(node: Node) -> str:
    match node:
        case nodes.Source():
            return f"source({node.label})" + (f"  {node.length:,} samples" if node.length is not None else "")
        case nodes.Lazy():
            return f"made when reached({node.label})"
    return f"{type(node).__name__.lower()}"


def _remark(node: Node) -> str:
    match node:
        case nodes.Shuffle() | nodes.RandomMap() | nodes.Sample():
            return f"  seed={node.seed}"
        case nodes.Batch(drop_remainder=True):
            return "  an incomplete last batch is dropped"
        case nodes.Shard(num_shards=None):
            rank = rank_of(node)
            return f"  shard {rank.index} of {rank.size}, says {rank.origin}"
        case Window(drop_remainder=True):
            return "  incomplete last windows are dropped"
        case BucketBatch(drop_remainder=True):
            return "  an incomplete last batch of each bucket is dropped"
    return ""


def _physical(part: Physical, indent: int) -> list[str]:
    line = [part]
    while isinstance(line[-1], Chain) or isinstance(line[-1].node, nodes.StreamNode):
        last = line[-1]
        line.append(last.upstream if isinstance(last, Chain) else last.upstreams[0])
    lines = []
    for made in reversed(line):
        if isinstance(made, Chain):
            lines.append("  " * indent + _chain(made))
            continue
        shown = _start_line(made.node) if made is line[-1] else step(made.node) + _how(made)
        lines.append("  " * indent + f"caller: {shown}")
        for branch in made.upstreams if made is line[-1] else ():
            lines += _physical(branch, indent + 1)
    return lines


def _how(part: Step) -> str:
    """Say of a batch behind workers who makes it, and of a shard of batches how many samples these are."""
    if isinstance(part.node, nodes.Shard):
        return f", {part.node.block} samples at a time" if part.node.block > 1 else ""
    below = part.upstreams[0] if part.upstreams else None
    if not isinstance(part.node, nodes.Batch) or not isinstance(below, Chain) or below.where is None:
        return ""
    if below.batching is None:
        return ", gathered"
    far = isinstance(below.where, Remote)
    return ", made by the workers where samples are small" if far else ", made or filled in place by the workers"


def _chain(chain: Chain) -> str:
    stages = " > ".join(op.name for op in chain.ops)
    fused = f"  {len(chain.ops)} stages in one" if len(chain.ops) > 1 else ""
    if chain.where is None:
        return f"caller: {stages}{fused}"
    return f"{chain.where}: {stages}{fused}, {'in order' if chain.ordered else 'as they are ready'}"
