"""Who knocks at the door without a right to, and what comes of it: nothing reaches whoever reads messages.

Each attack is made with plain sockets, which keep to no rule of ours.
"""

import contextlib
import logging
import socket
import struct
import threading

import pytest
import zmq

from flazy.transport import door as doors
from flazy.transport.curve import KeyPair, new_keys
from flazy.transport.line import LineEvent
from flazy.transport.pieces import PIECE
from tests.remote.proxy import Proxy
from tests.transport.callers import HOST, TRAINER, Entry

STRANGER, SECOND = new_keys(), new_keys()
SOON_MS = 60  # for a handshake that nobody goes on with

REFUSED = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_DISCONNECTED,
}
SEEN = sum(REFUSED) | zmq.EVENT_HANDSHAKE_SUCCEEDED


@pytest.fixture(autouse=True)
def no_secret_is_told(caplog, capfd):
    """Look for secrets in all that was logged and written, by libzmq too."""
    caplog.set_level(logging.DEBUG)
    yield
    told = caplog.text + "".join(capfd.readouterr())
    assert not any(keys.secret.decode() in told for keys in (TRAINER, HOST, STRANGER, SECOND))


@pytest.fixture
def entry():
    made = Entry()
    made.listed.add(SECOND.public)
    yield made
    made.close()


@pytest.fixture
def crowd():
    """Sockets of all who knock."""
    made = zmq.Context(), []
    yield made
    made[0].destroy(linger=0)


# How strangers knock --------------------------------------------------------------------------------


def with_curve(caller, keys=HOST, server=TRAINER.public):
    caller.curve_publickey, caller.curve_secretkey = keys
    if server is not None:
        caller.curve_serverkey = server


def with_password(caller):
    caller.plain_username, caller.plain_password = HOST.public, HOST.secret


def as_a_server(caller):
    caller.curve_server = 1
    caller.curve_secretkey = HOST.secret
    caller.handshake_ivl = SOON_MS  # each waits for the other


def in_haste(keys):
    def knock(caller):
        with_curve(caller, keys)
        caller.handshake_ivl = SOON_MS

    return knock


KNOCKS = {
    "without keys": lambda caller: None,
    "with a password": with_password,
    "with the server's part": as_a_server,
    "without the trainer's key": lambda caller: with_curve(caller, server=None),
    "with another trainer's key": lambda caller: with_curve(caller, server=new_keys().public),
    "with a key that is not listed": lambda caller: with_curve(caller, STRANGER),
    "with a listed key and another secret": lambda caller: with_curve(caller, KeyPair(HOST.public, STRANGER.secret)),
    "with the trainer's own key": lambda caller: with_curve(caller, TRAINER),
}


def caller(crowd, knock, port, kind=zmq.DEALER):
    """Let a socket try once and say something at once; give who watches it."""
    context, kept = crowd
    made = context.socket(kind)
    kept.append(made)
    made.linger = 0
    made.reconnect_ivl = 2**30
    knock(made)
    monitor = made.get_monitor_socket(SEEN)
    made.connect(f"tcp://127.0.0.1:{port}")
    with contextlib.suppress(zmq.Again):  # it was refused already
        made.send_multipart([b"let", b"me", b"in"], zmq.NOBLOCK)
    return monitor


def outcome(entry, monitor):
    """Do the trainer's part until it is known what became of a caller."""
    entry.until(lambda: monitor.poll(0), [monitor])
    return doors.EVENT.unpack(monitor.recv_multipart()[0])[0]


def outcomes(entry, crowd, knock):
    """Knock at both ports."""
    knocked = [caller(crowd, knock, *to) for to in zip(entry.door.ports, (zmq.DEALER, zmq.PUSH), strict=True)]
    return {outcome(entry, monitor) for monitor in knocked}


def nothing_came(entry):
    entry.step(seconds=0)
    return entry.control == entry.results == []


@pytest.mark.parametrize("knock", KNOCKS)
def test_nothing_comes_in(entry, crowd, knock):
    assert outcomes(entry, crowd, KNOCKS[knock]) <= REFUSED
    assert nothing_came(entry)


def test_whoever_has_a_key_comes_in(entry, crowd):
    """That is, the knocks above are refused for what is wrong with them."""
    assert {zmq.EVENT_HANDSHAKE_SUCCEEDED} == outcomes(entry, crowd, with_curve)
    entry.until(lambda: entry.control and entry.results)

    assert HOST.public == entry.control[0][1] == entry.results[0][0]


def test_key_of_the_last_run_is_refused_by_the_next(crowd, entry):
    earlier = Entry()
    earlier.listed = {STRANGER.public}
    assert {zmq.EVENT_HANDSHAKE_SUCCEEDED} == outcomes(earlier, crowd, lambda each: with_curve(each, STRANGER))
    earlier.close()

    assert {zmq.EVENT_HANDSHAKE_FAILED_AUTH} == outcomes(entry, crowd, lambda each: with_curve(each, STRANGER))
    assert nothing_came(entry)


def test_key_that_was_revoked_is_refused(entry, crowd):
    entry.connected().close()
    entry.listed.remove(HOST.public)

    assert {zmq.EVENT_HANDSHAKE_FAILED_AUTH} == outcomes(entry, crowd, with_curve)
    assert nothing_came(entry)


@pytest.mark.parametrize("keys", [HOST, STRANGER], ids=["listed", "not listed"])
def test_nobody_comes_in_where_nobody_guards(entry, crowd, keys):
    entry.door.guard.close()
    entry.step = lambda others=(), seconds=0: [each.poll(1000) for each in others]

    assert {zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL} == outcomes(entry, crowd, in_haste(keys))
    entry.door.answer()
    assert [] == [*entry.door.receive_control(), *entry.door.receive_results(9)]


@pytest.mark.parametrize("keys", [HOST, STRANGER], ids=["listed", "not listed"])
def test_nobody_comes_in_while_the_guard_is_busy(entry, crowd, keys):
    entry.step = lambda others=(), seconds=0: [each.poll(1000) for each in others]

    assert {zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL} == outcomes(entry, crowd, in_haste(keys))
    assert [] == [*entry.door.receive_control(), *entry.door.receive_results(9)]


def test_a_hundred_in_a_row_keep_nobody_else_out(entry, crowd, caplog):
    line = entry.connected()
    for number in range(100):
        monitor = caller(crowd, lambda each: with_curve(each, STRANGER), entry.door.ports[0])
        assert zmq.EVENT_HANDSHAKE_FAILED_AUTH == outcome(entry, monitor)
        if number == 50:
            line.send([b"still here"])
    entry.until(lambda: entry.control)

    assert [(HOST.public, [b"still here"])] == [message[1:] for message in entry.control]
    assert 100 == entry.door.guard.refusals
    warned = [record.getMessage() for record in caplog.records if record.name == "flazy"]
    assert 1 <= len(warned) <= 10
    assert all("127.0.0.1" in each for each in warned)


# What others say with the voice of a host -----------------------------------------------------------


@contextlib.contextmanager
def recorded(port, heard):
    """Pass on what one connection says to a port, and keep it."""

    def pump(source, sink, kept):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve():
        near, _ = listener.accept()
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=pump, args=(far, near, bytearray()))
            back.start()
            pump(near, far, heard)
            back.join(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = threading.Thread(target=serve)
        served.start()
        yield listener.getsockname()[1]
        served.join(10)


def say(entry, port, what):
    """Say bytes to a port until that hangs up."""
    with socket.create_connection(("127.0.0.1", port)) as mouth:
        mouth.sendall(what)
        mouth.setblocking(False)

        def hung_up():
            try:
                return mouth.recv(65536) == b""
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        entry.until(hung_up, [mouth])


def test_recorded_session_says_nothing_a_second_time(entry):
    streams = [bytearray(), bytearray()]
    control, results = entry.door.ports
    with recorded(control, streams[0]) as first, recorded(results, streams[1]) as second:
        line = entry.connected(ports=(first, second))
        line.send([b"knock"])
        line.send_result([b"result"])
        entry.until(lambda: entry.control and entry.results)
        line.close()
    entry.control.clear()
    entry.results.clear()
    for port, stream in zip(entry.door.ports, streams, strict=True):
        assert len(stream) > 400
        say(entry, port, stream)

    assert nothing_came(entry)


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03", b"\xff" * 5000])
def test_noise_is_hung_up_on(monkeypatch, noise):
    monkeypatch.setattr(doors, "HANDSHAKE_MS", SOON_MS)
    monkeypatch.setattr(doors.Door, "_try_strangers", lambda *_: None)  # no stranger has to be so quick
    entry = Entry()
    for port in entry.door.ports:
        say(entry, port, noise)

    assert nothing_came(entry)
    entry.close()


def test_long_frame_of_a_stranger_is_hung_up_on_before_it_has_come(monkeypatch):
    monkeypatch.setattr(doors, "HANDSHAKE_MS", 60_000)  # so that it is not for this that it is hung up on
    entry = Entry()
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
    for port in entry.door.ports:
        say(entry, port, greeting + b"\x06" + struct.pack(">Q", 2 * PIECE))

    assert nothing_came(entry)
    entry.close()


@pytest.mark.parametrize("link", [0, 1], ids=["control", "results"])
def test_changed_bit_ends_the_connection_and_is_never_read(entry, link):
    with Proxy([("127.0.0.1", port) for port in entry.door.ports]) as proxy:
        line = entry.connected(host="127.0.0.2")
        proxy.after(500, "flip", link=link)
        (line.send, line.send_result)[link]([bytes(1000)])

        assert LineEvent.BROKEN is entry.event(line)
        assert nothing_came(entry)
        line.close()


def test_broken_line_is_never_mended(entry):
    """What was under way is lost, so nothing may go on as if it were not."""
    with Proxy([("127.0.0.1", port) for port in entry.door.ports]) as proxy:
        line = entry.connected(host="127.0.0.2")
        proxy.cut(link=1)
        assert LineEvent.BROKEN is entry.event(line)
        line.send_result([b"too late"])
        other = entry.connected(host="127.0.0.2")
        other.send_result([b"in time"])
        entry.until(lambda: entry.results)

        assert [(HOST.public, [b"in time"])] == entry.results
        assert 4 == proxy.accepted
        line.close()
        other.close()


def test_too_large_a_message_ends_its_connection_alone(monkeypatch):
    monkeypatch.setattr(doors, "MOST_BYTES", 100_000)
    entry = Entry()
    entry.listed.add(SECOND.public)
    good, greedy = entry.connected(), entry.connected(keys=SECOND)
    greedy.send_result([bytes(200_000)])

    assert LineEvent.BROKEN is entry.event(greedy)
    good.send_result([bytes(50_000)])
    entry.until(lambda: entry.results)
    assert [HOST.public] == [user for user, _ in entry.results]
    entry.close()


def test_nobody_speaks_with_the_key_or_the_place_of_another(entry, crowd):
    victim = entry.connected()
    victim.send([b"victim"])
    ((place, _, _),) = entry.until(lambda: entry.control)

    def knock(caller):
        with_curve(caller, SECOND)
        caller.setsockopt(zmq.ROUTING_ID, place)

    assert {zmq.EVENT_HANDSHAKE_SUCCEEDED} == outcomes(entry, crowd, knock)
    entry.until(lambda: entry.results)
    assert entry.door.send(place, [b"for the victim"])

    assert [[b"for the victim"]] == entry.until(lambda: list(victim.receive()), victim.sockets())
    assert [HOST.public] == [user for _, user, _ in entry.control]
    assert [SECOND.public] == [user for user, _ in entry.results]


def test_chosen_place_is_not_a_name(entry, crowd):
    def knock(caller):
        with_curve(caller, SECOND)
        caller.setsockopt(zmq.ROUTING_ID, HOST.public)

    assert {zmq.EVENT_HANDSHAKE_SUCCEEDED} == outcomes(entry, crowd, knock)
    entry.until(lambda: entry.control)

    assert (HOST.public, SECOND.public) == entry.control[0][:2]
