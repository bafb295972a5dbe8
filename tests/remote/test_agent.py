"""The host's side alone, with trainers that say what they are told to: how it ends, and what it says meanwhile."""

import logging
import signal
import socket
import sys

import pytest

from flazy.remote import agent
from flazy.remote.agent import serve
from flazy.remote.messages import Beat, Knock, Leaving, Opened, Over, TurnedAway, Welcome
from flazy.remote.settings import Settings
from flazy.transport.curve import new_keys
from tests.remote.trainers import Trainer

pytestmark = [pytest.mark.slow]

HELLO = Welcome(10.0)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Let it be in a hurry, and leave the memory of this process as it is."""
    monkeypatch.setattr(agent, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(agent, "keep_memory", lambda: None)


def served(trainer, code=None, **options):
    """Work for a trainer to the end: how it ended, and the states that were shown."""
    states = []
    settings = Settings(code or trainer.code, trainer.guests, processes=1, name="spare", **options)
    outcome = serve(settings, lambda snapshot: states.append(snapshot.state))
    return outcome, list(dict.fromkeys(states))


def said(caplog):
    return [record.getMessage().partition(": ")[2] for record in caplog.records if record.module == "agent"]


# How it ends ------------------------------------------------------------------------------------------


def test_trainer_that_ends_is_left_with_a_goodbye():
    with Trainer(HELLO, Over(0)) as trainer:
        outcome, states = served(trainer)

    assert (0, "the trainer has ended") == outcome
    assert "leaving" == states[-1]


def test_last_word_is_waited_for_where_the_other_link_has_ended():
    with Trainer(HELLO, beats=1, torn=True) as trainer:
        outcome, _ = served(trainer)

    assert (0, "the trainer has ended") == outcome
    assert 1 == trainer.count(Knock)


def test_trainer_that_talks_nonsense_five_times_is_a_fault_of_ours():
    with Trainer([b"hello"]) as trainer:
        outcome, _ = served(trainer, keep=True)

    assert 1 == outcome.code
    assert outcome.message.startswith("the trainer goes on saying what cannot be understood: ")
    assert outcome.message.endswith("; please report it")
    assert agent.FAULTS == trainer.count(Knock)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("VersionMismatch", 4), ("CodeMismatch", 4), ("AuthenticationError", 2), ("ProtocolError", 1)],
)
def test_turned_away_it_says_why(kind, code):
    with Trainer(TurnedAway(kind, "you are not like us")) as trainer:
        outcome, _ = served(trainer)

    assert (code, "the trainer has turned this worker away: you are not like us") == outcome


def test_with_keep_other_code_is_waited_out(caplog):
    with Trainer(HELLO, TurnedAway("CodeMismatch", "a: other code"), TurnedAway("VersionMismatch", "old")) as trainer:
        outcome, _ = served(trainer, keep=True)

    assert (4, "the trainer has turned this worker away: old") == outcome
    assert ["other code"] == said(caplog)


def test_key_that_is_refused_twice_is_believed():
    with Trainer(closed=True) as trainer:
        outcome, _ = served(trainer)

    assert (2, agent.KEY_REFUSED) == outcome


def test_other_trainer_at_the_same_place_is_not_worked_for():
    with Trainer(HELLO) as trainer:
        outcome, _ = served(trainer, code=trainer.code._replace(trainer=new_keys().public))

    assert (2, agent.WRONG_TRAINER) == outcome
    assert [] == trainer.heard


def test_compression_that_is_not_here_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4", None)
    opened = Opened(
        run=1, number=5, stream=b"", aside=[], dropped=[], batching=None, timeout=None, pickled=False,
        compression="lz4", log_levels={}, stages="map(f)",
    )  # fmt: skip
    with Trainer(HELLO, opened) as trainer:
        outcome, _ = served(trainer)

    assert 4 == outcome.code
    assert outcome.message.startswith("the trainer compresses what it sends; here, ")
    assert "pip install" in outcome.message


# While it waits ---------------------------------------------------------------------------------------


def test_each_reason_to_wait_is_told_once(caplog):
    """A trainer that stays away for a night fills no log."""
    tries = []

    def refresh():
        tries.append(codes[len(tries) > 10])
        if len(tries) == 20:
            signal.raise_signal(signal.SIGTERM)
        return tries[-1], trainer.guests

    with socket.socket() as held, Trainer(closed=True) as trainer, caplog.at_level(logging.INFO):
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        codes = trainer.code._replace(port=port, results_port=port), trainer.code
        outcome, states = served(trainer, keep=True, refresh=refresh)

    assert (0, "told to leave") == outcome
    assert ["connecting", "leaving"] == states
    assert ["nobody answers there", agent.KEY_REFUSED] == said(caplog)


def test_trainer_that_is_connected_and_does_not_answer_is_waited_for():
    """So it is where it was stopped, or swapped out, with more to read than its system keeps."""
    tries = []

    def refresh():
        tries.append(codes[len(tries) > 0])
        if len(tries) == 8:
            signal.raise_signal(signal.SIGTERM)
        return tries[-1], trainer.guests

    with socket.create_server(("127.0.0.1", 0), backlog=50) as held, Trainer(Welcome(0.1), [b"no"]) as trainer:
        port = held.getsockname()[1]
        codes = trainer.code, trainer.code._replace(port=port, results_port=port)
        outcome, _ = served(trainer, refresh=refresh)

    assert (0, 8) == (outcome.code, len(tries)), outcome


def test_trainer_that_says_nothing_is_worked_for_as_long_as_its_machine_is_there():
    """It may have been stopped by a debugger; six times its patience are over soon."""
    with Trainer(Welcome(0.08), beats=40) as trainer:
        outcome, _ = served(trainer)

    assert (0, "the trainer has ended") == outcome
    assert 1 == trainer.count(Knock)
    assert isinstance(trainer.heard[-1], Leaving)
    assert 40 <= trainer.count(Beat)
