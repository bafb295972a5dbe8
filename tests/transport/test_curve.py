"""Keys that show themselves to nobody, addresses that are read in one way, and a guard that is asked by anybody."""

import copy
import logging
import pickle
import traceback

import pytest
import zmq

from flazy.errors import InvalidArgument, SecurityError
from flazy.transport.curve import (
    Address,
    Guard,
    KeyPair,
    address_of,
    endpoint,
    ensure_curve,
    ensure_guarded,
    from_raw,
    is_literal,
    new_keys,
    public_of,
    to_raw,
)

KEYS = new_keys()


# Keys -----------------------------------------------------------------------------------------------


def test_new_keys_are_new_and_belong_together():
    assert KEYS != new_keys()
    assert KEYS.public == public_of(KEYS.secret)
    assert (40, 40) == (len(KEYS.public), len(KEYS.secret))


def test_secret_is_in_no_text_of_a_key():
    texts = [repr(KEYS), str(KEYS), f"{KEYS}", f"{[KEYS]!r}", "%s" % (KEYS,)]  # noqa: UP031

    assert not any(KEYS.secret.decode() in text for text in texts)
    assert all(KEYS.public.decode() in text for text in texts)


@pytest.mark.parametrize("carry", [pickle.dumps, copy.deepcopy])
def test_keys_are_not_pickled(carry):
    with pytest.raises(SecurityError, match="not pickled"):
        carry({"keys": KEYS})


def test_raw_key_is_spelled_and_read_again():
    assert KEYS.public == from_raw(to_raw(KEYS.public))
    assert 32 == len(to_raw(KEYS.public))


@pytest.mark.parametrize("key", [b"", KEYS.secret[:-1], KEYS.secret + b"0", b"#" * 40, b" " * 40, KEYS.secret + b"\n"])
def test_what_is_no_key_is_refused_and_not_shown(key):
    with pytest.raises(ValueError, match="no key") as caught:
        to_raw(key)

    shown = "".join(traceback.format_exception(caught.value))
    assert KEYS.secret[:8].decode() not in shown


def test_raw_key_of_another_length_is_refused():
    with pytest.raises(ValueError, match="31 bytes"):
        from_raw(bytes(31))


def test_without_curve_there_are_no_remote_workers(monkeypatch):
    monkeypatch.setattr(zmq, "has", lambda what: False)

    for call in (ensure_curve, new_keys, lambda: public_of(KEYS.secret)):
        with pytest.raises(SecurityError, match="pip install --force-reinstall"):
            call()


# Addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "results_port", "address"),
    [
        ("tcp://0.0.0.0:5555", None, ("0.0.0.0", 5555, 5556)),
        ("tcp://127.0.0.1:0", None, ("127.0.0.1", 0, 0)),
        ("tcp://127.0.0.1:0", 7000, ("127.0.0.1", 0, 7000)),
        ("tcp://127.0.0.1:5555", 0, ("127.0.0.1", 5555, 0)),
        ("tcp://[::]:5555", 80, ("::", 5555, 80)),
        ("tcp://[fd00::2]:5555", None, ("fd00::2", 5555, 5556)),
        ("tcp://gpu-1.lab.example:5555", None, ("gpu-1.lab.example", 5555, 5556)),
        ("tcp://eth0:5555", None, ("eth0", 5555, 5556)),
        ("tcp://127.0.0.1.evil:1", None, ("127.0.0.1.evil", 1, 2)),
    ],
)
def test_address_is_read(listen, results_port, address):
    assert Address(*address) == address_of(listen, results_port)


@pytest.mark.parametrize(
    "listen",
    [
        "", "tcp://", "0.0.0.0:5555", "tcp://0.0.0.0", "tcp://0.0.0.0:", "tcp://*:5555", "tcp://0.0.0.0:*",
        "udp://0.0.0.0:5555", "TCP://0.0.0.0:5555", "tcp://0:5555", "tcp://127.1:5555", "tcp://0x7f.1:5555",
        "tcp://0177.0.0.1:5555", "tcp://256.0.0.1:5555", "tcp://::1:5555", "tcp://[::ffff:0.0.0.0]:5555",
        "tcp://[fe80::1%eth0]:5555", "tcp://[127.0.0.1]:5555", "tcp://[::1:5555", "tcp://0.0.0.0:-1",
        "tcp://0.0.0.0:65536", "tcp://0.0.0.0:65535", "tcp://0.0.0.0:5555/", "tcp://0.0.0.0:5555\n",
        " tcp://0.0.0.0:5555", "tcp://a@b:5555", "tcp://-a:5555", "tcp://a..b:5555", "tcp://0.0.0.0:٣",
        "tcp://0.0.0.0;127.0.0.1:5555", "tcp://eth0;0.0.0.0:5555", "tcp://ä:5555", 5555, None, b"tcp://0.0.0.0:5555",
    ],
)  # fmt: skip
def test_what_may_be_read_in_two_ways_is_no_address(listen):
    with pytest.raises(InvalidArgument, match=r"no address|neither an address|no port"):
        address_of(listen)


def test_error_of_an_address_shows_what_to_write():
    with pytest.raises(InvalidArgument, match=r"tcp://0\.0\.0\.0:5555") as caught:
        address_of("tcp://*:5555")

    assert "'*' stands for nothing" in str(caught.value)


def test_one_port_is_not_both():
    with pytest.raises(InvalidArgument, match="5555 cannot be both"):
        address_of("tcp://0.0.0.0:5555", 5555)


def test_address_is_spelled_for_sockets():
    assert "tcp://127.0.0.1:5" == endpoint("127.0.0.1", 5)
    assert "tcp://[::1]:5" == endpoint("::1", 5)
    assert [True, True, False] == [is_literal(host) for host in ("127.0.0.1", "::1", "localhost")]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.3", "::1", "0:0::1"])
def test_loopback_may_be_bound_without_keys(host):
    ensure_guarded(host, None)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0", "::", "*", "", "0", "127.0.0.1.evil", "::ffff:0.0.0.0", "::ffff:127.0.0.1", "127.1", "127.0.0.01",
        "0x7f000001", "2130706433", "localhost", "127.0.0.1 ", "eth0", "lo", "192.0.2.2", "::1%lo", "[::1]", "::2",
        "١٢٧.0.0.1",
    ],
)  # fmt: skip
def test_nothing_else_is_bound_without_keys(host):
    with pytest.raises(SecurityError, match="without keys"):
        ensure_guarded(host, None)

    ensure_guarded(host, KEYS)


# The guard ------------------------------------------------------------------------------------------


class Clock:
    now = 5.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def context():
    with zmq.Context() as made:
        yield made
        made.destroy(linger=0)


@pytest.fixture
def guard(context, clock):
    made = Guard(context, lambda public: public == KEYS.public, clock=clock)
    yield made
    made.close()


@pytest.fixture
def asker(context, guard):
    """Asks as libzmq does."""
    with context.socket(zmq.DEALER) as made:
        made.connect("inproc://zeromq.zap.01")
        yield made


def question(**changes):
    parts = {
        "delimiter": b"",
        "version": b"1.0",
        "request": b"1",
        "domain": b"flazy",
        "address": b"192.0.2.7",
        "identity": b"",
        "mechanism": b"CURVE",
        "key": to_raw(KEYS.public),
    }
    return list((parts | changes).values())


def answers(guard, asker, *questions, **how):
    for each in questions:
        asker.send_multipart(each)
    guard.answer(**how)
    return [asker.recv_multipart(zmq.NOBLOCK) for _ in questions]


def test_guard_lets_in_whom_it_knows_and_says_who_it_is(guard, asker):
    assert [[b"", b"1.0", b"1", b"200", b"", KEYS.public, b""]] == answers(guard, asker, question())
    assert 0 == guard.refusals


OTHERS = {
    "another key": question(key=to_raw(new_keys().public)),
    "another domain": question(domain=b"other"),
    "no domain": question(domain=b""),
    "without keys": question(mechanism=b"NULL")[:-1],
    "NULL with a key": question(mechanism=b"NULL"),
    "PLAIN": [*question(mechanism=b"PLAIN", key=b"user"), b"password"],
    "a key too many": [*question(), b""],
    "a short key": question(key=bytes(31)),
    "z85": question(key=KEYS.public),
    "another version": question(version=b"2.0"),
    "a delimiter that is none": question(delimiter=b"x"),
    "hardly anything": [b"", b"1.0"],
    "nothing": [b""],
    "much": [b""] * 1000,
}


@pytest.mark.parametrize("what", OTHERS)
def test_guard_refuses_everybody_else(guard, asker, what):
    ((*_, status, _, user, _),) = answers(guard, asker, OTHERS[what])

    assert status in {b"400", b"500"}
    assert b"" == user
    assert 1 == guard.refusals


@pytest.mark.parametrize("answer", [1, "yes", None, [1]])
def test_guard_takes_nothing_but_true_for_yes(guard, asker, answer):
    guard._allowed = lambda public: answer

    assert b"400" == answers(guard, asker, question())[0][3]


def test_guard_refuses_where_it_cannot_be_known_whom_to_let_in(guard, asker, caplog):
    def broken(public):
        raise SecurityError("others may write to it")

    guard._allowed = broken

    assert b"500" == answers(guard, asker, question())[0][3]
    assert "others may write to it" in caplog.text


def test_guard_logs_addresses_once_a_second_and_never_a_key(guard, asker, clock, caplog):
    strange = OTHERS["another key"]
    answers(guard, asker, strange)
    answers(guard, asker, *[strange] * 5)
    clock.now += 1.5
    answers(guard, asker, question(key=bytes(32), address=b"192.0.2.8\n\x1b[2J"))

    first, second = (record.getMessage() for record in caplog.records)
    assert "192.0.2.7" in first
    assert "192.0.2.8[2J was refused" in second
    assert "5 others" in second
    assert "(7 in all)" in second
    assert {("flazy", logging.WARNING)} == {(record.name, record.levelno) for record in caplog.records}
    assert (7, 7) == (guard.refusals, len(guard.refused))
    assert not any(from_raw(key[8 - 1]).decode() in caplog.text for key in (strange, question()))


def test_guard_remembers_the_last_addresses_only(guard, asker):
    answers(guard, asker, *[question(key=bytes(32), address=b"192.0.2.%d" % last) for last in range(20)])

    assert [f"192.0.2.{last}" for last in range(4, 20)] == list(guard.refused)


def test_refusals_of_a_trial_are_not_counted(guard, asker, caplog):
    assert b"400" == answers(guard, asker, OTHERS["another key"], unheard=True)[0][3]
    assert (0, "") == (guard.refusals, caplog.text)


def test_whoever_asks_and_is_gone_does_no_harm(context, guard, asker):
    with context.socket(zmq.DEALER) as gone:
        gone.connect("inproc://zeromq.zap.01")
        gone.send_multipart(question())

    assert b"200" == answers(guard, asker, question())[0][3]


def test_guard_that_is_closed_answers_nobody(guard):
    guard.close()
    guard.close()
    guard.answer()

    assert 0 == guard.refusals


def test_keys_are_a_pair_of_two():
    assert ("public", "secret") == KeyPair._fields
