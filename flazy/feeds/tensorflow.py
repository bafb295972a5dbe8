"""``dataset.tensorflow()``: a ``tf.data.Dataset`` over a dataset's passes.

Every sample is checked against one signature before TensorFlow sees it, since what TensorFlow says of a sample that
does not fit names no key.  This is the one module that imports TensorFlow.

====================================  ===========================================================
dict, tuple, named tuple              the same, part by part
array, numpy scalar, tensor           tensor of its shape and dtype
bool, int, float, complex             tf.bool, tf.int64, tf.float32, tf.complex64
list                                  made an array first; its numbers as above
str, bytes, and arrays of them        tf.string, UTF-8
====================================  ===========================================================
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from flazy.errors import ClosedRun, FeedError, InvalidType, MissingExtra
from flazy.feeds.passes import Passes

try:
    import tensorflow as tf
except ModuleNotFoundError as missing:
    if missing.name != "tensorflow":  # it is there, and lacks something itself
        raise
    raise MissingExtra("tensorflow() needs TensorFlow, which is missing: pip install flazy[tensorflow]") from missing

__all__ = ["tensorflow_dataset"]

# What Python's own numbers become: floats are what models compute in, as in batch().
NUMBERS = {"b": tf.bool, "i": tf.int64, "f": tf.float32, "c": tf.complex64}
# Kinds of numpy's dtypes: a later one may hold an earlier one.
KINDS = "biufc"


def tensorflow_dataset(passes: Passes, signature: Any, *, free: int, length: float | None) -> Any:
    """Make a ``tf.data.Dataset``.

    Parameters
    ----------
    passes
        What it iterates; looked at if there is no signature.
    signature
        ``tf.TensorSpec`` in the structure of the samples, or None.
    free
        So many first dimensions of every array are left open; without a signature.
    length
        Samples of a pass, ``math.inf`` for no end, None where it is unknown.
    """
    spec = signature_of(passes.look(), free=free) if signature is None else checked(signature)
    if not tf.nest.flatten(spec):
        raise InvalidType("tensorflow() needs samples that hold something")
    # TensorFlow keeps every Python function that a dataset of its calls, for the life of the process.  So that one
    # knows the passes, and the data behind them, only weakly; the finalizer holds them while the dataset lives, as
    # TensorFlow's own iterators and whatever is made from the dataset hold it.
    generator = _Samples(weakref.ref(passes), spec)
    made = tf.data.Dataset.from_generator(generator, output_signature=spec)
    weakref.finalize(made, passes.close)
    if length is None:
        return made
    known = tf.data.INFINITE_CARDINALITY if length == float("inf") else int(length)
    return made.apply(tf.data.experimental.assert_cardinality(known))


class _Samples:
    """What TensorFlow calls for each of its iterators; it keeps no reference to the dataset."""

    def __init__(self, passes: weakref.ref[Passes], spec: Any) -> None:
        self.passes = passes
        self.spec = spec

    def __call__(self) -> Generator[Any, None, None]:
        passes = self.passes()
        if passes is None:
            raise ClosedRun("the tf.data.Dataset that this iterator was made from is gone; keep a reference to it")
        return self._fitted(passes)

    def _fitted(self, passes: Passes) -> Generator[Any, None, None]:
        with contextlib.closing(passes()) as samples:
            for number, sample in enumerate(samples):
                try:
                    tensors = fitted(sample, self.spec)
                except FeedError as error:
                    raise FeedError(f"tensorflow(), sample {number}: {error}") from error.__cause__
                yield tensors


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
        return _rebuilt(sample, [signature_of(part, f"{key}[{place}]", free=free) for place, part in enumerate(sample)])
    try:
        array = _array(sample)
        dtype = _dtype(array, python=_is_python(sample))
    except (TypeError, ValueError) as error:
        reason = f"{_at(key)}{_short(sample)} has no tensor ({error})"
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
        Where it holds anything else than ``tf.TypeSpec``.
    """
    if isinstance(signature, Mapping):
        return {name: checked(part, f"{key}[{name!r}]") for name, part in signature.items()}
    if isinstance(signature, tuple):
        return _rebuilt(signature, [checked(part, f"{key}[{place}]") for place, part in enumerate(signature)])
    if isinstance(signature, tf.TypeSpec):
        return signature
    found = type(signature).__name__
    raise InvalidType(f"{_at(key)}a signature is made of dicts, tuples and tf.TensorSpec, not of {found}")


# From samples to arrays that TensorFlow takes as they are --------------------------------------------------------


def fitted(sample: Any, spec: Any, key: str = "") -> Any:
    """Give a sample as arrays of exactly the dtypes of its signature.

    Raises
    ------
    FeedError
        Where structure, shape or dtype differ, naming the key and both.
    """
    if isinstance(spec, Mapping):
        if not isinstance(sample, Mapping):
            raise FeedError(f"{_at(key)}{_short(sample)} where the signature has a dict of {_names(spec)}")
        if sample.keys() != spec.keys():
            raise FeedError(f"{_at(key)}a dict of {_names(sample)} where the signature has one of {_names(spec)}")
        return {name: fitted(sample[name], part, f"{key}[{name!r}]") for name, part in spec.items()}
    if isinstance(spec, tuple):
        if not isinstance(sample, tuple) or len(sample) != len(spec):
            found = f"a tuple of {len(sample)}" if isinstance(sample, tuple) else _short(sample)
            raise FeedError(f"{_at(key)}{found} where the signature has a tuple of {len(spec)}")
        pairs = enumerate(zip(sample, spec, strict=True))
        return _rebuilt(spec, [fitted(part, inner, f"{key}[{place}]") for place, (part, inner) in pairs])
    if not isinstance(spec, tf.TensorSpec):  # ragged, sparse: TensorFlow checks its own kinds itself
        return sample
    try:
        array = _cast(sample, spec.dtype.as_numpy_dtype)
    except (TypeError, ValueError) as error:
        raise FeedError(f"{_at(key)}{_short(sample)} where the signature has {_spelled(spec)}: {error}") from error
    if not spec.shape.is_compatible_with(array.shape):
        hint = "; give a signature with None for a dimension that varies" if len(spec.shape) == array.ndim else ""
        raise FeedError(f"{_at(key)}{_short(sample)} where the signature has {_spelled(spec)}{hint}")
    return array


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


def _cast(value: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Give a leaf in a dtype: arrays must have it, Python's own numbers must fit."""
    array = _array(value)
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if not _is_python(value) or array.dtype.kind not in KINDS or KINDS.find(array.dtype.kind) > KINDS.find(wanted.kind):
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


def _rebuilt(like: tuple[Any, ...], parts: list[Any]) -> tuple[Any, ...]:
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _at(key: str) -> str:
    return f"key {key[1:-1] if key.count('[') == 1 else key}: " if key else ""


def _names(mapping: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, mapping)) or "nothing"


def _spelled(spec: Any) -> str:
    return f"shape {spec.shape} and dtype {spec.dtype.name}"


def _short(value: Any) -> str:
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{type(value).__name__} of shape {tuple(shape)} and dtype {dtype}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '…'}"
