"""What TensorFlow is told of samples, and samples as arrays that fit it.

Every sample is checked against one signature before TensorFlow sees it, since what TensorFlow says of a sample that
does not fit names no key.

====================================  ===========================================================
dict, tuple, named tuple              the same, part by part
array, numpy scalar, tensor           tensor of its shape and dtype, those of ml_dtypes included
bool, int, float, complex             tf.bool, tf.int64, tf.float32, tf.complex64
list                                  made an array first; its numbers as above
str, bytes, and arrays of them        tf.string, UTF-8
`flazy.Ragged`                        tf.RaggedTensor, over the same two arrays
====================================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from flazy.collate import at, rebuilt
from flazy.errors import FeedError, InvalidType
from flazy.ragged import Ragged

__all__ = ["Branch", "Composite", "Dense", "checked", "fitting", "signature_of"]

# What Python's own numbers become: floats are what models compute in, as in batch().
NUMBERS = {"b": tf.bool, "i": tf.int64, "f": tf.float32, "c": tf.complex64}
# Kinds of numpy's dtypes: a later one may hold an earlier one.
KINDS = "biufc"


# What samples look like -------------------------------------------------------------------------------------------


def signature_of(sample: Any, key: str = "", *, free: int = 0) -> Any:
    """Give the ``tf.TensorSpec`` of every leaf of a sample, in its structure.

    Raises
    ------
    InvalidType
        For what has no tensor, naming its key.
    """
    if isinstance(sample, Mapping):
        return {name: signature_of(part, f"{key}[{name!r}]", free=free) for name, part in sample.items()}
    if isinstance(sample, tuple):
        return rebuilt(sample, [signature_of(part, f"{key}[{place}]", free=free) for place, part in enumerate(sample)])
    if isinstance(sample, Ragged):
        values = signature_of(sample.values, f"{key}.values")
        return tf.RaggedTensorSpec([None if free else len(sample), None, *values.shape[1:]], values.dtype, 1)
    try:
        array = _array(sample)
        dtype = _dtype(array, python=_is_python(sample))
    except (TypeError, ValueError) as error:
        reason = f"{at(key)}{_short(sample)} has no tensor ({error})"
        raise InvalidType(f"{reason}; change it in a map(), or leave it out with select()") from error
    return tf.TensorSpec([*[None] * min(free, array.ndim), *array.shape[free:]], dtype)


def _dtype(array: np.ndarray[Any, Any], *, python: bool) -> Any:
    if array.dtype.kind == "O":
        return tf.string
    if not python:
        return tf.as_dtype(array.dtype)
    if array.dtype.kind not in NUMBERS:
        raise TypeError("it does not fit into int64")
    return NUMBERS[array.dtype.kind]


def checked(signature: Any, key: str = "") -> Any:
    """Give a signature of the user's own, in plain dicts and tuples.

    Raises
    ------
    InvalidType
        Where it holds anything else than specs of tensors: dense, ragged or sparse.
    """
    if isinstance(signature, Mapping):
        return {name: checked(part, f"{key}[{name!r}]") for name, part in signature.items()}
    if isinstance(signature, tuple):
        return rebuilt(signature, [checked(part, f"{key}[{place}]") for place, part in enumerate(signature)])
    if isinstance(signature, (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)):
        return signature
    found = type(signature).__name__
    raise InvalidType(
        f"{at(key)}a signature is made of dicts, tuples and tf.TensorSpec, or the ragged or sparse one, not of {found}"
    )


# From samples to arrays that TensorFlow takes as they are --------------------------------------------------------


def fitting(spec: Any, key: str = "") -> Branch | Dense | Composite:
    """Make of a signature what takes samples apart: all that need not be asked for each sample is asked here."""
    if isinstance(spec, Mapping):
        names = tuple(sorted(spec))  # as TensorFlow sorts them
        return Branch(key, names, tuple([fitting(spec[name], f"{key}[{name!r}]") for name in names]))
    if isinstance(spec, tuple):
        return Branch(key, None, tuple([fitting(part, f"{key}[{place}]") for place, part in enumerate(spec)]))
    return Dense.of(spec, key) if isinstance(spec, tf.TensorSpec) else Composite.of(spec, key)


@dataclass(frozen=True, slots=True)
class Branch:
    """A dict of some names, or a tuple."""

    key: str
    names: tuple[Any, ...] | None
    parts: tuple[Branch | Dense | Composite, ...]

    def fill(self, sample: Any, arrays: list[Any]) -> None:
        """Append the arrays of a sample, in the order of ``tf.nest``, in exactly the dtypes of the signature.

        Raises
        ------
        FeedError
            Where structure, shape or dtype differ, naming the key and both.
        """
        if self.names is None:
            if not isinstance(sample, tuple) or len(sample) != len(self.parts):
                found = f"a tuple of {len(sample)}" if isinstance(sample, tuple) else _short(sample)
                raise FeedError(f"{at(self.key)}{found} where the signature has a tuple of {len(self.parts)}")
            for part, value in zip(self.parts, sample, strict=True):
                part.fill(value, arrays)
            return
        if type(sample) is not dict and not isinstance(sample, Mapping):
            raise FeedError(f"{at(self.key)}{_short(sample)} where the signature has a dict of {_names(self.names)}")
        if len(sample) != len(self.names) or not all(name in sample for name in self.names):
            found = _names(sample)
            raise FeedError(f"{at(self.key)}a dict of {found} where the signature has one of {_names(self.names)}")
        for part, name in zip(self.parts, self.names, strict=True):
            part.fill(sample[name], arrays)


@dataclass(frozen=True, slots=True)
class Dense:
    """A tensor: ``sizes`` has None where any size will do, and is None where any rank will."""

    key: str
    spec: Any
    dtype: np.dtype[Any]
    sizes: tuple[int | None, ...] | None

    @classmethod
    def of(cls, spec: Any, key: str) -> Dense:
        """Ask a spec."""
        sizes = None if spec.shape.rank is None else tuple(spec.shape.as_list())
        return cls(key, spec, np.dtype(spec.dtype.as_numpy_dtype), sizes)

    def fill(self, value: Any, arrays: list[Any]) -> None:
        """Append the one array; see `Branch.fill`."""
        if type(value) is np.ndarray and value.dtype is self.dtype and value.dtype.kind != "O":
            array = value  # what batches are made of: nothing to be done
        else:
            array = self._cast(value)
        if not self._holds(array.shape):
            same_rank = self.sizes is not None and len(self.sizes) == array.ndim
            hint = "; give a signature with None for a dimension that varies" if same_rank else ""
            raise FeedError(f"{at(self.key)}{_short(value)} where the signature has {_spelled(self.spec)}{hint}")
        arrays.append(array)

    def _holds(self, shape: tuple[int, ...]) -> bool:
        if shape == self.sizes or self.sizes is None:
            return True
        pairs = zip(shape, self.sizes, strict=False)
        return len(shape) == len(self.sizes) and all(wanted in (None, size) for size, wanted in pairs)

    def _cast(self, value: Any) -> np.ndarray[Any, Any]:
        try:
            return _cast(value, self.dtype, "f" if self.spec.dtype.is_floating else self.dtype.kind)
        except (TypeError, ValueError) as error:
            expected = _spelled(self.spec)
            raise FeedError(f"{at(self.key)}{_short(value)} where the signature has {expected}: {error}") from error


@dataclass(frozen=True, slots=True)
class Composite:
    """A ragged or a sparse tensor, which TensorFlow makes of several."""

    key: str
    spec: Any
    parts: tuple[Dense, ...]

    @classmethod
    def of(cls, spec: Any, key: str) -> Composite:
        """Ask a spec."""
        return cls(key, spec, tuple([Dense.of(part, key) for part in tf.nest.flatten(spec, expand_composites=True)]))

    def fill(self, value: Any, arrays: list[Any]) -> None:
        """Append the arrays that it is made of; see `Branch.fill`."""
        if isinstance(value, Ragged):
            parts: list[Any] = [value.values, value.offsets.astype(self.parts[-1].dtype, copy=False)]
            fits = isinstance(self.spec, tf.RaggedTensorSpec) and len(self.parts) == len(parts)
        else:
            parts = tf.nest.flatten(value, expand_composites=True)
            fits = isinstance(value, tf.RaggedTensor | tf.SparseTensor) and self.spec.is_compatible_with(value)
        if not fits:
            raise FeedError(f"{at(self.key)}{_short(value)} where the signature has {self.spec}")
        for part, dense in zip(parts, self.parts, strict=True):
            dense.fill(part, arrays)


def _array(value: Any) -> np.ndarray[Any, Any]:
    """Give a leaf as an array in the machine's byte order, strings as objects: bytes, one by one."""
    if isinstance(value, Mapping | tuple):
        raise TypeError("a structure where a value was expected")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask")
    if isinstance(_innermost(value), str | bytes):
        return _strings(value if isinstance(value, str | bytes) else np.array(value, dtype=object))
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        return _strings(array)
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array


def _innermost(value: Any) -> Any:
    """Give the first element of lists in lists."""
    while isinstance(value, list) and value:
        value = value[0]
    return value


def _strings(texts: Any) -> np.ndarray[Any, Any]:
    """Encode strings one by one: numpy's fixed-width types lose NULs at the end and know no UTF-8."""
    made = np.empty(np.shape(texts), dtype=object)
    for place, text in np.ndenumerate(texts) if isinstance(texts, np.ndarray) else [((), texts)]:
        if not isinstance(text, str | bytes):
            raise TypeError(f"{type(text).__name__} is neither a number that fits nor a string")
        made[place] = text.encode() if isinstance(text, str) else text
    return made


def _cast(value: Any, wanted: np.dtype[Any], kind: str) -> np.ndarray[Any, Any]:
    """Give a leaf in a dtype of some kind: arrays must have it, Python's own numbers must fit."""
    array = _array(value)
    if array.dtype == wanted:
        return array
    if not _is_python(value) or array.dtype.kind not in KINDS or KINDS.find(array.dtype.kind) > KINDS.find(kind):
        raise TypeError("the dtypes differ")
    with np.errstate(all="ignore"):
        made: np.ndarray[Any, Any] = array.astype(wanted)
    rounded = array.dtype.kind in "fc"
    if not (np.isfinite(made) == np.isfinite(array) if rounded else made == array).all():
        raise ValueError(f"it does not fit into {wanted}")
    return made


def _is_python(value: Any) -> bool:
    """Say whether a value is made of Python's own numbers, which have no dtype."""
    if isinstance(value, list | tuple):
        return all(map(_is_python, value))
    return type(value) in (bool, int, float, complex)


# Words -----------------------------------------------------------------------------------------------------------


def _names(names: Iterable[Any]) -> str:
    return ", ".join(map(repr, names)) or "nothing"


def _spelled(spec: Any) -> str:
    return f"shape {spec.shape} and dtype {spec.dtype.name}"


def _short(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{type(value).__name__} of shape {tuple(shape)} and dtype {dtype}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '…'}"
