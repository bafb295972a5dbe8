"""Samples to a batch: the same structure, with every leaf stacked along a new first dimension.

==========================  =================================================================
dict, tuple, named tuple    the same, part by part
array                       stacked; all shapes equal, dtype kept (promoted where they differ)
what has ``__array__``      made an array first, or by ``__array_interface__``: tensors of PyTorch, TensorFlow and JAX,
                            images of Pillow; an error where numpy cannot hold it
numpy scalar                array of that dtype
int, float, bool            array of ``default_dtype``, exactly, or an error
list                        made an array first, so equally long lists of numbers stack; of lists, an empty one is
                            taken for what the others are
str                         ``U`` array (object where a NUL at the end would be lost)
bytes and everything else   object array
==========================  =================================================================

What becomes of the arrays of one leaf is the business of a `Stacked`, or of a class of ``leaves.py`` in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from flazy.dtypes import family
from flazy.errors import BatchError, InvalidType

__all__ = [
    "STACKED",
    "Batching",
    "Stacked",
    "as_array",
    "at",
    "collate",
    "common_dtype",
    "fits",
    "is_arraylike",
    "is_settled",
    "is_uniform",
    "rebuilt",
    "shape_of",
    "two",
    "type_of",
]

NUMBERS = {int, float, bool}
EXACT_FLOAT64 = 2**53
LARGE = 64 * 1024  # bytes from which a copy is worth to be saved
ALIGNMENT = 64  # JAX and TensorFlow share the memory of an array where it begins at a multiple of so many bytes


@dataclass(frozen=True, slots=True)
class Batching:
    """What ``batch()`` makes of samples: ``size`` of them each, Python numbers as ``default_dtype``."""

    size: int
    default_dtype: Any

    def collate(self, rows: Sequence[Any]) -> Any:
        """Stack samples; see `collate`."""
        return collate(rows, self.default_dtype)


@dataclass(frozen=True, slots=True)
class Stacked:
    """How the arrays of one leaf become one: stacked along a new first dimension."""

    verb: ClassVar[str] = "batch"

    @property
    def options(self) -> list[str]:
        """Spell what was asked for besides the size."""
        return []

    def below(self, names: Collection[Any], key: str) -> Mapping[Any, Stacked]:
        """Say for each part of the structure at ``key`` how its arrays become one."""
        return dict.fromkeys(names, self)

    def joined(self, rows: Sequence[Any], key: str) -> Any:
        """Make one array, or what stands for it, of those at ``key``."""
        if len({row.shape for row in rows}) > 1:
            raise BatchError(
                f"{at(key)}arrays of different shapes do not stack: {two(rows, lambda row: row.shape)}; "
                "pad them with padded_batch(), or crop them in a map() before"
            )
        common_dtype(rows, key)
        return np.ma.stack(rows) if any(isinstance(row, np.ma.MaskedArray) for row in rows) else _stacked(rows)


STACKED = Stacked()


def collate(rows: Sequence[Any], default_dtype: DTypeLike | None, key: str = "", leaves: Stacked = STACKED) -> Any:
    """Stack samples of one structure.

    Parameters
    ----------
    rows
        At least one sample.
    default_dtype
        What Python's int, float and bool become; None leaves it to numpy (ints stay integers).
    key
        Where in the sample ``rows`` lie, for messages.
    leaves
        What becomes of arrays.

    Raises
    ------
    BatchError
        Where structures, shapes or kinds differ, or a number does not fit into ``default_dtype``.
    """
    first = rows[0]
    kinds = set(map(type, rows))
    if kinds <= NUMBERS:
        return _numbers(rows, default_dtype, key)
    if isinstance(first, Mapping):
        return _mappings(rows, default_dtype, key, leaves)
    if isinstance(first, tuple):
        return _tuples(rows, default_dtype, key, leaves)
    if kinds == {list}:
        return leaves.joined(_lists(rows, default_dtype, key), key)
    if all(issubclass(kind, np.ndarray) for kind in kinds):
        return leaves.joined(rows, key)
    if all(issubclass(kind, np.generic) or kind in NUMBERS for kind in kinds):
        return _scalars(rows, key)
    if kinds == {str}:
        return np.array(rows, dtype=object if any(row.endswith("\0") for row in rows) else None)
    if any(map(is_arraylike, kinds)):
        return collate(_arrays(rows, key), default_dtype, key, leaves)
    if len(kinds) > 1 and (any(map(_structured, kinds)) or kinds & {str, bytes, list, *NUMBERS}):
        raise BatchError(f"{at(key)}samples are of different kinds: {two(rows, lambda row: type(row).__name__)}")
    return _objects(rows)


def is_arraylike(kind: type) -> bool:
    """Say whether objects of a type are no arrays, and know how to be: tensors, images."""
    if issubclass(kind, np.ndarray | np.generic):
        return False
    return hasattr(kind, "__array__") or hasattr(kind, "__array_interface__")


def as_array(value: Any, what: str) -> Any:
    """Give what `is_arraylike` as an array, or as numpy's scalar where it has no dimensions.

    Raises
    ------
    InvalidType
        Where numpy cannot hold it; ``what`` it was is said there.
    """
    try:
        array = np.asarray(value)
    except Exception as error:
        said = f"{what} is of type {type(value).__name__}, of which numpy makes no array"
        raise InvalidType(f"{said}: {type(error).__name__}: {error}") from error
    return array if array.ndim or array.dtype == object else array[()]


def is_uniform(rows: Sequence[Any]) -> bool:
    """Say whether any part of the rows, collated, is that part of all of them collated at once, if that `is_settled`.

    So for numbers of one Python type and for arrays of one dtype, alone or in dicts and tuples; not for text, whose
    dtype depends on the longest.
    """
    first, kinds = rows[0], set(map(type, rows))
    if len(kinds) > 1:
        return False
    if type(first) is dict:
        keys = list(first)
        return all(list(row) == keys for row in rows) and all(is_uniform([row[key] for row in rows]) for key in keys)
    if type(first) is tuple:
        same = {len(row) for row in rows} == {len(first)}
        return bool(first) and same and all(map(is_uniform, zip(*rows, strict=True)))
    return type(first) in NUMBERS or (type(first) is np.ndarray and len({row.dtype for row in rows}) == 1)


def is_settled(batch: Any, first: Any, default_dtype: DTypeLike | None) -> bool:
    """Say whether no leaf has its dtype by the doing of one large Python int; ``first`` is one of the rows."""
    if default_dtype is not None:
        return True
    if type(batch) is dict:
        return all(is_settled(part, first[key], None) for key, part in batch.items())
    if type(batch) is tuple:
        return all(is_settled(part, other, None) for part, other in zip(batch, first, strict=True))
    return type(first) is not int or batch.dtype == np.int64


def shape_of(sample: Any) -> Any:
    """Give the shapes of a sample's leaves, in its structure; ``()`` for what is not an array."""
    if isinstance(sample, Mapping):
        return {key: shape_of(part) for key, part in sample.items()}
    if isinstance(sample, tuple):
        return rebuilt(sample, [shape_of(part) for part in sample])
    if isinstance(sample, np.ndarray | list) or is_arraylike(type(sample)):
        return tuple(np.shape(sample))  # a tensor's is of a class of its own
    return ()


def type_of(sample: Any) -> Any:
    """Give dtypes of arrays and types of everything else, in the sample's structure."""
    if isinstance(sample, Mapping):
        return {key: type_of(part) for key, part in sample.items()}
    if isinstance(sample, tuple):
        return rebuilt(sample, [type_of(part) for part in sample])
    return sample.dtype if isinstance(sample, np.ndarray) else type(sample)


def _structured(kind: type) -> bool:
    return issubclass(kind, Mapping | tuple | np.ndarray)


def rebuilt(like: tuple[Any, ...], parts: list[Any]) -> tuple[Any, ...]:
    """Make a tuple, or a named one, of the same kind."""
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _mappings(rows: Sequence[Any], default_dtype: DTypeLike | None, key: str, leaves: Stacked) -> dict[Any, Any]:
    names = rows[0].keys()
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise BatchError(f"{at(key)}sample {number} of the batch is a {type(row).__name__}, sample 0 a dict")
        if row.keys() != names:
            odd = names ^ row.keys()
            differ = ", ".join(sorted(map(repr, odd)))
            raise BatchError(f"{at(key)}sample {number} of the batch and sample 0 differ in the keys {differ}")
    below = leaves.below(names, key)
    return {
        name: collate([row[name] for row in rows], default_dtype, f"{key}[{name!r}]", below[name]) for name in rows[0]
    }


def _tuples(rows: Sequence[Any], default_dtype: DTypeLike | None, key: str, leaves: Stacked) -> tuple[Any, ...]:
    size = len(rows[0])
    for number, row in enumerate(rows):
        if not isinstance(row, tuple) or len(row) != size:
            what = f"a tuple of {len(row)}" if isinstance(row, tuple) else f"a {type(row).__name__}"
            raise BatchError(f"{at(key)}sample {number} of the batch is {what}, sample 0 a tuple of {size}")
    below = leaves.below(range(size), key)
    columns = enumerate(zip(*rows, strict=True))
    parts = [collate(column, default_dtype, f"{key}[{place}]", below[place]) for place, column in columns]
    return rebuilt(rows[0], parts)


def common_dtype(rows: Sequence[Any], key: str) -> np.dtype[Any]:
    """Give the dtype that holds the values of all arrays."""
    dtypes = dict.fromkeys([row.dtype for row in rows])
    try:
        if len({dtype.kind in "US" for dtype in dtypes}) > 1:
            raise TypeError  # noqa: TRY301 - numpy would write the numbers as text
        return np.result_type(*dtypes)
    except TypeError:
        different = two(rows, lambda row: row.dtype)
        raise BatchError(f"{at(key)}arrays of different kinds do not stack: {different}") from None


def _arrays(rows: Sequence[Any], key: str) -> list[Any]:
    return [_array(number, row, key) if is_arraylike(type(row)) else row for number, row in enumerate(rows)]


def _array(number: int, row: Any, key: str) -> Any:
    try:
        return as_array(row, f"{at(key)}sample {number} of the batch")
    except InvalidType as error:
        raise BatchError(f"{error}; make it one in a map() before, or say batch(…, fn=…)") from error.__cause__


def _lists(rows: Sequence[list[Any]], default_dtype: DTypeLike | None, key: str) -> list[Any]:
    made = [_listed(row, default_dtype, key) for row in rows]
    full = next((array for array in made if len(array)), None)
    return made if full is None else [array if len(array) else full[:0] for array in made]


def _stacked(rows: Sequence[Any]) -> Any:
    """Stack arrays; large ones where frameworks take the memory as it is."""
    first, nbytes = rows[0], len(rows) * rows[0].nbytes
    if nbytes < LARGE or not (family(first.dtype) and first.dtype.isnative):
        return np.stack(rows)
    if any(type(row) is not np.ndarray or row.dtype != first.dtype for row in rows):
        return np.stack(rows)
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    out = memory[start : start + nbytes].view(first.dtype).reshape(len(rows), *first.shape)
    return np.stack(rows, out=out)


def _listed(row: list[Any], default_dtype: DTypeLike | None, key: str) -> Any:
    try:
        array = np.array(row)
    except ValueError:
        raise BatchError(
            f"{at(key)}a list of parts that differ in length is no array; pad it in a map() before"
        ) from None
    except Exception as error:  # parts may be tensors
        raise BatchError(f"{at(key)}a list of which numpy makes no array: {type(error).__name__}: {error}") from error
    kinds = set(map(type, _leaves(row))) if array.dtype.kind in "biufO" else set()
    if array.dtype.kind in "biuf" and kinds <= NUMBERS:
        return _numbers(list(_leaves(row)), default_dtype, key).reshape(array.shape)
    if type(None) in kinds and kinds & NUMBERS:
        raise BatchError(f"{at(key)}a list with None beside numbers is no array of numbers; fill it in a map() before")
    return array


def _leaves(row: list[Any]) -> Any:
    for part in row:
        if isinstance(part, list | tuple):
            yield from _leaves(list(part))
        else:
            yield part


def _scalars(rows: Sequence[Any], key: str) -> Any:
    try:
        if len({isinstance(row, np.character) for row in rows}) > 1:
            raise TypeError  # noqa: TRY301 - numpy would write the numbers as text
        return np.array(rows, dtype=np.result_type(*rows))
    except (TypeError, OverflowError) as error:
        different = str(error) or two(rows, lambda row: type(row).__name__)
        raise BatchError(f"{at(key)}scalars of different kinds do not stack: {different}") from None


def _numbers(rows: Sequence[Any], default_dtype: DTypeLike | None, key: str) -> Any:
    plain = np.array(rows)
    if default_dtype is None:
        return plain
    dtype = np.dtype(default_dtype)
    with np.errstate(all="ignore"):
        try:
            made = plain.astype(dtype)
        except (TypeError, ValueError, OverflowError):
            made = None
    if made is None or not _faithful(plain, made, rows):
        bad = next((row for row in rows if not fits(row, dtype)), rows[0])
        raise BatchError(
            f"{at(key)}{bad!r} does not fit into default_dtype={dtype}; say batch(…, default_dtype=None) to keep "
            "numpy's own choice, or make it an array in a map() before"
        )
    return made


def _faithful(plain: Any, made: Any, rows: Sequence[Any]) -> bool:
    """Say whether integers are exact and no number overflowed; floats may be rounded to a smaller float."""
    if plain.dtype.kind == "f" and family(made.dtype) == "f":
        if not bool((np.isfinite(made) == np.isfinite(plain)).all()):
            return False
        # Among floats, ints (the array was promoted) must still be exact.
        return int not in set(map(type, rows)) or all(fits(row, made.dtype) for row in rows)
    if plain.dtype.kind not in "biuf" or made.dtype.kind not in "biuf":
        return plain.dtype.kind == "b" or all(fits(row, made.dtype) for row in rows)
    if plain.dtype.kind in "iu" and made.dtype.kind == "f" and len(rows) and abs(plain).max() > EXACT_FLOAT64:
        return all(fits(row, made.dtype) for row in rows)
    return bool((made == plain).all())


def fits(row: Any, dtype: np.dtype[Any]) -> bool:
    """Say whether a dtype holds a value: exactly, but that floats may be rounded to a smaller float."""
    try:
        with np.errstate(all="ignore"):
            made = np.array([row]).astype(dtype).item(0)
        if type(row) is float and family(dtype) == "f":
            return bool(np.isfinite(float(made)) == np.isfinite(row))
        return bool(made == row)
    except (TypeError, ValueError, OverflowError):
        return False


def _objects(rows: Sequence[Any]) -> Any:
    made = np.empty(len(rows), dtype=object)
    for place, row in enumerate(rows):
        made[place] = row
    return made


def at(key: str) -> str:
    """Begin a message with where in the sample it was."""
    return f"key {key[1:-1] if key.count('[') == 1 else key}: " if key else ""


def two(rows: Sequence[Any], what: Any) -> str:
    """Tell what two samples of the batch are that differ in it."""
    first = what(rows[0])
    number = next((number for number, row in enumerate(rows) if what(row) != first), 0)
    return f"{first} (sample 0 of the batch) and {what(rows[number])} (sample {number})"
