"""One conformance suite for every kind of workers: what a stage promises, wherever it runs."""

import itertools

import pytest

from flazy import Dataset, Processes, SampleError, Threads
from tests.parallel import functions as fn

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]


@pytest.fixture(params=["processes", "threads", "one process", "one thread", "chunks", "a window of one"])
def where(request):
    return {
        "processes": Processes(3),
        "threads": Threads(3),
        "one process": 1,
        "one thread": Threads(1),
        "chunks": Processes(2, chunk=16),
        "a window of one": Threads(2, window=1),
    }[request.param]


def test_empty_source(where):
    assert [] == Dataset([]).map(fn.number, workers=where).list()


def test_one_sample_and_more_workers_than_that(where):
    assert [4] == Dataset([1]).map(fn.number, workers=where).list()


def test_order_is_kept_by_default(where):
    assert list(range(0, 600, 2)) == Dataset(range(300)).map(fn.slow, workers=where).list()


def test_without_order_nothing_is_lost_or_doubled(where):
    got = Dataset(range(300)).map(fn.slow, workers=where, ordered=False).list()

    assert list(range(0, 600, 2)) == sorted(got)


def test_filter_that_drops_everything(where):
    assert [] == Dataset(range(2000)).filter(lambda x: False, workers=where).list()


def test_filter_that_keeps_only_the_last(where):
    assert [1999] == Dataset(range(2000)).filter(lambda x: x == 1999, workers=where).list()


def test_flatmap_of_none_one_and_many(where):
    ds = Dataset(range(7)).flatmap(fn.many, workers=where)

    assert ds.serial().list() == ds.list()


def test_batches_behind_and_before(where):
    ds = Dataset(range(100)).batch(10).map(fn.total, workers=where).batch(4, drop_remainder=False)

    assert [batch.tolist() for batch in ds.serial()] == [batch.tolist() for batch in ds]


def test_random_map_does_not_depend_on_the_workers(where):
    ds = Dataset(range(60)).random_map(fn.old_augmentation, seed=1, workers=where)

    assert ds.serial().list() == ds.list()


def test_error_at_its_place(where):
    run = Dataset(range(50)).map(fn.fail_odd, workers=where).open()

    assert [0, 1, 2, 3, 4] == list(itertools.islice(run, 5))
    with pytest.raises(SampleError, match=r"sample 5: OddError"):
        next(run)


def test_foreach_sees_every_sample(where, tmp_path):
    Dataset(range(20)).foreach(lambda x: (tmp_path / str(x)).touch(), workers=where)

    assert {str(x) for x in range(20)} == {path.name for path in tmp_path.iterdir()}


def test_statistics_add_up(where):
    with Dataset(range(100)).filter(fn.not_third, workers=where).open() as run:
        first = list(itertools.islice(run, 10))
        during = run.stats().segments[0]
        rest = list(run)
    after = run.stats().segments[0]

    assert 10 == during.samples_out == len(first)
    assert (100, len(first) + len(rest)) == (after.samples_in, after.samples_out)
    assert after.worked_s > 0


def test_three_epochs(where):
    ds = Dataset(range(30)).map(fn.number, workers=where)

    assert [ds.serial().list()] * 3 == [ds.list() for _ in range(3)]
