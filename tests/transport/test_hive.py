"""What the hub does with messages that nobody made, in whole stages; and that a fault there would be found."""

import pytest

from flazy.core.dispatch import Dispatcher
from flazy.run import session
from flazy.workers import fleet
from flazy.workers.lending import Lending
from tests.transport import hive

SEED = 2


@pytest.mark.slow
def test_stages_are_exact_whatever_workers_send():
    played = [hive.play(SEED, number) for number in range(80)]

    assert sum(one.spoilt for one in played) > 100
    assert sum(one.session.lost_workers for one in played) > 30
    assert sum(one.session.core.dropped for one in played) > 30
    assert all(one.next == one.samples for one in played if not one.doubted)


def test_stage_without_spoilt_messages_loses_nobody(monkeypatch):
    monkeypatch.setattr(hive, "SPOILT", 0)
    played = [hive.play(SEED, number) for number in range(4)]

    assert [(0, 30)] * 4 == [(one.session.lost_workers, one.next) for one in played]


def test_the_same_seed_plays_the_same_stage():
    one, other = (hive.play(SEED, 3) for _ in range(2))

    assert (one.spoilt, one.suspects, one.doubted) == (other.spoilt, other.suspects, other.doubted)
    assert one.session.core.dropped == other.session.core.dropped


FAULTS = {
    "a foul part is a fault of the hub": (session, "ProtocolError", ValueError),
    "a foul part counts": (Dispatcher, "_refuse_foul", lambda *_: None),
    "a spec is believed": (Lending, "measure", lambda self, result: setattr(self, "_spec", result.spec or self._spec)),
    "memory is given where it was not lent": (fleet, "found", lambda result, _: result),
}


@pytest.mark.parametrize(("place", "name", "fault"), FAULTS.values(), ids=FAULTS)
def test_fault_is_found(place, name, fault, monkeypatch):
    monkeypatch.setattr(place, name, fault)
    with pytest.raises(hive.StageError):
        for number in range(80):
            hive.play(SEED, number)
