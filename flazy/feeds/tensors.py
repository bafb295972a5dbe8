"""Samples to tensors and back: the same structure, arrays as tensors over the same memory.

====================================  ===========================================================
dict, tuple, named tuple, list        the same, part by part
array                                 tensor of its dtype that shares its memory
numpy scalar                          tensor without dimensions
array of str, bytes or objects        list, as PyTorch's own collation gives; its parts as below
bfloat16, float8 (ml_dtypes)          the same numbers in PyTorch, by a view of their bits
`flazy.Ragged`                        nested tensor of the jagged layout
int, float, str, None, other objects  as they are
====================================  ===========================================================

An array that nobody may write into, one that runs backwards and one of the other byte order is copied: PyTorch has no
such tensors.  What it has no dtype for is an error that names the key.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch

from flazy.collate import at
from flazy.errors import InvalidType
from flazy.ragged import Ragged

__all__ = ["moved", "tensor_of", "to_tensors"]

# Dtypes of ml_dtypes, by name -> the numbers that hold their bits.
BITS = {
    "bfloat16": np.int16,
    **dict.fromkeys(
        ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"], np.int8
    ),
}  # fmt: skip
TEXTS_AND_OBJECTS = "OSUT"


def to_tensors(sample: Any) -> Any:
    """Give a sample as tensors.

    Raises
    ------
    InvalidType
        For an array that has no tensor, naming its key.
    """
    return rebuilt(sample, _leaf, "")


def moved(sample: Any, placed: Callable[[Any], Any]) -> Any:
    """Give a sample with ``placed(tensor)``, say a copy on a device, in the place of each tensor."""

    def leaf(value: Any, _key: str) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if value.layout == torch.jagged:
            return torch.nested.nested_tensor_from_jagged(placed(value.values()), placed(value.offsets()))
        return placed(value)

    return rebuilt(sample, leaf, "")


def rebuilt(sample: Any, leaf: Callable[[Any, str], Any], key: str) -> Any:
    """Make the same structure of what ``leaf(part, key)`` makes of each part."""
    if isinstance(sample, Mapping):
        parts = {name: rebuilt(part, leaf, f"{key}[{name!r}]") for name, part in sample.items()}
        if type(sample) is dict or not isinstance(sample, MutableMapping):
            return parts
        made = copy.copy(sample)  # as PyTorch does it: it may hold more than its keys
        made.update(parts)
        return made
    if isinstance(sample, tuple | list):
        listed = [rebuilt(part, leaf, f"{key}[{place}]") for place, part in enumerate(sample)]
        if isinstance(sample, tuple):
            return tuple.__new__(type(sample), listed) if hasattr(sample, "_fields") else tuple(listed)
        return listed
    return leaf(sample, key)


def _leaf(value: Any, key: str) -> Any:
    if isinstance(value, np.character):
        return value.item()
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in TEXTS_AND_OBJECTS:
            return rebuilt(value.tolist(), _leaf, key)
        return _tensor_at(key, value)
    if isinstance(value, Ragged):
        parts = [_tensor_at(key, part) for part in (value.values, value.offsets)]
        return torch.nested.nested_tensor_from_jagged(*parts)
    return value


def _tensor_at(key: str, array: np.ndarray[Any, Any]) -> Any:
    try:
        return tensor_of(array)
    except TypeError:
        what = f"{'a masked' if isinstance(array, np.ma.MaskedArray) else 'an'} array of dtype {array.dtype}"
        raise InvalidType(
            f"{at(key)}PyTorch has no tensor for {what}; change it in a map(), or leave it out with select()"
        ) from None


def tensor_of(array: np.ndarray[Any, Any]) -> Any:
    """Give the tensor over an array's memory, or over that of a copy where PyTorch cannot share it.

    Raises
    ------
    TypeError
        If PyTorch has no such dtype.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("its mask would be lost")
    dtype = array.dtype
    if not _can_be_shared(array):
        array = array.astype(dtype.newbyteorder("="))
    if dtype.name in BITS:
        return torch.from_numpy(array.view(BITS[dtype.name])).view(getattr(torch, dtype.name))
    return torch.from_numpy(array.view(np.uint64) if dtype.char == "Q" else array)  # C has two names for 64 bits


def _can_be_shared(array: np.ndarray[Any, Any]) -> bool:
    strides = array.strides
    return (
        array.flags.writeable
        and array.dtype.isnative
        and not any(stride < 0 or stride % array.itemsize for stride in strides)
    )
