"""How one stage ends in the hub: when the workers may go, what the consumer is told, and what breaks."""

import pytest

from flazy.errors import WorkerError
from flazy.plan.where import Processes
from flazy.run.session import Broken, Ended, Session
from tests.run.bench import Bench, FakePool


@pytest.mark.parametrize("error", [None, ValueError("of the source")])
def test_end_comes_after_the_last_part_was_taken(error):
    bench = Bench(1)
    bench.feed()
    bench.session.end(error)
    bench.done(0)
    before = bench.out()
    bench.session.taken(0)

    assert [0] == [part.task for part in before]
    assert [Ended(error)] == bench.out()


def test_end_of_an_empty_upstream_comes_at_once():
    bench = Bench(1)
    bench.session.end(None)

    assert [Ended(None)] == bench.out()


def test_first_end_counts():
    bench = Bench(1)
    first = ValueError("refused")
    bench.feed()
    bench.session.end(first)
    bench.session.end(None)
    bench.done(0)
    bench.session.taken(0)

    assert [Ended(first)] == bench.out()[1:]


def test_workers_may_go_before_the_consumer_has_taken_what_they_made():
    bench = Bench(2)
    bench.feed()
    bench.feed()
    bench.session.end(None)
    bench.done(1)
    before = list(bench.pool.calls)
    bench.done(0)

    assert ["open"] == before
    assert "finish" == bench.pool.calls[-1]
    assert [0, 1] == [part.task for part in bench.out()]


def test_workers_stay_while_the_upstream_has_not_ended():
    bench = Bench(1)
    bench.feed()
    bench.done(0)
    bench.session.taken(0)

    assert ["open"] == bench.pool.calls


def test_workers_stay_for_a_task_that_was_lost_at_the_end():
    bench = Bench(2)
    bench.feed()
    bench.session.end(None)
    bench.session.lost(0, "gone", None)
    before = list(bench.pool.calls)
    bench.done(0)

    assert (["open"], "finish") == (before, bench.pool.calls[-1])


def test_workers_of_an_empty_upstream_may_go_at_once():
    bench = Bench(1)
    bench.session.end(None)

    assert "finish" == bench.pool.calls[-1]


def test_no_permits_after_the_end():
    bench = Bench(1)
    bench.feed()
    bench.permits()
    bench.session.end(None)
    bench.done(0)
    bench.session.taken(0)

    assert [] == bench.permits()


def test_broken_pool_reaches_the_consumer_and_ends_the_feeder():
    bench = Bench(1)
    bench.permits()
    error = WorkerError("no workers")
    bench.session.broken(error)

    assert [Broken(error)] == bench.out()
    assert [0] == bench.permits()
    assert "close" == bench.pool.calls[-1]


def test_what_comes_after_the_close_is_left_alone():
    bench = Bench(1)
    bench.feed()
    bench.permits()
    bench.session.close()
    bench.done(0)
    bench.session.taken(0)
    bench.feed()
    bench.session.end(None)
    bench.session.joined(9)

    assert ([], [0]) == (bench.out(), bench.permits())


def test_session_that_was_closed_before_it_was_opened_starts_nothing():
    session = Session(1, Processes(1), FakePool(), (), ordered=True)
    session.close()
    session.open()

    assert ["close"] == session._pool.calls
