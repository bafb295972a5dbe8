"""Several datasets as one.  Where a dataset is expected, a function that gives one is made when it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from flazy.errors import InvalidArgument, InvalidType
from flazy.plan import nodes
from flazy.plan.functions import name_of
from flazy.plan.sources import source_of
from flazy.verbs.base import Planned, verb

if TYPE_CHECKING:
    from flazy.datasets import Dataset

__all__ = ["JoinVerbs"]


class JoinVerbs(Planned):
    """Concatenation, round robin and zip; a sample's address starts with the number of its branch."""

    @classmethod
    @verb
    def concat(cls, datasets: Iterable[Any]) -> Dataset[Any]:
        """Give one dataset after the other.

        Parameters
        ----------
        datasets
            Datasets, or functions that give one; such a function is called when its turn comes.
        """
        return _joined(cls, nodes.Concat(_branches(datasets, "concat")))

    @classmethod
    @verb
    def roundrobin(cls, datasets: Iterable[Any]) -> Dataset[Any]:
        """Give one sample of each dataset in turn, until all are exhausted; one that ends drops out."""
        return _joined(cls, nodes.RoundRobin(_branches(datasets, "roundrobin")))

    @classmethod
    def zip(cls, *datasets: Any, **named: Any) -> Dataset[Any]:
        """Give one sample of each dataset together: tuples, or dicts of named datasets.

        Raises
        ------
        LengthMismatch
            While iterating, where one ends before another; the message names it.
        """
        if bool(datasets) == bool(named):
            raise InvalidArgument("zip() takes datasets, or named datasets, and at least one: Dataset.zip(a, b)")
        branches = _branches(datasets or named.values(), "zip")
        return _joined(cls, nodes.Zip(branches, tuple(named) if named else None))

    def __add__(self, other: Any) -> Dataset[Any]:
        """Append a dataset, a function that gives one, or a single item."""
        return _joined(type(self), _sum(self.node, _addend(other)))

    def __radd__(self, item: Any) -> Dataset[Any]:
        """Put one item in front."""
        return _joined(type(self), _sum(_addend(item), self.node))


def _joined(cls: type[Any], node: nodes.Node) -> Dataset[Any]:
    return cast("Dataset[Any]", cls._of(node))


def _branches(datasets: Iterable[Any], call: str) -> tuple[nodes.Node, ...]:
    if isinstance(datasets, JoinVerbs) or not isinstance(datasets, Iterable):
        raise InvalidType(f"{call}() takes a list of datasets: Dataset.{call}([a, b])")
    return tuple([_branch(dataset, call) for dataset in datasets])


def _branch(dataset: Any, call: str) -> nodes.Node:
    if isinstance(dataset, JoinVerbs):
        return dataset.node
    if callable(dataset):
        return nodes.Lazy(lambda: _made(dataset), name_of(dataset))
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
