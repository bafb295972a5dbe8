"""Who may come in from another machine, and that nobody else does."""

import errno
import socket
import traceback

import pytest
import zmq

from flazy.errors import InvalidArgument, ResourceError, SecurityError
from flazy.transport import door as doors
from flazy.transport.curve import Address, Guard, address_of
from flazy.transport.door import Door
from flazy.transport.line import LineEvent
from tests.transport.callers import HOST, TRAINER, Entry


@pytest.fixture
def entry():
    made = Entry()
    yield made
    made.close()


def opened(listen="tcp://127.0.0.1:0", keys=TRAINER, results_port=None):
    return Door(address_of(listen, results_port), keys, lambda public: False)


def listens(port, host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as caller:
        return caller.connect_ex((host, port)) == 0


# What goes through ----------------------------------------------------------------------------------


def test_messages_come_with_the_key_that_was_proven(entry):
    line = entry.connected()
    line.send([b"knock", b"knock"])
    line.send_result([b"result"])
    entry.until(lambda: entry.control and entry.results)

    ((routing_id, user, frames),) = entry.control
    assert (HOST.public, [b"knock", b"knock"]) == (user, frames)
    assert [(HOST.public, [b"result"])] == entry.results
    assert entry.door.send(routing_id, [b"come", b"in"])
    assert [b"come", b"in"] == entry.until(lambda: list(line.receive()), line.sockets())[0]


def test_what_comes_in_can_be_written(entry):
    line = entry.connected()
    line.send([b"a"])
    line.send_result([b"b"])
    entry.until(lambda: entry.control and entry.results)

    assert not any(memoryview(frame).readonly for frame in (*entry.control[0][2], *entry.results[0][1]))


def test_so_many_results_are_taken_at_once_as_was_said(entry):
    line = entry.connected()
    for number in range(5):
        line.send_result([bytes([number])])
    taken = []
    while sum(taken) < 5:
        entry.door.sockets()[2].poll()
        taken.append(len(list(entry.door.receive_results(2))))

    assert max(taken) <= 2
    assert [] == list(entry.door.receive_results(0))


def test_host_that_talks_without_end_keeps_nobody_waiting(entry, monkeypatch):
    monkeypatch.setattr(doors, "AT_ONCE", 2)
    line = entry.connected()
    for number in range(5):
        line.send([bytes([number])])
    taken = []
    while sum(taken) < 5:
        entry.door.sockets()[1].poll()
        taken.append(len(list(entry.door.receive_control())))

    assert max(taken) <= 2


def test_results_have_threads_of_their_own_and_so_have_tasks():
    entry = Entry(threads=3)
    _, *ports = entry.door.sockets()
    control, results = [each.getsockopt(zmq.AFFINITY) for each in ports]
    entry.close()

    assert (0b000111, 0b111000) == (control, results)


def test_order_is_kept(entry):
    line = entry.connected()
    for number in range(200):
        line.send([b"%d" % number])
    entry.until(lambda: len(entry.control) == 200)
    routing_id = entry.control[0][0]
    assert all(entry.door.send(routing_id, [b"%d" % number]) for number in range(200))
    got = []
    entry.until(lambda: got.extend(line.receive()) or len(got) == 200, line.sockets())

    numbers = [b"%d" % number for number in range(200)]
    assert numbers == [frames[0] for _, _, frames in entry.control]
    assert numbers == [frames[0] for frames in got]


def test_nothing_is_sent_to_who_is_gone_or_never_was(entry):
    line = entry.connected()
    line.send([b"here"])
    ((routing_id, _, _),) = entry.until(lambda: entry.control)
    line.close()
    while entry.door.send(routing_id, [b"are you there?"]):
        entry.step(seconds=0.01)

    assert not entry.door.send(b"nobody", [b"hello"])
    assert [] == entry.door.writable()


def test_what_waits_is_sent_in_order_or_dropped_with_who_is_gone(entry):
    line = entry.connected()
    line.send([b"here"])
    ((routing_id, _, _),) = entry.until(lambda: entry.control)
    entry.door._waiting[routing_id] = doors.deque([[b"1"]])  # as if there had been no room
    entry.door._waiting[b"gone"] = doors.deque([[b"1"], [b"2"]])
    entry.door._waiting[b"forgotten"] = doors.deque([[b"1"]])
    assert entry.door.send(routing_id, [b"2"])
    assert [entry.door.sockets()[1]] == entry.door.writable()
    entry.door.forget(b"forgotten")

    assert [b"gone"] == entry.door.flush()
    assert [] == entry.door.writable()
    got = []
    entry.until(lambda: got.extend(line.receive()) or len(got) == 2, line.sockets())
    assert [[b"1"], [b"2"]] == got


def test_last_words_go_out_while_it_closes(entry):
    line = entry.connected()
    line.send([b"here"])
    ((routing_id, _, _),) = entry.until(lambda: entry.control)
    entry.door.send(routing_id, [b"over"])
    entry.door.close(linger_ms=5000)
    poller = zmq.Poller()
    poller.register(line.sockets()[0], zmq.POLLIN)
    poller.poll(5000)

    assert [[b"over"]] == list(line.receive())
    entry.door.close()


# What cannot be opened ------------------------------------------------------------------------------


def test_ports_are_those_that_were_asked_for():
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    door = opened(f"tcp://127.0.0.1:{ports[0]}", results_port=ports[1])
    door.close()

    assert ports == door.ports
    assert not any(map(listens, ports))


@pytest.mark.parametrize("listen", ["tcp://0.0.0.0:0", "tcp://localhost:0"])
def test_every_address_of_the_machine_may_be_listened_on(listen):
    door = opened(listen)
    heard = [listens(port) or listens(port, "::1") for port in door.ports]
    door.close()

    assert [True, True] == heard


def test_there_are_ports_of_the_sixth_version():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    door = opened("tcp://[::1]:0")
    heard = [listens(port, "::1") for port in door.ports]
    door.close()

    assert [True, True] == heard


def test_port_in_use_is_named_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ResourceError, match=rf"{port} cannot be listened on: another program.*, e\.g\.") as caught:
            opened(f"tcp://127.0.0.1:{port}")

    assert isinstance(caught.value, OSError)
    assert errno.EADDRINUSE == caught.value.errno


@pytest.mark.parametrize("listen", ["tcp://198.51.100.1:0", "tcp://nosuch.invalid:0"])
def test_address_of_another_machine_is_refused(listen):
    with pytest.raises(InvalidArgument, match="no address"):
        opened(listen)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "127.0.0.1.evil", "eth0"])
def test_nothing_is_bound_without_keys(host, monkeypatch):
    monkeypatch.setattr(zmq, "Context", None)  # it does not even come to that

    with pytest.raises(SecurityError, match="without keys"):
        Door(Address(host, 0, 0), None, lambda public: True)


def test_without_curve_there_is_no_door(monkeypatch):
    monkeypatch.setattr(zmq, "has", lambda what: False)

    with pytest.raises(SecurityError, match="pip install"):
        opened()


# The trial ------------------------------------------------------------------------------------------


def ports_of(monkeypatch):
    """Note what is bound."""
    bound = []
    bind = doors._bind

    def noting(*where):
        bound.append(bind(*where))
        return bound[-1]

    monkeypatch.setattr(doors, "_bind", noting)
    return bound


def test_nothing_listens_where_strangers_come_in(monkeypatch):
    bound = ports_of(monkeypatch)
    monkeypatch.setattr(Guard, "_verdict", lambda guard, request: (b"200", "", b"anybody"))

    with pytest.raises(SecurityError, match="stranger with a new key was not refused") as caught:
        opened()

    shown = "".join(traceback.format_exception(caught.value))
    assert "handshake_succeeded, handshake_succeeded" in shown
    assert TRAINER.secret.decode() not in shown
    assert [False, False] == list(map(listens, bound))


def test_nothing_listens_where_nobody_answers_in_time(monkeypatch):
    bound = ports_of(monkeypatch)
    monkeypatch.setattr(Guard, "answer", lambda guard, unheard: None)
    monkeypatch.setattr(doors, "TRIAL_SECONDS", 0.05)

    with pytest.raises(SecurityError, match="nothing happened"):
        opened()

    assert [False, False] == list(map(listens, bound))


def test_trial_is_not_counted(entry, caplog):
    assert (0, "") == (entry.door.guard.refusals, caplog.text)
    assert LineEvent.CONNECTED is entry.event(entry.line())
