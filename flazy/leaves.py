"""What may become of the arrays of a batch besides being stacked: padded, put end to end, or packed into a row.

Each class here stands in the place of `flazy.collate.Stacked`, and sees to one leaf at a time; structures, numbers and
text are `collate`'s alone.  What differs from leaf to leaf is said by key: a dict or tuple like the sample's own, of
which `below` gives each part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from flazy.collate import STACKED, Stacked, at, common_dtype, fits, two
from flazy.errors import BatchError
from flazy.ragged import Ragged

__all__ = ["EndToEnd", "Packed", "Padded"]


@dataclass(frozen=True, slots=True)
class Padded(Stacked):
    """Filled up at the end, along every axis, to the longest, or along the first axis to ``length``.

    Each of ``pad``, ``length`` and ``multiple_of`` is one value, or a dict or tuple of them by key.
    """

    verb: ClassVar[str] = "padded_batch"

    pad: Any = 0
    length: Any = None
    multiple_of: Any = None

    @property
    def options(self) -> list[str]:
        """Spell what was asked for besides the size."""
        said = {"pad": self.pad, "length": self.length, "multiple_of": self.multiple_of}
        return [f"{name}={value!r}" for name, value in said.items() if value != DEFAULTS[name]]

    def below(self, names: Collection[Any], key: str) -> Mapping[Any, Stacked]:
        """Give each part of the structure its own pad, length and multiple."""
        pads, lengths, multiples = [
            _parts(getattr(self, field), names, field, key) for field in ("pad", "length", "multiple_of")
        ]
        return {name: Padded(pads[name], lengths[name], multiples[name]) for name in names}

    def joined(self, rows: Sequence[Any], key: str) -> Any:
        """Make one array, allocated once, into which the rows are copied."""
        shapes = [row.shape for row in rows]
        shape = self._shape(shapes, key)
        if shapes.count(shape) == len(shapes):
            return STACKED.joined(rows, key)
        made = _filled((len(rows), *shape), self.pad, rows, key)
        for number, row in enumerate(rows):
            made[number, *map(slice, shapes[number])] = row
        return made

    def _shape(self, shapes: Sequence[tuple[int, ...]], key: str) -> tuple[int, ...]:
        if len(set(map(len, shapes))) > 1:
            different = two(shapes, len)
            raise BatchError(f"{at(key)}arrays with different numbers of dimensions cannot be padded: {different}")
        if not shapes[0]:
            return ()
        first, *others = map(max, zip(*shapes, strict=True))
        length = _one(self.length, "length", key)
        if length is not None and first > length:
            number = next(number for number, shape in enumerate(shapes) if shape[0] > length)
            raise BatchError(
                f"{at(key)}sample {number} of the batch is {shapes[number][0]} long, over length={length}; "
                "cut it in a map() before"
            )
        multiple = _one(self.multiple_of, "multiple_of", key) or 1
        return -(-(first if length is None else length) // multiple) * multiple, *others


@dataclass(frozen=True, slots=True)
class EndToEnd(Stacked):
    """Concatenated along the first axis, as a `Ragged`; ``keys`` says which parts of a sample, None all of them."""

    verb: ClassVar[str] = "ragged_batch"

    keys: tuple[Any, ...] | None = None

    @property
    def options(self) -> list[str]:
        """Spell what was asked for besides the size."""
        return [] if self.keys is None else [f"keys={list(self.keys)!r}"]

    def below(self, names: Collection[Any], key: str) -> Mapping[Any, Stacked]:
        """Leave the parts that were not named to be stacked."""
        if self.keys is None:
            return dict.fromkeys(names, self)
        _known(self.keys, names, "keys", key)
        return {name: EndToEnd() if name in self.keys else STACKED for name in names}

    def joined(self, rows: Sequence[Any], key: str) -> Any:
        """Make a `Ragged`; arrays without dimensions are stacked."""
        if self.keys is not None:
            raise BatchError(f"{at(key)}keys={list(self.keys)!r}, but the samples are arrays, without keys")
        if all(row.ndim == 0 for row in rows):
            return STACKED.joined(rows, key)
        _trailing(rows, key)
        common_dtype(rows, key)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return Ragged(_concatenated(rows), offsets)


@dataclass(frozen=True, slots=True)
class Packed(Stacked):
    """Concatenated along the first axis into a row of ``length``, whose rest is filled with ``pad``."""

    verb: ClassVar[str] = "pack"

    length: int
    pad: Any = 0

    def below(self, names: Collection[Any], key: str) -> Mapping[Any, Stacked]:
        """Give each part of the structure its own pad."""
        pads = _parts(self.pad, names, "pad", key)
        return {name: Packed(self.length, pads[name]) for name in names}

    def joined(self, rows: Sequence[Any], key: str) -> Any:
        """Make the row."""
        trailing = _trailing(rows, key)
        if sum(map(len, rows)) == self.length:
            common_dtype(rows, key)
            return _concatenated(rows)
        made = _filled((self.length, *trailing), self.pad, rows, key)
        stop = 0
        for row in rows:
            start, stop = stop, stop + len(row)
            made[start:stop] = row
        return made


# By key -----------------------------------------------------------------------------------------------------------

DEFAULTS: dict[str, Any] = {"pad": 0, "length": None, "multiple_of": None}


def _parts(value: Any, names: Collection[Any], what: str, key: str) -> Mapping[Any, Any]:
    """Take a value apart that may be one for all parts of a structure, or a structure itself."""
    if isinstance(value, Mapping):
        _known(value, names, what, key)
        return {name: value.get(name, DEFAULTS[what]) for name in names}
    if isinstance(value, tuple):
        if len(value) != len(names):
            raise BatchError(f"{at(key)}{what}= is a tuple of {len(value)}, the sample has {len(names)} parts")
        return dict(zip(names, value, strict=True))
    return dict.fromkeys(names, value)


def _known(keys: Collection[Any], names: Collection[Any], what: str, key: str) -> None:
    for name in keys:
        if name not in names:
            known = ", ".join(map(repr, names))
            raise BatchError(f"{at(key)}{what}= names {name!r}, which the samples have not; they have {known}")


def _one(value: Any, what: str, key: str) -> Any:
    if isinstance(value, Mapping | tuple):
        raise BatchError(f"{at(key)}{what}={value!r} is a structure, where the samples have an array")
    return value


def _filler(pad: Any, dtype: np.dtype[Any], key: str) -> Any:
    """Give the pad, if the dtype holds it as it is."""
    value = _one(pad, "pad", key)
    if dtype.kind != "O" and not fits(value.item() if isinstance(value, np.number | np.bool_) else value, dtype):
        raise BatchError(
            f"{at(key)}pad={value!r} does not fit into {dtype}; give one that does, by key where leaves differ: "
            "pad={'tokens': 0, 'labels': -100}"
        )
    return value


# Arrays -----------------------------------------------------------------------------------------------------------


def _trailing(rows: Sequence[Any], key: str) -> tuple[int, ...]:
    """Give the shape behind the first dimension, the same for all rows."""
    if any(row.ndim == 0 for row in rows) or len({row.shape[1:] for row in rows}) > 1:
        different = two(rows, lambda row: row.shape)
        raise BatchError(f"{at(key)}arrays may differ in their first dimension only: {different}")
    trailing: tuple[int, ...] = rows[0].shape[1:]
    return trailing


def _filled(shape: tuple[int, ...], pad: Any, rows: Sequence[Any], key: str) -> Any:
    """Make an array for the rows, full of padding: written once more where they are, but not one row at a time."""
    dtype = common_dtype(rows, key)
    filler = _filler(pad, dtype, key)
    if not filler and dtype.kind != "O":
        return _module(rows).zeros(shape, dtype)  # new pages are zeros, and cost nothing until they are used
    made = _module(rows).empty(shape, dtype)
    made[...] = filler
    return made


def _concatenated(rows: Sequence[Any]) -> Any:
    return _module(rows).concatenate(rows)


def _module(rows: Sequence[Any]) -> Any:
    """Give the module that makes arrays of this kind."""
    return np.ma if any(isinstance(row, np.ma.MaskedArray) for row in rows) else np
