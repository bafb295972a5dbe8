"""The samples of one batch as they came from workers, in pieces, and how the batch is made of them.

Where all pieces are rows of one block, which workers have filled, the batch is a view of it.  Where it was collated in
a worker, it is there already.  Everything else is gathered: taken apart to samples and collated, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import DTypeLike

from flazy.collate import STACKED, Stacked, collate
from flazy.errors import ProtocolError
from flazy.transport.arena import Lease
from flazy.transport.layout import Layout
from flazy.transport.parts import batches_checked, rows_checked, slab_checked
from flazy.transport.stretches import BATCHES, FILLED, Stretch, batches_of

__all__ = ["Group", "grouped"]


class Rows:
    """Samples."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """Count them."""
        return len(self._rows)

    def cut(self, start: int, stop: int) -> Rows:
        """Give some of them."""
        return Rows(self._rows[start:stop])

    def samples(self) -> Sequence[Any]:
        """Give them all."""
        return self._rows


class Filled:
    """Samples whose arrays lie in rows of a block; ``beside`` has a column for each leaf that is no array."""

    def __init__(self, lease: Lease, layout: Layout, first: int, count: int, beside: list[list[Any]]) -> None:
        self.lease = lease
        self.layout = layout
        self.first = first
        self.count = count
        self.beside = beside

    def __len__(self) -> int:
        """Count them."""
        return self.count

    def cut(self, start: int, stop: int) -> Filled:
        """Give some of them."""
        beside = [column[start:stop] for column in self.beside]
        return Filled(self.lease, self.layout, self.first + start, stop - start, beside)

    def samples(self) -> Sequence[Any]:
        """Give them all, as views of the block."""
        views = self.layout.views(self.lease.memory)
        return self.layout.samples([view[self.first : self.first + self.count] for view in views], self.beside)


@dataclass(slots=True)
class Whole:
    """A batch that a worker has collated."""

    batch: Any


Piece = Rows | Filled


class Group:
    """As many samples as make a batch, or what is left at the end."""

    def __init__(self, pieces: Sequence[Piece], count: int, whole: Whole | None = None) -> None:
        self._pieces = pieces
        self._count = count
        self._whole = whole

    def __len__(self) -> int:
        """Count the samples."""
        return self._count

    def samples(self) -> list[Any]:
        """Give them all."""
        return [sample for piece in self._pieces for sample in piece.samples()]

    def collate(self, default_dtype: DTypeLike | None, leaves: Stacked = STACKED) -> Any:
        """Make the batch; workers make, or fill, none but of arrays that are stacked.

        Raises
        ------
        BatchError
            Where the samples do not make one.
        """
        if self._whole is not None:
            return self._whole.batch
        if len(self._pieces) == 1 and isinstance(self._pieces[0], Rows):
            return collate(self._pieces[0].samples(), default_dtype, leaves=leaves)
        filled = _in_one_block(self._pieces)
        if filled is None:
            return collate(self.samples(), default_dtype, leaves=leaves)
        first = filled[0]
        views = [view[first.first : first.first + self._count] for view in first.layout.views(first.lease.memory)]
        parts = zip(*(piece.beside for piece in filled), strict=True)
        beside = [[value for column in columns for value in column] for columns in parts]
        return first.layout.batch(views, beside, default_dtype)


def _in_one_block(pieces: Sequence[Piece]) -> list[Filled] | None:
    """Give the pieces if they are rows of one block that follow each other."""
    filled = [piece for piece in pieces if isinstance(piece, Filled)]
    if len(filled) < len(pieces):
        return None
    row = filled[0].first
    for piece in filled:
        if piece.lease is not filled[0].lease or piece.layout is not filled[0].layout or piece.first != row:
            return None
        row += piece.count
    return filled


def grouped(stretches: Iterable[tuple[Stretch, Lease | None]], size: int) -> Iterator[Group]:
    """Put what workers sent together, ``size`` samples each; the last group may be smaller."""
    pieces: list[Piece] = []
    count = 0
    for stretch, lease in stretches:
        if stretch[0] == BATCHES:
            if pieces:
                raise ProtocolError("batches that do not begin with their first sample")
            for batch in batches_of(batches_checked(stretch, size), size):
                yield Group((), size, Whole(batch))
            continue
        piece = _piece(stretch, lease)
        start = 0
        while start < len(piece):
            stop = min(len(piece), start + size - count)
            pieces.append(piece.cut(start, stop) if (start, stop) != (0, len(piece)) else piece)
            count += stop - start
            start = stop
            if count == size:
                yield Group(pieces, count)
                pieces, count = [], 0
    if pieces:
        yield Group(pieces, count)


def _piece(stretch: Stretch, lease: Lease | None) -> Piece:
    kind, count, _ = stretch
    if kind != FILLED:
        return Rows(rows_checked(stretch))
    lease, layout, first, beside = slab_checked(stretch, lease)
    return Filled(lease, layout, first, count, beside)
