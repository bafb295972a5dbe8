"""How the samples of a batch lie in a block of shared memory: every array leaf as one run of rows.

A worker writes each sample's arrays into their rows as they are made; when all rows are in, the batch is a view of
the block.  What is not an array (a label, a name) travels beside it and is collated by whoever takes the batch.

A *spec* says, as bytes, what the samples look like; a `Layout` is a spec for a number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from flazy.collate import collate
from flazy.dtypes import family
from flazy.errors import ProtocolError
from flazy.transport.arrays import Array, checked_shape, describe, is_stackable, rebuild
from flazy.transport.codec import decode, encode

__all__ = ["LARGE_SAMPLE", "Layout", "spec_of"]

LARGE_SAMPLE = 16 * 1024  # bytes of arrays from which writing rows one by one is cheaper than stacking them
ALIGNMENT = 64  # of a leaf: a cache line, and more than any dtype needs

ARRAY, PLAIN, DICT, TUPLE = range(4)
# What may stand beside arrays: immutable, and small or of no use in shared memory.
BESIDE = frozenset({int, float, bool, str, bytes, type(None)})


def spec_of(sample: Any) -> bytes | None:
    """Describe a sample; None where its kind is not written in rows, or is too small to be worth it."""
    template = _template(sample)
    if template is None or sum(math.prod(shape) * rebuild(dtype).itemsize for dtype, shape in _arrays(template)) < (
        LARGE_SAMPLE
    ):
        return None
    return bytes(encode([template], pickle=False)[0])


class Layout:
    """A spec for a number of rows.

    Raises
    ------
    ProtocolError
        For a spec that `spec_of` did not make.

    Attributes
    ----------
    nbytes
        Of the block that holds the arrays of all rows.
    sample_nbytes
        Of the arrays of one sample.
    rows
        As given.
    beside
        How many leaves are no arrays.
    """

    def __init__(self, spec: bytes, rows: int) -> None:
        try:
            (self._template,) = decode([spec], pickle=False)
            self.beside = _count_beside(self._template)
            self._leaves = [(rebuild(dtype), checked_shape(shape)) for dtype, shape in _arrays(self._template)]
        except (ValueError, TypeError, RecursionError) as error:  # a ProtocolError is a ValueError
            raise ProtocolError(f"a spec of samples that cannot be read: {error}") from error
        self.rows = rows
        self._offsets = []
        offset = 0
        for dtype, shape in self._leaves:
            self._offsets.append(offset)
            offset += -(-rows * math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        self.nbytes = offset
        self.sample_nbytes = sum(math.prod(shape) * dtype.itemsize for dtype, shape in self._leaves)

    @staticmethod
    @lru_cache(maxsize=64)
    def of(spec: bytes, rows: int) -> Layout:
        """Give the layout of a spec, which most tasks of a stage have in common."""
        return Layout(spec, rows)

    def views(self, memory: Any) -> list[Array]:
        """Give the leaves in a block, writable, as arrays of all rows."""
        return [
            np.ndarray((self.rows, *shape), dtype, memory, offset)
            for (dtype, shape), offset in zip(self._leaves, self._offsets, strict=True)
        ]

    def taken_apart(self, sample: Any) -> tuple[list[Array], list[Any]] | None:
        """Give the arrays of a sample and what stands beside them; None where it does not look like the spec."""
        arrays: list[Array] = []
        beside: list[Any] = []
        return (arrays, beside) if _conforms(sample, self._template, arrays, beside) else None

    def batch(self, views: Sequence[Array], beside: Sequence[Sequence[Any]], default_dtype: DTypeLike | None) -> Any:
        """Make a batch of rows, without copying them; ``beside`` holds a column for each leaf that is no array.

        Raises
        ------
        BatchError
            As `collate` does, for a column that makes no batch.
        """
        return _batch(self._template, iter(views), iter(beside), default_dtype, "")

    def samples(self, views: Sequence[Array], beside: Sequence[Sequence[Any]]) -> list[Any]:
        """Give rows as samples, without copying them."""
        count = len(views[0])
        return [
            _sample(self._template, (view[row, ...] for view in views), (column[row] for column in beside))
            for row in range(count)
        ]


def _template(sample: Any) -> tuple[Any, ...] | None:
    kind = type(sample)
    if kind is np.ndarray:
        return (ARRAY, describe(sample.dtype), list(sample.shape)) if is_stackable(sample) else None
    if kind is dict and all(type(key) is str for key in sample):
        parts = [_template(part) for part in sample.values()]
        return None if None in parts else (DICT, list(sample), parts)
    if kind is tuple:
        parts = [_template(part) for part in sample]
        return None if None in parts else (TUPLE, parts)
    return (PLAIN,) if _is_beside(sample) else None


def _is_beside(value: Any) -> bool:
    return type(value) in BESIDE or (isinstance(value, np.generic) and family(value.dtype) != "")


def _count_beside(template: Any) -> int:
    """Count the leaves that are no arrays, and refuse what `_template` does not make."""
    match template:
        case (0, str(), list()):  # ARRAY
            return 0
        case (1,):  # PLAIN
            return 1
        case (2, list() as keys, list() as parts) if len(keys) == len(parts) and {str}.issuperset(map(type, keys)):
            return sum(map(_count_beside, parts))
        case (3, list() as parts):  # TUPLE
            return sum(map(_count_beside, parts))
    raise ProtocolError("a sample in no known form")


def _arrays(template: Any) -> list[tuple[str, list[int]]]:
    if template[0] == ARRAY:
        return [template[1:]]
    return [leaf for part in template[-1] for leaf in _arrays(part)] if template[0] != PLAIN else []


def _conforms(sample: Any, template: Any, arrays: list[Array], beside: list[Any]) -> bool:
    form = template[0]
    kind = type(sample)
    if form == ARRAY:
        arrays.append(sample)
        return kind is np.ndarray and describe(sample.dtype) == template[1] and list(sample.shape) == template[2]
    if form == DICT:
        if kind is not dict or list(sample) != template[1]:
            return False
        pairs = zip(sample.values(), template[2], strict=True)
        return all(_conforms(part, other, arrays, beside) for part, other in pairs)
    if form == TUPLE:
        if kind is not tuple or len(sample) != len(template[1]):
            return False
        return all(_conforms(part, other, arrays, beside) for part, other in zip(sample, template[1], strict=True))
    beside.append(sample)
    return _is_beside(sample)


def _batch(template: Any, views: Any, beside: Any, default_dtype: DTypeLike | None, key: str) -> Any:
    form = template[0]
    if form == ARRAY:
        return next(views)
    if form == DICT:
        pairs = zip(template[1], template[2], strict=True)
        return {name: _batch(part, views, beside, default_dtype, f"{key}[{name!r}]") for name, part in pairs}
    if form == TUPLE:
        parts = enumerate(template[1])
        return tuple([_batch(part, views, beside, default_dtype, f"{key}[{place}]") for place, part in parts])
    return collate(next(beside), default_dtype, key)


def _sample(template: Any, arrays: Any, beside: Any) -> Any:
    form = template[0]
    if form == ARRAY:
        return next(arrays)
    if form == DICT:
        return {name: _sample(part, arrays, beside) for name, part in zip(template[1], template[2], strict=True)}
    if form == TUPLE:
        return tuple([_sample(part, arrays, beside) for part in template[1]])
    return next(beside)
