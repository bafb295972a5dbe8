"""Random pipelines, and what came out of one: values, and how it ended."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from flazy import Dataset, Retry
from flazy.plan.where import Where
from tests.parallel import functions as fn
from tests.transport.same import same

LONGEST = 400


@dataclass(frozen=True)
class Outcome:
    """What a consumer saw."""

    values: list[Any]
    error: tuple[Any, ...] | None

    def same_as(self, other: Outcome) -> bool:
        return same(self.values, other.values) and self.error == other.error


def outcome(dataset: Dataset[Any], longest: int = LONGEST) -> Outcome:
    values: list[Any] = []
    try:
        with warnings.catch_warnings(), dataset.open() as run:
            warnings.simplefilter("ignore")  # batch() that drops everything says so
            values.extend(itertools.islice(run, longest))
    except Exception as error:
        return Outcome(values, described(error))
    return Outcome(values, None)


def described(error: BaseException) -> tuple[Any, ...]:
    kinds = tuple(kind.__name__ for kind in type(error).__mro__)
    place = tuple(getattr(error, name, None) for name in ("stage", "address", "cycle", "code"))
    return (kinds, type(error.__cause__), place if place[0] else str(error))


FORGIVING_STEPS = {
    "map and skip": lambda ds, **where: ds.map(fn.fail_odd, on_error="skip", **where),
    "replace": lambda ds, **where: ds.map(fn.fail_odd, on_error=fn.instead, **where),
    "replace some": lambda ds, **where: ds.map(fn.stops, on_error=fn.instead_of_some, **where),
    "filter and skip": lambda ds, **where: ds.filter(fn.fail_odd, on_error="skip", **where),
    "flatmap and skip": lambda ds, **where: ds.flatmap(fn.breaks_off, on_error="skip", **where),
    "flatmap and replace": lambda ds, **where: ds.flatmap(fn.breaks_off, on_error=fn.several_instead, **where),
    "random map and skip": lambda ds, **where: ds.random_map(fn.fail_at_random, seed=5, on_error="skip", **where),
    "retry": lambda ds, **where: ds.random_map(fn.fail_at_random, seed=6, on_error=Retry(2, then="skip"), **where),
    "starmap and skip": lambda ds, **where: ds.map(fn.pair, **where).starmap(fn.join_even, on_error="skip", **where),
}
RECORD_STEPS = {
    "map": lambda ds, **where: ds.map(fn.number, **where),
    "map to dict": lambda ds, **where: ds.map(fn.record, **where),
    "map to tuple": lambda ds, **where: ds.map(fn.pair, **where),
    "filter": lambda ds, **where: ds.filter(fn.not_third, **where),
    "flatmap": lambda ds, **where: ds.flatmap(fn.few, **where),
    "flatmap to many": lambda ds, **where: ds.flatmap(fn.many, **where),
    "starmap": lambda ds, **where: ds.map(fn.pair, **where).starmap(fn.join, **where),
    "select": lambda ds, **where: ds.map(fn.record, **where).select("n", "none"),
    "random map": lambda ds, **where: ds.random_map(fn.noisy, seed=3, **where),
    "old augmentation": lambda ds, **where: ds.random_map(fn.old_augmentation, seed=4, **where),
    "fail": lambda ds, **where: ds.map(fn.fail_odd, **where),
    "stop": lambda ds, **where: ds.map(fn.stops, **where),
    **FORGIVING_STEPS,
}
SLOW_STEPS = {"linger": lambda ds, **where: ds.map(fn.linger, **where)}  # only where they are asked for
STREAM_STEPS = {
    "batch": lambda ds: ds.map(fn.number).batch(3),
    "batch with rest": lambda ds: ds.map(fn.pair).batch(4, drop_remainder=False),
    "unbatch": lambda ds: ds.map(fn.number).batch(5, default_dtype=None, drop_remainder=False).unbatch(),
    "batch by a function": lambda ds: ds.batch(3, fn=fn.total),
    "bucket batch": lambda ds: ds.map(fn.number).bucket_batch(fn.same, [9, 40], 2, drop_remainder=False),
    "window": lambda ds: ds.map(fn.number).window(3, 2, drop_remainder=False),
    "pack": lambda ds: ds.map(lambda sample: [fn.number(sample)] * 3).pack(7, open_rows=2),
    "shuffle": lambda ds: ds.shuffle(seed=1),
    "shuffle a buffer": lambda ds: ds.shuffle(4, seed=2),
    "sample": lambda ds: ds.sample(7, seed=5),
    "take": lambda ds: ds.take(9),
    "skip": lambda ds: ds.skip(2),
    "stride": lambda ds: ds[1:40:2],
    "enumerate": lambda ds: ds.enumerate(5),
    "repeat": lambda ds: ds.repeat(2),
    "cache": lambda ds: ds.cache(),
    "transform": lambda ds: ds.transform(lambda samples: (s for i, s in enumerate(samples) if i % 4)),
    "prefetch": lambda ds: ds.prefetch(3),
}
JOINS = {
    "concat": lambda one, other: one + other,
    "roundrobin": lambda one, other: Dataset.roundrobin([one, other]),
    "zip": lambda one, other: Dataset.zip(one, other),
}

assert not (RECORD_STEPS | SLOW_STEPS).keys() & STREAM_STEPS.keys()  # they are found by name

Step = tuple[str, bool]  # its name, and whether it runs in workers
record_steps = st.tuples(st.sampled_from(sorted(RECORD_STEPS)), st.booleans())
stream_steps = st.tuples(st.sampled_from(sorted(STREAM_STEPS)), st.just(False))
sources = st.integers(0, 25)


def lines(most: int) -> st.SearchStrategy[Any]:
    return st.tuples(sources, st.lists(record_steps | record_steps | stream_steps, max_size=most))


def trees(most: int) -> st.SearchStrategy[Any]:
    """Give a line, or a join of two, with a line behind it."""
    joined = st.tuples(st.sampled_from(sorted(JOINS)), lines(2), lines(2), st.lists(record_steps, max_size=2))
    return lines(most) | joined


def build(tree: Any, where: Where | int | None, *, ordered: bool = True) -> Dataset[Any]:
    if len(tree) == 2:
        count, steps = tree
        return extended(Dataset(range(count)), steps, where, ordered=ordered)
    join, one, other, steps = tree
    branches = [build(branch, where, ordered=ordered) for branch in (one, other)]
    return extended(JOINS[join](*branches), steps, where, ordered=ordered)


def extended(dataset: Dataset[Any], steps: list[Step], where: Where | int | None, *, ordered: bool) -> Dataset[Any]:
    for name, parallel in steps:
        if name in STREAM_STEPS:
            dataset = STREAM_STEPS[name](dataset)
        else:
            options = {"workers": where, "ordered": ordered} if parallel else {}
            dataset = (RECORD_STEPS | SLOW_STEPS)[name](dataset, **options)
    return dataset


def parallel_stages(tree: Any) -> int:
    if len(tree) == 2:
        return sum(parallel for _name, parallel in tree[1])
    _join, one, other, steps = tree
    return parallel_stages(one) + parallel_stages(other) + sum(parallel for _name, parallel in steps)
