"""Each attack on a program that runs: refused, with nothing unpickled, and the stream as if nobody had tried."""

import pytest

import flazy
from tests.remote.attacks import ATTACKS, BEGIN, DOCS, END, table
from tests.remote.siege import Siege

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]

MOST_GROWN = 64 * 2**20  # bytes; the largest message here has 30,000 frames

outcomes = {}


@pytest.fixture(scope="module")
def siege(tmp_path_factory):
    outcomes.clear()
    with Siege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege
        flazy.shutdown()
        siege.honest.wait(0)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_costs_the_attacker_alone(siege, name):
    outcome = outcomes[name] = siege.outcome(ATTACKS[name])

    assert outcome.is_exact
    assert 0 == outcome.unpickled
    assert outcome.grown < MOST_GROWN
    assert "let in" not in outcome.what
    assert name.startswith("a worker: ") or (0, 0) == (outcome.read, outcome.decoded)
    assert [] == siege.lost()


def test_manual_says_what_becomes_of_attacks():
    if outcomes.keys() != ATTACKS.keys():
        pytest.skip("not all of them were made")
    _, begin, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)

    assert BEGIN == begin
    assert table(outcomes) == rest.partition(END)[0]
