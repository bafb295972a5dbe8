"""The one promise: workers change nothing but the time that it takes.

Random pipelines are run without workers and with them. ``FLAZY_EXAMPLES`` gives the number of those with processes
(which take a moment to start); there are ten times as many with threads.
"""

import os

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset, Processes, Threads
from tests.parallel import functions as fn
from tests.parallel.pipelines import build, lines, outcome, parallel_stages, trees

EXAMPLES = int(os.environ.get("FLAZY_EXAMPLES", "12"))

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers, pytest.mark.time_limit(60 + 10 * EXAMPLES)]

sizes = st.sampled_from([None, 1, 3, 7])
windows = st.sampled_from([None, 1, 2, 30])
fast = hypothesis.settings(max_examples=10 * EXAMPLES)
costly = hypothesis.settings(max_examples=EXAMPLES)


@fast
@given(tree=trees(5), n=st.sampled_from([1, 3]), chunk=sizes, window=windows)
def test_threads_give_what_no_workers_give(tree, n, chunk, window):
    expected = outcome(build(tree, None))
    actual = outcome(build(tree, Threads(n, chunk=chunk, window=window)))

    assert expected.same_as(actual), (expected, actual)


@costly
@given(
    tree=trees(4).filter(lambda tree: 1 <= parallel_stages(tree) <= 2),
    n=st.sampled_from([1, 3]),
    chunk=sizes,
    window=windows,
)
def test_processes_give_what_no_workers_give(tree, n, chunk, window):
    expected = outcome(build(tree, None))
    actual = outcome(build(tree, Processes(n, chunk=chunk, window=window)))

    assert expected.same_as(actual), (expected, actual)


@fast
@given(tree=lines(4), n=st.sampled_from([1, 3]), chunk=sizes)
def test_threads_without_order_give_the_same_samples(tree, n, chunk):
    check_unordered(tree, Threads(n, chunk=chunk))


@costly
@given(tree=lines(3).filter(lambda tree: 1 <= parallel_stages(tree) <= 2), n=st.sampled_from([1, 3]), chunk=sizes)
def test_processes_without_order_give_the_same_samples(tree, n, chunk):
    check_unordered(tree, Processes(n, chunk=chunk))


def check_unordered(tree, where):
    """Leave out what depends on the order by its nature, and the steps that fail."""
    count, steps = tree
    keeps = {"map", "map to dict", "filter", "flatmap", "random map", "old augmentation", "select"}
    tree = count, [step for step in steps if step[0] in keeps | {"repeat", "prefetch"}]
    expected = outcome(build(tree, None), longest=10**6)
    actual = outcome(build(tree, where, ordered=False), longest=10**6)

    assert sorted(map(repr, expected.values)) == sorted(map(repr, actual.values))
    assert (None, None) == (expected.error, actual.error)


@pytest.mark.parametrize("where", [2, Threads(3)], ids=str)
def test_every_pass_is_the_same_as_the_serial_one(where):
    """Cycles: what is drawn anew in each pass is drawn alike, also in repetitions within a pass."""

    def made(where):
        ds = Dataset(range(40)).shuffle(seed=1).random_map(fn.noisy, seed=2, workers=where)
        return ds.repeat(2).random_map(fn.old_augmentation, seed=3, workers=where)

    one, other = made(None), made(where)
    expected = [one.list() for _ in range(3)]
    actual = [other.list() for _ in range(3)]

    assert expected == actual
    assert expected[0] != expected[1]


def test_the_number_of_workers_does_not_show_in_a_long_stream():
    ds = Dataset(range(5000)).flatmap(fn.few, workers=3).random_map(fn.noisy, seed=1, workers=2).batch(7)

    assert ds.serial().collect().tolist() == ds.epoch(0).collect().tolist()
