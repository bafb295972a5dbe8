"""Workers stay warm between passes and pipelines, and never run what was true before."""

import itertools
import os
import pathlib
import signal
import threading

import numpy as np
import pytest

import flazy
from flazy import Dataset
from flazy.run import runtime
from flazy.workers.fleet import NONCE_BITS

pytestmark = pytest.mark.slow


def pids(ds):
    return set(ds.map(lambda _: __import__("os").getpid(), workers=2).list())


def numbers():
    return {number >> NONCE_BITS for number in runtime.runtime().fleet._workers}


def wait_until(is_so):
    done = threading.Event()
    fleet = runtime.runtime().fleet
    for _ in range(2000):  # each turn of the hub looks at the deadlines and the dead; it is woken by what is posted
        runtime.runtime().post(lambda: done.set() if is_so(fleet) else None)
        if done.wait(0.01):
            break
    assert done.is_set()


def test_the_next_pass_and_the_next_pipeline_run_in_the_same_processes(monkeypatch):
    monkeypatch.setattr("flazy.workers.tenancy.FREE_SECONDS", 60.0)  # else a slow machine replaces one that is busy
    Dataset(range(200)).map(lambda x: x, workers=2).list()
    first = numbers()
    for _ in range(3):
        Dataset(range(200)).filter(lambda x: x % 2, workers=2).list()

    assert ({1, 2}, {1, 2}) == (first, numbers())


def all_but_closed(run):
    """Take all samples, and see the feeder reach the end of its source; what the hub is told later, it does later."""
    taken = list(itertools.islice(run, 20))
    for thread in threading.enumerate():
        if thread.name == "flazy-feeder":
            thread.join()
    return taken


def test_they_are_free_for_another_pipeline_before_the_consumer_closes_the_last(monkeypatch):
    monkeypatch.setattr("flazy.workers.tenancy.FREE_SECONDS", 60.0)
    with Dataset(range(20)).map(lambda x: x, workers=2).open() as run:
        all_but_closed(run)
        Dataset(range(20)).map(lambda x: x, workers=2).list()

        assert {1, 2} == numbers()
        assert [] == list(run)


def test_one_that_dies_when_it_has_given_its_last_result_is_nobodys_loss(caplog):
    with Dataset(range(20)).map(lambda _: os.getpid(), workers=2).open() as run:
        worked = set(all_but_closed(run))
        for pid in worked:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda fleet: worked.isdisjoint(worker.pid for worker in fleet._workers.values()))
        rest, stats = list(run), run.stats().segments[0]

    assert ([], 20, 0, 0) == (rest, stats.samples_out, stats.lost_workers, stats.redispatched)
    assert [] == caplog.records


def test_after_shutdown_they_are_new():
    ds = Dataset(range(200))
    first = pids(ds)
    flazy.shutdown()

    assert set() == first & pids(ds)


def test_a_changed_environment_gets_new_ones(monkeypatch):
    ds = Dataset(range(200))
    first = pids(ds)
    monkeypatch.setenv("FLAZY_TEST", "1")

    assert set() == first & pids(ds)


def test_a_changed_search_path_gets_new_ones(monkeypatch, tmp_path):
    ds = Dataset(range(200))
    first = pids(ds)
    monkeypatch.syspath_prepend(str(tmp_path))

    assert set() == first & pids(ds)


def test_a_changed_directory_is_followed(monkeypatch, tmp_path):
    ds = Dataset(range(2)).map(lambda _: str(pathlib.Path.cwd()), workers=1)
    before = ds.first()
    monkeypatch.chdir(tmp_path)

    assert (str(tmp_path.resolve()), False) == (ds.first(), before == ds.first())


def test_an_edited_module_is_loaded_anew(monkeypatch, tmp_path):
    file = tmp_path / "flazy_warm_module.py"
    file.write_text("def f(x): return x")
    monkeypatch.syspath_prepend(str(tmp_path))
    ds = Dataset(range(3)).map(lambda x: __import__("flazy_warm_module").f(x), workers=2)
    before = ds.list()
    file.write_text("def f(x): return x + 100")

    assert ([0, 1, 2], [100, 101, 102]) == (before, ds.list())


def test_a_broken_off_pass_does_not_hold_up_the_next():
    ds = Dataset(range(1000)).map(lambda x: x, workers=2)
    for _ in range(10):
        for x in ds:
            if x == 3:
                break

    assert list(range(1000)) == ds.list()


def test_a_worker_that_still_works_for_a_closed_run_is_not_waited_for():
    hang = Dataset(range(2)).map(lambda x: signal.pause() if x else x, workers=2)
    iterator = iter(hang)
    next(iterator)
    iterator.close()

    assert [0, 1, 2] == Dataset(range(3)).map(lambda x: x, workers=2).list()


def test_idle_ones_end_when_their_time_is_over(monkeypatch):
    monkeypatch.setattr("flazy.workers.tenancy.IDLE_SECONDS", 0.0)
    ds = Dataset(range(200))
    first = pids(ds)
    wait_until(lambda fleet: fleet.empty)

    assert set() == first & pids(ds)


def test_workers_have_global_random_states_of_their_own():
    drawn = Dataset(range(400)).map(lambda _: (os.getpid(), float(np.random.random())), workers=2).list()

    assert 400 == len({number for _, number in drawn})


def test_a_dead_zygote_is_replaced():
    ds = Dataset(range(200))
    first = pids(ds)
    fleet = runtime.runtime().fleet
    fleet._zygote._popen.kill()
    for pid in first:
        os.kill(pid, signal.SIGKILL)

    assert set() == first & pids(ds)
