"""What ``Dataset(...)`` accepts, checked early and made iterable once for each pass."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from itertools import islice, repeat
from typing import Any

import numpy as np

from flazy.errors import InvalidArgument, InvalidType, LengthMismatch, OneShotSource
from flazy.plan.functions import name_of
from flazy.plan.nodes import Source

__all__ = ["POSITIONED", "Rows", "source_of", "source_of_columns", "taker"]

Pull = Callable[[], Iterable[Any]]
Take = Callable[[int], Sequence[Any]]

# Iterators that tell how much is left, and cannot raise.
POSITIONED: tuple[type, ...] = (type(iter(range(0))), type(iter([])), type(iter(())))
_STEADY = frozenset({range, list, tuple, np.ndarray})


def source_of(data: object) -> Source:
    """Make a source of one iterable, callable or data frame.

    Raises
    ------
    InvalidType
        For what is not iterable, and for a str, bytes or dict, of which the samples would be letters or keys.
    """
    if isinstance(data, str | bytes | bytearray):
        raise InvalidType(
            f"Dataset({_short(data)}) would be a dataset of its letters; a file is read with "
            "Dataset.read.<format>(path), and a list of one string is Dataset([text])"
        )
    if isinstance(data, Mapping):
        raise InvalidType("Dataset(dict) would be a dataset of its keys; say Dataset(**columns), or Dataset(d.items())")
    if isinstance(data, os.PathLike):
        raise InvalidType("Dataset(path) reads no file; say Dataset.read.<format>(path)")
    pull, length, label = _column(data)
    return Source(pull, label, length)


def source_of_columns(columns: Mapping[str, object] | tuple[object, ...]) -> Source:
    """Make a source of several columns side by side: dicts of a mapping, tuples of a tuple.

    Raises
    ------
    InvalidArgument
        If columns with a known length differ in it.
    """
    named = isinstance(columns, Mapping)
    names: list[Any] = list(columns) if named else list(range(len(columns)))
    values = columns.values() if isinstance(columns, Mapping) else columns
    kind = "column" if named else "argument"
    parts = [_column(part, f"{kind} {name!r}: ") for name, part in zip(names, values, strict=True)]
    lengths = {name: length for name, (_, length, _) in zip(names, parts, strict=True) if length is not None}
    if len(set(lengths.values())) > 1:
        raise InvalidArgument(f"columns of a dataset must be equally long, not {lengths}")
    spelled = [f"{name}={label}" if named else label for name, (_, _, label) in zip(names, parts, strict=True)]
    pulls = [pull for pull, _, _ in parts]
    steady = {type(part) for part in values} <= _STEADY

    pull = partial(_together, names, pulls, named=named, steady=steady)
    return Source(pull, ", ".join(spelled), next(iter(lengths.values()), None))


def _together(names: list[Any], pulls: list[Pull], *, named: bool, steady: bool) -> Iterable[Any]:
    together: Iterator[Any] = _zipped(names, pulls)
    if named:
        together = map(dict, map(zip, repeat(names), together))
    return Steady(together) if steady else together


def _zipped(names: list[Any], pulls: list[Pull]) -> Iterator[tuple[Any, ...]]:
    try:
        yield from zip(*[pull() for pull in pulls], strict=True)
    except ValueError as error:
        # zip() itself says so in these words and has no frame; a ValueError of a column's own passes.
        if not str(error).startswith("zip() argument") or (error.__traceback__ and error.__traceback__.tb_next):
            raise
        which = names[int(str(error).split()[2]) - 1]
        raise LengthMismatch(
            f"columns of a dataset must be equally long: {str(error)[6:]} (column {which!r})"
        ) from None


def _column(data: object, name: str = "") -> tuple[Pull, int | None, str]:
    """Give how to iterate one column afresh, its length if known, and how it is spelled."""
    if isinstance(data, np.ndarray):
        if data.ndim == 0:
            raise InvalidType(f"{name}an array without dimensions cannot be split into samples")
        # Other classes have rows of their own making.
        rows: Pull = partial(Rows if type(data) is np.ndarray else _rows, data)
        return rows, len(data), f"array{data.shape} {data.dtype}"
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _frame(data)
    if callable(data) and not isinstance(data, Iterable):
        return partial(_called, data), None, name_of(data)
    if isinstance(data, Iterator):
        return _once(data), None, type(data).__name__
    if isinstance(data, Iterable):
        return partial(_given, data), _length(data), _short(data)
    raise InvalidType(
        f"{name}a dataset is made of iterables, arrays or functions that give them, not {type(data).__name__}"
    )


class Steady:
    """Samples of which the making runs nobody's code, and cannot block."""

    def __init__(self, samples: Iterator[Any]) -> None:
        self._samples = samples

    def __iter__(self) -> Iterator[Any]:
        """Give them; once."""
        return self._samples


class Rows:
    """The samples of a plain array, one by one or a slice at a time."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __iter__(self) -> Iterator[Any]:
        """Give one by one."""
        return _rows(self._array)

    def __getitem__(self, part: slice) -> Any:
        """Give a copy of a part as an array, of which the rows lie in memory as those that are given one by one."""
        return self._array[part].copy()


def taker(iterable: Iterable[Any], iterator: Iterator[Any]) -> Take | None:
    """Give what takes the next so many samples at once, and none at the end only.

    Parameters
    ----------
    iterable
        What the samples come from, where parts can be had of it without taking each.
    iterator
        That over the iterable; None is given where it could block or run anyone's code.
    """
    if isinstance(iterable, range | Rows):
        return _slicer(iterable)
    return _collector(iterator) if isinstance(iterable, Steady) or type(iterator) in POSITIONED else None


def _collector(iterator: Iterator[Any]) -> Take:
    failed: list[BaseException] = []

    def take(count: int) -> Sequence[Any]:
        values: list[Any] = []
        try:
            values.extend(islice(iterator, 0 if failed else count))
        except LengthMismatch as error:  # comes behind what was taken before it
            failed.append(error)
        if failed and not values:
            raise failed.pop()
        return values

    return take


def _slicer(whole: range | Rows) -> Take:
    at = 0

    def take(count: int) -> Sequence[Any]:
        nonlocal at
        at += count
        return whole[at - count : at]

    return take


def _rows(array: np.ndarray[Any, Any]) -> Iterator[Any]:
    # Rows are copies: a function that changes its sample in place must not change the source for the next pass.
    return iter(array) if array.ndim == 1 else map(np.ndarray.copy, array)


def _given(data: Iterable[Any]) -> Iterable[Any]:
    return data


def _called(make: Callable[[], Any]) -> Iterable[Any]:
    made = make()
    if isinstance(made, Iterable):
        return made
    if hasattr(made, "__getitem__"):
        items: Iterator[Any] = iter(made)
        return items
    raise InvalidType(f"{name_of(make)}() must give something to iterate, not {type(made).__name__}")


def _once(iterator: Iterator[Any]) -> Pull:
    left = [iterator]

    def pull() -> Iterable[Any]:
        if not left:
            raise OneShotSource(
                f"this {type(iterator).__name__} was iterated before and cannot start again; "
                "give a function that makes a new one, e.g. Dataset(lambda: generator())"
            )
        return left.pop()

    return pull


def _frame(frame: Any) -> tuple[Pull, int | None, str]:
    columns = [*frame.columns]
    if len(set(columns)) < len(columns):
        raise InvalidArgument(f"a data frame needs different names for its columns, not {columns}")
    return partial(_frame_rows, columns, frame), len(frame), f"DataFrame[{', '.join(map(str, columns))}]"


def _frame_rows(columns: list[Any], frame: Any) -> Iterable[Any]:
    return map(dict, map(zip, repeat(columns), frame.itertuples(index=False, name=None)))


def _length(data: object) -> int | None:
    if not isinstance(data, Sized):
        return None
    try:
        return len(data)
    except TypeError:  # a dataset of unknown length
        return None


def _short(data: object) -> str:
    text = repr(data) if isinstance(data, str | bytes | range) else type(data).__name__
    if not isinstance(data, str | bytes | range) and (length := _length(data)) is not None:
        text += f" of {length}"
    return text if len(text) <= 60 else text[:57] + "…"
