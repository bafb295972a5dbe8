"""What a stage with workers promises, whatever kind they are of: each check is given a way to make workers of one kind.

``where(n=…, window=…, chunk=…, timeout=…)`` gives what ``workers=`` takes. A check says what it needs beside that, by
the names of `kinds.CAPABILITIES`. Most compare with the same pipeline without workers.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import ClosedRun
from flazy.plan.where import Where
from tests.parallel import functions as fn
from tests.parallel.pipelines import FORGIVING_STEPS, RECORD_STEPS, build, outcome
from tests.pools import work
from tests.transport.same import same

__all__ = ["CHECKS", "Check", "Workers", "as_without", "needs"]

Workers = Callable[..., Where | int | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and what a kind must be able to do to be held to it."""

    run: Callable[[Workers], None]
    needs: tuple[str, ...]


CHECKS: dict[str, Check] = {}


def needs(*capabilities: str) -> Callable[[Callable[[Workers], None]], Callable[[Workers], None]]:
    """Add a check to all kinds that can do this."""

    def add(run: Callable[[Workers], None]) -> Callable[[Workers], None]:
        CHECKS[run.__name__.replace("_", " ")] = Check(run, capabilities)
        return run

    return add


def as_without(dataset: Dataset[Any]) -> list[Any]:
    """Compare with the same pipeline without workers, errors too; give the samples."""
    expected, actual = outcome(dataset.serial(), 10**6), outcome(dataset, 10**6)
    assert expected.same_as(actual), (expected, actual)
    return actual.values


# Verbs --------------------------------------------------------------------------------------------------


@needs()
def map_keeps_the_order(where):
    assert [3 * x for x in range(200)] == Dataset(range(200)).map(work.by_the_clock, workers=where()).list()


@needs()
def without_order_nothing_is_lost_or_doubled(where):
    got = Dataset(range(200)).map(work.by_the_clock, workers=where(), ordered=False).list()

    assert [3 * x for x in range(200)] == sorted(got)


@needs()
def filter_that_drops_everything(where):
    assert [] == Dataset(range(1000)).filter(lambda x: False, workers=where()).list()


@needs()
def filter_that_keeps_only_the_last(where):
    assert [999] == Dataset(range(1000)).filter(lambda x: x == 999, workers=where()).list()


@needs()
def flatmap_of_none_one_and_many(where):
    as_without(Dataset(range(7)).flatmap(fn.many, workers=where()))


@needs()
def flatmap_without_order(where):
    ds = Dataset(range(9)).flatmap(fn.many, workers=where(), ordered=False)

    assert sorted(ds.serial()) == sorted(ds)


@needs()
def starmap_of_tuples_and_dicts(where):
    as_without(Dataset([(1, 2), {"one": 3, "other": 4}, ()] * 5).starmap(fn.join, workers=where()))


@needs()
def random_map_does_not_depend_on_the_workers(where):
    for seed_globals in (True, False):
        function = fn.old_augmentation if seed_globals else fn.noisy
        ds = Dataset(range(60)).random_map(function, 1, seed_globals, workers=where())

        assert len(set(map(repr, as_without(ds)))) > 1


@needs()
def foreach_sees_every_sample(where):
    with tempfile.TemporaryDirectory() as folder:
        Dataset(range(20)).foreach(lambda x: Path(folder, str(x)).touch(), workers=where())

        assert {str(x) for x in range(20)} == {path.name for path in Path(folder).iterdir()}


@needs()
def every_verb_behind_a_stage_of_workers(where):
    raising = {"fail", "stop"}  # see the checks of errors
    for name in RECORD_STEPS.keys() - FORGIVING_STEPS.keys() - raising:
        tree = 20, [(name, True)]

        assert outcome(build(tree, None)).same_as(outcome(build(tree, where()))), name


@needs()
def functions_by_value_with_what_they_capture(where):
    offset = {"of": [3, 4]}

    assert [7, 8, 9] == Dataset(range(3)).map(lambda x: x + sum(offset["of"]), workers=where()).list()


@needs()
def setup_makes_what_cannot_be_pickled(where):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "words")
        path.write_text("abc")
        ds = Dataset(range(9)).map(lambda x, file: (x, file.read(1) in "abc"), setup=path.open, workers=where())

        assert [(x, True) for x in range(9)] == ds.list()


# Flow ---------------------------------------------------------------------------------------------------


@needs()
def no_samples_and_few(where):
    for count in range(4):
        as_without(Dataset(range(count)).map(fn.number, workers=where()))


@needs()
def windows_and_chunks_of_any_size(where):
    for options in ({"window": 1}, {"chunk": 1}, {"window": 1, "chunk": 50}, {"chunk": 16}, {"chunk": 1000}):
        for ordered in (True, False):
            got = Dataset(range(60)).map(fn.number, workers=where(**options), ordered=ordered).list()

            assert [3 * x + 1 for x in range(60)] == (got if ordered else sorted(got)), options


@needs("numbers")
def one_worker_alone(where):
    ds = Dataset(range(50)).random_map(fn.old_augmentation, seed=1, workers=where(n=1))

    as_without(ds)
    as_without(ds.flatmap(fn.few, workers=where(n=1)).filter(fn.not_third, workers=where(n=1)))


@needs("bytes")
def windows_in_bytes(where):
    as_without(Dataset(range(12)).map(work.image, workers=where(window="1kB")).map(fn.same, workers=where(window="1B")))


@needs()
def several_stages(where):
    ds = Dataset(range(50)).map(fn.number, workers=where()).flatmap(fn.few, workers=where())

    as_without(ds.filter(fn.not_third, workers=where()).random_map(fn.noisy, seed=2, workers=where()))


@needs()
def two_pipelines_at_once(where):
    one = Dataset(range(100)).map(fn.number, workers=where())
    other = Dataset(range(0, 1000, 10)).map(fn.same, workers=where())

    assert list(zip(one.serial(), other.serial(), strict=True)) == list(zip(one, other, strict=True))


@needs()
def two_passes_at_once_of_one_dataset(where):
    ds = Dataset(range(60)).map(fn.number, workers=where())
    with ds.open() as one, ds.open() as other:
        assert [(3 * x + 1, 3 * x + 1) for x in range(60)] == list(zip(one, other, strict=True))


@needs()
def three_passes(where):
    def made(workers):
        return Dataset(range(30)).shuffle(seed=1).random_map(fn.noisy, seed=2, workers=workers)

    one, other = made(None), made(where())

    assert [one.list() for _ in range(3)] == [other.list() for _ in range(3)]


@needs()
def repetitions_within_a_pass(where):
    as_without(Dataset(range(20)).map(fn.number, workers=where()).repeat(3).random_map(fn.noisy, 1, workers=where()))


@needs()
def prefetch_behind_and_before(where):
    as_without(Dataset(range(40)).prefetch(3).map(fn.number, workers=where()).prefetch(50).map(fn.same))


@needs()
def taking_the_first_of_what_never_ends(where):
    ds = Dataset(itertools.count).map(fn.number, workers=where())

    assert [1, 4, 7] == ds.take(3).list()
    assert 1 == ds.first()


@needs()
def loop_that_breaks_off_and_another_pass(where):
    ds = Dataset(range(3000)).map(fn.number, workers=where())
    for sample in ds:
        if sample > 30:
            break

    assert 31 == sample
    assert [3 * x + 1 for x in range(3000)] == ds.list()


@needs()
def closed_run_says_so(where):
    run = Dataset(range(1000)).map(fn.number, workers=where()).open()

    assert 1 == next(run)
    run.close()
    run.close()
    with pytest.raises(ClosedRun):
        next(run)


@needs()
def run_that_was_never_asked_for_a_sample(where):
    Dataset(range(1000)).map(fn.number, workers=where()).open().close()


@needs()
def run_at_its_end_stays_there(where):
    with Dataset(range(3)).map(fn.number, workers=where()).open() as run:
        assert [1, 4, 7] == list(run)
        assert [] == list(run)


@needs("counts")
def statistics_add_up(where):
    with Dataset(range(100)).filter(fn.not_third, workers=where()).open() as run:
        first = list(itertools.islice(run, 10))
        during = run.stats().segments[0]
        rest = list(run)
    after = run.stats().segments[0]

    assert 10 == during.samples_out == len(first)
    assert (100, len(first) + len(rest)) == (after.samples_in, after.samples_out)
    assert (0, 0) == (after.lost_workers, after.redispatched)
    assert after.worked_s > 0


@needs()
def what_is_printed_and_logged_does_no_harm(where):
    as_without(Dataset(range(100)).map(work.talkative, workers=where()))


# Values -------------------------------------------------------------------------------------------------


def changed(samples, where):
    """Give what does not come back as it was."""
    values = Dataset(samples).map(fn.same, workers=where()).list()
    return [(one, other) for one, other in zip(samples, values, strict=True) if not same(one, other)]


@needs()
def samples_of_every_kind(where):
    assert [] == changed(work.SAMPLES, where)


@needs("pickle")
def samples_that_pickle_alone_can_carry(where):
    assert [] == changed(work.PICKLED, where)
    assert [work.Point(x) for x in range(9)] == Dataset(range(9)).map(work.point, workers=where()).list()


@needs()
def large_arrays_in_and_out(where):
    arrays = [work.block(x) for x in range(3)]

    assert 8 * work.MEBIBYTE == arrays[0].nbytes
    as_without(Dataset(arrays).map(work.doubled, workers=where()))


@needs()
def large_arrays_that_a_function_captures(where):
    table = np.arange(work.MEBIBYTE, dtype=np.float64)

    assert [0.0, 1000.0, 2000.0] == Dataset(range(3)).map(lambda x: table[1000 * x], workers=where()).list()


@needs()
def arrays_are_the_consumers_own(where):
    """Those that are kept stay as they were, whatever is done with others."""
    kept = []
    for number, array in enumerate(Dataset(range(20)).map(lambda x: np.full(20_000, x), workers=where())):
        assert (array == number).all()
        np.add(array, 1000, out=array)
        kept.append(array)

    assert [1000 + x for x in range(20)] == [int(array[-1]) for array in kept]
    assert [{1000 + x} for x in range(20)] == [set(array.tolist()) for array in kept]


@needs("copies")
def arrays_do_not_share_memory_with_what_they_were_made_of(where):
    source = [np.zeros(9) for _ in range(3)]
    for array in Dataset(source).map(fn.same, workers=where()):
        np.add(array, 1, out=array)

    assert 0 == sum(array.sum() for array in source)


@needs()
def batches_of_arrays_dicts_tuples_and_text(where):
    for make in (work.image, work.row, work.couple, work.text):
        ds = Dataset(range(50)).map(make, workers=where())

        assert 6 == len(as_without(ds.batch(8)))
        assert 7 == len(as_without(ds.batch(8, drop_remainder=False)))


@needs()
def batches_before_and_behind(where):
    as_without(Dataset(range(100)).batch(10).map(fn.total, workers=where()).batch(4, drop_remainder=False))


@needs()
def batches_by_a_function_of_the_users(where):
    as_without(Dataset(range(40)).map(fn.number, workers=where()).batch(8, fn=fn.total))


@needs()
def batches_of_large_arrays_may_be_changed(where):
    ds = Dataset(range(8)).map(lambda x: np.full((50, 1000), x, np.float32), workers=where()).batch(4)
    with contextlib.closing(iter(ds)) as batches:
        for batch in batches:
            assert (batch == batch[:, :1, :1]).all()
            np.add(batch, 1, out=batch)
