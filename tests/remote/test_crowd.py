"""Hosts come and go when the consumer has so many samples; where they have gone nothing stays."""

import textwrap

import pytest

from flazy import Dataset
from tests.parallel import functions as fn
from tests.parallel.pipelines import outcome
from tests.remote.crowd import JOIN, KILL, LEAVE, Crowd, Step, played
from tests.remote.hosts import Host

WAITS = """
    import signal, sys
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    signal.pause()
"""


@pytest.fixture
def crowd():
    def join():
        host = Host(program=("-S", "-c", textwrap.dedent(WAITS)))
        host.says("ready")
        return host

    crowd = Crowd(join)
    yield crowd
    crowd.settle()
    crowd.forget()


def test_what_is_done_is_done_at_its_place(crowd):
    there = []

    def note(x):
        there.append([host.pid for host in crowd.hosts])
        return x

    ds = Dataset(range(8)).map(note)
    steps = [Step(5, KILL), Step(1, JOIN), Step(3, LEAVE), Step(100, JOIN)]

    assert outcome(ds).same_as(played(ds, crowd, steps))
    one, two = there[9][:2]
    assert [[one], [one, two], [one, two], [two], [two]] == there[8:13]
    ((third,),) = {tuple(pids) for pids in there[13:]}
    assert third not in {one, two}
    crowd.settle()
    assert [third] == [host.pid for host in crowd.hosts]


def test_error_ends_it_as_it_does_without(crowd):
    ds = Dataset(range(20)).map(fn.fail_odd)

    assert outcome(ds.serial()).same_as(played(ds, crowd, [Step(2, KILL)]))
