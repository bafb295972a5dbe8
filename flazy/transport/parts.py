"""What a result holds, checked when it is opened: by its consumer, since opening it may run the user's code.

A payload is a list: first the head, that is None or ``(origins, failure, skipped)``, then stretches (``stretches.py``).

The one rule: what comes out is as much as the message said, in forms that are known, or `ProtocolError` is raised.  The
part was received and counts then, so its task is not done again: the run ends with the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from flazy.errors import ProtocolError
from flazy.transport.arena import Lease
from flazy.transport.layout import Layout
from flazy.transport.payload import Payload
from flazy.transport.stretches import (
    BATCHES,
    COLUMN_BYTES,
    COLUMNS,
    FILLED,
    NUMBERS,
    ROWS,
    Stretch,
    is_column,
    rows_of,
)  # fmt: skip

__all__ = ["Head", "batches_checked", "checked", "opened", "rows_checked", "slab_checked"]

# Columns that say where values came from (None: one to one), the failure that ends them, samples that were left out.
Head = tuple[Any, Any, Any]

# Stage, index, offsets, name, message, traceback and class of the exception, and that itself.
FAILURE = (str, int, tuple, str, str, str, str, BaseException | tuple | None)
SKIPPED = (str, tuple, int, str)  # stage, address, cycle, and what went wrong


def opened(payload: Payload, outputs: int) -> tuple[Head, list[Stretch]]:
    """Open a payload that should hold so many outputs.

    Raises
    ------
    ProtocolError
        It does not, or is none.
    """
    values: list[Any] = payload.open()
    try:
        head, *stretches = values
        origins, failure, skipped = (None, None, []) if head is None else head
        total = sum(_count(count) for _, count, _ in stretches)
        said = total + len(skipped)
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a part that cannot be read: {error}") from error
    if said != outputs:
        raise ProtocolError(f"a part of {said} outputs that was said to have {outputs}")
    if origins is not None and not _are_origins(origins, total):
        raise ProtocolError("a part of which it cannot be said where its outputs came from")
    if failure is not None and not _is_failure(failure):
        raise ProtocolError("a part that is ended by what is no failure")
    if type(skipped) is not list or not all(_is_skipped(sample) for sample in skipped):
        raise ProtocolError("a part with what is no sample that was left out")
    return (origins, failure, skipped), stretches


def checked(payload: Payload, outputs: int, batch: int) -> None:
    """Look at all that a consumer will look at, samples included; ``batch`` is the size of what may be collated, or 0.

    Raises
    ------
    ProtocolError
        It would fail there.
    """
    _, stretches = opened(payload, outputs)
    try:
        for stretch in stretches:
            if batch and stretch[0] == BATCHES:
                batches_checked(stretch, batch)
            else:
                rows_checked(stretch)
    except RecursionError as error:
        raise ProtocolError("samples that are nested too deep to be looked at") from error


def rows_checked(stretch: Stretch) -> Sequence[Any]:
    """Give the samples of rows, numbers or columns.

    Raises
    ------
    ProtocolError
        It is another kind of stretch, or not of as many samples as it says.
    """
    kind, count, body = stretch
    try:
        rows = rows_of(stretch) if _is_sequence(kind, count, body) else None
        if rows is not None and len(rows) == count:
            return rows
    except Exception as error:
        raise ProtocolError(f"samples in a form that cannot be read: {error}") from error
    raise ProtocolError(f"{count} samples in no known form")


def batches_checked(stretch: Stretch, size: int) -> Stretch:
    """Give a stretch of whole batches.

    Raises
    ------
    ProtocolError
        It has another number of samples.
    """
    kind, count, body = stretch
    if kind != BATCHES or not count or count % size or not _are_rows(body, count):
        raise ProtocolError(f"{count} samples that are not batches of {size}")
    return stretch


def slab_checked(stretch: Stretch, lease: Lease | None) -> tuple[Lease, Layout, int, list[list[Any]]]:
    """Give where rows of a batch lie: the block, its layout, the first row; and the columns beside.

    Raises
    ------
    ProtocolError
        They lie nowhere, or not in the block.
    """
    kind, count, body = stretch
    try:
        (spec, rows, first), beside = body
        if kind != FILLED or lease is None or type(spec) is not bytes or _count(first) + count > _count(rows):
            raise ProtocolError(f"{count} rows that lie nowhere")
        layout = Layout.of(spec, rows)
        # Where no sample has anything beside, there is no column, and none of no rows.
        fits = len(beside) == layout.beside and {count}.issuperset(map(len, beside))
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"rows that cannot be read: {error}") from error
    if layout.nbytes > len(lease.memory) or not fits:
        raise ProtocolError("rows that do not lie in the block that was lent")
    return lease, layout, first, beside


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:  # Python would not even spell a larger one
        raise ProtocolError(f"a {type(value).__name__} in the place of a count")
    return int(value)


def _is_sequence(kind: object, count: int, body: Any) -> bool:
    """Say whether there are samples to take, no more than were sent: few bytes may stand for very many of nothing."""
    if kind == NUMBERS:
        return type(body) is np.ndarray and body.ndim == 1 and len(body) == count
    if kind == COLUMNS:
        return count <= COLUMN_BYTES and is_column(body, count)
    return kind == ROWS and type(body) in (list, range, np.ndarray)


def _are_origins(columns: object, count: int) -> bool:
    if type(columns) is not list or not columns:
        return False
    return all(type(each) is np.ndarray and each.dtype == np.int64 and each.shape == (count,) for each in columns)


def _is_failure(fields: object) -> bool:
    return _is_tuple(fields, FAILURE) and fields[1] >= 0 and _is_address((fields[1], *fields[2]))


def _is_skipped(fields: object) -> bool:
    return _is_tuple(fields, SKIPPED) and _is_address((fields[2], *fields[1]))


def _is_address(numbers: tuple[Any, ...]) -> bool:
    return all(type(number) is int and abs(number) < 2**63 for number in numbers)  # larger ones cannot be spelled


def _is_tuple(fields: Any, kinds: Sequence[Any]) -> TypeGuard[tuple[Any, ...]]:
    """Say whether it is a tuple of fields of these kinds."""
    return (
        type(fields) is tuple
        and len(fields) == len(kinds)
        and all(isinstance(field, kind) for field, kind in zip(fields, kinds, strict=True))
    )


def _are_rows(part: object, count: int) -> bool:
    if isinstance(part, dict | tuple):
        return all(_are_rows(each, count) for each in (part.values() if isinstance(part, dict) else part))
    return isinstance(part, np.ndarray) and part.ndim > 0 and len(part) == count
