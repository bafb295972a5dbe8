"""Flow: a consumer that sleeps, data that is little, samples that are many; and that nothing grows."""

import sys

import pytest

from flazy import Dataset, Processes, Threads
from flazy.run import runtime
from tests.chaos import resources

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")]

def test_consumer_that_sleeps_is_waited_for_with_bounded_memory():
    """Nobody is taken for hung, and nothing is read further than the window."""
    fine, ahead, grown = resources.asleep(1.5)

    assert fine
    assert ahead <= resources.AHEAD_MB
    assert grown <= resources.AHEAD_MB


SMALL = {
    "window of one": (100, {"window": 1}),
    "window of one, large chunk": (100, {"window": 1, "chunk": 50}),
    "chunk larger than the data": (7, {"chunk": 1000}),
    "empty": (0, {"chunk": 3}),
    "one sample": (1, {}),
}


@pytest.mark.parametrize("kind", [Processes, Threads])
@pytest.mark.parametrize("ordered", [True, False])
def test_little_data_comes_whole_in_three_passes_on_the_same_workers(kind, ordered):
    for count, options in SMALL.values():
        where = kind(3, **options)
        ds = Dataset(range(count)).map(resources.twice, workers=where, ordered=ordered)
        batched = Dataset(range(count)).map(resources.twice, workers=where).batch(500, drop_remainder=False)
        expected = [2 * x for x in range(count)]
        for _ in range(3):
            got = ds.list()

            assert expected == (got if ordered else sorted(got))
            assert [expected] * bool(count) == [batch.tolist() for batch in batched]
    if kind is Processes:
        assert len(runtime.runtime().fleet._workers) <= 4  # one may have been replaced that was busy for others


def test_one_sample_and_eight_workers():
    assert [[2]] * 3 == [Dataset([1]).map(resources.twice, workers=8).list() for _ in range(3)]


# What must not grow; the same with larger numbers: python -m tests.chaos.resources ----------------------


@pytest.mark.parametrize("ranged", [True, False], ids=["range", "generator"])
def test_tiny_samples_come_each_once_in_flat_memory(ranged):
    exact, _, seen = resources.tiny(300_000, ranged=ranged)

    assert exact
    assert max(seen[10:]) - max(seen[5:10]) < 10  # megabytes; a slope can be told from noise in millions only


def test_open_and_close_leave_nothing_behind():
    list(resources.cycles(10))
    before = resources.settled()
    seen = list(resources.cycles(100))
    after = resources.settled()

    assert max(held.processes for held in seen) <= 2 + 4  # zygote and workers; those that were busy are replaced
    assert max(held.descriptors for held in seen[50:]) <= max(held.descriptors for held in seen[:50]) + 16
    assert max(held.threads for held in seen) <= before.threads + 6
    assert seen[-1].rss_mb - seen[9].rss_mb < resources.DRIFT_MB
    for name in resources.COUNTS:
        assert getattr(after, name) <= getattr(before, name)
