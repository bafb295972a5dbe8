"""Stages that put samples together: one group after the other, in windows, or by length; ``packs.py`` packs."""

from __future__ import annotations

import bisect
import itertools
import operator
import sys
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from flazy.collate import collate
from flazy.errors import BatchError, SampleError
from flazy.located import Place, cause_of, located
from flazy.plan import nodes
from flazy.plan.batching import BucketBatch, Window
from flazy.plan.explain import step
from flazy.plan.shards import numbers_of
from flazy.run.groups import Group
from flazy.run.stages import Counted, Remark, Stage, head

__all__ = ["BatchStage", "Batches", "BucketStage", "WindowStage"]


class Batches(Counted):
    """A stage that gives batches: what they have in common when one of them cannot be made, and at the end.

    ``remark`` notes a warning for the end of the pass, where it can be shown at the caller's line.
    """

    noun = "batch"

    def __init__(self, node: nodes.StreamNode, upstream: Stage, remark: Remark) -> None:
        super().__init__(upstream)
        self.name = step(node)
        self.remark = remark
        self.numbers: Iterator[int] = itertools.count()

    def batch(self, samples: Any) -> Any:
        """Make the next batch; what is wrong with its samples is said with the stage and its number.

        The caller holds neither samples nor batch afterwards: their memory may be waited for.
        """
        self.position = next(self.numbers)
        try:
            return self.made(samples)
        except SampleError:
            raise
        except BatchError as error:
            raise BatchError(f"{self.name}, {self.noun} {self.position}: {error}") from error.__cause__

    def made(self, samples: Any) -> Any:
        """Make a batch."""
        raise NotImplementedError

    def dropped(self, count: int) -> None:
        """Warn where the whole pass went into a remainder that is dropped."""
        if self.position < 0 and count:
            dropped = f"{self.name} dropped all {count} samples of the pass, which fill no {self.noun}"
            self.remark(f"{dropped}; say drop_remainder=False to keep them", UserWarning)


class BatchStage(Batches):
    """One group of samples after the other."""

    def __init__(self, node: nodes.Batch, upstream: Stage, remark: Remark) -> None:
        super().__init__(node, upstream, remark)
        self.node = node
        self.numbers = numbers_of(node.shards)

    def stream(self) -> Generator[Any, None, None]:
        """Give batches."""
        for group in self.upstream.groups(self.node.size):
            if len(group) < self.node.size and self.node.drop_remainder:
                if not self.node.shards:  # of several shards some may well have no batch
                    self.dropped(len(group))
                return
            batch = self.batch(group)
            del group  # the caller's batch is the only one that is held
            yield batch
            del batch

    def made(self, samples: Group) -> Any:
        """Collate, or have the user's function do it."""
        if self.node.fn is None:
            return samples.collate(self.node.default_dtype, self.node.leaves)
        try:
            return self.node.fn(samples.samples())
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            place = Place(self.name, self.address, self.cycle, noun=self.noun)
            raise located(cause_of(error), place) from error


class WindowStage(Batches):
    """Some consecutive samples, from every so many on."""

    noun = "window"

    def __init__(self, node: Window, upstream: Stage, remark: Remark) -> None:
        super().__init__(node, upstream, remark)
        self.node = node

    def stream(self) -> Generator[Any, None, None]:
        """Give windows; a sample is asked for when a window needs it, and kept while one does."""
        node, samples = self.node, iter(self.upstream)
        window = list(head(samples, node.size))
        while len(window) == node.size or (window and not node.drop_remainder):
            batch = self.batch(window)
            del window[: node.stride]
            yield batch
            del batch
            _skip(samples, node.stride - node.size)
            window += head(samples, node.size - len(window))
        self.dropped(len(window))

    def made(self, samples: Sequence[Any]) -> Any:
        """Stack."""
        return collate(samples, self.node.default_dtype)


class BucketStage(Batches):
    """Samples of like length together."""

    def __init__(self, node: BucketBatch, upstream: Stage, remark: Remark) -> None:
        super().__init__(node, upstream, remark)
        self.node = node

    def stream(self) -> Generator[Any, None, None]:
        """Give a batch as soon as its bucket is full; at the end what is left, in the order of the buckets."""
        node = self.node
        buckets: list[list[Any]] = [[] for _ in node.sizes]
        for sample in self.upstream:
            number = bisect.bisect_right(node.boundaries, self._length(sample))
            buckets[number].append(sample)
            del sample
            if len(buckets[number]) == node.sizes[number]:
                yield self.batch(_emptied(buckets[number]))
        if node.drop_remainder:
            self.dropped(sum(map(len, buckets)))
            return
        for bucket in filter(None, buckets):
            yield self.batch(_emptied(bucket))

    def made(self, samples: Sequence[Any]) -> Any:
        """Pad to the longest."""
        return collate(samples, self.node.default_dtype, leaves=self.node.leaves)

    def _length(self, sample: Any) -> int:
        try:
            return operator.index(self.node.fn(sample))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            place = Place(f"bucket_batch({self.node.label})", self.upstream.address, self.upstream.cycle)
            raise located(cause_of(error), place) from error


def _emptied(samples: list[Any]) -> list[Any]:
    """Take all samples out of a list that is used again."""
    taken = samples.copy()
    samples.clear()
    return taken


def _skip(samples: Any, count: int) -> None:
    """Pass over some samples."""
    for _ in itertools.islice(samples, min(max(0, count), sys.maxsize)):
        pass
