"""Runs of samples on their way, each in the form that costs least.

A *stretch* is a plain tuple ``(kind, count, body)`` for ``count`` samples in a row, so it passes between threads as it
is, and between processes as what it is made of:

========  ==================================================================================================
ROWS      the samples themselves: a list, or a range
NUMBERS   many Python ints, or floats, as one array of them
COLUMNS   small arrays of equal shape laid end to end, leaf by leaf; the samples are views of them
BATCHES   whole batches laid end to end, collated where the samples were made
FILLED    samples whose arrays lie in a block of the arena, row by row (``layout.py``); here is only the rest
========  ==================================================================================================

The one rule: whatever form is chosen, the samples, or the batches, that come out are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from flazy.collate import Batching, is_settled, is_uniform
from flazy.dtypes import is_extended
from flazy.errors import BatchError
from flazy.transport.arrays import is_stackable
from flazy.transport.packing import INLINE

__all__ = [
    "BATCHES",
    "COLUMNS",
    "FILLED",
    "NUMBERS",
    "ROWS",
    "Stretch",
    "arranged",
    "batches_of",
    "gathered",
    "is_column",
    "rows_of",
]

Stretch = tuple[int, int, Any]
ROWS, NUMBERS, COLUMNS, BATCHES, FILLED = range(5)

# One sample that is kept keeps what lies beside it: bounded here, where longer runs would save little more.
COLUMN_BYTES = 64 * 1024
BATCHES_BYTES = 256 * 1024
FEW = 64  # numbers, of which an array would save nothing

ARRAY, PLAIN, DICT, TUPLE = range(4)  # the forms of a column
MOST_KEYS = 256  # of dicts that are made by a function of their own, whose making takes longer the more there are
DTYPES = {int: np.dtype(np.int64), float: np.dtype(np.float64)}


def arranged(rows: Any, uniform: type | None = None) -> list[Stretch]:
    """Put a sequence of samples into the form in which it travels best; ``uniform`` is the type of all, if known."""
    if type(rows) is np.ndarray:  # the rows of an array are one; but of long and long long a scalar is either
        rows = rows if rows.ndim > 1 or _is_told(rows.dtype) else list(rows)
    elif len(rows) > FEW and (numbers := _numbers(rows, uniform)) is not None:
        return [(NUMBERS, len(rows), numbers)]
    size = _array_bytes(rows[0]) if len(rows) > 1 and isinstance(rows, list) else 0
    if not 0 < size < INLINE:
        return [(ROWS, len(rows), rows)] if len(rows) else []
    step = max(1, COLUMN_BYTES // size)
    runs = [rows[start : start + step] for start in range(0, len(rows), step)]
    return [(COLUMNS, len(run), _column(run)) for run in runs]


def gathered(rows: list[Any], batching: Batching, position: int, uniform: type | None = None) -> list[Stretch]:
    """Make batches of samples as far as they fill some; ``position`` is that of the first in its batch.

    Where a batch cannot be made the samples are left as they are: whoever takes them finds the same error, and knows
    which batch it is.  So they are where it would have masks, which are not stacked alike when they have travelled.
    """
    size = batching.size
    first = min(-position % size, len(rows))
    last = first + (len(rows) - first) // size * size
    try:
        whole = list(_batches(rows[first:last], batching, uniform))
    except BatchError:
        return arranged(rows)
    if any(_is_masked(batch) for _, _, batch in whole):
        return arranged(rows)
    return [*arranged(rows[:first]), *whole, *arranged(rows[last:])]


def rows_of(stretch: Stretch) -> Sequence[Any]:
    """Give the samples of rows, numbers or columns."""
    kind, _, body = stretch
    if kind == NUMBERS:
        samples: list[Any] = body.tolist()
        return samples
    return _rows(body) if kind == COLUMNS else body


def batches_of(stretch: Stretch, size: int) -> Iterator[Any]:
    """Give the batches that were laid end to end."""
    _, count, body = stretch
    if count == size:
        yield body
        return
    for start in range(0, count, size):
        yield _cut(body, slice(start, start + size))


def _batches(rows: list[Any], batching: Batching, uniform: type | None) -> Iterator[Stretch]:
    """Collate; several batches at once where each comes out as it would by itself."""
    size = batching.size
    step = size
    if len(rows) > size and (uniform is not None or is_uniform(rows)):
        step = size * max(1, BATCHES_BYTES // (size * max(16, _array_bytes(rows[0]))))
    for start in range(0, len(rows), step):
        run = rows[start : start + step]
        made = batching.collate(run)
        if len(run) == size or is_settled(made, run[0], batching.default_dtype):
            yield BATCHES, len(run), made
        else:
            yield from ((BATCHES, size, batching.collate(run[at : at + size])) for at in range(0, len(run), size))


def _is_masked(batch: Any) -> bool:
    if isinstance(batch, dict | tuple):
        return any(map(_is_masked, batch.values() if isinstance(batch, dict) else batch))
    return isinstance(batch, np.ma.MaskedArray)


def _cut(part: Any, rows: slice) -> Any:
    if type(part) is dict:
        return {key: _cut(value, rows) for key, value in part.items()}
    if type(part) is tuple:
        return tuple([_cut(value, rows) for value in part])
    return part[rows]


def _is_told(dtype: np.dtype[Any]) -> bool:
    """Say whether scalars of a dtype that has travelled are of the class that they were of."""
    return is_extended(dtype) or np.dtype(dtype.str).type is dtype.type


def _numbers(rows: Sequence[Any], uniform: type | None) -> Any:
    """Give an array that comes back as the same numbers; None where there is none."""
    if type(rows) is not list or type(rows[0]) not in DTYPES:
        return None
    if uniform is None and len(set(map(type, rows))) > 1:
        return None
    made = np.array(rows)
    return made if made.dtype == DTYPES[type(rows[0])] else None  # else there are ints of more than 64 bits


def _array_bytes(sample: Any) -> int:
    """Add up the arrays of a sample."""
    kind = type(sample)
    if kind is np.ndarray:
        return int(sample.nbytes)
    if kind is dict:
        return sum(map(_array_bytes, sample.values()))
    return sum(map(_array_bytes, sample)) if kind is tuple else 0


def _column(parts: Sequence[Any]) -> tuple[Any, ...]:
    """Lay one part of each sample end to end, and its parts in turn."""
    first = parts[0]
    if set(map(type, parts)) != {type(first)}:
        return PLAIN, parts
    if type(first) is dict:
        keys = tuple(first)
        if keys and set(map(tuple, parts)) == {keys}:
            return DICT, list(keys), [_column([part[key] for part in parts]) for key in keys]
    elif type(first) is tuple:
        if first and set(map(len, parts)) == {len(first)}:
            return TUPLE, [_column(column) for column in zip(*parts, strict=True)]
    elif type(first) is np.ndarray and is_stackable(first) and _is_alike(parts):
        # Along the first dimension, which is there: to stack would cost a view of each part.
        return ARRAY, np.concatenate(parts).reshape(len(parts), *first.shape)
    return PLAIN, list(parts)


def _is_alike(arrays: Sequence[Any]) -> bool:
    return len({array.dtype for array in arrays}) == 1 and len({array.shape for array in arrays}) == 1


def is_column(column: Any, count: int) -> bool:
    """Say whether a column holds so many parts, without taking it apart."""
    match column:
        case (0, np.ndarray() as parts):
            return parts.ndim > 0 and len(parts) == count
        case (1, list() as parts):
            return len(parts) == count
        case (2, list() as keys, list() as columns):
            return len(keys) == len(columns) and all(is_column(each, count) for each in columns)
        case (3, list() as columns):
            return bool(columns) and all(is_column(each, count) for each in columns)
    return False


def _rows(column: tuple[Any, ...]) -> list[Any]:
    """Take apart what `_column` laid together."""
    match column:
        case (0 | 1, parts):  # ARRAY | PLAIN: views of the array, or the parts themselves
            return list(parts)
        case (2, keys, columns):  # DICT
            if len(keys) > MOST_KEYS:
                return [dict(zip(keys, values, strict=True)) for values in zip(*map(_rows, columns), strict=True)]
            return _dicts(len(keys))(keys, *map(_rows, columns))
        case (3, columns):  # TUPLE
            return list(zip(*map(_rows, columns), strict=True))
    raise ValueError("a column in no known form")


@lru_cache(maxsize=64)
def _dicts(size: int) -> Callable[..., list[Any]]:
    """Write the function that makes dicts of so many columns: a display costs a third of ``dict(zip(…))``."""
    numbers = range(size)
    names = ", ".join(f"v{number}" for number in numbers)
    columns = ", ".join(f"c{number}" for number in numbers)
    made = ", ".join(f"k{number}: v{number}" for number in numbers)
    keys = ", ".join(f"k{number}" for number in numbers)
    source = f"lambda keys, {columns}: (lambda {keys}: [{{{made}}} for {names}, in zip({columns}, strict=True)])(*keys)"
    function: Callable[..., list[Any]] = eval(source, {"zip": zip})  # noqa: S307 - nothing of the user's is in it
    return function
