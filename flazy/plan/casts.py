"""The function behind ``cast``: other dtypes for the numbers of a sample, with everything else as it was.

The one rule: what a dtype cannot hold is an error, never another number; fractions may be rounded.  To find it costs
little: where the least and the greatest number of an array fit, so do those between them, except large whole numbers
in floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flazy.collate import as_array, is_arraylike
from flazy.dtypes import dtype_named, family, is_extended, limits, whole_to
from flazy.errors import InvalidArgument, InvalidType, MissingKey
from flazy.ragged import Ragged

__all__ = ["Cast", "spelled", "targets"]

NUMBERS = frozenset({bool, int, float, complex})


class Cast:
    """Cast the leaves of a sample that ``targets`` names; see `targets` for what that may be."""

    def __init__(self, targets: Any) -> None:
        self.targets = targets

    def __call__(self, sample: Any) -> Any:
        """Give a sample of the same structure; what has its dtype already is given as it is, without a copy."""
        return _named(sample, self.targets, "")


def targets(spec: Any) -> Any:
    """Check what a user has written: a dtype, or dicts and tuples of dtypes and None.

    Raises
    ------
    InvalidType, InvalidArgument
        For what is no dtype, or not one of numbers.
    MissingExtra
        For a dtype of ml_dtypes where that is not installed.
    """
    if isinstance(spec, Mapping):
        return {key: None if part is None else targets(part) for key, part in spec.items()}
    if isinstance(spec, tuple):
        return tuple([None if part is None else targets(part) for part in spec])
    if spec is None:
        raise InvalidType("cast() needs a dtype, e.g. cast('float32'), or cast({'image': 'bfloat16'})")
    dtype = dtype_named(spec, f"cast({spec!r})")
    if not family(dtype):
        raise InvalidArgument(f"cast() is for numbers, and {dtype} is no dtype of numbers; use map()")
    return dtype


def spelled(targets: Any) -> str:
    """Spell targets as a user writes them."""
    if isinstance(targets, dict):
        return f"{{{', '.join(f'{key!r}: {spelled(part)}' for key, part in targets.items())}}}"
    if isinstance(targets, tuple):
        return f"({', '.join(map(spelled, targets))}{',' * (len(targets) == 1)})"
    return "None" if targets is None else repr(targets.name)


# Structures ---------------------------------------------------------------------------------------------------------


def _named(sample: Any, targets: Any, key: str) -> Any:
    if targets is None:
        return sample
    if isinstance(targets, dict):
        if not isinstance(sample, Mapping):
            raise InvalidType(f"cast() names the keys {_names(targets)} where sample{key} is {_kind(sample)}")
        if missing := [name for name in targets if name not in sample]:
            raise MissingKey(f"no key {missing[0]!r} in sample{key} to cast; its keys are {_names(sample)}")
        return {name: _named(part, targets.get(name), f"{key}[{name!r}]") for name, part in sample.items()}
    if isinstance(targets, tuple):
        if not isinstance(sample, tuple) or len(sample) != len(targets):
            raise InvalidType(f"cast() names a tuple of {len(targets)} where sample{key} is {_kind(sample)}")
        pairs = enumerate(zip(sample, targets, strict=True))
        parts = [_named(part, target, f"{key}[{place}]") for place, (part, target) in pairs]
        return tuple.__new__(type(sample), parts)  # a named tuple, too
    return _every(sample, targets, key)


def _every(sample: Any, dtype: np.dtype[Any], key: str) -> Any:
    """Cast all leaves that are numbers."""
    if isinstance(sample, np.ndarray):
        return _cast(sample, dtype, key) if family(sample.dtype) else sample
    if isinstance(sample, np.generic):
        return _cast(np.asarray(sample), dtype, key)[()] if family(sample.dtype) else sample
    if type(sample) in NUMBERS:
        return _cast(_array_of(sample, key), dtype, key)[()]
    if isinstance(sample, Ragged):
        return Ragged(_every(sample.values, dtype, f"{key}.values"), sample.offsets)
    if isinstance(sample, Mapping):
        return {name: _every(part, dtype, f"{key}[{name!r}]") for name, part in sample.items()}
    if isinstance(sample, tuple | list):
        parts = [_every(part, dtype, f"{key}[{place}]") for place, part in enumerate(sample)]
        return tuple.__new__(type(sample), parts) if isinstance(sample, tuple) else parts
    if is_arraylike(type(sample)):
        return _every(as_array(sample, f"sample{key}"), dtype, key)
    return sample


def _array_of(number: Any, key: str) -> np.ndarray[Any, Any]:
    made = np.asarray(number)
    if made.dtype != object:
        return made
    try:  # an int of more than 64 bits
        return np.asarray(float(number))
    except OverflowError:
        raise OverflowError(f"sample{key} has an int of {number.bit_length()} bits, which no dtype can hold") from None


# Numbers ------------------------------------------------------------------------------------------------------------


def _cast(array: np.ndarray[Any, Any], dtype: np.dtype[Any], key: str) -> np.ndarray[Any, Any]:
    if array.dtype == dtype:
        return array
    if family(array.dtype) == "c" and family(dtype) != "c":
        raise InvalidType(f"sample{key} is complex, and {dtype.name} is not; take .real in a map() before cast()")
    if family(dtype) != "b" and not np.can_cast(array.dtype, dtype, "safe"):
        wrong = _misfits(_plain(array), np.empty(0, dtype).real.dtype if family(dtype) == "c" else dtype)
        if wrong.size:
            raise OverflowError(f"sample{key} has {wrong[0].item()!r}, which {dtype.name} cannot hold")
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Give all numbers of an array, in a row and in a dtype with which numpy calculates."""
    numbers = array.compressed() if isinstance(array, np.ma.MaskedArray) else array.reshape(-1)
    if is_extended(numbers.dtype):
        return numbers.astype(np.float32 if family(numbers.dtype) == "f" else np.int64)
    if family(numbers.dtype) == "c":
        numbers = np.ascontiguousarray(numbers).view(numbers.real.dtype)
    return numbers


def _misfits(numbers: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Give the numbers that a dtype cannot hold, rounded or cut to an integer as may be."""
    if numbers.size:
        ends = np.array([numbers.min(), numbers.max()])  # NaN, where there is one, is both
        if np.isfinite(ends).all() and _fit(ends, dtype).all() and _has_all_between(ends, dtype):
            return numbers[:0]
    misfits: np.ndarray[Any, Any] = numbers[~_fit(numbers, dtype)]
    return misfits


def _has_all_between(ends: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> bool:
    """Say whether a dtype that holds both ends holds all of their dtype between them."""
    if family(dtype) != "f" or ends.dtype.kind not in "iu":
        return True
    return max(-int(ends[0]), int(ends[1])) <= whole_to(dtype)


def _fit(numbers: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> Any:
    least, greatest = limits(dtype)
    with np.errstate(all="ignore"):
        if family(dtype) == "f" and numbers.dtype.kind in "iu":  # a token of 50257 is not one of 50176
            kept = numbers.astype(dtype).astype(np.float64)
            same = (kept < int(np.iinfo(numbers.dtype).max) + 1) & (kept.astype(numbers.dtype) == numbers)
            return (least <= numbers) & (numbers <= greatest) & same
        if family(dtype) == "f":
            kept = numbers.astype(dtype).astype(np.float64)  # of use for NaN and infinities, which not all dtypes have
            endless = np.where(np.isnan(numbers), np.isnan(kept), kept == numbers)
            return np.where(np.isfinite(numbers), (least <= numbers) & (numbers <= greatest), endless)
        whole = np.trunc(numbers) if numbers.dtype.kind == "f" else numbers
        return (least <= whole) & (whole < greatest + 1)


# Words --------------------------------------------------------------------------------------------------------------


def _names(mapping: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, mapping)) or "none"


def _kind(sample: Any) -> str:
    return f"a tuple of {len(sample)}" if isinstance(sample, tuple) else f"of type {type(sample).__name__}"
