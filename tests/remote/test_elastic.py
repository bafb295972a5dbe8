"""Hosts that join, leave, die, sleep and wake in the middle of a stream: it is whole, and nothing of theirs stays."""

import contextlib
import dataclasses
import itertools
import logging
import os
import signal
import time

import psutil
import pytest

import flazy
from flazy import Dataset
from flazy.errors import NoWorkers
from tests.parallel import functions as fn
from tests.parallel.scripts import ROOT, Program
from tests.remote.hosts import JOINED

pytestmark = [pytest.mark.slow]


@contextlib.contextmanager
def stream(dataset):
    """Read a stream of numbers that count, which is looked at."""
    with dataset.open() as run:
        samples = enumerate(run)

        def read(until):
            """Read on until something is true; at least as much as may have been under way before."""
            for at, sample in samples:
                assert at == sample
                if until(run.stats().segments[0]):
                    return

        yield read
    flazy.shutdown()


def counting(remote):
    def slow(x):
        time.sleep(0.003)
        return x

    return Dataset(itertools.count).map(slow, workers=remote)


def there(workers):
    return lambda stats: workers == stats.workers


def processes_of(host):
    """Give its worker processes; above them is what forks them."""
    return [process for process in psutil.Process(host.pid).children(recursive=True) if not process.children()]


def test_hosts_come_and_go_in_mid_stream(remote, hosts):
    with stream(counting(remote)) as read:
        one = hosts.start(remote, processes=2)
        read(there(2))
        other = hosts.start(remote, processes=1)
        read(there(3))

        one.signal(signal.SIGTERM)
        one.wait(0, within_s=2.0)
        assert [] == one.remains()
        assert "told to leave; the samples under way here are sent to others" in one.lines[-1]
        read(there(1))

        (process,) = processes_of(other)
        process.kill()
        read(lambda stats: stats.lost_workers == 3 and stats.workers == 1)
        (another,) = processes_of(other)
        assert process.pid != another.pid

        third = hosts.start(remote, processes=1)
        read(there(2))
        other.kill()
        assert [] == [each for each in other.remains() if not each.startswith("flazy-hub")]
        read(there(1))
        third.signal(signal.SIGINT)
        third.wait(0, within_s=2.0)
        fourth = hosts.start(remote, processes=1)  # while there was nobody
        read(lambda stats: stats.lost_workers == 5 and stats.workers == 1)
    fourth.wait(0)

    assert "the trainer has ended" in fourth.lines[-1]
    assert [] == fourth.remains()


def test_host_that_sleeps_long_is_fenced_and_comes_back_as_another(remote, hosts, caplog):
    with stream(counting(dataclasses.replace(remote, heartbeat=1))) as read:
        sleeper = hosts.start(remote, processes=1, name="sleeper")
        read(there(1))
        other = hosts.start(remote, processes=1)
        read(there(2))
        sleeper.stop()
        read(there(1))
        sleeper.go_on()
        sleeper.says("the trainer had lost sight of this machine")
        read(there(2))
    for each in (sleeper, other):
        each.wait(0)
        assert [] == each.remains()
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["sleeper was silent for 1 s; its samples are sent again"] == warned[1:]  # and not that they have left


def test_stopped_for_less_than_the_heartbeat_nothing_is_lost(remote, hosts):
    with stream(counting(dataclasses.replace(remote, heartbeat=5))) as read:
        host = hosts.start(remote, processes=1)
        read(there(1))
        host.stop()
        time.sleep(0.4)
        host.go_on()
        seen = []
        read(lambda stats: seen.append(stats) or len(seen) > 150)

        assert 0 == seen[-1].lost_workers
    host.wait(0)


def test_without_anybody_it_is_told_how_to_start_one_and_no_key(remote):
    lonely = dataclasses.replace(remote, join_timeout=0.2)
    with counting(lonely).open() as run:
        join = remote.join_file.read_text()
        with pytest.raises(NoWorkers) as caught:
            next(run)

    assert join.split("=")[1].split()[0] not in str(caught.value)
    assert str(caught.value).startswith("no worker was connected for 0.2 s. Start one on another machine by the line")
    assert os.fspath(remote.join_file) in str(caught.value)


def test_beside_processes_of_this_machine_nobody_is_waited_for(remote):
    alone = dataclasses.replace(remote, local=1, join_timeout=0.2)
    with stream(counting(alone)) as read:
        seen = []
        read(lambda stats: seen.append(stats) or len(seen) > 150)


def test_statistics_count_those_that_were_there(remote, hosts):
    with Dataset(range(40)).map(fn.slow, workers=remote).open() as run:
        hosts.start(remote, processes=1)
        values = list(run)

    assert [2 * x for x in range(40)] == values
    assert "its 1 worker " in run.stats().summary()


def test_host_that_keeps_waits_for_the_next_run_of_the_program(remote, hosts):
    with counting(remote).open():
        host = hosts.start(remote, "--keep")
        host.says(JOINED)
    first = remote.join_file.read_text()
    flazy.shutdown()
    assert not remote.join_file.exists()
    with stream(counting(remote)) as read:
        read(there(1))  # by another port, since none was named
        second = remote.join_file.read_text()

    assert first != second
    assert 2 == host.output.count(JOINED)


def test_processes_that_cannot_start_are_told(remote, hosts, tmp_path):
    """As where the interpreter of processes finds another environment."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'flazy.remote.cli' not in sys.orig_argv:\n    os._exit(7)\n"
    )
    with counting(remote).open():
        host = hosts.start(remote, PYTHONPATH=f"{tmp_path}:{ROOT}")
        host.wait(5)
    told = host.lines[2]

    assert "the worker processes of this machine could not start. a worker process exited with code 7" in told
    assert [] == host.remains()


LIFE = """
    import itertools, os, time
    from flazy import Dataset, Remote

    def slow(x):
        time.sleep(0.003)
        return x

    remote = Remote("tcp://127.0.0.1:0", join_file=os.environ["JOIN"], heartbeat=1)
    with Dataset(itertools.count).map(slow, workers=remote).open() as run:
        for at, sample in enumerate(run):
            assert at == sample
            if at % 100 == 0:
                print(at, run.stats().segments[0].lost_workers, flush=True)
            if at == 600:
                break
"""


@pytest.fixture
def program(tmp_path, remote):
    """Give a trainer as a program of its own."""
    with Program(tmp_path, LIFE, JOIN=os.fspath(remote.join_file)) as program:
        yield program


def test_trainer_that_was_stopped_finds_its_hosts_as_they_were(program, remote, hosts):
    host = hosts.start(remote, processes=2)
    program.line()
    os.kill(program.pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(program.pid, signal.SIGCONT)
    code, out, err = program.end()

    assert (0, "600 0") == (code, out.splitlines()[-1]), err
    host.wait(0)
    assert 1 == host.output.count(JOINED)


def test_hosts_of_a_trainer_that_was_killed_end_or_wait(program, remote, hosts, tmp_path):
    ends, waits = hosts.start(remote), hosts.start(remote, "--keep")
    program.line()
    for each in (ends, waits):
        each.says(JOINED)
    program.signal(signal.SIGKILL)
    ends.wait(3)

    assert "is gone" in ends.lines[-1]
    assert [] == ends.remains()
    with Program(tmp_path, LIFE, JOIN=os.fspath(remote.join_file)) as another:
        assert ["0 0", "100 0"] == [another.line(), another.line()]
        assert 2 == waits.output.count(JOINED)
        waits.signal(signal.SIGTERM)
        waits.wait(0, within_s=2.0)
    assert [] == waits.remains()
