"""Open a physical plan: a stage for each part, upstream first, without recursion along a line."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, Protocol

from flazy.plan import nodes
from flazy.plan.batching import BucketBatch, Pack, Window
from flazy.plan.length import length_of
from flazy.plan.planner import Chain, Physical, Step, plan
from flazy.plan.sections import batched, is_bar, is_edge
from flazy.run import batches, joins, kept, packs, stages
from flazy.run.chains import ChainStage
from flazy.run.shards import sharded
from flazy.run.skips import Skips
from flazy.run.stages import Open, Remark, Stage
from flazy.run.waits import Section

__all__ = ["Opening", "build"]


class Opening(Protocol):
    """What a run gives to the stages of one section that it opens."""

    @property
    def skips(self) -> Skips:
        """Where the samples go that are left out."""

    @property
    def remarks(self) -> dict[str, type[Warning]]:
        """Warnings for the end of the pass."""

    @property
    def section(self) -> Section:
        """Where it is noted how long they are waited for."""

    def beyond(self, part: Physical) -> Opening:
        """Give the same for the section upstream of a part."""

    def segment(self, chain: Chain, upstream: Stage) -> Stage:
        """Open a parallel stage."""


SIMPLE: dict[type[nodes.Node], Callable[[Any, Stage], Stage]] = {
    nodes.Enumerate: stages.EnumerateStage,
    nodes.Skip: stages.SkipStage,
    nodes.Stride: stages.StrideStage,
    nodes.Take: stages.TakeStage,
    nodes.Transform: stages.TransformStage,
}
REMARKING: dict[type[nodes.Node], Callable[[Any, Stage, Remark], Stage]] = {
    BucketBatch: batches.BucketStage,
    Pack: packs.PackStage,
    Window: batches.WindowStage,
    nodes.Batch: batches.BatchStage,
    nodes.Shard: sharded,
}


def build(physical: Physical, cycle: int, opening: Opening) -> Stage:
    """Open a plan at a cycle; the stages have started nothing but their workers."""
    line: list[tuple[Physical, Opening]] = []
    part: Physical | None = physical
    while part is not None:
        line.append((part, opening))
        if is_edge(part) or is_bar(part):
            opening = opening.beyond(part)
        if isinstance(part, Step) and isinstance(part.node, nodes.Epoch):
            cycle = part.node.cycle  # of the whole line: what stands behind epoch() sees samples of that cycle
        part = _below(part)
    first, opening = line.pop()
    stage = _first(first, cycle, opening)
    for part, opening in reversed(line):
        stage = _over(part, stage, cycle, opening)
    return stage


def _below(part: Physical) -> Physical | None:
    """Give the one upstream that is opened with the part; parts that open theirs themselves end the line."""
    if isinstance(part, Chain):
        return part.upstream
    return part.upstreams[0] if isinstance(part.node, nodes.StreamNode) and not isinstance(part.node, OPENERS) else None


OPENERS = nodes.Repeat | nodes.Cache


def _first(part: Physical, cycle: int, opening: Opening) -> Stage:
    assert isinstance(part, Step)
    opens = [_opener(upstream, opening) for upstream in part.upstreams]
    match part.node:
        case nodes.Source():
            return stages.SourceStage(part.node, cycle)
        case nodes.Repeat():
            return stages.RepeatStage(part.node, opens[0], cycle)
        case nodes.Cache():
            return kept.CacheStage(part.node, opens[0], cycle)
        case nodes.Concat():
            return joins.ConcatStage(opens, cycle)
        case nodes.RoundRobin():
            return joins.RoundRobinStage(opens, cycle)
        case nodes.Zip():
            return joins.ZipStage(part.node, opens, cycle)
        case nodes.Lazy():
            # Its random stages get numbers of their own, far from those of the plan that holds it.
            first, asked = (part.ordinal + 1) << 16, part.asked
            return joins.LazyStage(
                part.node, lambda made: build(plan(made, first_ordinal=first, asked=asked), cycle, opening), cycle
            )
    raise AssertionError(f"no stage for {part.node!r}")


def _over(part: Physical, upstream: Stage, cycle: int, opening: Opening) -> Stage:
    if isinstance(part, Chain):
        if part.where is None:
            return ChainStage(part, upstream, opening.skips.add)
        return opening.segment(part, upstream)
    match part.node:
        case nodes.Shuffle() | nodes.Sample():
            return kept.ShuffleStage(part.node, upstream, part.ordinal, cycle)
        case nodes.Epoch():
            return upstream
        case nodes.Prefetch():
            return _late("flazy.run.prefetch", "PrefetchStage")(part.node, upstream, opening.section.edge(part))
        case nodes.Progress():
            length = length_of(part.node.upstream)
            total = None if length is None or length == math.inf else int(length)
            made = _late("flazy.run.progress", "ProgressStage")
            return made(part.node.description, total, upstream, opening.beyond(part).section, timed=batched(part) > 0)
    if (made_by := REMARKING.get(type(part.node))) is not None:
        return made_by(part.node, upstream, opening.remarks.__setitem__)
    return SIMPLE[type(part.node)](part.node, upstream)


def _opener(physical: Physical, opening: Opening) -> Open:
    return lambda cycle: build(physical, cycle, opening)


def _late(module: str, name: str) -> Callable[..., Stage]:
    """Load a stage that needs a thread or a library."""
    made: Callable[..., Stage] = getattr(importlib.import_module(module), name)
    return made
