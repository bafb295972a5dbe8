"""Several datasets as one.  Where a dataset is expected, a function that gives one is made when it is reached.

Joins are called on the class or on a dataset, which is then the first: ``Dataset.zip(a, b)`` is ``a.zip(b)``.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from flazy.errors import InvalidArgument, InvalidType
from flazy.plan import nodes
from flazy.plan.functions import name_of
from flazy.plan.sources import source_of
from flazy.verbs.base import Planned, verb

if TYPE_CHECKING:
    from flazy.datasets import Dataset

__all__ = ["JoinVerbs"]

P = ParamSpec("P")
R = TypeVar("R")


class _Join(Generic[P, R]):
    """A method whose first parameter is the class, or the dataset that it is called on.

    A class method would leave out that dataset without a word.
    """

    def __init__(self, method: Callable[Concatenate[Any, P], R]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, dataset: Any, kind: type[Any]) -> Callable[P, R]:
        return types.MethodType(self._method, kind if dataset is None else dataset)


class JoinVerbs(Planned):
    """Concatenation, round robin and zip; a sample's address starts with the number of its branch."""

    @_Join
    @verb
    def concat(self: Any, *datasets: Any) -> Dataset[Any]:
        """Give one dataset after the other: ``Dataset.concat(a, b)``, or ``a.concat(b)``, which is ``a + b``.

        Parameters
        ----------
        *datasets
            Datasets, or functions that give one, or one list of them; such a function is called when its turn comes.
            Called on a dataset, that is the first.

        Examples
        --------
        >>> from flazy import Dataset
        >>> a, b = Dataset([1, 2]), Dataset([3])
        >>> Dataset.concat(a, b).list(), Dataset.concat([a, b]).list(), a.concat(b).list()
        ([1, 2, 3], [1, 2, 3], [1, 2, 3])
        """
        return _joined(self, nodes.Concat(_branches(self, datasets, "concat")))

    @_Join
    @verb
    def roundrobin(self: Any, *datasets: Any) -> Dataset[Any]:
        """Give one sample of each dataset in turn, until all are exhausted; one that ends drops out.

        ``Dataset.roundrobin(a, b)`` is ``a.roundrobin(b)``; ``datasets`` are those of `concat`.
        """
        return _joined(self, nodes.RoundRobin(_branches(self, datasets, "roundrobin")))

    @_Join
    def zip(self: Any, *datasets: Any, **named: Any) -> Dataset[Any]:
        """Give one sample of each dataset together: tuples, or dicts of named datasets.

        ``Dataset.zip(a, b)`` is ``a.zip(b)``.

        Raises
        ------
        LengthMismatch
            While iterating, where one ends before another; the message names it.
        """
        if named and isinstance(self, JoinVerbs):
            raise InvalidArgument("zip() of a dataset that has no name with some that have: Dataset.zip(a=…, b=…)")
        if bool(datasets) == bool(named):
            raise InvalidArgument("zip() takes datasets, or named datasets, and at least one: Dataset.zip(a, b)")
        branches = _branches(self, datasets or tuple(named.values()), "zip")
        return _joined(self, nodes.Zip(branches, tuple(named) if named else None))

    def __add__(self, other: Any) -> Dataset[Any]:
        """Append a dataset, a function that gives one, or a single item."""
        return _joined(self, _sum(self.node, _addend(other)))

    def __radd__(self, item: Any) -> Dataset[Any]:
        """Put one item in front."""
        return _joined(self, _sum(_addend(item), self.node))


def _joined(on: Any, node: nodes.Node) -> Dataset[Any]:
    """Make the dataset; ``on`` is what the join was called on, the class or a dataset."""
    cls: Any = type(on) if isinstance(on, JoinVerbs) else on
    return cast("Dataset[Any]", cls._of(node))


def _branches(on: Any, datasets: tuple[Any, ...], call: str) -> tuple[nodes.Node, ...]:
    if len(datasets) == 1 and isinstance(datasets[0], Iterable) and not isinstance(datasets[0], JoinVerbs):
        datasets = tuple(datasets[0])
    first = (on,) if isinstance(on, JoinVerbs) else ()
    return tuple([_branch(dataset, call) for dataset in (*first, *datasets)])


def _branch(dataset: Any, call: str) -> nodes.Node:
    if isinstance(dataset, JoinVerbs):
        return dataset.node
    if callable(dataset):
        return nodes.Lazy(partial(_made, dataset), name_of(dataset))
    raise InvalidType(
        f"{call}() joins datasets, or functions that give one, not {type(dataset).__name__}; wrap it in Dataset(…)"
    )


def _addend(other: Any) -> nodes.Node:
    if isinstance(other, JoinVerbs) or callable(other):
        return _branch(other, "+")
    return source_of([other])


def _sum(*parts: nodes.Node) -> nodes.Concat:
    """Concatenate; a sum of sums is one: a loop of ``+=`` makes no deep plan, and grouping changes no address."""
    return nodes.Concat(tuple([
        branch for part in parts for branch in (part.branches if isinstance(part, nodes.Concat) else (part,))
    ]))


def _made(make: Callable[[], Any]) -> nodes.Node:
    made = make()
    if not isinstance(made, JoinVerbs):
        raise InvalidType(f"{name_of(make)}() must give a Dataset, not {type(made).__name__}")
    return made.node
