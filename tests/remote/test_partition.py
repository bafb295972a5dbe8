"""A line between machines that are parted: both ends learn of it without being told, by what is not acknowledged."""

import pytest

from flazy.transport.line import Line, LineEvent
from tests.remote import netns
from tests.remote.netns import FROM_HOST, TO_HOST
from tests.transport.callers import HOST, TRAINER, Entry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(netns.reason_against()), reason=netns.reason_against() or "it can be tried"),
]

HEARTBEAT_S = 0.5


@pytest.fixture
def network():
    with netns.Network(1) as network:
        yield network


@pytest.fixture
def entry(network):
    made = Entry(f"tcp://{network.trainer}:0", heartbeat=HEARTBEAT_S)
    yield made
    made.close()


def reaching(network, entry):
    """Make a line on the other machine; its sockets are made there."""
    to = network.trainer, *entry.door.ports
    return network.machines[0].inside(lambda: Line(*to, TRAINER.public, HOST, heartbeat=HEARTBEAT_S))


@pytest.fixture
def line(network, entry):
    made = reaching(network, entry)
    assert LineEvent.CONNECTED is entry.event(made)
    yield made
    made.close()


@pytest.mark.parametrize("ways", [(TO_HOST, FROM_HOST), (TO_HOST,), (FROM_HOST,)], ids=["both ways", "to", "from"])
def test_parted_line_is_known_to_be_broken_at_both_ends(network, entry, line, ways):
    line.send([b"here"])
    ((routing_id, _, _),) = entry.until(lambda: entry.control)
    network.machines[0].part(*ways)
    line.send([b"are you there?"])
    assert entry.door.send(routing_id, [b"and you?"])

    assert LineEvent.BROKEN is entry.event(line)
    while entry.door.send(routing_id, [b"still there?"]):
        entry.step(seconds=0.05)


def test_nobody_is_found_behind_a_link_that_is_parted(network, entry):
    network.machines[0].part()
    made = reaching(network, entry)

    assert LineEvent.NO_ANSWER is entry.event(made)
    made.close()
