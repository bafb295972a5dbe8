"""Verbs on the stream; they run in the caller's process, between the parallel stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from flazy.errors import EndlessDataset, InvalidArgument
from flazy.plan import nodes
from flazy.plan.length import length_of
from flazy.plan.nodes import subplans
from flazy.plan.order import differs
from flazy.verbs.base import Planned, at_least, callable_named, seed_of, verb, whole

if TYPE_CHECKING:
    from flazy.datasets import Dataset

__all__ = ["StreamVerbs", "needs_end"]


class StreamVerbs(Planned):
    """Verbs whose result depends on more than one sample, or on order."""

    @verb
    def transform(self, fn: Callable[[Iterator[Any]], Iterable[Any]]) -> Dataset[Any]:
        """Put a function from iterator to iterator into the stream, e.g. a generator function.

        ``fn`` is called once for each pass. Errors that come through it from upstream keep their place.
        """
        return self._over(nodes.Transform(self.node, fn, callable_named(fn, "transform")))

    @verb
    def enumerate(self, start: int = 0) -> Dataset[Any]:
        """Give each sample with its number: ``(start, first), (start + 1, second), …``."""
        return self._over(nodes.Enumerate(self.node, whole(start, "start")))

    @verb
    def take(self, count: int) -> Dataset[Any]:
        """Keep the first ``count`` samples; no more are asked for, in parallel stages before it either."""
        return self._over(nodes.Take(self.node, at_least(0, count, "take(count)")))

    @verb
    def skip(self, count: int) -> Dataset[Any]:
        """Leave out the first ``count`` samples; they are made all the same."""
        return self._over(nodes.Skip(self.node, at_least(0, count, "skip(count)")))

    @verb
    def repeat(self, times: int | None = -1) -> Dataset[Any]:
        """Give the dataset ``times`` times over; -1 or None: without end.

        Every repetition is a new cycle: shuffled and augmented anew.
        """
        if times is None or times == -1:
            return self._over(nodes.Repeat(self.node, None))
        if isinstance(times, int) and times < 0:
            raise InvalidArgument(f"repeat({times}): give a number of times, or nothing for a repetition without end")
        return self._over(nodes.Repeat(self.node, at_least(0, times, "repeat(times)")))

    @verb
    def shuffle(self, buffer_size: int | None = None, seed: int | None = None) -> Dataset[Any]:
        """Give the samples in a random order, another one in every pass.

        Parameters
        ----------
        buffer_size
            Samples held in memory, from which the next is drawn. None holds them all: a true permutation.
        seed
            The order is the same for the same seed and pass. None draws one when the dataset is made.

        Raises
        ------
        EndlessDataset
            Without a buffer size on a plan that repeats without end.
        """
        if buffer_size is None:
            needs_end(self.node, "shuffle()", "shuffle before repeat(), or give a buffer_size")
        size = None if buffer_size is None else at_least(1, buffer_size, "buffer_size")
        return self._over(nodes.Shuffle(self.node, size, seed_of(seed), seed is None))

    @verb
    def sample(self, count: int, buffer_size: int | None = None, seed: int | None = None) -> Dataset[Any]:
        """Draw ``count`` random samples without replacement, others in every pass.

        Without a buffer size from all samples, in memory for ``count``; with one it is
        ``shuffle(buffer_size).take(count)``, which reads no further than it must.
        """
        if buffer_size is not None:
            return self.shuffle(buffer_size, seed).take(count)
        needs_end(self.node, "sample()", "give a buffer_size")
        return self._over(nodes.Sample(self.node, at_least(0, count, "sample(count)"), seed_of(seed), seed is None))

    @verb
    def shard(
        self, num_shards: int | None = None, index: int | None = None, equal: str | None = None
    ) -> Dataset[Any]:
        """Keep every ``num_shards``-th sample, from sample ``index`` on: the part of one rank of several.

        Parameters
        ----------
        num_shards, index
            How many shards there are, and which this is, counted from 0. Without both, the rank of this process, read
            whenever a pass opens: of ``torch.distributed`` or ``jax.distributed`` where they are initialised, else
            ``RANK`` and ``WORLD_SIZE`` of the environment, as launchers set them; else this is the only shard.
            ``explain()`` shows which it is.
        equal
            What becomes of a last round that has no sample for every shard. "none": each sample is in exactly one
            shard, and lengths differ by one at most. "drop": samples of that round are left out, so all shards are
            equally long. "pad": a shard that is short gives its first sample again (one that has none, the first of
            all), so all are equally long, and no sample is missing. None, the default: as "none", and where the rank
            was found and lengths differ, the pass ends with a warning (`UnevenShards`), since a training in which ranks
            wait for each other needs equal lengths.

        Raises
        ------
        InvalidArgument
            Where ranks would not see the same order, and so would have samples twice and miss others: behind a
            `shuffle`, `sample` or `random_map` without ``seed=`` and behind ``ordered=False``.  While opening or
            asking for a length: ``RANK`` and ``WORLD_SIZE`` that make no sense.

        Notes
        -----
        Samples keep what makes them random, so a shard augments each as the whole would. It moves upstream past what
        gives one sample for each, so that a rank does not decode what others take; past a `batch`, too, unless shards
        are made equal. So shard samples, then batch them: ``dataset.shuffle(seed=0).shard(equal="pad").batch(32)``.

        What leaves samples out behind it (`filter`, ``on_error="skip"``) makes lengths differ again.

        Trainers that deal batches out to ranks themselves (Accelerate does) want the whole dataset.

        Every rank must begin equally many passes: that is how all of them come to shuffle the next one alike. What
        stands behind may be shuffled without a seed.

        Examples
        --------
        >>> from flazy import Dataset
        >>> [Dataset(range(8)).shard(3, index).list() for index in range(3)]
        [[0, 3, 6], [1, 4, 7], [2, 5]]
        >>> [Dataset(range(8)).shard(3, index, equal="pad").list() for index in range(3)]
        [[0, 3, 6], [1, 4, 7], [2, 5, 2]]
        >>> [Dataset(range(8)).shard(3, index, equal="drop").list() for index in range(3)]
        [[0, 3], [1, 4], [2, 5]]
        """
        if (reason := differs(self.node)) is not None:
            raise InvalidArgument(
                f"shard() of samples whose order differs from rank to rank: {reason}, or shard before that stage; else "
                "ranks would have some samples twice and miss others"
            )
        return self._over(nodes.Shard(self.node, *_numbers(num_shards, index), _equal(equal)))

    @verb
    def cache(self) -> Dataset[Any]:
        """Keep the samples of the first full pass in memory, for every dataset that is made from this one.

        Later passes give copies of the arrays and tensors, so that a function may change them in place.
        """
        needs_end(self.node, "cache()", "cache before repeat()")
        return self._over(nodes.Cache(self.node))

    @verb
    def prefetch(self, count: int) -> Dataset[Any]:
        """Run everything before this in a thread, ``count`` samples ahead.

        Parallel stages work ahead by themselves; this is for serial ones, whose functions then run in that thread.
        """
        return self._over(nodes.Prefetch(self.node, at_least(1, count, "prefetch(count)")))

    @verb
    def progress(self, description: str | None = None) -> Dataset[Any]:
        """Show a progress bar while iterating."""
        return self._over(nodes.Progress(self.node, description))

    @verb
    def serial(self) -> Dataset[Any]:
        """Give the same plan without workers, for debugging; the samples are the same."""
        return self._over(nodes.Serial(self.node))

    @verb
    def epoch(self, cycle: int) -> Dataset[Any]:
        """Hold one cycle: every pass has the order and the augmentations of pass ``cycle``, counted from 0.

        That goes for the stages before this one, and for those behind it, whose samples are of that cycle.

        Raises
        ------
        InvalidArgument
            If the plan repeats, and so runs through cycles of its own.
        """
        if any(isinstance(node, nodes.Repeat) for node in subplans(self.node)):
            raise InvalidArgument(
                "epoch() of a dataset that repeats makes no sense: it has many; put it before repeat()"
            )
        return self._over(nodes.Epoch(self.node, at_least(0, cycle, "epoch(cycle)")))


def _numbers(num_shards: int | None, index: int | None) -> tuple[int | None, int | None]:
    if num_shards is None and index is None:
        return None, None
    if num_shards is None or index is None:
        raise InvalidArgument("shard() needs num_shards and index, or neither, which takes the rank of this process")
    size, place = at_least(1, num_shards, "num_shards"), at_least(0, index, "index")
    if place >= size:
        raise InvalidArgument(f"index of shard() is counted from 0, so it must be below num_shards={size}, not {place}")
    return size, place


def _equal(equal: str | None) -> str | None:
    if equal not in (None, "none", "drop", "pad"):
        raise InvalidArgument(f'equal={equal!r} of shard(): it may be "none", "drop" or "pad"')
    return equal


def needs_end(node: nodes.Node, call: str, hint: str) -> None:
    """Refuse what would never finish."""
    if length_of(node) == math.inf:
        raise EndlessDataset(f"{call} needs the end of a dataset that repeats without end; {hint}")
