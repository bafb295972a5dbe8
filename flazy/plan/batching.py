"""Nodes that put several samples together otherwise than one group after the other, as ``nodes.Batch`` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flazy.collate import Stacked
from flazy.leaves import Packed
from flazy.plan.nodes import StreamNode, node

__all__ = ["BucketBatch", "Pack", "Window"]


@node
class Window(StreamNode):
    """``size`` consecutive samples, from every ``stride``-th on, become one."""

    size: int
    stride: int
    default_dtype: Any
    drop_remainder: bool


@node
class BucketBatch(StreamNode):
    """Samples of like length become one; there is a size for each bucket, one more than boundaries."""

    fn: Callable[[Any], int]
    label: str
    boundaries: tuple[int, ...]
    sizes: tuple[int, ...]
    default_dtype: Any
    drop_remainder: bool
    leaves: Stacked


@node
class Pack(StreamNode):
    """Sequences become rows of one length; ``open_rows`` None: they are cut where a row is full."""

    row: Packed
    open_rows: int | None
    drop_remainder: bool
