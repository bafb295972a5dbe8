"""What a host is told of its connections."""

import socket
import threading

import pytest
import zmq

from flazy.transport import line as lines
from flazy.transport.curve import new_keys
from flazy.transport.line import Line, LineEvent
from tests.transport.callers import HOST, TRAINER, Entry


@pytest.fixture
def entry():
    made = Entry()
    yield made
    made.close()


@pytest.fixture
def silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def event_of(line, patience_s=20):
    poller = zmq.Poller()
    while not (events := list(line.events())):
        for each in line.sockets():
            poller.register(each, zmq.POLLIN)
        assert poller.poll(patience_s * 1000)
    return events


def test_what_is_sent_early_waits_and_is_counted(entry):
    line = entry.line()
    line.send([b"12", b"3"])
    line.send_result([b"45"])

    assert 5 == line.pending
    assert [] == line.writable()
    assert LineEvent.CONNECTED is entry.event(line)
    assert (0, []) == (line.pending, line.writable())
    entry.until(lambda: entry.control and entry.results)
    assert [] == list(line.events())


def test_refused_key_is_told(entry):
    entry.listed.clear()

    assert LineEvent.KEY_REFUSED is entry.event(entry.line())


def test_trainer_with_another_key_is_told(entry):
    assert LineEvent.WRONG_TRAINER is entry.event(entry.line(server=new_keys().public))


@pytest.mark.parametrize("plain", [zmq.NULL, zmq.PLAIN])
def test_who_has_no_keys_at_all_is_not_the_trainer(entry, plain):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as fake, context.socket(zmq.PULL) as other:
        for each in (fake, other):
            if plain == zmq.PLAIN:
                each.plain_server = 1
            each.bind("tcp://127.0.0.1:0")
        ports = [int(each.last_endpoint.rpartition(b":")[2]) for each in (fake, other)]

        assert [LineEvent.WRONG_TRAINER] == event_of(entry.line(ports=ports))


def test_nobody_at_the_port_is_told(entry):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]

        assert [LineEvent.NO_ANSWER] == event_of(entry.line(ports=(port, port)))


def test_unknown_name_is_told():
    line = Line("nosuch.invalid", 1, 2, TRAINER.public, HOST)
    line.send([b"1"])
    told = [list(line.events()), list(line.events())]
    line.close()

    assert [[LineEvent.NO_ANSWER], []] == told
    assert ([], [], 1) == (line.sockets(), line.writable(), line.pending)


def test_name_is_looked_up(entry):
    line = Line("localhost", *entry.door.ports, TRAINER.public, HOST)
    entry.lines.append(line)

    assert LineEvent.CONNECTED is entry.event(line)


def test_who_answers_nothing_is_told(entry, silent, monkeypatch):
    monkeypatch.setattr(lines, "HANDSHAKE_MS", 50)
    port = silent.getsockname()[1]

    assert [LineEvent.NO_ANSWER] == event_of(entry.line(ports=(port, port)))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10])
def test_what_is_no_trainer_is_told(entry, silent, said):
    def serve():
        for _ in range(2):
            caller, _ = silent.accept()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0" if not said else bytes(8))
            caller.sendall(said)
            caller.close()

    served = threading.Thread(target=serve)
    served.start()
    port = silent.getsockname()[1]

    assert [LineEvent.NO_ANSWER] == event_of(entry.line(ports=(port, port)))
    served.join(10)


def test_second_port_of_another_program_is_told(entry):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        line = entry.line(ports=(entry.door.ports[0], nobody.getsockname()[1]))

        assert LineEvent.NO_ANSWER is entry.event(line)


def test_broken_line_is_told_and_what_is_sent_then_is_not_lost_unseen(entry):
    line = entry.connected()
    entry.door.close()

    assert [LineEvent.BROKEN] == event_of(line)
    line.send([b"1"])
    line.send_result([b"23"])
    assert 3 == line.pending
    assert [] == line.writable()
    assert [] == list(line.events())


def test_closed_line_says_nothing_more_and_keeps_count(entry):
    line = entry.connected()
    line.close()
    line.close()
    line.send([b"123"])
    line.flush()

    assert ([], [], [], 3) == (list(line.events()), list(line.receive()), line.sockets(), line.pending)


def test_last_words_go_out_while_it_closes(entry):
    line = entry.connected()
    line.send([b"leaving"])
    line.send_result([bytes(1_000_000)])
    line.close(linger_ms=5000)
    entry.until(lambda: entry.control and entry.results)

    assert [b"leaving"] == entry.control[0][2]
    assert 1_000_000 == len(entry.results[0][1][0])


def test_secret_is_in_no_repr_of_a_line(entry):
    line = entry.line()
    texts = [repr(line), repr(vars(line)), repr(entry.door), repr(vars(entry.door))]

    assert not any(secret.decode() in text for text in texts for secret in (HOST.secret, TRAINER.secret))
