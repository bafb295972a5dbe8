"""The recorder sees what is sent, all of it, and what others say on other ports it leaves alone."""

import os
import socket

import pytest

from tests.remote import netns, recorder
from tests.remote.recorder import Recorder

pytestmark = pytest.mark.skipif(bool(recorder.reason_against()), reason=recorder.reason_against() or "none")


def say(server, *pieces, connect=socket.create_connection):
    """Send pieces to a server, and wait until it has them."""
    with connect(server.getsockname()) as peer, server.accept()[0] as taken:
        taken.settimeout(10)
        for piece in pieces:
            peer.sendall(piece)
            left = len(piece)
            while left:
                left -= len(taken.recv(left))


def test_what_is_sent_was_recorded_once():
    with socket.create_server(("127.0.0.1", 0)) as server, Recorder("lo", {server.getsockname()[1]}) as tape:
        say(server, b"a secret", bytes(10**6))

    assert tape.occurs(b"secret")
    assert not tape.occurs(b"another")
    assert 10**6 + 8 == tape.nbytes
    assert 0 == tape.missed


def test_what_stands_across_packets_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server, Recorder("lo", {server.getsockname()[1]}) as tape:
        say(server, b"sec", b"ret")

    assert tape.occurs(b"secret")


def test_other_ports_are_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as server, Recorder("lo", {1}) as tape:
        say(server, b"secret")

    assert {} == tape.streams


def test_what_goes_over_ipv6_is_recorded():
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with server, Recorder("lo", {server.getsockname()[1]}) as tape:
        say(server, b"secret", connect=lambda address: socket.create_connection(address[:2]))

    assert tape.occurs(b"secret")


def test_link_to_a_machine_is_recorded():
    if reason := netns.reason_against():
        pytest.skip(reason)
    marker = os.urandom(16)
    with netns.Network() as network, socket.create_server((network.trainer, 0)) as server:
        (machine,) = network.machines
        with Recorder(machine.interface, {server.getsockname()[1]}) as tape:
            say(server, marker, connect=lambda address: machine.inside(lambda: socket.create_connection(address)))

    assert tape.occurs(marker)
    assert 16 == tape.nbytes
