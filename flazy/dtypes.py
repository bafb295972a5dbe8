"""Dtypes of numbers: numpy's own, and those of ml_dtypes (bfloat16, float8, int4 …), which numpy takes for raw bytes.

Here: which are numbers, and of what family; a dtype by its name.  The one rule: ml_dtypes is loaded when one of its
dtypes is first named, and a name is looked up in a list, never evaluated.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

import numpy as np

from flazy.errors import InvalidType, MissingExtra

__all__ = ["EXTENDED", "by_name", "dtype_named", "family", "is_extended", "limits", "whole_to"]

# The names of ml_dtypes, with what they are in numpy's letters for kinds; not those of complex numbers, which are new.
EXTENDED = {
    **dict.fromkeys(["bfloat16", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3",
                     "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
                     "float8_e8m0fnu"], "f"),
    **dict.fromkeys(["int1", "int2", "int4"], "i"),
    **dict.fromkeys(["uint1", "uint2", "uint4"], "u"),
}  # fmt: skip


@lru_cache(maxsize=1024)
def is_extended(dtype: np.dtype[Any]) -> bool:
    """Say whether a dtype is one of ml_dtypes."""
    return dtype.type.__module__ == "ml_dtypes" and dtype.name in EXTENDED


@lru_cache(maxsize=1024)
def family(dtype: np.dtype[Any]) -> str:
    """Give "b", "i", "u", "f" or "c" for numbers, as ``dtype.kind`` does for numpy's own; "" for everything else."""
    if is_extended(dtype):
        return EXTENDED[dtype.name]
    kind: str = dtype.kind
    return kind if kind in "biufc" and dtype.type.__module__ == "numpy" else ""


@lru_cache(maxsize=1024)
def limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Give the least and the greatest finite number of a dtype of integers or floats, as Python has them."""
    if family(dtype) == "f":
        return _finfo(dtype).min.item(), _finfo(dtype).max.item()
    bits = int(dtype.name.removeprefix("u").removeprefix("int"))
    return (0, (1 << bits) - 1) if family(dtype) == "u" else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


@lru_cache(maxsize=1024)
def whole_to(dtype: np.dtype[Any]) -> int:
    """Give the number up to which a dtype of floats has all whole numbers: 256 for bfloat16, 2**24 for float32."""
    return 1 << (int(_finfo(dtype).nmant) + 1)


def _finfo(dtype: np.dtype[Any]) -> Any:
    info: Any = importlib.import_module("ml_dtypes") if is_extended(dtype) else np
    return info.finfo(dtype)


@lru_cache(maxsize=64)
def by_name(name: str) -> np.dtype[Any]:
    """Give a dtype of ml_dtypes.

    Raises
    ------
    ValueError
        For a name that is none of them, or one that the installed version does not have.
    ModuleNotFoundError
        Where ml_dtypes is not installed.
    """
    found = getattr(importlib.import_module("ml_dtypes"), name, None) if name in EXTENDED else None
    if found is None:
        raise ValueError(f"no dtype {name[:40]!r} in ml_dtypes")
    made: np.dtype[Any] = np.dtype(found)
    return made


def dtype_named(spec: Any, called: str) -> np.dtype[Any]:
    """Give a dtype from what stands for one: a dtype, a type, a name; ``called`` says where, for messages.

    Raises
    ------
    InvalidType
        If it is none.
    MissingExtra
        For a dtype of ml_dtypes where that is not installed.
    """
    try:
        return by_name(spec) if isinstance(spec, str) and spec in EXTENDED else np.dtype(spec)
    except ModuleNotFoundError as missing:
        text = f"{called} needs ml_dtypes, which is missing: pip install flazy[dtypes]"
        raise MissingExtra(text) from missing
    except (TypeError, ValueError) as error:
        raise InvalidType(f"{called} is no dtype: {error}") from None
