"""What runs while faults happen, and what must be true of it: each is a function of its `Fire`."""

from __future__ import annotations

import itertools
import random
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import numpy as np

from flazy import Dataset, PoisonSample, Processes
from tests.chaos import work
from tests.chaos.faults import ALL, KILLS, STOPS, Faults, Mix
from tests.parallel import functions as fn
from tests.parallel import pipelines

__all__ = ["SCENARIOS", "Fire", "Mix"]

LEAST = 12 * 32  # samples, on however slow a machine


class Fire:
    """One scenario under way: its faults, its time, and its figures."""

    def __init__(self, seed: int, mix: Mix, seconds: float) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed} what runs")
        self.seconds = seconds
        self.figures: Counter[str] = Counter()
        self._until = time.monotonic() + seconds
        self._faults = Faults(seed, mix)

    @property
    def on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._until

    def numbers(self, least: int = LEAST) -> Iterator[int]:
        """Count as long as there is time, and on a busy machine as far as is asserted."""
        return itertools.takewhile(lambda x: x < least or self.on, itertools.count())

    @contextmanager
    def run(self, dataset: Dataset[Any]) -> Iterator[Any]:
        """Open a dataset, and add up what its run tells at the end."""
        with dataset.open() as run:
            try:
                yield run
            finally:
                stats = run.stats()
                for segment in stats.segments:
                    self.figures["lost"] += segment.lost_workers
                    self.figures["sent again"] += segment.redispatched
                    self.figures["dropped"] += segment.dropped
                    self.figures["samples"] += segment.samples_out
                self.figures["left out"] += stats.skipped

    def __enter__(self) -> Self:
        self._faults.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._faults.__exit__(*error)
        self.figures.update(self._faults.counts)


# Streams: one long run each ------------------------------------------------------------------------------------


def ordered(fire: Fire) -> None:
    with fire.run(Dataset(fire.numbers).map(fn.slow, workers=2)) as run:
        got = list(run)

    assert [2 * x for x in range(len(got))] == got
    assert len(got) >= LEAST


def unordered(fire: Fire) -> None:
    with fire.run(Dataset(fire.numbers).map(fn.slow, workers=2, ordered=False)) as run:
        got = list(run)

    assert [2 * x for x in range(len(got))] == sorted(got)
    assert len(got) >= LEAST


def flatmap(fire: Fire) -> None:
    ds = Dataset(fire.numbers).flatmap(fn.spread, workers=2)
    with fire.run(ds.random_map(lambda x, rng: (x, rng.random()), seed=1, workers=2)) as run:
        got = list(run)
    serial = Dataset(itertools.count).flatmap(lambda x: ((x, offset) for offset in range(x % 5)))
    expected = serial.random_map(lambda x, rng: (x, rng.random()), seed=1).take(len(got)).list()

    assert expected == got
    assert len(got) >= LEAST


# Batches of large arrays: every row is looked at --------------------------------------------------------------

NORMAL = [work.normalise(photo) for photo in work.PHOTOS]


def images(fire: Fire) -> None:
    """Some batches are held and looked at again, so that what was half written by a dead worker would show."""
    held: deque[Any] = deque(maxlen=fire.random.choice([1, 12]))
    count = 0
    with fire.run(Dataset(fire.numbers).map(work.image, workers=2).batch(32)) as run:
        for count, batch in enumerate(run, 1):
            held.append((count, batch))
            for number, looked_at in [(count, batch), held[0]]:
                rows = enumerate(looked_at, 32 * (number - 1))
                assert all(work.is_image(row, i) for i, row in rows), number

    assert count >= LEAST // 32


def photos(fire: Fire) -> None:
    """Large inputs, too: those lie in memory that is used again."""
    count = 0
    ds = Dataset(lambda: (work.PHOTOS[i % len(work.PHOTOS)] for i in fire.numbers()))
    with fire.run(ds.map(work.normalise, workers=2).batch(32)) as run:
        for count, batch in enumerate(run, 1):
            rows = enumerate(batch, 32 * (count - 1))
            assert all((row == NORMAL[i % len(NORMAL)]).all() for i, row in rows), count

    assert count >= LEAST // 32


def records(fire: Fire) -> None:
    """Rows with small parts beside large ones, other shapes every now and then in batches of their own, and a rest."""
    total = 0
    ds = Dataset(fire.numbers).map(work.record, workers=2)
    with fire.run(ds.batch(16, drop_remainder=False)) as run:
        for batch in run:
            expected = np.arange(total, total + len(batch["y"]))
            assert (batch["y"] == expected).all()
            assert (batch["x"] == expected[:, None, None]).all()
            assert 60 + total // 64 % 3 == batch["x"].shape[1]
            total += len(expected)

    assert total >= LEAST


def stops(fire: Fire) -> None:
    """A worker that is stopped for longer than a call may take has not taken longer: nothing is left out."""
    where = Processes(2, timeout=0.7)
    with fire.run(Dataset(fire.numbers).map(fn.linger, workers=where, on_error="skip")) as run:
        got = list(run)

    assert list(range(len(got))) == got
    assert len(got) >= LEAST


# Samples that are deadly by themselves, and some that fail ------------------------------------------------------


def deadly_map(fire: Fire) -> None:
    """Exactly those are left out, in either order; at the end it is said which."""
    ordered_ = fire.random.random() < 0.5
    where = Processes(2, timeout=1.0, window=60, chunk=fire.random.choice([None, 1, 10]))
    numbers = Dataset(partial(fire.numbers, work.PERIOD))
    with fire.run(numbers.map(work.deadly, workers=where, ordered=ordered_, on_error="skip")) as run:
        got = list(run)
        stats = run.stats()
    count = stats.segments[0].samples_in

    assert [x for x in range(count) if not work.is_bad(x)] == (got if ordered_ else sorted(got))
    assert [x for x in range(count) if work.is_bad(x)] == sorted(skipped.address[0] for skipped in stats.skips)


def deadly_flatmap(fire: Fire) -> None:
    """What it gave before may come, and nothing behind it; everything of the others."""
    where = Processes(2, timeout=1.0, window=60, chunk=fire.random.choice([None, 1, 10]))
    numbers = Dataset(partial(fire.numbers, work.PERIOD))
    with fire.run(numbers.flatmap(work.deadly_half, workers=where, on_error="skip")) as run:
        got = list(run)
        stats = run.stats()
    count = stats.segments[0].samples_in
    rest = [pair for pair in got if work.is_bad(pair[0])]

    good = [pair for pair in got if not work.is_bad(pair[0])]

    assert [(x, y) for x in range(count) if not work.is_bad(x) for y in range(4)] == good
    assert sorted(got) == got
    assert all(y < x % 3 for x, y in rest)
    assert all([y for _, y in pairs] == list(range(len(pairs))) for pairs in _by_input(rest))
    assert [x for x in range(count) if work.is_bad(x)] == sorted(skipped.address[0] for skipped in stats.skips)


def _by_input(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    return [list(group) for _, group in itertools.groupby(pairs, key=lambda pair: pair[0])]


def poison(fire: Fire) -> None:
    """Without on_error= everything before it comes, then its error, at its place; pass after pass."""
    while fire.on:
        way = fire.random.choice(sorted(work.WAYS.keys() - {work.HANGS}))
        kills = Dataset(range(way + 20)).map(partial(work.dies_at, way), workers=2)
        got: list[Any] = []
        error: BaseException | None = None
        try:
            with fire.run(kills) as run:
                got.extend(run)
        except Exception as raised:
            error = raised
        assert isinstance(error, PoisonSample), error
        assert ((way,), list(range(way))) == (error.address, got)
        fire.figures["pipelines"] += 1


# Pipelines -----------------------------------------------------------------------------------------------------


def random_tree(rng: random.Random) -> Any:
    """Draw a pipeline in the form of `pipelines.build`."""

    def steps(most: int) -> list[tuple[str, bool]]:
        kinds = [pipelines.RECORD_STEPS, pipelines.RECORD_STEPS, pipelines.STREAM_STEPS]
        names = [rng.choice(sorted(rng.choice(kinds))) for _ in range(rng.randint(0, most))]
        drawn = [(name, name in pipelines.RECORD_STEPS and rng.random() < 0.6) for name in names]
        drawn.insert(rng.randint(0, len(drawn)), ("linger", True))
        return drawn

    if rng.random() < 0.7:
        return rng.randint(20, 120), steps(4)
    branches = [(rng.randint(5, 60), steps(1)) for _ in range(2)]
    return rng.choice(sorted(pipelines.JOINS)), *branches, steps(1)


# Those whose outputs do not depend on the order of their inputs.
IN_ANY_ORDER = {"map", "map to dict", "filter", "flatmap", "random map", "select", "linger", "repeat"}
IN_ANY_ORDER |= pipelines.FORGIVING_STEPS.keys()


def without_order(tree: Any) -> Any:
    """Leave out what depends on the order by its nature, and what raises."""
    if len(tree) == 2:
        return tree[0], [step for step in tree[1] if step[0] in IN_ANY_ORDER]
    _join, one, other, steps = tree
    return "concat", without_order(one), without_order(other), without_order((0, steps))[1]


def random_pipelines(fire: Fire) -> None:
    """One pipeline after another, so that idle, starting and closing workers are hit too; each as without workers."""
    first = True
    while fire.on or first:
        first = False
        tree, rng = random_tree(fire.random), fire.random
        options = {"chunk": rng.choice([None, 1, 3, 7]), "window": rng.choice([None, 1, 2, 30])}
        where = Processes(rng.choice([1, 2, 3]), timeout=rng.choice([None, 5.0]), **options)
        ordered_ = rng.random() < 0.7
        tree = tree if ordered_ else without_order(tree)
        longest = pipelines.LONGEST if ordered_ else 10**6
        expected = pipelines.outcome(pipelines.build(tree, None), longest)
        actual = seen(fire, pipelines.build(tree, where, ordered=ordered_), longest)
        if not ordered_:
            outcomes = [expected, actual]
            expected, actual = (pipelines.Outcome(sorted(map(repr, one.values)), one.error) for one in outcomes)
        assert expected.same_as(actual), f"{tree} in {where!r}, {ordered_=}: expected {expected}, got {actual}"
        fire.figures["pipelines"] += 1


def seen(fire: Fire, dataset: Dataset[Any], longest: int) -> pipelines.Outcome:
    """As `pipelines.outcome`, with the figures of the run."""
    got: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # batch() that drops everything says so, and on_error= what it left out
        try:
            with fire.run(dataset) as run:
                got.extend(itertools.islice(run, longest))
        except Exception as raised:
            return pipelines.Outcome(got, pipelines.described(raised))
    return pipelines.Outcome(got, None)


SCENARIOS: dict[str, tuple[Callable[[Fire], None], Mix]] = {
    "ordered": (ordered, KILLS),
    "unordered": (unordered, KILLS),
    "flatmap": (flatmap, KILLS),
    "images": (images, KILLS),
    "photos": (photos, ALL),
    "records": (records, ALL),
    "stops": (stops, STOPS),
    "deadly": (deadly_map, ALL),
    "deadly flatmap": (deadly_flatmap, ALL),
    "poison": (poison, ALL),
    "random": (random_pipelines, ALL),
}
