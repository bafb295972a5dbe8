"""What the hub does for one stage while it runs: permits and windows, sizes of chunks, order, and lost workers."""

import pytest

from flazy.core.events import Blame, Grant
from flazy.errors import ProtocolError
from flazy.plan.where import Processes
from flazy.run.session import CHUNK_LARGEST, SAMPLES_PER_WORKER, Emitted, Poisoned, Session, slots_for
from tests.run.bench import MS, Bench, FakePool


def test_feeder_gets_a_few_permits_before_anything_came():
    assert [1] * 4 == Bench(2).permits()


def test_feeder_gets_more_as_it_uses_them_until_the_stage_is_full():
    bench = Bench(2)
    fed = 0
    while permits := bench.permits():
        for _ in permits:
            bench.feed()
            fed += 1

    assert 2 * 32 == fed


def test_samples_at_hand_are_not_read_far_ahead_before_it_is_known_what_they_take():
    bench = Bench(2)
    bench.session.at_hand = True
    for _ in bench.permits():
        bench.feed()
    before = bench.permits()
    bench.done(0, nanos=MS)

    assert [] == before
    assert [8] * 4 == bench.permits()


def test_permits_are_there_before_the_session_is_open():
    session = Session(1, Processes(1), FakePool(), (), ordered=True)

    assert 0 < session.permits.qsize()


def test_every_permit_that_is_used_comes_back_when_its_task_was_taken():
    """In a stage that is full, where nothing else makes room."""
    bench = Bench(2)
    while permits := bench.permits():
        for _ in permits:
            bench.feed()
    for task in range(100):
        bench.done(task)
        before = bench.permits()
        bench.session.taken(task)

        assert ([], 1) == (before, len(bench.permits()))
        bench.feed()


def test_tasks_smaller_than_their_permits_leave_no_permits_behind():
    """As when the consumer flushes what gathered: the feeder must not read further for it."""
    bench = Bench(1, chunk=10, window=40)
    given = len(bench.permits())
    for task in range(50):
        bench.feed(1)
        bench.done(task)
        bench.session.taken(task)
        given += len(bench.permits()) - 1

    assert 4 == given


@pytest.mark.parametrize("size", [1, 2, 100])
def test_permits_promise_no_more_samples_than_the_window(size):
    bench = Bench(2, window=20)
    permits = bench.permits()
    for task in range(200):
        bench.feed(min(size, permits.pop(0)))
        bench.done(task, nanos=1)
        permits += bench.permits()

        assert sum(permits) + bench.session.core.open[1] <= 20

        bench.session.taken(task)
        permits += bench.permits()


def test_chunk_is_never_larger_than_the_window():
    assert [3] == Bench(2, window=3, chunk=100).permits()


def test_window_of_one_lets_one_sample_in_at_a_time():
    bench = Bench(3, window=1)
    first = bench.permits()
    bench.feed()
    during = bench.permits()
    bench.done(0)
    emitted = bench.permits()
    bench.session.taken(0)

    assert ([1], [], [], [1]) == (first, during, emitted, bench.permits())


@pytest.mark.parametrize(
    ("task_ms", "away_ms", "slots"),
    [(5, 0, 4), (5, 40, 12), (8, 0, 2), (8, 100, 15), (1, 500, 32), (60, 0, 1), (60, 40, 2), (60, 100, 3), (60, 1, 1)],
)
def test_far_worker_holds_what_it_does_until_the_next_task_can_be_there(task_ms, away_ms, slots):
    assert slots == slots_for(task_ms / 1e3, away_ms / 1e3)


@pytest.mark.parametrize(("remote", "held"), [(True, 7), (False, 2)])
def test_workers_that_are_found_to_be_far_are_given_more_at_a_time(remote, held):
    bench = Bench(1, remote=remote, chunk=1)
    for _ in range(10):
        bench.feed()
    for task in range(3):  # each 10 ms of work, and 50 ms of a way
        bench.now += 0.06
        bench.done(task, nanos=10 * MS)

    assert held == len(bench.sent()) - 3


def test_chunks_grow_to_about_eight_milliseconds_of_work():
    bench = Bench(1)
    for task in range(4):
        bench.feed()
        bench.done(task, nanos=MS)
    bench.session.taken(0)

    assert 8 == bench.permits()[-1]


def test_chunks_grow_by_a_factor_at_a_time_to_a_largest():
    bench = Bench(1)
    bench.permits()
    sizes = []
    for task in range(7):
        bench.feed(sizes[-1] if sizes else 1)
        sizes += bench.permits()
        bench.done(task, nanos=1)
        bench.session.taken(task)

    assert [1, 8, 64, 512, 4096, CHUNK_LARGEST, CHUNK_LARGEST] == sizes


def test_tiny_samples_are_bounded_in_number_although_their_tasks_are_few():
    bench = Bench(1)
    task = 0
    for _ in range(6):
        for size in bench.permits():
            bench.feed(size)
            bench.done(task, nanos=1)
            bench.session.taken(task)
            task += 1
    while permits := bench.permits():
        for size in permits:
            bench.feed(size)
    tasks, samples, _ = bench.session.core.open

    assert SAMPLES_PER_WORKER // CHUNK_LARGEST == tasks
    assert SAMPLES_PER_WORKER == samples


def test_slow_functions_go_sample_by_sample():
    bench = Bench(1)
    bench.feed()
    bench.done(0, nanos=1000 * MS)
    bench.session.taken(0)

    assert 1 == bench.permits()[-1]


def test_large_samples_go_one_by_one_although_they_are_fast():
    bench = Bench(1)
    bench.feed(nbytes=6 * 2**20)
    bench.done(0, nanos=1, nbytes=6 * 2**20)
    bench.session.taken(0)

    assert 1 == bench.permits()[-1]


def test_a_pass_begins_with_a_part_of_the_size_that_an_earlier_one_ended_with():
    first = Bench(1, chunk=None)
    before = first.session.chunk
    first.feed()
    first.done(0, nanos=1)
    again = Session(2, Processes(1), first.pool, (), ordered=True, chunk=1600)

    assert (None, 8) == (before, first.session.chunk)
    assert 100 == again.permits.get()


def test_size_that_the_user_gave_does_not_change():
    bench = Bench(1, chunk=5)
    bench.feed(5)
    bench.done(0, nanos=1)
    bench.session.taken(0)

    assert {5} == set(bench.permits())


def test_parts_come_out_in_order_with_origin_and_worker():
    bench = Bench(2)
    bench.feed(2)
    bench.feed()
    bench.done(1)
    before = bench.out()
    bench.done(0, outputs=2)
    first, second = bench.out()

    assert [] == before
    assert [(0, (0,)), (1, (2,))] == [(part.task, part.origin.first) for part in (first, second)]
    assert isinstance(first, Emitted)


def test_parts_come_out_at_once_without_order():
    bench = Bench(2, ordered=False)
    bench.feed()
    bench.feed()
    bench.done(1)

    assert [1] == [part.task for part in bench.out()]


def test_part_of_a_flatmap_that_was_taken_grants_another():
    bench = Bench(1, flatmap=True)
    bench.feed()
    bench.done(0, last=False)
    bench.session.taken(0)

    assert [Grant(0, 0, 1)] == [command for command in bench.pool.sent if isinstance(command, Grant)]


def test_part_goes_out_before_the_next_tasks_are_sent():
    bench = Bench(1)
    for _ in range(3):
        bench.feed()
    sent = bench.pool.send
    seen = []
    bench.pool.send = lambda command: (seen.append(bench.session.outlet.qsize()), sent(command))
    bench.done(0, nanos=MS)

    assert [1, 1] == seen


def test_lost_worker_gives_its_task_to_another():
    bench = Bench(2)
    bench.feed()
    bench.session.lost(0, "gone", None)

    assert [(0, 0, 1), (1, 0, 1)] == [(command.worker, command.task, command.attempt) for command in bench.sent()]


def test_sample_that_goes_on_killing_comes_out_as_poison():
    bench = Bench(1)
    bench.feed(3)
    for worker in range(3):
        bench.session.lost(worker, f"death {worker}", Blame(0, (2, 0), own=True))
        bench.session.joined(worker + 1)
    (poisoned,) = bench.out()

    assert isinstance(poisoned, Poisoned)
    assert (0, (2, 0)) == (poisoned.task, poisoned.verdict.place)
    assert ("death 0", "death 1", "death 2") == poisoned.verdict.reasons
    assert 3 == bench.session.lost_workers


def test_call_is_named_by_stage_and_sample_as_far_as_they_are_known():
    bench = Bench(1)
    bench.feed(3)
    bench.feed(3)

    assert "fn on sample 5" == bench.session.describe(1, (2, 0))
    assert "fn on sample (5, 7)" == bench.session.describe(1, (2, 0, 7))
    assert "fn" == bench.session.describe(1, ()) == bench.session.describe(9, (2, 0))


def test_bytes_over_the_budget_stop_the_feeder_until_they_are_taken():
    bench = Bench(1)
    bench.permits()
    for _ in range(2):
        bench.feed(nbytes=50 * 2**20)
    bench.permits()
    for _ in range(3):
        bench.feed(nbytes=50 * 2**20)
    while_full = bench.permits()
    for task in range(4):
        bench.done(task)
        bench.session.taken(task)

    assert ([], True) == (while_full, bool(bench.permits()))


@pytest.mark.parametrize(("flatmap", "outputs"), [(False, 2), (True, 2**20 + 1)])
def test_more_outputs_than_there_can_be_are_refused(flatmap, outputs):
    """A message of a few bytes may be said to be any number of them."""
    bench = Bench(1, flatmap=flatmap)
    bench.feed()
    with pytest.raises(ProtocolError, match="outputs, more than task 0 gives"):
        bench.done(0, outputs=outputs)
