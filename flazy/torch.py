"""For programs that have a PyTorch dataset: `loader`, in the place of ``DataLoader``.

A dataset of Flazy goes to PyTorch by ``dataset.torch()``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from flazy.datasets import Dataset
from flazy.errors import InvalidArgument, InvalidType
from flazy.plan import nodes
from flazy.plan.nodes import Node
from flazy.plan.sources import source_of
from flazy.plan.where import Processes, Where, where_of
from flazy.verbs.base import answering, at_least, callable_named, seed_of
from flazy.verbs.opening import PassOpener, feed, on_device

__all__ = ["loader"]

FOREIGN = {
    "num_workers": "Flazy says workers=n",
    "persistent_workers": "workers always stay for the next epoch; leave it out",
    "prefetch_factor": "what is under way is bounded by itself; workers=Processes(n, window=…) says by how much",
    "worker_init_fn": "random numbers follow from seed= in every worker; open files at the first call of __getitem__",
    "multiprocessing_context": "workers are never forked from your process; leave it out",
    "generator": "Flazy says seed=, which the order and all augmentations follow from",
    "pin_memory_device": "Flazy says device=",
    "in_order": "batches always come in order; leave it out",
    "drop_remainder": "here it is drop_last=, as in DataLoader",
    "seed_globals": "generators are always seeded here",
}


@answering(FOREIGN)
def loader(
    dataset: Any,
    batch_size: int | None = 1,
    shuffle: bool = False,  # noqa: FBT001, FBT002 - as in DataLoader
    workers: int | Where | None = 0,
    *,
    sampler: Iterable[Any] | None = None,
    batch_sampler: Iterable[Any] | None = None,
    drop_last: bool = False,
    collate_fn: Callable[[Any], Any] | None = None,
    pin_memory: bool = False,
    device: Any = None,
    prefetch: int = 2,
    seed: int | None = None,
    timeout: float | None = None,
) -> Any:
    """Load a PyTorch dataset: the batches of ``DataLoader``, by Flazy's workers.

    Parameters
    ----------
    dataset
        Of the map style (``__getitem__`` and ``__len__``; ``__getitems__`` is used where there is one) or of the
        iterable style.
    batch_size
        Samples in a batch. None: no batches, as in DataLoader.
    shuffle
        Another order in every epoch, that of ``seed``; ``set_epoch(k)`` chooses one.
    workers
        0, the default: in your process. A number: in that many processes; or `flazy.Processes`. (Threads take turns
        here, since there is one global generator for all of them.)
    sampler, batch_sampler
        Give indices, or lists of them; iterated once an epoch, in your process.
    drop_last
        Leave out a last batch that is not full; of each worker, in the iterable style.
    collate_fn
        Makes a batch of a list of samples, in the workers. None: as PyTorch's ``default_collate`` does.
    pin_memory, device, prefetch
        As in ``Dataset.torch``, for tensors in dicts, tuples and lists; those in a batch of another class stay.
    seed
        Of everything random. None draws one for the life of the loader.
    timeout
        Seconds that a batch may take, after which its worker is ended. None or 0: no limit.

    Returns
    -------
    torch.utils.data.IterableDataset
        Iterate it once an epoch. ``len()`` is that of DataLoader; ``set_epoch(k)`` lets the coming epoch be number
        ``k``. What wants a DataLoader gets ``DataLoader(loader, batch_size=None)``.

    Raises
    ------
    InvalidArgument
        For arguments that exclude each other.
    InvalidType
        For what is no dataset, and for keywords that there are not.
    MissingExtra
        Without PyTorch.

    Notes
    -----
    ``random``, ``numpy.random`` and PyTorch's generator (that of the CPU) are seeded for each batch, in a way that
    depends on seed, epoch and place of the batch alone: augmentations differ between samples and epochs, and are the
    same for any number of workers. In the iterable style each worker is seeded once an epoch.

    A batch is made as one task, by one worker. Where that fails, the error names the batch by its number, and the item
    that did as ``dataset[index]``. ``get_worker_info()`` tells datasets of the iterable style which worker they are, as
    in DataLoader, and others nothing.

    Each epoch begins with the dataset as it is in your process, as in a DataLoader without persistent workers; tensors
    and arrays in it of over 1 MiB are shared by the workers and not copied again while they do not change.

    Examples
    --------
    Instead of ``DataLoader(dataset, batch_size=32, shuffle=True, num_workers=4)``::

        for images, labels in flazy.torch.loader(dataset, 32, shuffle=True, workers=4):
            ...
    """
    order: dict[str, Any] = {"shuffle": shuffle, "sampler": sampler, "batch_sampler": batch_sampler}
    _refuse_contradictions(batch_size=batch_size, drop_last=drop_last, **order)
    size = None if batch_size is None else at_least(1, batch_size, "batch_size of loader()")
    ahead = at_least(1, prefetch, "prefetch= of loader()")
    if collate_fn is not None:
        callable_named(collate_fn, "collate_fn= of loader")
    torch = feed("torch", "PyTorch")
    if isinstance(dataset, Dataset | torch.TorchDataset):
        raise InvalidType("loader() is for datasets of PyTorch; one of Flazy goes there by dataset.batch(32).torch()")
    where = _where(workers, timeout)
    wanted = Wanted(dataset, size if batch_sampler is None else None, drop_last, collate_fn, where, seed_of(seed))
    indexed = next((given for given in (batch_sampler, sampler) if given is not None), dataset)
    if isinstance(dataset, torch.IterableDataset):
        _refuse("a dataset of the iterable style", **order)
        node = wanted.streams()
    else:
        _check_items(dataset, indexed)
        given = None if indexed is dataset else source_of(indexed)
        node = wanted.items(given, shuffle=shuffle, listed=batch_sampler is not None)
    opened = on_device(node, torch.opener("loader", device, pin_memory=pin_memory), ahead)
    length = functools.partial(_length, indexed, wanted.size, drop_last=drop_last)
    return torch.TorchDataset(PassOpener(opened), torch.Epochs([0]), length)


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What was asked for, and the plans for it; ``size`` None: nothing is put together to batches here."""

    dataset: Any
    size: int | None
    drop_last: bool
    collate_fn: Callable[[Any], Any] | None
    where: Where | None
    seed: int

    def items(self, given: Node | None, *, shuffle: bool, listed: bool) -> Node:
        """Plan for the map style: indices in order, or those ``given``, each of one item unless they are ``listed``."""
        fetched, emptied = _parts()
        indices = given or nodes.Source(functools.partial(_indices, self.dataset), type(self.dataset).__name__)
        if shuffle:
            indices = nodes.Shuffle(indices, None, self.seed)
        if self.size is not None:
            indices = nodes.Transform(indices, fetched.Grouped(self.size, drop_last=self.drop_last), "batch")
        batched = self.size is not None or listed
        fetch = fetched.Fetch(self.dataset, self._collate(fetched, batched=batched), batched=batched)
        made = nodes.Load(indices, fetch, type(self.dataset).__name__, self.where, seed=self.seed)
        return nodes.Map(made, emptied.restored, "restore")

    def streams(self) -> Node:
        """Plan for the iterable style: a stream for each worker, and their batches in turn."""
        fetched, emptied = _parts()
        if self.where is not None and not isinstance(self.where, Processes):
            raise InvalidArgument("a dataset of the iterable style needs processes, in which it can tell where it is")
        count = 0 if self.where is None else self.where.n
        one = None if self.where is None else replace(self.where, n=1)
        grouped = None if self.size is None else fetched.Grouped(self.size, drop_last=self.drop_last)
        collate = self._collate(fetched, batched=self.size is not None)
        stream = fetched.Stream(self.dataset, collate, grouped, count)
        label = type(self.dataset).__name__
        seeded = [
            nodes.RandomMap(source_of([number]), fetched.numbered, "seed", seed=self.seed, seed_globals=False)
            for number in range(max(count, 1))
        ]
        branches = tuple([nodes.FlatMap(worker, stream, label, one) for worker in seeded])
        return nodes.Map(nodes.RoundRobin(branches), emptied.restored, "restore")

    def _collate(self, fetched: Any, *, batched: bool) -> Callable[[Any], Any]:
        return self.collate_fn or (fetched.default_collate if batched else fetched.default_convert)


def _parts() -> tuple[Any, Any]:
    return importlib.import_module("flazy.feeds.fetched"), importlib.import_module("flazy.feeds.emptied")


def _indices(dataset: Any) -> range:
    return range(len(dataset))


def _length(indexed: Any, size: int | None, *, drop_last: bool) -> int:
    count = len(indexed)
    return count if size is None else count // size if drop_last else -(-count // size)


def _where(workers: int | Where | None, timeout: float | None) -> Where | None:
    where = where_of(workers)
    if not timeout:
        return where
    if not isinstance(where, Processes):
        raise InvalidArgument("timeout= of loader() needs worker processes, which are ended when they take longer")
    return replace(where, timeout=timeout)


def _refuse_contradictions(
    *, batch_size: int | None, drop_last: bool, shuffle: bool, sampler: Any, batch_sampler: Any
) -> None:
    if batch_sampler is not None:
        _refuse("batch_sampler=", sampler=sampler, shuffle=shuffle, drop_last=drop_last, batch_size=batch_size != 1)
    if sampler is not None:
        _refuse("sampler=", shuffle=shuffle)
    if batch_size is None:
        _refuse("batch_size=None", drop_last=drop_last)


def _check_items(dataset: Any, indexed: Any) -> None:
    lacks = "__getitem__" if not hasattr(dataset, "__getitem__") else "__len__"
    if lacks == "__getitem__" or (indexed is dataset and not hasattr(dataset, "__len__")):
        raise InvalidType(f"loader() needs a dataset with __getitem__ and __len__, or a torch IterableDataset: "
                          f"{type(dataset).__name__} has no {lacks}")


def _refuse(what: str, **others: Any) -> None:
    """Refuse what says the same twice, or against each other."""
    for name, value in others.items():
        if value is not None and value is not False:
            raise InvalidArgument(f"loader(): {what} excludes {name}=, as it does in DataLoader")
