"""What the hub hands on may be dropped by any thread, at any moment."""

import collections
import ctypes
import operator

import pytest

from flazy.transport.hub import Hub
from flazy.transport.link import SocketLink
from flazy.transport.reading import unpack_from_worker
from flazy.transport.wire import Hello


@pytest.fixture
def hub(tmp_path):
    made = Hub(str(tmp_path))
    yield made
    made.close()


@pytest.fixture
def link(hub):
    made = SocketLink(hub.add(1), hub.endpoint("results"))
    yield made
    made.close()


def received(hub):
    while True:
        hub.wait([], 30)
        for frames in hub.receive():
            return frames


def test_interrupt_is_not_lost_where_a_message_is_dropped(hub, link):
    """Frames of pyzmq look at signals when they are freed, where what a handler raises is printed and forgotten."""
    link.send(Hello(1, 2))
    frames = received(hub)
    interrupt = ctypes.pythonapi.PyErr_SetInterrupt

    assert Hello(1, 2) == unpack_from_worker(frames)
    with pytest.raises(KeyboardInterrupt):
        collections.deque(map(operator.call, [interrupt, frames.clear]), maxlen=0)  # one after the other, in C alone


def test_what_is_received_can_be_written(hub, link):
    link.send(Hello(1, 2))

    assert not any(memoryview(frame).readonly for frame in received(hub))
