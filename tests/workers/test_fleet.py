"""One real worker process that has two runs open at once."""

import datetime as dt
import os
import signal
import time

import numpy as np
import pytest

from flazy.plan.kernel import Op
from flazy.sample import Origin
from flazy.transport.codec import decode
from flazy.transport.payload import Encoded
from flazy.transport.stretches import ROWS
from flazy.transport.wire import Open, Task
from flazy.workers import zygote
from flazy.workers.fleet import Fleet
from flazy.workers.folder import Folder
from flazy.workers.mailbox import Mailbox
from flazy.workers.processes import surroundings
from tests.parallel.saboteurs import Sender
from tests.workers.fakes import opened
from tests.workers.test_tenancy import FakeTenant

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not zygote.is_supported(), reason="needs the arena")]

WITHIN_SECONDS = 30.0
LARGE = 2**18  # numbers: enough to be kept in the arena, when they are captured


class Tenant(FakeTenant):
    """Keeps results as well."""

    def __init__(self):
        super().__init__()
        self.results = []

    def limit(self, run):
        return None

    def result(self, result):
        super().result(result)
        self.results.append(result)


class Home:
    """A fleet, and the loop of its thread."""

    def __init__(self):
        self.folder = Folder()
        self.mailbox = Mailbox()
        self.fleet = Fleet(self.folder.path, self.mailbox.post)
        self.tenant = Tenant()
        self.around = surroundings()
        self.tasks = 0

    def until(self, is_so):
        deadline = time.monotonic() + WITHIN_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, self.tenant.told
            self.fleet.hub.wait([self.mailbox.fileno(), *self.fleet.sentinels()], 1.0)
            for action in self.mailbox.take():
                action()
            self.fleet.tend()

    def told(self, kind):
        """Wait until something is told; give it."""
        self.until(lambda: any(what[0] == kind for what in self.tenant.told))
        return next(what for what in self.tenant.told if what[0] == kind)

    def lease(self):
        self.fleet.lease(1, self.tenant, self.around, None)
        return self.told("joined")[1]

    def open(self, number, run, fn, **options):
        """Open a run on a worker; give its kernel."""
        kept = self.fleet.kernels.keep((Op("map", f"map({run})", fn),))
        self.fleet.open_run(number, Open(run, kept, self.around, **options))
        return kept

    def send(self, number, run, *values):
        self.tasks += 1
        inputs = Encoded.of([(ROWS, len(values), list(values))])
        self.fleet.send(number, Task(run, self.tasks, 1, 0, 9, Origin(0, (0,)), inputs))

    def run(self, number, run, *values):
        """Let a worker do a task; give what came."""
        count = len(self.tenant.results)
        self.send(number, run, *values)
        self.until(lambda: len(self.tenant.results) > count)
        return self.tenant.results[-1]

    def close(self):
        self.fleet.end_all()
        self.until(lambda: self.fleet.empty)
        self.fleet.close()
        self.folder.close()
        self.mailbox.close()


@pytest.fixture
def home():
    made = Home()
    yield made
    made.close()


def values(result):
    return opened(result)[2]


def test_process_works_on_two_runs_and_goes_on_with_one_when_the_other_is_closed(home):
    large = np.arange(LARGE)
    number = home.lease()
    kernels = [home.open(number, 1, lambda i: int(large[i])), home.open(number, 2, lambda i: (os.getpid(), -i))]
    both = [values(home.run(number, run, 7)) for run in (1, 2, 1)]
    held = [kept.users for kept in kernels]
    home.fleet.close_run(number, 1)
    closed = home.told("closed")
    after = [kept.users for kept in kernels]
    rest = values(home.run(number, 2, 8))
    home.fleet.release(home.tenant)
    home.until(lambda: home.fleet._workers[number].ready)

    pid = home.fleet.pid(number)

    assert ([7], [(pid, -7)], [7]) == tuple(both)
    assert ([2, 2], ("closed", number, 1), [1, 2]) == (held, closed, after)
    assert [(pid, -8)] == rest
    assert [1, 1] == [kept.users for kept in kernels]


def test_result_of_a_run_that_is_not_open_costs_the_worker_with_all_its_runs(home):
    def forge(x):
        me = Sender()
        me.send(me.result(run=99))
        signal.pause()

    number = home.lease()
    kernels = [home.open(number, 1, abs), home.open(number, 2, forge)]
    assert [1] == values(home.run(number, 1, -1))
    home.send(number, 2, 0)
    _, _, blame, own, run = home.told("lost")

    assert ((home.tasks, (0,)), True, 2) == ((blame.task, blame.place), own, run)
    assert [1, 1] == [kept.users for kept in kernels]
    assert home.fleet.pid(number) is None


def test_results_of_a_run_without_pickle_hold_none_and_those_of_another_may(home):
    def make(x):
        if x == 3:
            raise OSError(5, "no such thing")
        return {"when": [dt.date(2024, 1, x)]} if x == 2 else x

    number = home.lease()
    home.open(number, 1, make, pickled=False)
    home.open(number, 2, make)
    strict, failed = home.run(number, 1, 1, 2), home.run(number, 1, 3)
    refusal, failure = opened(strict)[1], opened(failed)[1]

    assert [None, None] == [decode(each.payload.frames, pickle=False)[0][1][-1] for each in (strict, failed)]
    assert ([1], 'sample["when"][0] is of type datetime.date') == (values(strict), refusal[4].partition(",")[0])
    assert "Remote(..., allow_pickle=True)" in refusal[4]
    assert ("OSError", "[Errno 5] no such thing (called with 3)", "OSError", None) == (failure[3:5] + failure[6:])
    assert [{"when": [dt.date(2024, 1, 2)]}] == values(home.run(number, 2, 2))
