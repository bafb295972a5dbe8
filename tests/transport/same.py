"""`same`: whether two values are equal, and everything in them of the same type.

What ``==`` overlooks is what a wire loses: ``True`` and ``1``, ``-0.0`` and ``0.0``, a tuple and a list, the
order of a dict, the dtype, order and mask of an array.  NaN is the same as NaN here.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from collections import defaultdict

import numpy as np


def same(one: object, other: object) -> bool:
    """Tell whether two values have the same types and contents, all the way down."""
    return one is other or (type(one) is type(other) and _same_contents(one, other))


@functools.singledispatch
def _same_contents(one, other):
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    pandas = sys.modules.get("pandas")  # to load it takes as long as many a test
    if pandas is not None and isinstance(one, pandas.DataFrame | pandas.Series):
        return _same_of_pandas(one, other)
    return bool(one == other)


@_same_contents.register
def _(one: float, other):
    return one.hex() == other.hex() or (one != one and other != other)


@_same_contents.register
def _(one: complex, other):
    return same(complex(one).real, complex(other).real) and same(complex(one).imag, complex(other).imag)


@_same_contents.register
def _(one: BaseException, other):
    return same(one.args, other.args)


@_same_contents.register
def _(one: types.FunctionType, other):
    return one.__code__ == other.__code__


@_same_contents.register(list)
@_same_contents.register(tuple)
def _(one, other):
    return len(one) == len(other) and all(map(same, one, other))


@_same_contents.register
def _(one: dict, other):
    return same(list(one.items()), list(other.items()))


@_same_contents.register
def _(one: defaultdict, other):
    return one.default_factory is other.default_factory and same(list(one.items()), list(other.items()))


@_same_contents.register(set)
@_same_contents.register(frozenset)
def _(one, other):
    return len(one) == len(other) and all(any(same(item, twin) for twin in other) for item in one)


@_same_contents.register
def _(one: np.generic, other):
    return _same_contents(np.asarray(one), np.asarray(other))


@_same_contents.register
def _(one: np.ma.MaskedArray, other):
    return (
        _same_contents(np.asarray(one.data), np.asarray(other.data))
        and (one.mask is np.ma.nomask) == (other.mask is np.ma.nomask)
        and np.array_equal(one.mask, other.mask)
        and same(one.fill_value, other.fill_value)
        and one.hardmask == other.hardmask
    )


@_same_contents.register
def _(one: np.ndarray, other):
    if one.dtype != other.dtype or one.dtype.isalignedstruct != other.dtype.isalignedstruct or one.shape != other.shape:
        return False
    if one.dtype.names:
        return all(_same_contents(np.asarray(one[name]), np.asarray(other[name])) for name in one.dtype.names)
    if one.dtype.kind == "O":
        return all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    if one.dtype.kind == "c":
        return _same_floats(one.real, other.real) and _same_floats(one.imag, other.imag)
    return _same_floats(one, other) if one.dtype.kind == "f" else one.tobytes() == other.tobytes()


def _same_floats(one, other):
    nan = np.isnan(one)
    equal = (one == other) & (np.signbit(one) == np.signbit(other))
    return bool(np.all(equal | (nan & np.isnan(other))))


def _same_of_pandas(one, other):
    alike = one.name == other.name if one.ndim == 1 else one.dtypes.equals(other.dtypes)
    return one.equals(other) and alike and one.index.equals(other.index)
