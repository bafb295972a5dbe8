"""The logical plan: what the user asked for, as frozen values.

Nodes know nothing of `Dataset`, of processes or of each other's execution; they check their own
numbers and hold their upstreams.  They compare by identity, since functions have no better equality.

* *record nodes* work on one sample at a time, anywhere;
* *stream nodes* work on the stream, in the caller's process;
* *joins* have several upstreams; *sources* none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

from flazy.collate import STACKED, Stacked
from flazy.plan.policy import Policy
from flazy.plan.where import Where

__all__ = [
    "Batch", "Cache", "Cast", "Concat", "Enumerate", "Epoch", "Fetch", "Filter", "FlatMap", "ForEach", "Join",
    "Lazy", "Load", "Map", "Node", "Pick", "Prefetch", "Progress", "RandomMap", "RecordNode", "Repeat", "RoundRobin",
    "Sample", "Serial", "Shard", "Shuffle", "Skip", "Source", "StarMap", "StreamNode", "Stride", "Take",
    "Transform", "Unbatch", "Zip", "spine_of", "subplans",
]  # fmt: skip

N = TypeVar("N")


@dataclass_transform(frozen_default=True, eq_default=False)
def node(cls: type[N]) -> type[N]:
    """Make a frozen value that compares by identity and can be a key of the runtime's weak tables.

    Not by ``frozen=True``, which compiles two more functions for each of the classes below: 5 ms of every import.
    """
    return dataclass(slots=True, eq=False, repr=False, weakref_slot=True)(cls)


@node
class Node:
    """A step of a plan."""

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, name):
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @property
    def upstreams(self) -> tuple[Node, ...]:
        """The nodes that feed this one."""
        return ()


# Sources --------------------------------------------------------------------------------------------


@node
class Source(Node):
    """Where samples come from.

    ``pull`` gives a fresh iterable for each pass; ``length`` is None where only a full pass could tell.
    """

    pull: Callable[[], Iterable[Any]]
    label: str
    length: int | None = None


@node
class Lazy(Node):
    """A plan that is made when it is reached; ``make`` gives its root."""

    make: Callable[[], Node]
    label: str


# Record nodes ---------------------------------------------------------------------------------------


@node
class RecordNode(Node):
    """One sample in, some samples out.  ``where`` None: the caller's process."""

    # How the kernel calls the function; the verb in the stage's name; whether it joins the stage before it, where no
    # workers are asked for.
    kind: ClassVar[str] = "map"
    verb: ClassVar[str] = ""
    joins: ClassVar[bool] = False

    upstream: Node
    fn: Callable[..., Any]
    label: str
    where: Where | None = None
    ordered: bool = True
    setup: Callable[[], Any] | None = None
    on_error: Policy | None = None

    @property
    def upstreams(self) -> tuple[Node, ...]:
        """The one node that feeds this one."""
        return (self.upstream,)

    @property
    def one_to_one(self) -> bool:
        """Each sample gives exactly one."""
        return self.kind not in ("filter", "flatmap") and not (self.on_error is not None and self.on_error.drops)

    @property
    def name(self) -> str:
        """The stage in plans and messages."""
        return f"{self.verb}({self.label})" if self.verb else self.label


@node
class Map(RecordNode):
    """One sample to one."""

    verb: ClassVar[str] = "map"


@node
class StarMap(RecordNode):
    """One tuple or dict, taken apart, to one sample."""

    verb: ClassVar[str] = "starmap"


@node
class Pick(RecordNode):
    """A selection of keys: so cheap that it joins whatever stage it stands behind."""

    joins: ClassVar[bool] = True


@node
class Cast(RecordNode):
    """Other dtypes: cheap, like `Pick`, but it may be given workers of its own."""

    verb: ClassVar[str] = "cast"
    joins: ClassVar[bool] = True


@node
class Fetch(RecordNode):
    """An index to the item behind it; a full shuffle right behind it permutes the indices instead."""


@node
class ForEach(RecordNode):
    """Call for the side effect; the samples that come out are None, so nothing travels back."""

    kind: ClassVar[str] = "foreach"
    verb: ClassVar[str] = "foreach"


@node
class RandomMap(RecordNode):
    """One sample and its own random generator to one sample."""

    kind: ClassVar[str] = "random"
    verb: ClassVar[str] = "random_map"

    seed: int = 0
    seed_globals: bool = True
    drawn: bool = False  # the seed, when the dataset was made: another process has another


@node
class Load(RandomMap):
    """The same, with the items of another library's dataset."""

    verb: ClassVar[str] = "loader"


@node
class Filter(RecordNode):
    """Keep the samples for which the function is true."""

    kind: ClassVar[str] = "filter"
    verb: ClassVar[str] = "filter"


@node
class FlatMap(RecordNode):
    """One sample to any number."""

    kind: ClassVar[str] = "flatmap"
    verb: ClassVar[str] = "flatmap"


@node
class Unbatch(FlatMap):
    """One batch to its rows."""

    verb: ClassVar[str] = ""


# Stream nodes ---------------------------------------------------------------------------------------


@node
class StreamNode(Node):
    """A stage over the stream."""

    upstream: Node

    @property
    def upstreams(self) -> tuple[Node, ...]:
        """The one node that feeds this one."""
        return (self.upstream,)


@node
class Transform(StreamNode):
    """A user's function from iterator to iterator."""

    fn: Callable[[Iterator[Any]], Iterable[Any]]
    label: str


@node
class Batch(StreamNode):
    """``size`` samples become one: by ``fn``, or arrays as ``leaves`` says and numbers as ``default_dtype``."""

    size: int
    default_dtype: Any
    drop_remainder: bool
    leaves: Stacked = STACKED
    fn: Callable[[list[Any]], Any] | None = None
    label: str = ""
    shards: tuple[Shard, ...] = ()  # which of all batches these are, where shards of them were moved upstream


@node
class Enumerate(StreamNode):
    """Number the samples."""

    start: int


@node
class Take(StreamNode):
    """The first ``count`` samples."""

    count: int


@node
class Skip(StreamNode):
    """All but the first ``count`` samples."""

    count: int


@node
class Stride(StreamNode):
    """Every ``step``-th sample, from the first."""

    step: int


@node
class Repeat(StreamNode):
    """The upstream over and over; ``times`` None: without end."""

    times: int | None


@node
class Shuffle(StreamNode):
    """Another order; ``buffer_size`` None: of everything at once."""

    buffer_size: int | None
    seed: int
    drawn: bool = False


@node
class Sample(StreamNode):
    """``count`` samples drawn without replacement from all of them."""

    count: int
    seed: int
    drawn: bool = False


@node
class Cache(StreamNode):
    """The samples of the first full pass, kept in memory."""


@node
class Prefetch(StreamNode):
    """``count`` samples ahead, in a thread."""

    count: int


@node
class Progress(StreamNode):
    """A progress bar."""

    description: str | None


@node
class Serial(StreamNode):
    """Everything upstream without workers."""


@node
class Epoch(StreamNode):
    """Everything upstream at this cycle, in every pass."""

    cycle: int


@node
class Shard(StreamNode):
    """The samples whose position ``p`` has ``p // block % num_shards == index``."""

    num_shards: int | None  # None, as ``index``: the rank's, read when a pass opens
    index: int | None
    equal: str | None
    block: int = 1
    least: int = 1  # so many samples of a last, incomplete block make a sample further down


# Joins ----------------------------------------------------------------------------------------------


@node
class Join(Node):
    """Several upstreams."""

    branches: tuple[Node, ...]

    @property
    def upstreams(self) -> tuple[Node, ...]:
        """The nodes that feed this one, in order."""
        return self.branches


@node
class Concat(Join):
    """One after the other."""


@node
class RoundRobin(Join):
    """One sample of each in turn, until all are exhausted."""


@node
class Zip(Join):
    """One sample of each, together; ``names`` makes dicts instead of tuples."""

    names: tuple[str, ...] | None = None


# Walking --------------------------------------------------------------------------------------------


def spine_of(root: Node) -> list[Node]:
    """List the nodes from the nearest source, lazy part or join up to ``root``, without recursion.

    Plans made by recursion (a sieve) are hundreds of nodes deep.
    """
    spine = [root]
    while isinstance(spine[-1], RecordNode | StreamNode):
        spine.append(spine[-1].upstream)
    spine.reverse()
    return spine


def subplans(root: Node) -> Iterator[Node]:
    """Give every node of a plan, upstream first; a node that is used twice comes twice."""
    spine = spine_of(root)
    for branch in spine[0].upstreams:
        yield from subplans(branch)
    yield from spine
