"""Machines of our own are reached by their addresses, and their links do what they are told."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.remote import netns
from tests.remote.netns import FROM_HOST, KINDS, TO_HOST

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    if reason := netns.reason_against(request.param):
        pytest.skip(reason)
    return request.param


@pytest.fixture
def network(kind):
    with netns.Network(2, kind=kind) as network:
        yield network


@pytest.fixture
def machine(network):
    return network.machines[0]


def connected(network, machine):
    """Give both ends of a connection, from the machine to the trainer's address."""
    with socket.create_server((network.trainer, 0)) as server:
        server.settimeout(10)
        peer = machine.inside(lambda: socket.create_connection(server.getsockname(), timeout=10))
        taken, (address, _) = server.accept()
    taken.settimeout(10)

    assert machine.address == address
    return peer, taken


def received(end, count):
    """Give how much has come, until it is as much."""
    got = 0
    while got < count and (piece := end.recv(count - got)):
        got += len(piece)
    return got


def silent(end):
    """Say whether nothing comes for a moment."""
    end.settimeout(0.1)
    try:
        return not end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(20)


def test_machines_have_addresses_of_their_own_and_are_reached(network):
    for machine in network.machines:
        peer, taken = connected(network, machine)
        with peer, taken:
            taken.sendall(bytes(10**6))

            assert 10**6 == received(peer, 10**6)


def test_command_runs_there(machine):

    assert machine.address in subprocess.check_output([*machine.command, "ip", "-4", "addr"], text=True)


def test_delay_is_seen_each_way(network, machine):
    peer, taken = connected(network, machine)
    with peer, taken:
        machine.fault(delay_s=0.05)
        begun = time.monotonic()
        peer.sendall(b"a")

        assert b"a" == taken.recv(1)
        assert 0.05 <= time.monotonic() - begun
        taken.sendall(b"b")
        assert b"b" == peer.recv(1)
        assert 0.1 <= time.monotonic() - begun


def test_what_is_lost_is_sent_again(network, machine):
    peer, taken = connected(network, machine)
    with peer, taken:
        machine.fault(loss=0.1)
        taken.sendall(bytes(50_000))

        assert 50_000 == received(peer, 50_000)


def test_parted_machines_hear_nothing_until_they_are_healed(network, machine):
    peer, taken = connected(network, machine)
    with peer, taken:
        machine.part()
        peer.sendall(b"a")

        assert silent(taken)
        machine.heal()
        assert b"a" == taken.recv(1)


def test_link_may_part_one_way_alone(network, machine):
    peer, taken = connected(network, machine)
    with peer, taken:
        machine.part(FROM_HOST)
        taken.sendall(b"a")

        assert b"a" == peer.recv(1)
        peer.sendall(b"b")
        assert silent(taken)
        machine.heal()
        assert b"b" == taken.recv(1)
        machine.part(TO_HOST)
        peer.sendall(b"c")
        assert b"c" == taken.recv(1)


def test_nothing_stays(kind):
    with netns.Network(kind=kind) as network:
        (machine,) = network.machines

    assert not Path("/run/netns", machine.name).exists()
    assert f"{netns.PREFIX}{os.getpid():x}h" not in netns.run("ip", "-o", "link")


def test_what_a_killed_session_leaves_is_removed_by_the_next(kind, tmp_path):
    script = f"""
        from tests.remote import netns
        print(netns.Network(kind={kind!r}).machines[0].name, flush=True)
        import signal
        signal.pause()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        name = program.stdout.readline().strip()
        program.send_signal(signal.SIGKILL)
    left = Path("/run/netns", name)

    assert left.exists()
    netns.sweep()
    assert not left.exists()
