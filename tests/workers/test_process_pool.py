"""When dead workers are replaced and when the pool gives up; how a real one is watched after its death."""

import os
import select
import signal
import struct

import pytest

from flazy.core.events import Blame, Send
from flazy.errors import WorkerError, WorkerPoolBroken
from flazy.sample import Origin
from flazy.transport.payload import Encoded
from flazy.transport.wire import Result, Task
from flazy.workers.launch import Process
from flazy.workers.pool import Inputs
from flazy.workers.processes import ProcessPool


class FakeRelay:
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


class FakeFleet:
    def __init__(self):
        self.relay = FakeRelay()
        self.started = 0
        self.sent = []
        self.released = 0

    def lease(self, n, owner, scope, opened):
        self.started += n

    def start(self, owner, scope, opened):
        self.started += 1

    def send(self, worker, message):
        self.sent.append((worker, message))

    def release(self, owner):
        self.released += 1

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
    made = ProcessPool(2, b"kernel", {}, object(), fleet)
    made.open(owner)
    return made


RESULT = Result(1, 3, 0, 0, 1, True, 5, Encoded.of([None, 1]))


def die(pool, worker, *, own=True, ready=True):
    if ready:
        pool.joined(worker)
    pool.lost(worker, f"worker process {worker} went; its last words:\nouch", None, own=own)


def broken(owner):
    return [report for report in owner.reports if report[0] == "broken"]


def test_command_becomes_a_message_of_the_run(pool, fleet):
    payload = Encoded.of([1])
    pool.send(Send(8, 5, Inputs(Origin(0, (1,)), payload), attempt=1, skip=0, credit=2))
    ((worker, message),) = fleet.sent

    assert (8, 3, 5, payload) == (worker, message.run, message.task, message.payload)
    assert isinstance(message, Task)


def test_dead_worker_is_reported_and_replaced(pool, fleet, owner):
    blame = Blame(1, 2, own=True)
    pool.joined(1)
    pool.lost(1, "worker process 1 went", blame, own=True)

    assert [("joined", 1), ("lost", 1, blame)] == owner.reports
    assert 3 == fleet.started
    assert ["worker process 1 went; its samples are sent again"] == fleet.relay.warnings


def test_workers_that_die_before_they_are_ready_break_the_pool_at_the_third(pool, fleet, owner):
    for worker in range(3):
        die(pool, worker, ready=False)
    ((_, kind, text),) = broken(owner)

    assert WorkerPoolBroken is kind
    assert "could not start" in text
    assert "ouch" in text
    assert 4 == fleet.started


def test_start_that_succeeds_forgives_those_that_failed(pool, owner):
    for worker in range(8):
        die(pool, worker, ready=False)
        pool.joined(100 + worker)
        pool.result(RESULT)

    assert [] == broken(owner)


def test_workers_that_die_without_a_result_in_between_break_the_pool(pool, owner):
    for worker in range(6):
        die(pool, worker)

    assert "die faster than they work" in broken(owner)[0][2]


def test_deaths_between_results_do_not_add_up(pool, owner):
    for worker in range(50):
        die(pool, worker)
        pool.result(RESULT)

    assert [] == broken(owner)


def test_workers_killed_from_outside_are_borne_longer(pool, owner):
    for worker in range(40):
        die(pool, worker, own=False)
    borne = broken(owner)
    die(pool, 99, own=False)

    assert ([], 1) == (borne, len(broken(owner)))


def test_closed_pool_reports_and_starts_nothing(pool, fleet, owner):
    pool.close()
    die(pool, 1)
    pool.result(RESULT)
    pool.broken(WorkerError("late"))

    assert ([], 2, 1) == (owner.reports, fleet.started, fleet.released)


def test_worker_is_named_by_its_process_also_after_its_death(pool):
    die(pool, 1)

    assert "worker process 4001" == pool.name(1)


# A real process -----------------------------------------------------------------------------------------------------


@pytest.fixture
def process(tmp_path):
    read, write = os.pipe()
    made = Process(1, f"ipc://{tmp_path}/tasks", f"ipc://{tmp_path}/results", read)
    yield made
    made.end(signal.SIGKILL)
    made._popen.wait(10)
    for output in made.outputs:
        output.close()
    made.close()
    os.close(read)
    os.close(write)


def wait_for_end(process):
    assert select.select([process.sentinel], [], [], 30)[0]
    assert process.ended()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "own"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGSEGV, True), (signal.SIGABRT, True)],
)
def test_death_is_seen_and_named(process, number, own):
    process.end(number)
    wait_for_end(process)

    assert (f"was killed by {number.name}", own) == process.exit()


@pytest.mark.slow
def test_what_ran_last_can_be_read_after_the_death(process):
    before = process.running()
    os.pwrite(process._record, struct.pack("3q", 7, 4, 2), 0)
    process.end(signal.SIGKILL)
    wait_for_end(process)

    assert (None, (7, 4, 2)) == (before, process.running())


def test_worker_needs_an_interpreter(monkeypatch):
    monkeypatch.setattr("sys.executable", "")

    with pytest.raises(WorkerError, match=r"sys\.executable"):
        Process(1, "", "", 0)
