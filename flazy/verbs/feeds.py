"""Verbs that hand a dataset to a framework; each loads its feed, and so its framework, when it is called."""

from __future__ import annotations

import functools
import importlib
import math
from typing import TYPE_CHECKING, Any

from flazy.errors import EmptyDataset, InvalidArgument
from flazy.feeds.passes import Passes
from flazy.plan import nodes
from flazy.plan.length import known_length, length_of
from flazy.plan.planner import plan
from flazy.plan.sections import batched
from flazy.verbs.base import Planned, at_least, verb
from flazy.verbs.opening import PassOpener, feed, on_device, open_at, open_jax_at

__all__ = ["FeedVerbs"]


class FeedVerbs(Planned):
    """Datasets as others take them."""

    if TYPE_CHECKING:
        _coming: list[int]

    @verb
    def tensorflow(self, signature: Any = None) -> Any:
        """Give a ``tf.data.Dataset`` of the same structure; parallel stages stay as they are.

        Parameters
        ----------
        signature
            A structure of ``tf.TensorSpec``, or the ragged or sparse one. None (default) takes structure, dtypes and
            shapes from the first sample, which is run now, once: the first iteration goes on with that pass. Where the
            plan batches, the first dimension of every array is left open, and where it pads, every dimension.

        Returns
        -------
        tf.data.Dataset
            Each iteration is a pass of its own, closed with TensorFlow's iterator. Strings are ``tf.string``;
            Python's own int, float and bool are ``tf.int64``, ``tf.float32`` and ``tf.bool``; arrays and numpy
            scalars keep their dtype, those of ml_dtypes included; `flazy.Ragged` is a ``tf.RaggedTensor``.

        Raises
        ------
        MissingExtra
            Without TensorFlow.
        EmptyDataset
            Without a first sample.
        InvalidType
            If the first sample holds something that has no tensor.

        Notes
        -----
        While iterating, TensorFlow raises its own errors, with ours in the text: what a stage raised, or a
        `FeedError` for a sample that does not fit the signature. TensorFlow pulls from threads of its own, so stages
        without workers run there.

        A sample crosses in one call of Python, so `batch` before it. Batches that workers fill in shared memory are not
        copied: a tensor that is kept keeps the memory of its batch, which is not written to again before it is gone.

        "Where the plan batches" is: a `batch`, or a verb like it, with no `unbatch`, `flatmap` or `transform` after
        it. A `map` after it is taken to keep the rows; a dimension too many left open does no harm.

        Where ``len(dataset)`` is known, so is TensorFlow's cardinality. Where it is not, Keras warns at the end of an
        epoch that the input ran out; ``repeat()`` and ``steps_per_epoch=`` avoid that, and a ``repeat()`` before a
        parallel stage keeps its workers busy between epochs.

        Examples
        --------
        Train a Keras model: ``model.fit(dataset.shuffle().batch(32).tensorflow(), epochs=5)``
        """
        loaded = importlib.import_module("flazy.feeds.tensorflow")
        passes = Passes(functools.partial(open_at, self.node), self._coming)
        return loaded.tensorflow_dataset(passes, signature, free=batched(plan(self.node)), length=length_of(self.node))

    @verb
    def torch(self, device: Any = None, *, pin_memory: bool = False, prefetch: int = 2) -> Any:
        """Give a PyTorch ``IterableDataset`` of the samples as tensors; parallel stages stay as they are.

        Parameters
        ----------
        device
            Where the tensors shall be: anything that ``torch.device`` takes, or the number of a GPU. None (default) and
            ``"cpu"`` leave them where they are. Otherwise samples are copied ahead: on CUDA on a stream of their own,
            from locked memory, while the model computes; your stream waits for them, your program does not. Without
            a number it is the device that is the current one now.
        pin_memory
            Give tensors in locked (pinned) memory, for copies of your own, ``batch.to(device, non_blocking=True)``.
            With a device it changes nothing, nor where there is no GPU.
        prefetch
            How many samples are copied ahead, by a thread; at least 1. 2, the default, hides the copy of one batch and
            the unevenness of the next. Without a device and without ``pin_memory`` nothing is copied, and this
            changes nothing.

        Returns
        -------
        torch.utils.data.IterableDataset
            Each iteration is the next pass of this dataset, closed when it is left. Iterate it as it is, or hand it to
            ``DataLoader(dataset.batch(32).torch(), batch_size=None)``, Lightning or Accelerate. ``len()`` where the
            plan knows it, else a ``TypeError``, as PyTorch expects; ``set_epoch(k)`` lets the coming pass be pass
            ``k``. It can be pickled if the plan can. In a ``DataLoader`` with ``num_workers``, each worker makes its
            part of the samples, and the loader gives what it would give without, in the same order; every epoch is
            the next pass. Stages with ``workers=`` need none of that.

            Arrays are tensors over the same memory, without a copy; numpy scalars are tensors without dimensions.
            Arrays of text or objects are lists; numbers, text and objects of Python stay what they are, and so do
            dicts, tuples and lists. Read-only arrays, those that run backwards (``image[::-1]``) and those of the other
            byte order are copied, since PyTorch has no such tensors.

        Raises
        ------
        MissingExtra
            Without PyTorch.
        InvalidArgument
            If the device is not there.
        InvalidType
            For what names no device.

        Notes
        -----
        The path to CUDA was written without a GPU: it was tested with a stand-in for the copy, and has not met a device
        yet. Where the driver allows it, the shared memory of batches is registered with it, so that a batch goes from
        where worker processes wrote it to the device in one copy; otherwise it is copied to locked memory before.

        Send images as uint8 and make them floats on the device: that is a quarter of the bytes.

        While iterating, an array that has no tensor (dates, ``float128``, masked and structured arrays) is an error
        that names the sample and the key.

        A tensor that is kept keeps the memory of its batch, which is not written to again before it is gone.

        Examples
        --------
        Train: ``for batch in dataset.shuffle().batch(32).torch(): …``
        """
        ahead = at_least(1, prefetch, "prefetch= of torch()")
        loaded = feed("torch", "PyTorch")
        tensors = nodes.Map(self.node, importlib.import_module("flazy.feeds.tensors").to_tensors, "torch")
        node = on_device(tensors, loaded.opener("torch", device, pin_memory=pin_memory), ahead)
        length = functools.partial(known_length, self.node)
        return loaded.TorchDataset(PassOpener(node), loaded.Epochs(self._coming), length)

    @verb
    def jax(self, sharding: Any = None, *, prefetch: int = 2) -> Any:
        """Give the samples as pytrees of ``jax.Array``; parallel stages stay as they are.

        Parameters
        ----------
        sharding
            Where the arrays shall be: a device, a ``jax.sharding.Sharding`` or, by dicts, tuples and lists like those
            of the samples, one or None for each part. None (default): wherever JAX puts what it is given. Where a
            sharding reaches over several processes (``jax.distributed``), the sample is this process's part of a global
            array: each feeds its own, in equally many batches.
        prefetch
            How many samples are put ahead, by a thread; at least 1. 2, the default, hides the copy of one batch and the
            unevenness of the next. On a CPU without ``sharding`` nothing is put anywhere, and this changes nothing.

        Returns
        -------
        iterable
            Each iteration is the next pass of this dataset, a generator that closes the pass when it is left. ``len()``
            where the plan knows it, else `UnknownLength`; ``set_epoch(k)`` lets the coming pass be pass ``k``.

            Arrays and numpy scalars of numbers become ``jax.Array`` of their dtype, bfloat16, float8 and int4 included;
            dicts, tuples and lists, and Python's own numbers, stay. Text, dates, objects and None stay as well, and
            ``jax.jit`` does not take them: leave them out with ``select()`` before. So does a `Ragged`, which
            JAX does not have: ``padded_batch`` and ``pack`` give arrays.

            JAX has no 64 bits unless it is told to (``jax.config.update("jax_enable_x64", True)``): without a word it
            makes float64 float32, and of int64 and uint64 it keeps the lower 32 bits. `cast` to int32 before, and
            numbers that do not fit are an error.

        Raises
        ------
        MissingExtra
            Without JAX.
        InvalidType
            If ``sharding`` is none.
        FeedError
            While iterating, as the cause of a `SampleError`: for an array that JAX does not have (masked, float128),
            for a batch that does not divide among the devices, and for a sample of another structure than ``sharding``.

        Notes
        -----
        On a CPU a ``jax.Array`` shares the memory of the sample's array where that begins at a multiple of 64 bytes:
        that of batches from worker processes does. Others are copied. It keeps that memory, also while computations
        that were dispatched with it still run, so a batch that is kept never changes. That leaves arrays of your own: a
        source or function without workers that writes again into what it gave changes what JAX may still be reading.

        Arrays were put ahead on several CPU devices and in several processes; putting them on a GPU or TPU has not met
        one yet. The thread knows nothing of ``with jax.default_device(…)`` and other settings of your own thread.

        Examples
        --------
        Train: ``for batch in dataset.shuffle().batch(32).jax(): weights = step(weights, batch)``
        """
        ahead = at_least(1, prefetch, "prefetch= of jax()")
        loaded = feed("jax", "JAX")
        passes = Passes(functools.partial(open_jax_at, self.node, loaded.Put(sharding), ahead), self._coming)
        return loaded.JaxDataset(passes, self._coming, functools.partial(known_length, self.node))

    @verb
    def keras(self, steps_per_epoch: int | None = None) -> Any:
        """Give a ``keras.utils.PyDataset`` for ``fit``, ``evaluate`` and ``predict``, on every back end of Keras 3.

        The passes of this dataset follow one another without a gap, and are cut into epochs of ``steps_per_epoch``
        batches.

        Parameters
        ----------
        steps_per_epoch
            Batches of an epoch; at least 1. None (default): as many as a pass has, so that an epoch is a pass, and an
            evaluation too.

        Returns
        -------
        keras.utils.PyDataset
            Its batches are those of this dataset: tuples ``(x, y)`` or ``(x, y, sample_weight)``; a dict or an array is
            x alone. Where samples are dicts, ``select_tuple("image", "label")`` makes ``(x, y)`` of them. It has
            ``close()`` and is a context manager.

        Raises
        ------
        MissingExtra
            Without Keras.
        InvalidArgument
            If ``steps_per_epoch`` is missing, and the length is unknown or there is no end.
        EmptyDataset
            Where it is known that there are no batches.

        Notes
        -----
        Keras shuffles the numbers of the batches, which changes nothing here: batches come in the order of the
        dataset, each once an epoch; say `shuffle`, as a stage. What Keras looks at before it begins is used again.

        A pass is closed when its last batch was given. One that an epoch leaves open (that of an endless dataset, or
        with fewer steps than it has batches) goes on in the next epoch, and in the next ``fit``. After the last one
        close it: ``with dataset.keras(100) as training: model.fit(training, epochs=5)``. On PyTorch and JAX it is
        closed with the object, too; on TensorFlow, Keras keeps the object until the program ends. An epoch that is
        broken off is not gone on with: what begins next begins with a new pass. (On TensorFlow, whose thread asks
        ahead, take a new ``dataset.keras()`` for it: that thread may still ask for a batch.)

        Batches stay numpy arrays; for PyTorch, where Keras would copy those, they are tensors over the same memory. On
        TensorFlow alone, `tensorflow` is the other way.

        Examples
        --------
        Train: ``model.fit(dataset.shuffle().batch(32).keras(), epochs=5)``
        """
        loaded = feed("keras", "Keras")
        length = length_of(self.node)
        steps = _steps(steps_per_epoch, length)
        node = _keras_plan(self.node, loaded.backend())
        return loaded.KerasDataset(Passes(functools.partial(open_at, node), self._coming), steps, length)


def _keras_plan(node: nodes.Node, backend: str) -> nodes.Node:
    """Make tensors for PyTorch, for which Keras copies numpy's arrays; the others take these as they are."""
    if backend != "torch":
        return node
    return nodes.Map(node, importlib.import_module("flazy.feeds.tensors").to_tensors, "keras")


def _steps(steps_per_epoch: int | None, length: float | None) -> int:
    """Give the batches of an epoch; those of a pass if nothing is said."""
    if length == 0:
        raise EmptyDataset("keras() needs batches, and this dataset has none")
    if steps_per_epoch is not None:
        return at_least(1, steps_per_epoch, "steps_per_epoch= of keras()")
    if length is None or length == math.inf:
        why = "the length of this dataset is not known" if length is None else "this dataset repeats without end"
        raise InvalidArgument(f"keras() needs steps_per_epoch=, how many batches make an epoch: {why}")
    return int(length)
