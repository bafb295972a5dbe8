"""``dataset.tensorflow()``: a ``tf.data.Dataset`` over a dataset's passes.

What TensorFlow is told of the samples, and how they become arrays, is in ``signatures.py``; here is how they cross.

A pass is a dataset of one element, its number, made by ``from_generator``: TensorFlow closes that generator with its
iterator, wherever it was left.  The samples come from a map over that number, whose function is one call of Python.
``from_generator`` for the samples themselves costs 1.7 times as much: it hands each call to a thread and back, and
takes structures apart in Python.  What crosses is memory: TensorFlow keeps a reference to an array that begins at a
multiple of 64 bytes (batches in shared memory do) until the last tensor over it is gone, and copies any other.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Generator, Iterator
from typing import Any

from flazy.errors import ClosedRun, FeedError, InvalidType, MissingExtra
from flazy.feeds.passes import Passes

try:
    import tensorflow as tf
except ModuleNotFoundError as missing:
    if missing.name != "tensorflow":  # it is there, and lacks something itself
        raise
    raise MissingExtra("tensorflow() needs TensorFlow, which is missing: pip install flazy[tensorflow]") from missing

from flazy.feeds.signatures import checked, fitting, signature_of

__all__ = ["tensorflow_dataset"]

NUMBER = tf.TensorSpec([], tf.int64)


def tensorflow_dataset(passes: Passes, signature: Any, *, free: int, length: float | None) -> Any:
    """Make a ``tf.data.Dataset``.

    Parameters
    ----------
    passes
        What it iterates; looked at if there is no signature.
    signature
        ``tf.TensorSpec`` in the structure of the samples, or None.
    free
        Leave so many dimensions of every array open, from the first; without a signature.
    length
        Samples of a pass, ``math.inf`` for no end, None where it is unknown.
    """
    spec = signature_of(passes.look(), free=free) if signature is None else checked(signature)
    if not tf.nest.flatten(spec):
        raise InvalidType("tensorflow() needs samples that hold something")
    # TensorFlow keeps every Python function that a dataset of its calls, for the life of the process.  So that one
    # knows the passes, and the data behind them, only weakly; the finalizer holds them while the dataset lives, as
    # TensorFlow's own iterators and whatever is made from the dataset hold it.
    crossing = _Crossing(weakref.ref(passes), spec)
    begun = tf.data.Dataset.from_generator(crossing.begin, output_signature=NUMBER)
    weakref.finalize(begun, passes.close)
    made = begun.flat_map(crossing.samples)
    if length is None:
        return made
    known = tf.data.INFINITE_CARDINALITY if length == float("inf") else int(length)
    return made.apply(tf.data.experimental.assert_cardinality(known))


class _Crossing:
    """What TensorFlow calls; it keeps no reference to the dataset."""

    def __init__(self, passes: weakref.ref[Passes], spec: Any) -> None:
        self._passes = passes
        self._spec = spec
        self._fitting = fitting(spec)
        self._tensors = tf.nest.flatten(spec, expand_composites=True)
        self._numbers = itertools.count()
        self._open: dict[int, tuple[Generator[Any, None, None], Iterator[int]]] = {}
        self._row = tf.function(self._called, input_signature=[NUMBER, NUMBER], autograph=False)

    def begin(self) -> Generator[int, None, None]:
        """Give the number of a new pass, and close it when this generator is closed."""
        passes = self._passes()
        if passes is None:
            raise ClosedRun("the tf.data.Dataset that this iterator was made from is gone; keep a reference to it")
        number = next(self._numbers)
        with contextlib.closing(passes()) as samples:
            self._open[number] = samples, itertools.count()
            try:
                yield number
            finally:
                del self._open[number]

    def samples(self, number: Any) -> Any:
        """Give the dataset of the samples of a pass; called while TensorFlow traces a graph."""
        endless = tf.data.experimental.to_variant(tf.data.Dataset.range(tf.int64.max))
        mapped = tf.raw_ops.MapDataset(
            input_dataset=endless,
            other_arguments=[number],
            f=self._row.get_concrete_function(),
            output_types=[tensor.dtype for tensor in self._tensors],
            output_shapes=[tensor.shape for tensor in self._tensors],
            use_inter_op_parallelism=False,  # run the function where it is asked for, without another thread
            preserve_cardinality=False,  # its StopIteration is the end
        )
        specs = tf.nest.flatten(self._spec)
        if all(isinstance(spec, tf.TensorSpec) for spec in specs):
            return tf.data.experimental.from_variant(mapped, self._spec)
        flat = tf.data.experimental.from_variant(mapped, tuple(self._tensors))
        return flat.map(lambda *parts: tf.nest.pack_sequence_as(self._spec, parts, expand_composites=True))

    def _called(self, place: Any, number: Any) -> Any:
        del place
        arrays = tf.numpy_function(self._next, [number], [tensor.dtype for tensor in self._tensors])
        for array, tensor in zip(arrays, self._tensors, strict=True):
            array.set_shape(tensor.shape)
        return arrays

    def _next(self, number: Any) -> list[Any]:
        """Give the arrays of the next sample; nothing here refers to them afterwards."""
        samples, places = self._open[int(number)]
        return self._fitted(next(samples), next(places))

    def _fitted(self, sample: Any, place: int) -> list[Any]:
        arrays: list[Any] = []
        try:
            self._fitting.fill(sample, arrays)
        except FeedError as error:
            raise FeedError(f"tensorflow(), sample {place}: {error}") from error.__cause__
        return arrays
