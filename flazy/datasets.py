"""The `Dataset`: a value that has a plan.

Verbs are in ``flazy.verbs``, by what they work on; here are construction, iteration and looks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, cast

from flazy.errors import ImmutableDataset, InvalidArgument, InvalidType
from flazy.plan import nodes
from flazy.plan.explain import explain, spell
from flazy.plan.functions import Getter
from flazy.plan.nodes import Node
from flazy.plan.planner import plan
from flazy.plan.sources import source_of, source_of_columns
from flazy.plan.where import Where, where_of
from flazy.run.runs import Run
from flazy.verbs.actions import Actions
from flazy.verbs.base import verb
from flazy.verbs.batching import BatchVerbs
from flazy.verbs.feeds import FeedVerbs
from flazy.verbs.formats import Read, Write
from flazy.verbs.joins import JoinVerbs
from flazy.verbs.records import RecordVerbs, Setup
from flazy.verbs.streams import StreamVerbs

__all__ = ["Dataset"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Dataset(RecordVerbs, StreamVerbs, BatchVerbs, JoinVerbs, Actions, FeedVerbs, Generic[T]):
    """A lazy, immutable dataset.

    Parameters
    ----------
    *sources
        One iterable, array (split along its first dimension), pandas DataFrame (rows as dicts), or a function
        that gives an iterable and is called for every pass. Several of them give tuples.
    **columns
        The same by name: gives dicts.

    Raises
    ------
    InvalidArgument
        Without a source, or with columns of different known lengths.
    InvalidType
        For what is not iterable, and for a lone str, bytes or dict.

    Notes
    -----
    Nothing runs before it is iterated. Each verb gives a new dataset; iterating twice gives the data twice, in a new
    random order and with new augmentations where the plan has any.

    Examples
    --------
    >>> from flazy import Dataset
    >>> Dataset(range(10)).filter(lambda x: x % 2).map(lambda x: x * x).list()
    [1, 9, 25, 49, 81]
    >>> Dataset(x=[1, 2], y=["a", "b"]).first()
    {'x': 1, 'y': 'a'}
    """

    __slots__ = ("_coming", "_node")
    __array_ufunc__ = None  # numpy items on the left of + leave it to __radd__
    read: ClassVar[Read]

    _node: Node
    _coming: list[int]  # the cycle of the coming pass: the one thing that changes

    def __init__(self, *sources: Any, **columns: Any) -> None:
        if sources and columns:
            raise InvalidArgument("a dataset is made of positional sources (tuples) or of named ones (dicts), not both")
        if not sources and not columns:
            raise InvalidArgument("Dataset() needs a source: an iterable, arrays, or a function that gives an iterable")
        self._set(source_of(sources[0]) if len(sources) == 1 else source_of_columns(sources or columns))

    @classmethod
    @verb
    def from_indexed(
        cls, indexed: Any, *, workers: int | Where | None = None, ordered: bool = True, setup: Setup = None
    ) -> Dataset[Any]:
        """Make a dataset of anything with ``__len__`` and ``__getitem__``, e.g. a PyTorch dataset.

        Items are fetched in the workers; `shuffle` without a buffer size, directly on it, permutes the indices.
        """
        if not hasattr(indexed, "__len__") or not hasattr(indexed, "__getitem__"):
            raise InvalidType(f"from_indexed() needs __len__ and __getitem__, which {type(indexed).__name__} has not")
        if setup is not None:
            raise InvalidArgument("from_indexed() calls no function of yours, so it has no use for setup=")
        label = f"from_indexed({type(indexed).__name__})"
        return cls._of(nodes.Fetch(source_of(range(len(indexed))), Getter(indexed), label, where_of(workers), ordered))

    @classmethod
    def _of(cls, node: Node) -> Dataset[Any]:
        made: Dataset[Any] = object.__new__(cls)
        made._set(node)
        return made

    def _set(self, node: Node) -> None:
        object.__setattr__(self, "_node", node)
        object.__setattr__(self, "_coming", [0])

    def _over(self, node: Node) -> Dataset[Any]:
        return self._of(node)

    @property
    def node(self) -> Node:
        """The last node of the plan."""
        return self._node

    @property
    def write(self) -> Write:
        """Writers, by format: ``dataset.write.tfrecord(path)``."""
        return Write(cast("Dataset[Any]", self))

    def __iter__(self) -> Iterator[T]:
        """Start a pass, at the first ``next()``; a real generator, closed on exhaustion, break and error."""
        return self._pass()

    def _pass(self) -> Generator[T, None, None]:
        with self.open() as run:
            yield from run.samples

    def open(self) -> Run:
        """Start a pass and give it: an iterator with ``close()`` and ``stats()``, for a ``with`` block.

        Raises
        ------
        UnserializableFunction
            If a function for worker processes cannot be pickled; nothing was started then.
        """
        run = Run(plan(self._node), self._coming[0])
        self._coming[0] += 1
        return run

    def _peek(self, node: Node, *, timed: bool = False) -> Run:
        return Run(plan(node), self._coming[0], timed=timed, quiet=True)

    def pipe(self, fn: Callable[Concatenate[Dataset[Any], P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Give ``fn(self, *args, **kwargs)``: the door for verbs of your own."""
        return fn(self, *args, **kwargs)

    def explain(self) -> str:
        """Give the plan as text: as asked for, and as it runs (what is fused, where, in how many processes)."""
        return explain(self._node)

    def __repr__(self) -> str:
        """Show the calls that made it; nothing runs."""
        return spell(self._node)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: verbs give new datasets."""
        raise ImmutableDataset(f"a Dataset is immutable; {name!r} cannot be set, verbs give new datasets")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the plan, if its functions can be; the copy counts its own passes."""
        return _unpickle, (self._node,)


def _unpickle(node: Node) -> Dataset[Any]:
    return Dataset._of(node)  # noqa: SLF001 - this module's class


Dataset.read = Read(Dataset)
