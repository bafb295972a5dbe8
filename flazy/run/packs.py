"""Packing: sequences laid end to end in rows of one length."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from flazy.collate import at, collate, is_arraylike
from flazy.errors import BatchError
from flazy.located import spell_address
from flazy.plan.batching import Pack
from flazy.plan.functions import row_of
from flazy.run.batches import Batches
from flazy.run.stages import Remark, Stage

__all__ = ["PackStage"]


class Row:
    """A row that is being filled with sequences."""

    def __init__(self, length: int) -> None:
        self.room = length
        self.pieces: list[Any] = []
        self.lengths: list[int] = []

    def add(self, piece: Any, length: int) -> None:
        """Lay a piece behind the others; there is room for it."""
        self.pieces.append(piece)
        self.lengths.append(length)
        self.room -= length


class PackStage(Batches):
    """Rows of sequences, with the numbers of the sequences and the places in them."""

    noun = "row"

    def __init__(self, node: Pack, upstream: Stage, remark: Remark) -> None:
        super().__init__(node, upstream, remark)
        self.node = node
        self.length = node.row.length

    def stream(self) -> Generator[Any, None, None]:
        """Give rows."""
        rows = self._cut() if self.node.open_rows is None else self._fitted(self.node.open_rows)
        for row in rows:
            if row.room and self.node.drop_remainder:
                self.dropped(len(row.pieces))
                return
            batch = self.batch(row)
            del row  # the caller's row is the only one that is held
            yield batch
            del batch

    def made(self, samples: Row) -> Any:
        """Lay end to end, and say what is where."""
        packed = collate(samples.pieces, None, leaves=self.node.row)
        named = packed if isinstance(packed, dict) else {"values": packed}
        lengths = np.array(samples.lengths)
        filled = self.length - samples.room
        segment_ids, positions = np.zeros((2, self.length), np.int32)
        segment_ids[:filled] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
        positions[:filled] = np.arange(filled) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        beside = {"segment_ids": segment_ids, "positions": positions}
        if taken := named.keys() & beside:
            raise BatchError(f"the samples have a {min(taken)!r} of their own, which pack() adds; rename it before")
        return named | beside

    def _fitted(self, open_rows: int) -> Iterator[Row]:
        """Put each sequence into the first row that has room for it."""
        rows: list[Row] = []
        for sample, count in self._sequences():
            if count > self.length:
                raise self._refused(
                    f"a sequence of {count} does not fit into a row of {self.length}; cut it in a map() before, or say "
                    "split=True, which cuts at the end of each row"
                )
            row = next((row for row in rows if row.room >= count), None)
            if row is None:
                row = Row(self.length)
                rows.append(row)
            row.add(sample, count)
            if not row.room:
                rows.remove(row)
                yield row
            elif len(rows) > open_rows:
                yield rows.pop(0)
        yield from rows

    def _cut(self) -> Iterator[Row]:
        """Lay all sequences end to end, and cut wherever a row is full."""
        row = Row(self.length)
        for sample, count in self._sequences():
            start = 0
            while start < count:
                stop = min(count, start + row.room)
                row.add(row_of(sample, slice(start, stop)), stop - start)
                start = stop
                if not row.room:
                    yield row
                    row = Row(self.length)
        if row.pieces:
            yield row

    def _sequences(self) -> Iterator[tuple[Any, int]]:
        """Give samples and their lengths; empty ones have no place in a row."""
        for sample in self.upstream:
            try:
                count = _length(sample)
            except BatchError as error:
                raise self._refused(str(error)) from None
            if count:
                yield sample, count

    def _refused(self, why: str) -> BatchError:
        return BatchError(f"{self.name}, sample {spell_address(self.upstream.address)}: {why}")


def _length(sample: Any, key: str = "") -> int:
    """Give the first dimension that all arrays of a sample have."""
    if isinstance(sample, Mapping | tuple):
        parts = dict(sample if isinstance(sample, Mapping) else enumerate(sample))
        lengths = {name: _length(part, f"{key}[{name!r}]") for name, part in parts.items()}
        if len(set(lengths.values())) != 1:
            raise BatchError(f"{at(key)}the parts of a sequence must be equally long, not {lengths}")
        return next(iter(lengths.values()))
    is_array = isinstance(sample, np.ndarray) or (is_arraylike(type(sample)) and hasattr(sample, "__len__"))
    if isinstance(sample, list) or (is_array and np.ndim(sample)):
        return len(sample)
    raise BatchError(
        f"{at(key)}pack() needs arrays or lists with a first dimension, not {type(sample).__name__}; "
        "select() the keys that are sequences before"
    )
