"""When dead workers are replaced, when the pool gives up, and which tasks get a place for large arrays."""

import pytest

from flazy.core.events import Blame, Send
from flazy.errors import WorkerError, WorkerPoolBroken
from flazy.plan.where import Processes
from flazy.sample import Origin
from flazy.transport.arena import Block
from flazy.transport.payload import Encoded
from flazy.transport.wire import Result, Task
from flazy.workers.deaths import Death
from flazy.workers.pool import Inputs
from flazy.workers.processes import ProcessPool


class FakeRelay:
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


class FakeLease:
    def __init__(self, nbytes):
        self.nbytes = nbytes
        self.block = Block(0, nbytes, 0, nbytes)


class FakeArena:
    def lease(self, nbytes):
        return FakeLease(nbytes)


class FakeFleet:
    def __init__(self):
        self.arena = FakeArena()
        self.relay = FakeRelay()
        self.started = 0
        self.sent = []
        self.released = 0
        self.lent = []

    def lease(self, n, owner, around, opened):
        self.started += n
        self.tenant = owner

    def start(self, owner, around, opened):
        self.started += 1

    def send(self, worker, message):
        self.sent.append((worker, message))

    def release(self, owner):
        self.released += 1

    def lend(self, worker, run, task, lease):
        self.lent.append((worker, run, task, lease.nbytes))
        return True

    def pid(self, worker):
        return 4000 + worker


class FakeOwner:
    run = 3

    def __init__(self):
        self.reports = []

    def joined(self, worker):
        self.reports.append(("joined", worker))

    def lost(self, worker, reason, blame):
        self.reports.append(("lost", worker, blame))

    def result(self, result):
        self.reports.append(("result", result.task))

    def broken(self, error):
        self.reports.append(("broken", type(error), str(error)))


@pytest.fixture
def fleet():
    return FakeFleet()


@pytest.fixture
def owner():
    return FakeOwner()


@pytest.fixture
def pool(fleet, owner):
    made = ProcessPool(Processes(2), b"kernel", {}, fleet)
    made.open(owner)
    return made


RESULT = Result(1, 3, 0, 0, 1, True, 5, Encoded.of([None, 1]))


def die(tenant, worker, *, own=True, ready=True):
    if ready:
        tenant.joined(worker)
    tenant.lost(worker, Death(f"worker process {worker}", "went", words="ouch"), None, own=own, run=None)


def broken(owner):
    return [report for report in owner.reports if report[0] == "broken"]


def test_command_becomes_a_message_of_the_run(pool, fleet):
    payload = Encoded.of([1])
    pool.send(Send(8, 5, Inputs(Origin(0, (1,)), payload, 1), attempt=1, skip=0, credit=2))
    ((worker, message),) = fleet.sent

    assert (8, 3, 5, payload) == (worker, message.run, message.task, message.payload)
    assert isinstance(message, Task)


def test_dead_worker_is_reported_and_replaced(pool, fleet, owner):
    blame = Blame(1, (2,), own=True)
    fleet.tenant.joined(1)
    fleet.tenant.lost(1, Death("worker process 1", "went"), blame, own=True, run=3)

    assert [("joined", 1), ("lost", 1, blame)] == owner.reports
    assert 3 == fleet.started
    assert ["worker process 1 went; its samples are sent again"] == fleet.relay.warnings


def test_workers_that_die_before_they_are_ready_break_the_pool_at_the_third(pool, fleet, owner):
    for worker in range(3):
        die(fleet.tenant, worker, ready=False)
    ((_, kind, text),) = broken(owner)

    assert WorkerPoolBroken is kind
    assert "could not start" in text
    assert "ouch" in text
    assert 4 == fleet.started


def test_start_that_succeeds_forgives_those_that_failed(pool, fleet, owner):
    for worker in range(8):
        die(fleet.tenant, worker, ready=False)
        fleet.tenant.joined(100 + worker)
        fleet.tenant.result(RESULT)

    assert [] == broken(owner)


def test_workers_that_die_without_a_result_in_between_break_the_pool(pool, fleet, owner):
    for worker in range(6):
        die(fleet.tenant, worker)

    assert "die faster than they work" in broken(owner)[0][2]


def test_deaths_between_results_do_not_add_up(pool, fleet, owner):
    for worker in range(50):
        die(fleet.tenant, worker)
        fleet.tenant.result(RESULT)

    assert [] == broken(owner)


def test_workers_killed_from_outside_are_borne_longer(pool, fleet, owner):
    for worker in range(40):
        die(fleet.tenant, worker, own=False)
    borne = broken(owner)
    die(fleet.tenant, 99, own=False)

    assert ([], 1) == (borne, len(broken(owner)))


def test_closed_pool_reports_and_starts_nothing(pool, fleet, owner):
    pool.close()
    die(fleet.tenant, 1)
    fleet.tenant.result(RESULT)
    fleet.tenant.broken(WorkerError("late"))

    assert ([], 2, 1) == (owner.reports, fleet.started, fleet.released)


def test_pool_that_is_done_gives_its_workers_back_once_and_may_still_be_closed(pool, fleet, owner):
    pool.finish()
    pool.finish()
    die(fleet.tenant, 1)
    released = fleet.released
    pool.close()

    assert ([], 2, 1, 2) == (owner.reports, fleet.started, released, fleet.released)


def test_worker_is_named_by_its_process_also_after_its_death(pool, fleet):
    die(fleet.tenant, 1)

    assert "worker process 4001" == pool.name(1)


def test_tasks_get_a_block_once_large_results_were_seen(pool, fleet):
    def give(task, worker=8, samples=4):
        inputs = Inputs(Origin(0, (1,)), Encoded.of([1]), samples)
        pool.send(Send(worker, task, inputs, attempt=1, skip=0, credit=2))

    give(0)
    before = list(fleet.lent)
    fleet.tenant.result(Result(8, 3, 0, 0, 4, True, 5, Encoded([b"", bytes(400_000)])))
    give(1)

    assert [] == before
    assert [(8, 3, 1)] == [lent[:3] for lent in fleet.lent]
    assert 400_000 <= fleet.lent[0][3] <= 420_000
