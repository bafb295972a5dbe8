"""Machines that are parted from the trainer, one way or both, for a while or for good."""

import dataclasses
import itertools
import os
import threading

import pytest

from flazy import Dataset, Remote
from tests.parallel import functions as fn
from tests.parallel import scripts
from tests.remote import netns
from tests.remote.hosts import JOINED
from tests.remote.netns import FROM_HOST, TO_HOST

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(netns.reason_against()), reason=netns.reason_against() or "none"),
]

COUNT = 400
EXPECTED = [3 * x + 1 for x in range(COUNT)]


@pytest.fixture(scope="module")
def network():
    with netns.Network(2) as network:
        yield network


@pytest.fixture
def remote(network, tmp_path):
    where = f"tcp://{network.trainer}:0"
    yield Remote(where, join_file=tmp_path / "join", join_timeout=30, heartbeat=1.0, window=40)
    for machine in network.machines:
        machine.heal()


def started(remote, hosts, machine):
    host = hosts.start(remote, processes=1, within=machine.command)
    host.says(JOINED)
    return host


WAYS = {"both ways": (), "from the host": (FROM_HOST,), "to the host": (TO_HOST,)}


@pytest.mark.parametrize("name", scripts.cases(WAYS, {"both ways"}))
def test_host_that_is_parted_for_long_is_lost_and_comes_again(name, network, remote, hosts):
    one, other = network.machines
    with Dataset(range(COUNT)).map(fn.number, workers=remote).open() as run:
        parted = started(remote, hosts, one)
        first = list(itertools.islice(run, 50))
        one.part(*WAYS[name])
        started(remote, hosts, other)
        rest = list(itertools.islice(run, COUNT - 100))  # what it had has been done by the other by then
        sessions = parted.output.count(JOINED)
        one.heal()
        parted.says(JOINED, times=sessions + 1)
        last = list(run)

    assert EXPECTED == first + rest + last


def test_host_that_is_parted_for_a_moment_goes_on(network, remote, hosts):
    one, _ = network.machines
    where = dataclasses.replace(remote, heartbeat=10.0)
    with Dataset(range(COUNT)).map(fn.number, workers=where).open() as run:
        host = started(where, hosts, one)
        first = list(itertools.islice(run, 50))
        one.part()
        healer = threading.Timer(0.5, one.heal)  # nothing else can tell when that time is over
        healer.start()
        rest = list(run)
        healer.join()

    assert EXPECTED == first + rest
    assert 1 == host.output.count(JOINED)


def test_lost_and_late_packets_cost_time_alone(network, remote, hosts):
    one, _ = network.machines
    where = dataclasses.replace(remote, heartbeat=10.0)
    with Dataset(range(COUNT)).map(fn.number, workers=where).open() as run:
        started(where, hosts, one)
        first = list(itertools.islice(run, 50))
        one.fault(delay_s=0.02, loss=0.05)
        rest = list(run)

    assert EXPECTED == first + rest


@pytest.mark.skipif("FLAZY_CHAOS" not in os.environ, reason="takes long: set FLAZY_CHAOS")
def test_host_whose_trainer_vanishes_ends_and_leaves_nothing(network, remote, hosts):
    one, _ = network.machines
    with Dataset(range(COUNT)).map(fn.number, workers=remote).open() as run:
        host = started(remote, hosts, one)
        next(run)
        one.part()
        host.wait(3)

        assert [] == host.remains()
