"""The functions behind ``select``, ``select_tuple``, ``starmap`` and ``unbatch``: small, picklable by reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flazy.errors import InvalidType, MissingKey

__all__ = ["Getter", "Selected", "SelectedTuple", "Starred", "name_of", "row_of", "unstack"]


def name_of(fn: object) -> str:
    """Spell a callable for plans and messages."""
    name = getattr(fn, "__qualname__", None) or getattr(getattr(fn, "func", None), "__qualname__", None)
    return str(name).rpartition("<locals>.")[2] if name else type(fn).__qualname__


class Selected:
    """Keep some keys of a dict, in the order asked for; or some positions of a tuple."""

    def __init__(self, keys: tuple[Any, ...]) -> None:
        self.keys = keys

    def __call__(self, sample: Any) -> Any:
        """Give the smaller dict or tuple."""
        values = SelectedTuple(self.keys)(sample)
        return dict(zip(self.keys, values, strict=True)) if isinstance(sample, Mapping) else values


class SelectedTuple:
    """Make a tuple of the values of some keys or positions."""

    def __init__(self, keys: tuple[Any, ...]) -> None:
        self.keys = keys

    def __call__(self, sample: Any) -> tuple[Any, ...]:
        """Give the tuple."""
        try:
            return tuple([sample[key] for key in self.keys])
        except (KeyError, IndexError, TypeError):
            pass
        if isinstance(sample, Mapping):
            missing = [key for key in self.keys if key not in sample]
            raise MissingKey(f"no key {missing[0]!r} in the sample; its keys are {', '.join(map(repr, sample))}")
        if isinstance(sample, tuple | list):
            raise MissingKey(f"no positions {self.keys!r} in a sample of {len(sample)}")
        raise InvalidType(f"select needs dicts or tuples, not {type(sample).__name__}")


class Starred:
    """Call with the parts of a tuple as arguments, or those of a dict as keywords."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __call__(self, sample: Any, *resource: Any) -> Any:
        """Call; a resource comes last, behind a dict as the keyword ``resource``."""
        if isinstance(sample, Mapping):
            return self.fn(**sample, **({"resource": resource[0]} if resource else {}))
        if not isinstance(sample, tuple | list):
            raise InvalidType(f"starmap needs tuples or dicts, not {type(sample).__name__}; use map")
        return self.fn(*sample, *resource)


class Getter:
    """Fetch an item of an indexed object."""

    def __init__(self, indexed: Any) -> None:
        self.indexed = indexed

    def __call__(self, index: int) -> Any:
        """Give the item; its lookup is the user's code."""
        return self.indexed[index]


def unstack(batch: Any) -> Iterator[Any]:
    """Split a batch along the first dimension of its arrays: the inverse of collation."""
    count = _rows(batch)
    for index in range(count):
        yield row_of(batch, index)


def _rows(batch: Any) -> int:
    if isinstance(batch, Mapping | tuple):
        parts = list(batch.values() if isinstance(batch, Mapping) else batch)
        counts = [_rows(part) for part in parts]
        if len(set(counts)) != 1:
            names = list(batch) if isinstance(batch, Mapping) else range(len(parts))
            sizes = ", ".join(f"{name!r}: {count}" for name, count in zip(names, counts, strict=True))
            raise InvalidType(f"unbatch needs parts of one length, not {{{sizes}}}")
        return counts[0]
    if getattr(batch, "shape", None) == () or not hasattr(batch, "__len__"):
        raise InvalidType(f"unbatch needs arrays or lists with a first dimension, not {type(batch).__name__}")
    return len(batch)


def row_of(batch: Any, index: int | slice) -> Any:
    """Give one row of a batch, or with a slice some of them, in its structure."""
    if isinstance(batch, Mapping):
        return {key: row_of(part, index) for key, part in batch.items()}
    if isinstance(batch, tuple):
        rows = [row_of(part, index) for part in batch]
        return type(batch)(*rows) if hasattr(batch, "_fields") else tuple(rows)
    return batch[index]
