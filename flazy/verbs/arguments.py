"""Checks of what may be said for each leaf of a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flazy.errors import InvalidType
from flazy.leaves import Padded
from flazy.verbs.base import at_least

__all__ = ["padded", "per_leaf", "plain_pad"]


def padded(pad: Any, length: Any, multiple_of: Any) -> Padded:
    """Check what padding is to be."""
    return Padded(
        per_leaf(pad, plain_pad),
        per_leaf(length, lambda value: None if value is None else at_least(1, value, "length")),
        per_leaf(multiple_of, lambda value: None if value is None else at_least(1, value, "multiple_of")),
    )


def per_leaf(value: Any, check: Callable[[Any], Any]) -> Any:
    """Check what is given for all leaves, or by key."""
    if isinstance(value, Mapping):
        return {key: per_leaf(part, check) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple([per_leaf(part, check) for part in value])
    return check(value)


def plain_pad(pad: Any) -> Any:
    """Check a pad, as far as that can be done before it meets a dtype."""
    if isinstance(pad, list | np.ndarray):
        raise InvalidType(f"pad must be one value, or a dict or tuple of values by key, not {type(pad).__name__}")
    return pad
