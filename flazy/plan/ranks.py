"""Which rank this process is: asked of whoever launched it, when a pass opens and not before.

Frameworks are looked up among the loaded modules: one that is not loaded has told nobody a rank.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from flazy.errors import InvalidArgument
from flazy.plan.nodes import Shard

__all__ = ["ALONE", "Rank", "found", "inherit", "rank_for_child", "rank_of"]

ALONE = "nobody"
ENVIRONMENT = "RANK and WORLD_SIZE"


@dataclass(frozen=True, slots=True)
class Rank:
    """One of ``size`` processes, counted from 0; ``origin`` says who told so."""

    size: int
    index: int
    origin: str = ""


def rank_of(node: Shard) -> Rank:
    """Give the numbers of a shard: its own, else those of this process."""
    if node.num_shards is None or node.index is None:
        return found()
    return Rank(node.num_shards, node.index)


def found() -> Rank:
    """Give the rank of this process; without ranks it is alone.

    Raises
    ------
    InvalidArgument
        Where the environment has a rank that makes no sense.
    """
    return _of_torch() or _of_jax() or (_inherited[0] if _inherited else None) or _of_environment() or Rank(1, 0, ALONE)


_inherited: list[Rank] = []  # of the process that has spawned this one; frameworks know nothing of it here


def rank_for_child() -> Rank | None:
    """Give what a process that is being spawned cannot find by itself; None where it can, or where none is."""
    context = sys.modules.get("multiprocessing.context")
    if context is None or context.get_spawning_popen() is None:
        return None
    rank = found()
    return None if rank.origin in (ALONE, ENVIRONMENT) else rank


def inherit(rank: Rank | None) -> None:
    """Take the rank of the process that has spawned this one."""
    _inherited[:] = [] if rank is None else [rank]


def _of_torch() -> Rank | None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return Rank(distributed.get_world_size(), distributed.get_rank(), "torch.distributed")


def _of_jax() -> Rank | None:
    jax = sys.modules.get("jax")
    # To ask a JAX that was not told of other processes would start its back end, and take the GPU.
    is_initialized = getattr(getattr(jax, "distributed", None), "is_initialized", None)
    if jax is None or is_initialized is None or not is_initialized():
        return None
    return Rank(jax.process_count(), jax.process_index(), "jax.distributed")


def _of_environment() -> Rank | None:
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and size is None:
        return None
    said = ", ".join(f"{name}={text}" for name, text in (("RANK", rank), ("WORLD_SIZE", size)) if text is not None)
    if rank is None or size is None:
        missing = "RANK" if rank is None else "WORLD_SIZE"
        raise InvalidArgument(f"shard() found {said} in the environment and no {missing}; {INSTEAD}")
    if not rank.strip().isdecimal() or not size.strip().isdecimal() or int(rank) >= int(size):
        raise InvalidArgument(f"shard() found {said} in the environment, which is no rank of so many; {INSTEAD}")
    return Rank(int(size), int(rank), ENVIRONMENT)


INSTEAD = "set both, 0 <= RANK < WORLD_SIZE, or say shard(num_shards, index)"
