"""Who gets which workers, what counts of what they say, and what is given back when: over played processes."""

import os
import struct
from collections import deque

import pytest

from flazy.core.events import Blame
from flazy.plan.loops import blank_record
from flazy.transport.payload import Encoded
from flazy.transport.reading import unpack
from flazy.transport.wire import Bye, Close, Closed, Hello, Open, Refused, Result, pack
from flazy.workers import tenancy
from flazy.workers.kernels import Kept
from flazy.workers.launch import Running
from tests.transport.hive import SURROUNDINGS, PlayedFleet


class FakeTenant:
    """Notes what it is told; a call of run N may take N seconds."""

    def __init__(self):
        self.told = []

    def limit(self, run):
        return None if run is None else float(run)

    def joined(self, worker):
        self.told.append(("joined", worker))

    def closed(self, worker, run):
        self.told.append(("closed", worker, run))

    def lost(self, worker, death, blame, *, own, run):
        self.told.append(("lost", worker, blame, own, run))

    def result(self, result):
        self.told.append(("result", result.run, result.task))

    def refused(self, refused):
        self.told.append(("refused", refused.run, refused.reason))

    def slow(self, worker, running, seconds, stack):
        self.told.append(("slow", running.run))

    def broken(self, error):
        self.told.append(("broken", error))


class Scene:
    """A fleet whose processes are played; what they are sent is read, and what they say is written, by the test."""

    def __init__(self):
        self.posted = deque()
        self.fleet = PlayedFleet(self.posted.append)
        self.kept = {run: Kept(run, b"kernel", None, ()) for run in range(1, 9)}
        self.tenant = FakeTenant()

    def tend(self):
        self.fleet.tend()
        while self.posted:
            self.posted.popleft()()

    def say(self, *messages):
        """Let workers send messages, and the fleet read them."""
        self.fleet.hub.came.extend([bytes(frame) for frame in pack(message)] for message in messages)
        self.tend()

    def sent(self, worker):
        """Take what a worker was sent."""
        frames = self.fleet.hub.sent[worker]
        messages = [unpack(frames.popleft()) for _ in range(len(frames))]
        return [(type(message), getattr(message, "run", None)) for message in messages]

    def opened(self, run):
        return Open(run, self.kept[run], SURROUNDINGS)

    def lease(self, tenant=None, opened=None):
        """Lease a worker and let it join, if it is new; give its number."""
        tenant = tenant or self.tenant
        before = set(self.fleet._workers)
        self.fleet.lease(1, tenant, SURROUNDINGS, opened)
        for number in set(self.fleet._workers) - before:
            self.say(Hello(number, self.process(number).pid))
        return next(number for number, worker in self.fleet._workers.items() if worker.owner is tenant)

    def process(self, number):
        return self.fleet._workers[number].process

    def note(self, number, run, task=5, index=2):
        """Write into the record of a worker what it is at."""
        record = blank_record()
        record[:3] = run, task, index
        os.pwrite(self.process(number).record, struct.pack(f"{len(record)}q", *record), 0)

    def users(self, *runs):
        """Count who holds the kernels of runs, besides whoever opened them."""
        return [self.kept[run].users - 1 for run in runs]

    def close(self):
        self.fleet.end_all()
        for worker in self.fleet._workers.values():
            worker.process.ended = 0
        while not self.fleet.empty:
            self.tend()
        self.fleet.close()


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.close()


def result(worker, run, task=5):
    return Result(worker, run, task, 0, 1, True, 1, Encoded.of([None]))


def test_worker_that_is_leased_for_a_run_is_told_of_it_as_it_joins(scene):
    number = scene.lease(opened=scene.opened(1))

    assert [("joined", number)] == scene.tenant.told
    assert [(Open, 1)] == scene.sent(number)


def test_worker_that_is_leased_for_none_joins_and_opens_runs_as_it_is_told(scene):
    number = scene.lease()
    before = scene.sent(number)
    for run in (1, 2):
        scene.fleet.open_run(number, scene.opened(run))

    assert [("joined", number)] == scene.tenant.told
    assert ([], [(Open, 1), (Open, 2)]) == (before, scene.sent(number))
    assert [1, 1] == scene.users(1, 2)


def test_results_of_all_runs_that_are_open_count_and_those_of_a_closing_one_are_dropped(scene):
    number = scene.lease()
    for run in (1, 2):
        scene.fleet.open_run(number, scene.opened(run))
    scene.say(result(number, 2), result(number, 1))
    scene.fleet.close_run(number, 1)
    scene.say(result(number, 1), Refused(number, 1, "late"), result(number, 2), Refused(number, 2, "no such module"))

    expected = [("result", 2, 5), ("result", 1, 5), ("result", 2, 5), ("refused", 2, "no such module")]

    assert expected == scene.tenant.told[1:]
    assert 2 == scene.fleet.dropped


@pytest.mark.parametrize("kind", [result, lambda worker, run: Refused(worker, run, ""), Closed])
@pytest.mark.parametrize("run", [0, 2, 3])
def test_word_of_a_run_on_which_it_does_not_work_costs_the_worker(scene, kind, run):
    number = scene.lease()
    for other in (1, 2):
        scene.fleet.open_run(number, scene.opened(other))
    scene.fleet.close_run(number, 2)
    scene.say(Closed(number, 2))
    scene.say(kind(number, run))
    scene.tend()

    assert ("lost", number, None, True, None) == scene.tenant.told[-1]
    assert [0, 0] == scene.users(1, 2)


def test_second_greeting_costs_the_worker_whatever_it_closes(scene):
    number = scene.lease(opened=scene.opened(1))
    scene.fleet.close_run(number, 1)
    scene.say(Hello(number, scene.process(number).pid))
    scene.tend()

    assert ("lost", number, None, True, None) == scene.tenant.told[-1]


def test_what_a_run_holds_is_given_back_when_the_worker_has_closed_it(scene):
    number = scene.lease()
    for run in (1, 2):
        scene.fleet.open_run(number, scene.opened(run))
        for task in (3, 4):
            assert scene.fleet.lend(number, run, task, object())
    scene.fleet.close_run(number, 1)
    before = scene.users(1, 2), len(scene.fleet._workers[number].lent)
    scene.say(Closed(number, 1))

    assert ([1, 1], 4) == before
    assert [0, 1] == scene.users(1, 2)
    assert {(2, 3), (2, 4)} == set(scene.fleet._workers[number].lent)
    assert ("closed", number, 1) == scene.tenant.told[-1]


def test_death_gives_everything_back_and_blames_the_run_that_it_was_at(scene):
    number = scene.lease()
    for run in (1, 2, 3):
        scene.fleet.open_run(number, scene.opened(run))
    scene.fleet.close_run(number, 3)
    scene.note(number, 2)
    scene.process(number).ended = 1
    scene.tend()
    scene.tend()
    _, _, blame, own, run = scene.tenant.told[-1]

    assert (Blame(5, (2,), own=True, made=blame.made), True, 2) == (blame, own, run)
    assert [0, 0, 0] == scene.users(1, 2, 3)


def test_nobody_is_blamed_for_a_call_of_a_run_that_is_closing(scene):
    number = scene.lease()
    for run in (1, 2):
        scene.fleet.open_run(number, scene.opened(run))
    scene.note(number, 1)
    scene.fleet.close_run(number, 1)
    scene.process(number).ended = 1
    scene.tend()
    scene.tend()

    assert ("lost", number, None, True, None) == scene.tenant.told[-1]


def test_released_worker_closes_all_runs_and_is_free_when_it_has_said_so_of_each(scene):
    number = scene.lease()
    for run in (1, 2):
        scene.fleet.open_run(number, scene.opened(run))
    scene.sent(number)
    scene.fleet.release(scene.tenant)
    closes = scene.sent(number)
    other = FakeTenant()
    assert number == scene.lease(other, scene.opened(3))
    scene.say(Closed(number, 2))
    early = list(other.told), scene.sent(number)
    scene.say(Closed(number, 1))

    assert [(Close, 1), (Close, 2)] == closes
    assert ([], []) == early
    assert ([("joined", number)], [(Open, 3)]) == (other.told, scene.sent(number))
    assert [("joined", number)] == scene.tenant.told
    assert [0, 0, 1] == scene.users(1, 2, 3)


def test_worker_that_stays_at_a_closed_run_is_replaced_for_its_next_owner(scene, monkeypatch):
    monkeypatch.setattr(tenancy, "FREE_SECONDS", 0.0)
    number = scene.lease(opened=scene.opened(1))
    scene.fleet.release(scene.tenant)
    other = FakeTenant()
    scene.lease(other, scene.opened(2))
    scene.tend()
    (replacement,) = set(scene.fleet._workers) - {number}
    scene.say(Hello(replacement, scene.process(replacement).pid), Closed(number, 1))

    assert [("joined", replacement)] == other.told
    assert scene.fleet._workers[number].owner is None


def test_worker_that_ends_is_told_nothing_more_and_nothing_of_it_counts(scene):
    number = scene.lease(opened=scene.opened(1))
    scene.fleet.end_all()
    scene.fleet.open_run(number, scene.opened(2))
    scene.fleet.close_run(number, 1)
    scene.say(result(number, 1))

    assert [(Open, 1), (Bye, None)] == scene.sent(number)
    assert ([("joined", number)], 1) == (scene.tenant.told, scene.fleet.dropped)
    assert [1, 0] == scene.users(1, 2)


def test_runs_of_workers_that_are_gone_are_nobodys(scene):
    number = scene.lease(opened=scene.opened(1))
    scene.process(number).ended = 1
    scene.tend()
    scene.tend()
    scene.fleet.open_run(number, scene.opened(2))
    scene.fleet.close_run(number, 1)

    assert "lost" == scene.tenant.told[-1][0]
    assert [0, 0] == scene.users(1, 2)


def test_limit_of_a_call_is_that_of_its_run_and_slow_ones_are_told_of_open_runs_alone(scene):
    number = scene.lease()
    warden, worker = scene.fleet._warden, scene.fleet._workers[number]
    for run in (1, 2):
        scene.fleet.open_run(number, scene.opened(run))
    scene.fleet.close_run(number, 1)
    for run in (1, 2):
        warden.slow(number, Running(run, 5, (2,), 0), 30.0, "")
    warden.condemn(number, Running(2, 5, (2,), 0))
    scene.say(result(number, 2))

    assert [("slow", 2)] == scene.tenant.told[1:]
    assert 2.0 == worker.overdue[1]
    assert 1 == scene.fleet.dropped
