"""Attacks on a program that runs, and the table of what became of them.

``python -m tests.remote.attacks --write`` makes them all and writes the table into ``docs/remote.md``;
``test_attacks.py`` looks at each, and whether the table still says what happens.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq

from flazy import shutdown
from flazy.remote import hosts as hosts_module
from flazy.remote import messages, versions
from flazy.remote.messages import Beat, Died, Envelope, Joined, Knock, Leaving, Passed, Slow
from flazy.run.runtime import runtime
from flazy.transport import packing
from flazy.transport.codec import decode, encode
from flazy.transport.curve import KeyPair, address_of, new_keys
from flazy.transport.door import Door
from flazy.transport.payload import Encoded
from flazy.transport.stretches import COLUMNS, ROWS
from flazy.transport.wire import Logged, pack
from tests.remote.liar import PlayedCaller
from tests.remote.proxy import Proxy
from tests.remote.rogue import Rogue, result_of
from tests.remote.siege import IDLE, Outcome, Siege

__all__ = ["ATTACKS", "BEGIN", "END", "table"]

FLOOD = 5000  # messages
ENDS = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "let in",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused: its key is none of those",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "hung up on",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "hung up on",
    zmq.EVENT_DISCONNECTED: "hung up on",
}


EARLIER = new_keys()

# Strangers ------------------------------------------------------------------------------------------------


def knocked(siege: Siege, prepare: Callable[[zmq.Socket[bytes]], None]) -> str:
    """Knock at both ports with something to say, and give what becomes of it."""
    ends = set()
    with zmq.Context() as context:
        for kind, port in zip((zmq.DEALER, zmq.PUSH), siege.ports, strict=True):
            with context.socket(kind) as made:
                made.linger = 0
                made.reconnect_ivl = 2**30
                prepare(made)
                monitor = made.get_monitor_socket(sum(set(ENDS)))
                made.connect(f"tcp://127.0.0.1:{port}")
                with contextlib.suppress(zmq.Again):
                    made.send_multipart(messages.pack(Knock("stranger", 1, {}), Envelope(0, 0)), zmq.NOBLOCK)
                assert monitor.poll(20_000)
                ends.add(ENDS[int.from_bytes(monitor.recv_multipart()[0][:2], "little")])
                made.disable_monitor()
                monitor.close(0)
    return " and ".join(sorted(ends))


def with_curve(keys: Any, server: bytes | None = None) -> Callable[[Siege], str]:
    """Knock with a key."""

    def attack(siege: Siege) -> str:
        def prepare(made: zmq.Socket[bytes]) -> None:
            made.curve_publickey, made.curve_secretkey = keys(siege)
            made.curve_serverkey = server or siege.code.trainer

        return knocked(siege, prepare)

    return attack


def with_password(made: zmq.Socket[bytes]) -> None:
    """Knock with a password."""
    made.plain_username, made.plain_password = b"admin", b"admin"


class Recording(Proxy):
    """A proxy that keeps what hosts say."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.said: dict[int, bytearray] = {0: bytearray(), 1: bytearray()}

    def _mined(self, link: int, way: str, piece: bytearray) -> Iterator[Any]:
        if way == "up":
            self.said[link] += piece
        return super()._mined(link, way, piece)


def replayed(siege: Siege) -> str:
    """Record what a host says to both ports, and say it again."""
    code = siege.code._replace(host="127.0.0.3")
    ports = [("127.0.0.1", port) for port in siege.ports]
    with Recording(ports, "127.0.0.3") as proxy, Rogue(code, siege.keys["leaver"], "leaver") as victim:
        victim.come_in()
        victim.send([b"a result"])
        victim.say([b"junk"])
        victim.until(lambda: victim.turned_away)  # so that all it said is heard
    siege.mark()
    for port, stream in zip(siege.ports, proxy.said.values(), strict=True):
        assert len(stream) > 400
        with socket.create_connection(("127.0.0.1", port), timeout=20) as mouth, contextlib.suppress(ConnectionError):
            mouth.sendall(stream)
            while mouth.recv(65536):
                pass
    return "hung up on"


# Hosts that have a key ------------------------------------------------------------------------------------


class Payload:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Make a file."""
        return os.mkdir, ("flazy-was-here",)


def array(description: object, shape: object, memory: bytes = bytes(8)) -> list[bytes]:
    """Spell one array as the sample of a part, whatever is said of it."""
    mark = msgpack.ExtType(packing.ARRAY, b"")
    stretch = {msgpack.ExtType(packing.TUPLE, b""): [ROWS, 1, [{mark: [description, shape, "C", memory]}]]}
    return [msgpack.packb([None, stretch], use_bin_type=True)]


Said = Callable[[Rogue], Any]
HEARD = "is heard, and costs the time to read it"


def by_a_host(say: Said, or_else: str = "is not counted") -> Callable[[Siege], str]:
    """Come in, take a task, and say something; give what becomes of the session, or what else does."""

    def attack(siege: Siege) -> str:
        with siege.rogue() as rogue:
            rogue.come_in()
            siege.reading.start()
            rogue.task()
            say(rogue)
            if rogue.turned_away is None:
                rogue.tell(Leaving(0))
                rogue.line.flush()
                siege.reading.join(30)
            return "loses its session" if rogue.turned_away else or_else

    return attack


def result(frames: list[bytes], **fields: Any) -> Said:
    """Answer its task by frames that somebody else has made."""

    def say(rogue: Rogue) -> None:
        rogue.give(result_of(rogue.task(), **{"payload": Encoded(frames), "outputs": 1, **fields}))
        rogue.until(lambda: rogue.turned_away)

    return say


def part(*stretches: Any, **fields: Any) -> Said:
    """Answer by a part of such stretches."""
    return result(encode([None, *stretches]), **fields)


def told(*made: Callable[[Rogue], Any]) -> Said:
    """Say messages, and be sent away."""

    def say(rogue: Rogue) -> None:
        for make in made:
            rogue.tell(make(rogue))
        rogue.until(lambda: rogue.turned_away)

    return say


def flood(make: Callable[[Rogue, int], Any]) -> Said:
    """Say many messages that may be said."""

    def say(rogue: Rogue) -> None:
        for number in range(FLOOD):
            rogue.tell(make(rogue, number))

    return say


def results_of_others(rogue: Rogue) -> None:
    """Answer for tasks that it was not given, and twice for its own."""
    task = rogue.task()
    for number in (*range(task.task), 10**9):
        rogue.give(replace(result_of(task, [-1] * 2), task=number))
    own = result_of(task, [value * value for value in inputs_of(task)])
    rogue.give(own)
    rogue.give(own)


def inputs_of(task: Any) -> list[int]:
    """Give the numbers that a task is about."""
    return [value for _, _, rows in decode(task.payload.frames) for value in rows]


def died(worker: int, **fields: Any) -> Died:
    """Say that a worker has died."""
    death = ("worker", "died", 1, "", "", None, "")
    return Died(**{"worker": worker, "death": death, "run": 0, "blame": None, "own": True, "results": 0, **fields})


def taken_back(siege: Siege) -> str:
    """Delete the line of a host while it is at work; it knocks again by the connection that it has."""
    with siege.rogue("leaver") as rogue:
        rogue.come_in()
        siege.reading.start()
        rogue.task()
        siege.list("honest", "rogue")
        rogue.until(lambda: rogue.turned_away)
        rogue.session = 0
        rogue.tell(Knock("leaver", 1, versions.about()))
    return "loses its session"


# Those who pretend to be the trainer, and the trainer without a guard --------------------------------------


def impostors(siege: Siege) -> str:
    """Send hosts to programs with other keys: to a trainer, and to one that takes whoever comes."""
    caller = PlayedCaller()
    door = Door(address_of("tcp://127.0.0.1:0"), new_keys(), siege.keys["rogue"].public.__eq__)
    trainer = hosts_module.Hosts(door, caller, "", heartbeat=10, is_allowed=lambda _: True, room=lambda _: None)
    ended = threading.Event()

    def tend() -> None:
        while not ended.is_set():
            trainer.tend()
            ended.wait(0.01)

    tending = threading.Thread(target=tend)
    tending.start()
    with zmq.Context() as context, context.socket(zmq.DEALER) as control, context.socket(zmq.PULL) as results:
        control.linger = 0
        ports = tuple(each.bind_to_random_port("tcp://127.0.0.1") for each in (control, results))
        with siege.misled(*door.ports) as one, siege.misled(*ports) as other:
            for host in (one, other):
                host.wait(2, 10)
                host.says("does not match the join code")
        assert not control.poll(0), "nothing was said"
    ended.set()
    tending.join(10)
    door.close()
    assert [] == caller.warnings
    assert not trainer.dropped
    return "left by the workers, with code 2, before they say anything"


def idle(siege: Siege) -> str:
    """See what became of those who connected and said nothing."""
    for each in siege.idle:
        each.settimeout(20)
        with contextlib.suppress(ConnectionError):
            while each.recv(65536):
                pass
    return "hung up on"


def unguarded(siege: Siege) -> str:
    """Let the guard end while a pass runs, and knock as a stranger, then with a listed key."""
    siege.reading.start()
    closed = threading.Event()
    guard = siege.hub.door.guard
    runtime().post(lambda: (guard.close(), closed.set()))
    assert closed.wait(10)

    def prepare(keys: KeyPair) -> Callable[[zmq.Socket[bytes]], None]:
        def prepare(made: zmq.Socket[bytes]) -> None:
            made.curve_publickey, made.curve_secretkey = keys
            made.curve_serverkey = siege.code.trainer
            made.handshake_ivl = 100  # nobody answers

        return prepare

    (end,) = {knocked(siege, prepare(keys)) for keys in (new_keys(), siege.keys["rogue"])}
    return f"{end}, be their keys listed or not; who was in goes on"


ATTACKS: dict[str, Callable[[Siege], str]] = {
    "no key": lambda siege: knocked(siege, lambda made: None),
    "a password (PLAIN)": lambda siege: knocked(siege, with_password),
    "a key, and another trainer's": with_curve(lambda siege: siege.keys["rogue"], new_keys().public),
    "a key that is not listed": with_curve(lambda siege: new_keys()),
    "the key of an earlier run": with_curve(lambda siege: EARLIER),
    "the trainer's own key": with_curve(lambda siege: siege.keys["trainer"]),
    "the public half of a listed key, with another secret": with_curve(
        lambda siege: (siege.keys["rogue"].public, new_keys().secret)
    ),
    "a session that was recorded, played back": replayed,
    "a worker: pickles as samples": by_a_host(part((ROWS, 1, [Payload()]))),
    "a worker: arrays of Python objects": by_a_host(result(array("|O", [1]))),
    "a worker: structures that hold objects": by_a_host(result(array([16, False, [["a", None, 0, "|O", []]]], [1]))),
    "a worker: an array of 2**60 numbers in 8 bytes": by_a_host(result(array("<f4", [2**60]))),
    "a worker: 2**40 outputs in 20 bytes": by_a_host(part((ROWS, 2**40, range(2**40)), outputs=2**40)),
    "a worker: a column of 2**40 arrays of nothing": by_a_host(
        part((COLUMNS, 2**40, (0, np.zeros((2**40, 0), np.uint8))), outputs=2**40)
    ),
    "a worker: a compressed result, unasked, of 1 GiB": by_a_host(
        lambda rogue: (rogue.give(result_of(rogue.task()), (0, 2**30)), rogue.until(lambda: rogue.turned_away))
    ),
    "a worker: 30,000 frames": by_a_host(result([*encode([None, (ROWS, 1, [0])]), *[b"x"] * 30_000])),
    "a worker: a message of tasks in 1,000 parts": by_a_host(
        lambda rogue: (
            rogue.say([*messages.pack(Beat(0), Envelope(rogue.session, rogue.told)), *[b"x"] * 1000]),
            rogue.until(lambda: rogue.turned_away),
        )
    ),
    "a worker: parts that overlap": by_a_host(part((ROWS, 1, [7]), start=1)),
    "a worker: more outputs than inputs": by_a_host(
        lambda rogue: (rogue.give(result_of(rogue.task(), range(1000))), rogue.until(lambda: rogue.turned_away))
    ),
    "a worker: results of tasks that others have, had, or will have": by_a_host(results_of_others),
    "a worker: results of workers that it does not have": by_a_host(
        lambda rogue: rogue.give(result_of(rogue.task(), worker=7))
    ),
    "a worker: results of a session of others": by_a_host(
        lambda rogue: rogue.line.send_result(
            messages.pack(Passed(pack(result_of(rogue.task()))), Envelope(rogue.session ^ 1, rogue.given))
        )
    ),
    "a worker: the death of a worker that it does not have": by_a_host(told(lambda rogue: died(7))),
    "a worker: deaths behind results that never come": by_a_host(
        told(*[lambda rogue: died(1, results=2**60)] * 4097)
    ),
    "a worker: a death of no known form": by_a_host(told(lambda rogue: died(1, death=(1, 2)))),
    "a worker: workers without end": by_a_host(told(*[lambda rogue: Joined(rogue.told, 0)] * 5000)),
    "a worker: numbers of 5,000 digits": by_a_host(told(lambda rogue: Joined(10**5000, 0))),
    "a worker: a flood of beats that claim results": by_a_host(flood(lambda rogue, number: Beat(2**60)), HEARD),
    "a worker: a flood of log records": by_a_host(
        flood(lambda rogue, number: Passed(pack(Logged(1, {"name": f"of {number}", "levelno": 30, "msg": "x" * 100})))),
        HEARD,
    ),
    "a worker: a flood of slow calls": by_a_host(
        flood(lambda rogue, number: Slow(1, rogue.task().run, 0, (0, 0), 1e9, "x" * 1000)), "is told of a few times"
    ),
    "a worker: knocks without end": by_a_host(told(*[lambda rogue: Knock("rogue", 1, {})] * 1000)),
    "a worker: its key is taken back": taken_back,
    "programs that pass for the trainer": impostors,
    f"{IDLE} connections that say nothing": idle,
    "a guard that is dead (last, since it stays so)": unguarded,
}


# The table ------------------------------------------------------------------------------------------------

DOCS = Path(__file__).parent.parent.parent / "docs" / "remote.md"
BEGIN, END = "<!-- attacks: python -m tests.remote.attacks --write -->\n", "<!-- end of attacks -->\n"


def table(outcomes: dict[str, Outcome]) -> str:
    """Spell what became of attacks."""
    lines = ["| attack | what becomes of it | messages read | unpickled |", "| --- | --- | ---: | ---: |"]
    for name, outcome in outcomes.items():
        read = "its own" if outcome.read else "0"
        lines.append(f"| {name} | {outcome.what} | {read} | {outcome.unpickled} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Make all attacks, show the table, and write it where that is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        with Siege(Path(folder)) as siege:
            outcomes = {name: siege.outcome(attack) for name, attack in ATTACKS.items()}
            shutdown()
        assert all(outcome.is_exact for outcome in outcomes.values())
    made = table(outcomes)
    print(made)
    if sys.argv[1:] == ["--write"]:
        before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
        DOCS.write_text(before + BEGIN + made + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
