"""Checks of what may be said for each leaf of a sample, or for each bucket."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flazy.errors import InvalidArgument, InvalidType
from flazy.leaves import Padded
from flazy.verbs.base import at_least

__all__ = ["keys_of", "padded", "per_leaf", "plain_pad", "rising", "sizes_of"]


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


def keys_of(keys: Iterable[Any] | None) -> tuple[Any, ...] | None:
    """Give the parts of a sample that were named; a text is one key."""
    if keys is None:
        return None
    if isinstance(keys, str):
        return (keys,)
    if not isinstance(keys, Iterable):
        raise InvalidType(f"keys must be a list of keys, not {keys!r}; say keys=[{keys!r}]")
    return tuple(keys)


def rising(boundaries: Sequence[int]) -> tuple[int, ...]:
    """Check the boundaries of buckets."""
    if not isinstance(boundaries, Iterable):
        raise InvalidType(f"boundaries must be a list of lengths, not {boundaries!r}")
    bounds = tuple([at_least(1, bound, "a boundary") for bound in boundaries])
    if not bounds or any(bound >= after for bound, after in itertools.pairwise(bounds)):
        raise InvalidArgument(f"boundaries must be lengths that rise, at least one, not {list(bounds)}")
    return bounds


def sizes_of(size: int | Sequence[int], buckets: int) -> tuple[int, ...]:
    """Give the batch size of each bucket."""
    if not isinstance(size, Iterable):
        return (at_least(1, size, "the batch size"),) * buckets
    sizes = tuple([at_least(1, one, "the batch size") for one in size])
    if len(sizes) != buckets:
        raise InvalidArgument(f"{buckets} buckets need {buckets} sizes, or one for all, not {len(sizes)}")
    return sizes
