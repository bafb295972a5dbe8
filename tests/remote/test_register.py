"""Who works on what, where a connection turns out to be gone in the middle of what is being done."""

import pytest

from flazy.plan.remote import Remote
from flazy.remote.hosts import Hosts
from flazy.remote.parcel import Parcel
from flazy.remote.pool import terms_of
from flazy.transport.wire import Granted
from tests.remote.liar import HONEST, PlayedCaller, PlayedDoor, PlayedHost


class LeakyDoor(PlayedDoor):
    """A door at which one learns of who is gone as one speaks to them."""

    def __init__(self):
        super().__init__()
        self.gone = set()

    def send(self, routing, frames):
        return routing not in self.gone and super().send(routing, frames)


class Stage:
    """A user that gives each worker something to do as soon as it has it."""

    def __init__(self, run, hub):
        self.run = run
        self.hub = hub
        self.parcel = Parcel(1, b"kernel", [], {})
        self.terms = terms_of(Remote(), None, {}, "map(f)")
        self.workers = set()

    def joined(self, worker, name):
        self.workers.add(worker)
        self.hub.give(worker, Granted(self.run, 0, 1), 0, 0)

    def lost(self, worker, death, blame, *, own):
        self.workers.discard(worker)


@pytest.fixture
def hub():
    """Give a hub with one host of two processes, and no stage."""
    hub = Hosts(LeakyDoor(), PlayedCaller(), "", heartbeat=1e9, is_allowed=lambda _: True, room=lambda _: None)
    host = PlayedHost(hub.door, HONEST, 1)
    hub.tend()
    host.receive(hub.door.sent[host.routing].popleft())  # welcome
    hub.tend()
    hub.door.gone.add(host.routing)
    return hub


def test_stage_has_no_workers_of_a_host_that_is_found_gone_as_it_opens(hub):
    stage = Stage(1, hub)
    hub.admit(stage, None)

    assert set() == stage.workers
    assert not hub._at_work(stage)


def test_no_stage_has_a_process_that_is_found_gone_as_it_joins(hub):
    door, hub.door.gone = hub.door, set()
    stages = [Stage(run, hub) for run in (1, 2, 3)]
    for stage in stages:
        hub.admit(stage, None)
    (host,) = hub.hosts

    assert [2, 2, 2] == [len(stage.workers) for stage in stages]
    door.gone.add(host.routing)
    hub._add(host, 3, 3003)
    assert [set()] * 3 == [stage.workers for stage in stages]
    assert [] == list(hub.hosts)
