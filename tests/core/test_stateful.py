"""Any order of events that Hypothesis can think of, and a short one where something is wrong.

Here: a state machine over the actors and the ledger of the simulation; whoever acts next is a rule.  Not here: what
they do (``actors``), what goes wrong with them (``simulation``), what is allowed (``ledger``).

The one rule: every rule can be taken away or put elsewhere, so a failure shrinks to the events that it needs.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flazy.core.check import validate
from flazy.core.dispatch import Dispatcher
from flazy.core.events import Paced, Taken
from tests.core import test_mutants as mutants
from tests.core.simulation import Simulation

pytestmark = pytest.mark.slow

SETTINGS = settings(
    max_examples=100, stateful_step_count=60, derandomize=True, database=None, print_blob=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
WHICH = st.integers(0, 7)  # of those who could; counted from the start again where there are fewer


class Machine(RuleBasedStateMachine):
    """One run of the core; what is left at the end is played by the simulation, without further crashes."""

    dispatcher: type[Dispatcher] = Dispatcher
    validated = True
    run: Simulation | None = None
    sound = True

    @initialize(seed=st.integers(0, 2**16), ordered=st.booleans())
    def begin(self, seed: int, ordered: bool) -> None:
        self.run = Simulation(Random(seed), self.dispatcher, ordered=ordered, validated=self.validated)
        self._do(self.run._join)

    def _do(self, act, *arguments) -> None:
        self.sound = False
        act(*arguments)
        self.sound = True

    def _workers(self, could):
        return [worker for worker in self.run.workers if could(worker)]

    def _let(self, could, act, which: int) -> None:
        """Let one of the workers act that could."""
        able = self._workers(could)
        if able:
            self._do(act, able[which % len(able)])

    @precondition(lambda self: self.run._has_task())
    @rule()
    def accept(self) -> None:
        self._do(self.run._accept)

    @precondition(lambda self: self.run.queue)
    @rule(which=WHICH)
    def take(self, which: int) -> None:
        queue = self.run.queue
        place = 0 if self.run.scenario.ordered else which % len(queue)
        self._do(self.run._handle, Taken(queue.pop(place)))

    @precondition(lambda self: len(self.run.ledger.joined) < 4)
    @rule()
    def join(self) -> None:
        self._do(self.run._join)

    @rule(slots=st.integers(1, 4))
    def pace(self, slots: int) -> None:
        self._do(self.run._handle, Paced(slots))

    @rule(which=WHICH)
    def deliver(self, which: int) -> None:
        """Bring what a worker sent, or the news of its death."""
        self._let(lambda worker: worker.outbox, self.run._deliver, which)

    @rule(which=WHICH, parts=st.sampled_from([1, 2, 100]))
    def read(self, which: int, parts: int) -> None:
        self._let(lambda worker: worker.alive and worker.inbox, lambda worker: worker.receive(parts), which)

    @rule(which=WHICH, steps=st.integers(1, 6))
    def work(self, which: int, steps: int) -> None:
        for _ in range(steps):
            self._let(lambda worker: worker.alive and worker.runnable(), self.run._work, which)

    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        """Let a worker die, be suspected, or send what is foul."""
        self._let(lambda worker: worker.alive and not worker.lost, self.run._crash, which)

    @invariant()
    def holds(self) -> None:
        """Beside what `validate` and the ledger assert at each event."""
        if self.run is None or not self.sound:
            return
        core, ledger = self.run.dispatcher, self.run.ledger
        if self.validated:
            validate(core)

        assert sorted(core.workers) == sorted(ledger.joined)
        assert {entry.owner for entry in ledger.entries} <= {*ledger.joined, None}, "no lease of a lost worker"
        assert self._is_done() or self.run._needed(), "somebody can do something"

    def _is_done(self) -> bool:
        return len(self.run.ledger.entries) == len(self.run.scenario.tasks) and self.run.dispatcher.idle

    def teardown(self) -> None:
        """Where a worker lives, everything ends."""
        if self.run is None or not self.sound:
            return
        self.run._crashes = 0
        while not self._is_done():
            self.run._act()
        for worker in self.run.workers:
            while worker.outbox:
                self.run._deliver(worker)
        self.run.ledger.check_end()

        assert 0 == self.run.ledger.part_nbytes()
        assert [] == self.run.queue


def test_every_order_of_events_delivers_everything_once() -> None:
    run_state_machine_as_test(Machine, settings=SETTINGS)


TRIED = [
    mutants.NoFence,
    mutants.NoDrop,
    mutants.NoSkip,
    mutants.NoOrder,
    mutants.NoRelease,
    mutants.NoGrant,
    mutants.GrantTwice,
    mutants.NothingOccupies,
    mutants.Forgetful,
    mutants.HighestFirst,
    mutants.FoulAccepted,
    mutants.CheckpointOfReceived,
]


@pytest.mark.parametrize("mutant", TRIED)
def test_rule_that_is_broken_is_found_by_what_it_does(mutant: type[Dispatcher]) -> None:
    machine = type("Mutant", (Machine,), {"dispatcher": mutant, "validated": False})
    with pytest.raises((AssertionError, KeyError, ValueError)):
        run_state_machine_as_test(machine, settings=settings(SETTINGS, phases=[Phase.generate], max_examples=300))
