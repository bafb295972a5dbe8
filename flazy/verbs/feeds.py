"""Verbs that hand a dataset to a framework; each loads its feed, and so its framework, when it is called."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flazy.errors import MissingExtra
from flazy.feeds.passes import Passes
from flazy.plan import nodes
from flazy.plan.length import known_length, length_of
from flazy.plan.nodes import Node
from flazy.plan.planner import plan, processes_of
from flazy.plan.ranks import Rank, inherit, rank_for_child
from flazy.plan.sections import batched
from flazy.run.runs import Run
from flazy.verbs.base import Planned, at_least, verb

__all__ = ["FeedVerbs", "PassOpener", "feed", "on_device"]


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
            A structure of ``tf.TensorSpec``. None (default) takes structure, dtypes and shapes from the first sample,
            which is run now, once: the first iteration goes on with that pass. Where the plan batches, the first
            dimension of every array is left open, and where it pads, every dimension.

        Returns
        -------
        tf.data.Dataset
            Each iteration is a pass of its own, closed with TensorFlow's iterator. Strings are ``tf.string``;
            Python's own int, float and bool are ``tf.int64``, ``tf.float32`` and ``tf.bool``; arrays and numpy
            scalars keep their dtype.

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

        "Where the plan batches" is: a `batch`, or a verb like it, with no `unbatch`, `flatmap` or `transform` after
        it. A `map` after it is taken to keep the rows; a dimension too many left open does no harm.

        Where ``len(dataset)`` is known, so is TensorFlow's cardinality. Where it is not, Keras warns at the end of an
        epoch that the input ran out; ``repeat()`` and ``steps_per_epoch=`` avoid that, and a ``repeat()`` before a
        parallel stage keeps its workers busy between epochs.

        Examples
        --------
        Train a Keras model: ``model.fit(dataset.shuffle().batch(32).tensorflow(), epochs=5)``
        """
        feed = importlib.import_module("flazy.feeds.tensorflow")
        passes = Passes(functools.partial(open_at, self.node), self._coming)
        return feed.tensorflow_dataset(passes, signature, free=batched(plan(self.node)), length=length_of(self.node))

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
            With a device it changes nothing.
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


def on_device(node: Node, opener: Callable[[], Any] | None, ahead: int) -> Node:
    """Add what copies tensors to a device; ``opener`` opens the copies of a pass, None where there are none."""
    if opener is None:
        return node
    copies = importlib.import_module("flazy.feeds.copies")
    departed = nodes.Map(node, copies.depart, "torch", setup=opener)
    return nodes.Map(nodes.Prefetch(departed, ahead), copies.arrive, "torch")


def feed(package: str, name: str) -> Any:
    """Load a feed, and with it its framework."""
    try:
        return importlib.import_module(f"flazy.feeds.{package}")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != package:  # it is there, and lacks something itself
            raise
        raise MissingExtra(f"{package}() needs {name}, which is missing: pip install flazy[{package}]") from missing


def open_at(node: Node, cycle: int) -> Run:
    """Open a pass of a plan."""
    return Run(plan(node), cycle)


class PassOpener:
    """Opens passes, or parts of them; in a process that is spawned from here, as a process of the same rank."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.processes = processes_of(plan(node))

    def __call__(self, cycle: int, num_shards: int = 1, index: int = 0) -> Run:
        """Open the pass of a cycle, or one of several parts of it, in order whatever was said."""
        return open_at(self._node if num_shards == 1 else nodes.Shard(self._node, num_shards, index, "none"), cycle)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opens, (self._node, rank_for_child())


def _opens(node: Node, rank: Rank | None) -> PassOpener:
    inherit(rank)
    return PassOpener(node)
