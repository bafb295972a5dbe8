"""How passes are opened whose samples a framework takes: what a feed adds to the plan, in which process it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from flazy.errors import MissingExtra
from flazy.plan import nodes
from flazy.plan.nodes import Node
from flazy.plan.planner import plan, processes_of
from flazy.plan.ranks import Rank, inherit, rank_for_child
from flazy.run.runs import Run

__all__ = ["PassOpener", "feed", "on_device", "open_at", "open_jax_at"]


def on_device(node: Node, opener: Callable[[], Any] | None, ahead: int) -> Node:
    """Add what copies tensors to a device; ``opener`` opens the copies of a pass, None where there are none."""
    if opener is None:
        return node
    copies = importlib.import_module("flazy.feeds.copies")
    departed = nodes.Map(node, copies.depart, "torch", setup=opener)
    return nodes.Map(nodes.Prefetch(departed, ahead), copies.arrive, "torch")


def feed(package: str, name: str) -> Any:
    """Load a feed, and with it its framework."""
    try:
        return importlib.import_module(f"flazy.feeds.{package}")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != package:  # it is there, and lacks something itself
            raise
        raise MissingExtra(f"{package}() needs {name}, which is missing: pip install flazy[{package}]") from missing


def open_at(node: Node, cycle: int) -> Run:
    """Open a pass of a plan."""
    return Run(plan(node), cycle)


class PassOpener:
    """Opens passes, or parts of them; in a process that is spawned from here, as a process of the same rank."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.processes = processes_of(plan(node))

    def __call__(self, cycle: int, num_shards: int = 1, index: int = 0) -> Run:
        """Open the pass of a cycle, or one of several parts of it, in order whatever was said."""
        return open_at(self._node if num_shards == 1 else nodes.Shard(self._node, num_shards, index, "none"), cycle)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opens, (self._node, rank_for_child())


def _opens(node: Node, rank: Rank | None) -> PassOpener:
    inherit(rank)
    return PassOpener(node)


def open_jax_at(node: Node, put: Any, ahead: int, cycle: int) -> Run:
    """Open a pass; not before does anybody ask JAX for its devices: ``jax.distributed`` wants to be first."""
    made = nodes.Map(node, put, "jax")
    return open_at(nodes.Prefetch(made, ahead) if put.works_ahead else made, cycle)
