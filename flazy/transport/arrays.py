"""Dtypes and arrays as plain data and raw memory, and back.

Here: a dtype as text or nested lists (`describe`, `rebuild`), an array as one contiguous run of bytes
(`lay_out`, `raw`) and back (`restore`).  Not here: msgpack, the order of frames, pickle.

The one rule: `rebuild` and `restore` believe nothing.  A dtype is looked up from an allow-list of kinds and
never evaluated; a shape must account for every byte.  What they refuse raises ``ValueError`` or ``TypeError``,
which the codec turns into ``ProtocolError``.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from flazy.dtypes import EXTENDED, by_name, family, is_extended

Buffer: TypeAlias = bytes | bytearray | memoryview
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
DType: TypeAlias = "np.dtype[Any]"
_Member: TypeAlias = tuple[object, object, object, DType]  # name, title, offset, dtype: as received, to be checked

MAX_NDIM = 64  # numpy 2's own limit; checked before the product, which is quadratic in the length of a hostile shape
MAX_STRUCT_DEPTH = 16  # deeper than any real record; keeps hostile descriptions from exhausting the C stack
LAST_CODE_POINT = 0x10FFFF  # numpy raises SystemError when a larger one is read out of an array

# The allow-list: never O (pointers), never a parenthesis or a comma (sub-arrays and structures go by `describe`).
_SIMPLE = re.compile(r"[<>|=]?[biufcSUmMV][0-9]{1,10}(\[[0-9]{0,10}[A-Za-z\u03bc]{1,7}\])?")
# By class and not by kind: the dtypes of ml_dtypes say kind 'V' and would come back as raw bytes. They go by name.
_CLASSES = frozenset(type(np.dtype(code)) for code in "?bBhHiIlLqQefdgFDGSUmMV")


def is_plain(dtype: DType) -> bool:
    """Tell whether msgpack-numpy carries arrays of this dtype without changing them."""
    return dtype.kind in "biufcSU" and type(dtype) in _CLASSES and dtype.names is None and dtype.itemsize > 0


def is_stackable(array: Array) -> bool:
    """Tell whether equal arrays of this kind stack to rows that are the same arrays again.

    Not those of no dimension (their rows are scalars), and not those of foreign byte order (stacking makes it native).
    """
    dtype = array.dtype
    return family(dtype) != "" and dtype.isnative and array.ndim > 0


def describe(dtype: DType, depth: int = 0) -> str | list[object] | None:
    """Give a dtype as plain data.

    Parameters
    ----------
    dtype : numpy.dtype
        Any dtype.
    depth : int
        How many structures are around it.

    Returns
    -------
    str or list or None
        ``dtype.str``; the name of a dtype of ml_dtypes; or ``[itemsize, aligned, [[name, title, offset, dtype, shape],
        …]]`` for a structure; or None for what these cannot tell exactly (objects, user dtypes, ``np.record``, items of
        no bytes).
    """
    if is_extended(dtype):
        return dtype.name
    if type(dtype) not in _CLASSES or dtype.itemsize == 0 or dtype.hasobject or depth > MAX_STRUCT_DEPTH:
        return None
    if dtype.names is None:
        return dtype.str
    if dtype.type is not np.void:
        return None
    fields: list[object] = []
    for name in dtype.names:
        member, offset, title = (*dtype.fields[name], None)[:3]  # type: ignore[index]  # fields is set where names is
        base, shape = member.subdtype or (member, ())
        inner = describe(base, depth + 1)
        if inner is None or not isinstance(title, str | None):
            return None
        fields.append([name, title, offset, inner, list(shape)])
    return [dtype.itemsize, dtype.isalignedstruct, fields]


def rebuild(description: object, depth: int = 0) -> DType:
    """Make the dtype that `describe` described.

    Raises
    ------
    ValueError, TypeError
        If the description is not one, or names a dtype that may not travel.
    """
    if isinstance(description, str):
        return by_name(description) if description in EXTENDED else _simple(description)
    if depth > MAX_STRUCT_DEPTH:
        raise ValueError(f"a dtype of more than {MAX_STRUCT_DEPTH} nested structures")
    itemsize, aligned, fields = _listed(description, 3)
    members: list[_Member] = []
    for field in _listed(fields):
        name, title, offset, inner, shape = _listed(field, 5)
        members.append((name, title, offset, np.dtype((rebuild(inner, depth + 1), checked_shape(shape)))))
    return _structure(members, itemsize, aligned=aligned)


def rebuild_interface(descr: object, depth: int = 0) -> DType:
    """Make a dtype from the array-interface description that msgpack-numpy sends for kind ``V``.

    Unnamed fields are padding here; `numpy.dtype` would make fields ``f0``, ``f1`` … of them.
    """
    if isinstance(descr, str):
        return _simple(descr)
    if not isinstance(descr, list) or depth > MAX_STRUCT_DEPTH:
        raise TypeError("not the description of a structure")
    if len(descr) == 1 and _listed(descr[0], 2, 3)[0] == "":
        return rebuild_interface(descr[0][1], depth + 1)  # how the interface writes an unstructured V
    members: list[_Member] = []
    itemsize = 0
    for field in descr:
        named, inner, *shape = _listed(field, 2, 3)
        title, name = _listed(named, 2) if isinstance(named, list) else (None, named)
        member = np.dtype((rebuild_interface(inner, depth + 1), checked_shape(shape[0] if shape else [])))
        if name != "":
            members.append((name, title, itemsize, member))
        itemsize += member.itemsize
    return _structure(members, itemsize, aligned=False)


def checked_shape(shape: object) -> tuple[int, ...]:
    """Give a shape from the wire as a tuple of non-negative ints, or raise."""
    if not isinstance(shape, list) or len(shape) > MAX_NDIM:
        raise TypeError("not a shape")
    for length in shape:
        if type(length) is not int or length < 0:
            raise ValueError(f"{length!r} in a shape")
    return tuple(shape)


def lay_out(array: Array) -> tuple[Array, str]:
    """Give an array whose memory is one run of bytes in C order, and the order to read it in.

    Arrays in Fortran order are transposed, which costs nothing; others that are not contiguous are copied.
    """
    if array.flags.c_contiguous:
        return array, "C"
    if array.flags.f_contiguous:
        return array.T, "F"
    return np.ascontiguousarray(array), "C"


def raw(contiguous: Array) -> memoryview:
    """Give the memory of a C-contiguous array as bytes, without a copy; it keeps the array alive."""
    return contiguous.reshape(-1).view(np.uint8).data


def restore(dtype: DType, shape: object, order: object, buffer: object) -> Array:
    """Make an array over a buffer.

    Parameters
    ----------
    dtype : numpy.dtype
        From `rebuild`.
    shape : list of int
        As received.
    order : {"C", "F"}
        As received.
    buffer : bytes, bytearray or memoryview
        Shared if it is writable and aligned for the dtype; else copied.

    Returns
    -------
    numpy.ndarray
        Writable and aligned; it keeps its memory alive.

    Raises
    ------
    ValueError, TypeError
        If shape, order and length do not fit together exactly.
    """
    lengths = checked_shape(shape)
    if order not in ("C", "F"):
        raise ValueError("an array in neither order")
    owned = writable(buffer)
    size = owned.nbytes if isinstance(owned, memoryview) else len(owned)
    if math.prod(lengths) * dtype.itemsize != size:
        raise ValueError(f"{size} bytes for an array of shape {lengths} and {dtype}")
    array: Array = np.ndarray(lengths, dtype, owned, order=order)
    if not array.flags.aligned:
        array = array.copy(order="K")
    if dtype.kind in "UV":
        _check_text(array)
    return array


def writable(buffer: object) -> bytearray | memoryview:
    """Give the buffer itself if it can be written to, else a copy."""
    if isinstance(buffer, bytes) or (isinstance(buffer, memoryview) and buffer.readonly):
        return bytearray(buffer)
    if not isinstance(buffer, bytearray | memoryview):
        raise TypeError(f"a {type(buffer).__name__} in the place of bytes")
    return buffer


def _check_text(array: Array) -> None:
    if array.dtype.kind == "U" and array.size:
        codes = np.ascontiguousarray(array).reshape(-1).view(array.dtype.byteorder + "u4")
        if codes.max() > LAST_CODE_POINT:
            raise ValueError("text with a code point that does not exist")
    for name in array.dtype.names or ():
        _check_text(array[name])


@lru_cache(maxsize=1024)
def _simple(text: str) -> DType:
    if not _SIMPLE.fullmatch(text):
        raise ValueError(f"dtype {text[:40]!r} may not travel")
    return _accepted(np.dtype(text))


def _structure(members: list[_Member], itemsize: object, *, aligned: object) -> DType:
    names, titles, offsets, formats = ([member[part] for member in members] for part in range(4))
    if not all(type(name) is str for name in names) or not all(isinstance(title, str | None) for title in titles):
        raise TypeError("a field name that is not text")
    if not all(type(number) is int and number >= 0 for number in (itemsize, *offsets)) or type(aligned) is not bool:
        raise TypeError("an offset that is not a number")
    spec = {"names": names, "titles": titles, "offsets": offsets, "formats": formats, "itemsize": itemsize}
    return _accepted(np.dtype(spec, align=aligned))  # type: ignore[call-overload]  # the stubs know no title None


def _accepted(dtype: DType) -> DType:
    if type(dtype) not in _CLASSES or dtype.hasobject or dtype.itemsize == 0:
        raise ValueError(f"dtype {dtype} may not travel")
    return dtype


def _listed(value: object, *lengths: int) -> list[Any]:
    if not isinstance(value, list) or (lengths and len(value) not in lengths):
        raise TypeError("not a list of the right length")
    return value
