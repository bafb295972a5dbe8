"""Rows of different lengths in two arrays: what `ragged_batch` gives, and what has to be known to take it apart."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flazy.errors import InvalidArgument

__all__ = ["Ragged"]


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """A batch of arrays that differ in their first dimension, end to end, without padding.

    Parameters
    ----------
    values
        All rows, concatenated along their first dimension: shape ``(total, …)``, any dtype.
    offsets
        Where each row begins, and the end of the last: shape ``(rows + 1,)``, int64, from 0 to ``total``, never
        falling. Row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.

    Raises
    ------
    InvalidArgument
        If the two do not fit together.

    Notes
    -----
    It is what ``torch.nested.nested_tensor_from_jagged(values, offsets)`` and
    ``tf.RaggedTensor.from_row_splits(values, offsets)`` take, and the layout of Arrow's lists. The object is frozen,
    its arrays are ordinary ones. Two of them are equal only if they are the same object, as arrays have no single
    answer either: compare ``values`` and ``offsets``.

    Examples
    --------
    >>> import numpy as np
    >>> from flazy import Ragged
    >>> words = Ragged(np.array([3, 1, 4, 1, 5]), np.array([0, 2, 2, 5]))
    >>> len(words), words.lengths.tolist()
    (3, [2, 0, 3])
    >>> [row.tolist() for row in words]
    [[3, 1], [], [4, 1, 5]]
    """

    values: Any
    offsets: Any

    def __post_init__(self) -> None:
        offsets = np.asarray(self.offsets)
        if offsets.ndim != 1 or not len(offsets) or offsets.dtype.kind not in "iu":
            raise InvalidArgument(f"offsets must be one row of whole numbers, not {offsets.dtype} of {offsets.shape}")
        offsets = offsets.astype(np.int64, copy=False)
        total = len(self.values)
        if offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
            raise InvalidArgument(f"offsets must rise from 0 to {total}, the number of values")
        object.__setattr__(self, "offsets", offsets)

    @property
    def lengths(self) -> Any:
        """The length of each row: shape ``(rows,)``, int64."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Any:
        """Give one row, as a view of the values; negative numbers count from the end."""
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        place %= len(self)
        return self.values[self.offsets[place] : self.offsets[place + 1]]

    def __iter__(self) -> Iterator[Any]:
        """Give the rows, as views of the values."""
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        """Show what it holds, not all of it."""
        return f"Ragged({len(self)} rows, {self.values.dtype} values of shape {self.values.shape})"
