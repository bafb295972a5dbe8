"""What the trainer does with whatever a host says, in whole stages; and that a fault there would be found."""

import pytest

from flazy.errors import ProtocolError
from flazy.remote import messages, versions
from flazy.remote.host import Allowance, blame_of, death_of
from flazy.remote.hosts import MOST_PROCESSES, Hosts
from flazy.remote.messages import (
    FROM_HOST,
    FROM_TRAINER,
    Beat,
    Died,
    Envelope,
    Joined,
    Knock,
    Slow,
    TurnedAway,
    Welcome,
)
from tests.remote import liar, swarm

SEED = 1


@pytest.mark.slow
def test_stages_are_exact_whatever_a_host_says():
    played = [swarm.play(SEED, number) for number in range(24)]

    assert sum(one.liar.lost for one in played) > 80
    assert sum(one.session.core.redispatched for one in played) > 100
    assert sum(isinstance(one.ended, swarm.Ended) for one in played) > 15


def test_stage_without_lies_loses_nobody(monkeypatch):
    monkeypatch.setattr(liar, "LIES", 0)
    played = [swarm.play(SEED, number) for number in range(4)]

    assert [(0, 60)] * 4 == [(one.liar.lost, one.next) for one in played]


@pytest.mark.slow
def test_fault_is_found(monkeypatch):
    monkeypatch.setitem(messages.CHECKS, "int", lambda value: type(value) is int and value >= 0)
    with pytest.raises(swarm.StageError):
        for number in range(200):
            swarm.play(SEED, number)


# One at a time --------------------------------------------------------------------------------------------

DEATH = ("worker", "died", 1, "", "", None, "")


def test_numbers_that_cannot_be_spelled_are_no_numbers():
    slow = Slow(1, 1, 1, (10**5000,), 1.0, ""), Slow(1, 1, 1, (), 10**400, "")
    for message in (Joined(10**5000, 0), Beat(2**64), *slow):
        with pytest.raises(ProtocolError):
            messages.unpack(messages.pack(message, Envelope(1, 0)), FROM_HOST)


@pytest.mark.parametrize("death", [
    DEATH[:6], ("worker", "died", 10**5000, "", "", None, ""), ("worker", "died", 1, "", "", float("nan"), ""),
    (1, *DEATH[1:]),
])  # fmt: skip
def test_death_is_what_it_should_be(death):
    with pytest.raises(ProtocolError):
        death_of(death, "host")


@pytest.mark.parametrize("blame", [
    (), (0, (0,), True, False), (0, (10**5000,), True, False, 0), (0, (0, 0), True, True, 0), ("0", (), True, False, 0),
])  # fmt: skip
def test_blame_is_what_it_should_be(blame):
    """The last but one is for a time limit, of a death that knows of none."""
    with pytest.raises(ProtocolError):
        blame_of(blame, death_of(DEATH, "host"))


def test_allowance_is_for_a_few_at_once_and_one_a_second():
    allowance = Allowance(2)

    assert [True, True, False] == [allowance.take(100.0) for _ in range(3)]
    assert [True, False] == [allowance.take(101.0) for _ in range(2)]
    assert [True, True, False] == [allowance.take(200.0) for _ in range(3)]


# At the door ----------------------------------------------------------------------------------------------


class Entered:
    """The trainer's side of a door, and one connection to it."""

    def __init__(self):
        self.door = liar.PlayedDoor()
        self.caller = liar.PlayedCaller()
        self.allowed = True
        self.hosts = Hosts(
            self.door, self.caller, "", heartbeat=1e9, is_allowed=lambda _: self.allowed, room=lambda _: None
        )  # fmt: skip
        self.session = 0

    def say(self, message, before=0, routing=b"1"):
        """Say something, and give what is answered."""
        frames = messages.pack(message, Envelope(self.session, before))
        self.door.control.append((routing, liar.LIAR, frames))
        self.hosts.tend()
        heard = [messages.unpack(each, FROM_TRAINER) for each in self.door.sent.pop(routing, ())]
        self.session = next((envelope.session for envelope, said in heard if isinstance(said, Welcome)), self.session)
        return [said for _, said in heard if not isinstance(said, Beat)]


KNOCK = Knock("liar", 1, versions.about())


def test_connection_has_one_session():
    entered = Entered()

    assert [Welcome(1e9)] == entered.say(KNOCK)
    assert [TurnedAway("ProtocolError", "a message of another session")] == entered.say(KNOCK)
    assert [] == [answer for _ in range(9) for answer in entered.say(KNOCK)]
    assert [] == list(entered.hosts.hosts)
    assert [Welcome(1e9)] == entered.say(KNOCK, routing=b"2")


def test_whoever_says_something_before_a_knock_is_not_heard_any_more():
    entered = Entered()

    assert [] == entered.say(Beat(0)) == entered.say(KNOCK)


def test_key_that_was_taken_back_is_of_no_use_to_a_connection_that_stands():
    entered = Entered()
    entered.allowed = False

    assert ["AuthenticationError"] == [said.kind for said in entered.say(KNOCK)]
    assert [] == list(entered.hosts.hosts)


def test_knocks_of_other_versions_are_told_of_a_few_times():
    entered = Entered()
    for number in range(100):
        entered.say(Knock("liar", 1, {}), routing=b"%d" % number)

    assert 1 <= len(entered.caller.warnings) < 10


def test_deaths_that_wait_for_results_are_not_kept_without_end():
    entered = Entered()
    entered.say(KNOCK)
    died = Died(1, DEATH, 0, None, True, 2**60)
    answers = [answer for number in range(MOST_PROCESSES + 1) for answer in entered.say(died, number)]

    assert ["ProtocolError"] == [said.kind for said in answers]
