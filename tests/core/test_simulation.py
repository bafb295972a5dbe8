"""Random runs of the core; ``FLAZY_SIM_SEEDS`` sets how many for each mode (2,000 unless told)."""


from __future__ import annotations

import os
from collections import Counter

import pytest

from flazy.core.events import Poison
from tests.core.simulation import Simulation, simulate

SEEDS = int(os.environ.get("FLAZY_SIM_SEEDS", "2000"))
BLOCK = 100  # about a quarter of a second


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_random_runs_deliver_everything_once(first: int, ordered: bool) -> None:
    for seed in range(first, min(first + BLOCK, SEEDS)):
        simulate(seed, ordered=ordered)


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
def test_the_same_seed_gives_the_same_run(ordered: bool) -> None:
    first, second = (simulate(7, ordered=ordered) for _ in range(2))

    assert first.steps == second.steps
    assert [entry.emitted for entry in first.ledger.entries] == [entry.emitted for entry in second.ledger.entries]


def test_random_runs_meet_what_can_go_wrong() -> None:
    met: Counter[str] = Counter()
    for seed in range(BLOCK):
        met += _count(simulate(seed, ordered=True))

    faults = ["lost", "zombies", "redispatched", "dropped", "left out", "overdue", "poison", "alone"]
    assert [] == [fault for fault in faults if met[fault] < 10]


def _count(run: Simulation) -> Counter[str]:
    return Counter(
        lost=sum(worker.lost for worker in run.workers),
        zombies=sum(worker.lost and worker.alive for worker in run.workers),
        redispatched=run.dispatcher.redispatched,
        dropped=run.dispatcher.dropped,
        **{"left out": sum(len(entry.verdicts) for entry in run.ledger.entries)},
        overdue=sum(one.overdue for entry in run.ledger.entries for one in entry.verdicts.values()),
        poison=sum(isinstance(entry.emitted[-1], Poison) for entry in run.ledger.entries),
        alone=int(not run.scenario.replaced and run.scenario.crashes > 0),
    )
