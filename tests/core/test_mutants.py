"""Each rule of the dispatcher is needed: without it the simulation fails.

Here: mutants, dispatchers with one rule broken.  Not here: ``check.validate``, which is off in these runs.

The one rule: a mutant dies of what it does, as the `Ledger` or a standstill shows it, not of how it looks inside.
"""

from __future__ import annotations

from dataclasses import replace
from heapq import heapify

import pytest

from flazy.core.dispatch import Dispatcher
from flazy.core.events import Blame, Command, Drop, Part, Verdict
from flazy.core.state import Death, Task
from tests.core.simulation import SimulationError, simulate

MAX_SEEDS = 300  # ten times what the toughest one needs


class NoFence(Dispatcher):
    """Parts of lost workers count."""

    def _is_owner(self, task: Task, worker: int) -> bool:
        return not task.done


class NoDrop(Dispatcher):
    """Parts that do not count are forgotten, with what they hold."""

    def _part(self, event: Part) -> list[Command]:
        return [command for command in super()._part(event) if not isinstance(command, Drop)]


class CreditPerAttempt(Dispatcher):
    """A task that is sent again gets all its credit again."""

    def _assign(self) -> list[Command]:
        self._credit = self._limit  # type: ignore[method-assign]
        try:
            return super()._assign()
        finally:
            del self._credit


class SuspendedOccupies(Dispatcher):
    """A task out of credit occupies its worker."""

    def _occupies(self, task: Task) -> bool:
        return task.worker is not None


class NothingOccupies(Dispatcher):
    """A worker takes any number of tasks."""

    def _occupies(self, task: Task) -> bool:
        return False


class NoSkip(Dispatcher):
    """A task that is sent again begins at its first output."""

    def _skip(self, task: Task) -> int:
        return 0


class SkipTaken(Dispatcher):
    """A task that is sent again goes on after what was taken, not after what was received."""

    def _skip(self, task: Task) -> int:
        return task.taken


class NoOrder(Dispatcher):
    """Each part is emitted at once, though order was asked for."""

    def _may_emit(self, task: Task) -> bool:
        return True


class NoRelease(Dispatcher):
    """What waited for the head is not emitted when the head ends."""

    def _advance(self, commands: list[Command]) -> None:
        super()._advance([])


class NoGrant(Dispatcher):
    """Nothing is ever granted."""

    def _grant(self, task: Task) -> list[Command]:
        return []


class GrantTwice(Dispatcher):
    """A grant is worth twice what it should be."""

    def _grant(self, task: Task) -> list[Command]:
        grants = super()._grant(task)
        task.permits += sum(grant.parts for grant in grants)
        return [replace(grant, parts=2 * grant.parts) for grant in grants]


class CreditAtEmission(Dispatcher):
    """A part gives its credit back when it is emitted, not when it is taken."""

    def _credit(self, task: Task) -> int:
        return max(0, self._limit(task) - len(task.held))


class NotCareful(Dispatcher):
    """A task that killed its worker keeps its whole credit."""

    def _limit(self, task: Task) -> int:
        return self._limits.credit


class PoisonIgnoresOrder(Dispatcher):
    """Poison is raised at once, whatever comes before it."""

    def _died(self, task: Task, blame: Blame, reason: object) -> list[Command]:
        commands = super()._died(task, blame, reason)
        return commands + [command for command, _, _ in task.held]


class PoisonAtFirstDeath(Dispatcher):
    """One death is enough."""

    def _is_poison(self, own: list[bool]) -> bool:
        return True


class NoPoison(Dispatcher):
    """A deadly sample is tried for ever."""

    def _is_poison(self, own: list[bool]) -> bool:
        return False


class KillsCountAsOwn(Dispatcher):
    """A death by a signal from outside counts as much as a crash."""

    def _is_poison(self, own: list[bool]) -> bool:
        return len(own) >= self._limits.own_deaths


class KillsFinishWhatCrashesBegan(Dispatcher):
    """A kill from outside is judged by the crashes before it."""

    def _is_poison(self, own: list[bool]) -> bool:
        return sum(own) >= self._limits.own_deaths or len(own) - sum(own) >= self._limits.kills


class VerdictForgotten(Dispatcher):
    """Whoever gets the task next does not know of the verdict."""

    def _condemn(self, task: Task, blame: Blame, reasons: tuple[object, ...]) -> list[Command]:
        commands = super()._condemn(task, blame, reasons)
        task.verdicts.clear()
        return commands


class GivenIgnored(Dispatcher):
    """What a deadly call gave before is not taken into account."""

    def _given(self, task: Task, blame: Blame) -> int:
        return 0


class NeverHelpless(Dispatcher):
    """A verdict that does not help is tried for ever."""

    def _helps(self, task: Task, verdict: Verdict) -> bool:
        return True


class OverdueOnce(Dispatcher):
    """A call that may be made again when it was overdue is not."""

    def _helps(self, task: Task, verdict: Verdict) -> bool:
        return verdict.place not in task.verdicts


class KillsAlwaysAddUp(Dispatcher):
    """Kills count although outputs came in between."""

    def _counted(self, task: Task, blame: Blame) -> list[Death]:
        known = ((), blame.place[:1], blame.place)
        return [death for death in task.deaths if death.blame.place in known]


class BystandersBlamed(Dispatcher):
    """All tasks of a lost worker become careful."""

    def _give_back(self, task: Task) -> None:
        task.attempt += 1
        super()._give_back(task)


class NoByteLimit(Dispatcher):
    """Tasks are sent however many bytes wait."""

    def _fits(self, number: int) -> bool:
        return True


class HeadWaitsForBytes(Dispatcher):
    """The task that the others wait for waits for their bytes."""

    def _fits(self, number: int) -> bool:
        return self._part_nbytes < self._limits.nbytes


class PartsWithoutBytes(Dispatcher):
    """Parts count no bytes."""

    def _part(self, event: Part) -> list[Command]:
        return super()._part(replace(event, nbytes=0))


class NoRoomLimit(Dispatcher):
    """There is always room."""

    def has_room(self, samples: int = 1) -> bool:
        return True


class NoRoomForOne(Dispatcher):
    """A task that is larger than the limits never gets in."""

    def has_room(self, samples: int = 1) -> bool:
        return super().has_room(samples) and (self._limits.samples is None or samples <= self._limits.samples)


class Forgetful(Dispatcher):
    """The tasks of a lost worker are not given back."""

    def _give_back(self, task: Task) -> None:
        pass


class HighestFirst(Dispatcher):
    """The highest task is sent first."""

    def _assign(self) -> list[Command]:
        self._pending.sort(reverse=True)
        commands = super()._assign()
        heapify(self._pending)
        return commands


class FoulAccepted(Dispatcher):
    """A part counts wherever it begins."""

    def _refuse_foul(self, task: Task, part: Part) -> None:
        pass


class CheckpointOfReceived(Dispatcher):
    """The checkpoint counts what came, not what was taken."""

    @property
    def undelivered(self) -> tuple[tuple[object, int], ...]:
        return tuple((task.inputs, task.received) for task in self._tasks.values())


MUTANTS = [
    NoFence,
    NoDrop,
    CreditPerAttempt,
    SuspendedOccupies,
    NothingOccupies,
    NoSkip,
    SkipTaken,
    NoOrder,
    NoRelease,
    NoGrant,
    GrantTwice,
    CreditAtEmission,
    NotCareful,
    PoisonIgnoresOrder,
    PoisonAtFirstDeath,
    NoPoison,
    KillsCountAsOwn,
    KillsFinishWhatCrashesBegan,
    VerdictForgotten,
    GivenIgnored,
    NeverHelpless,
    OverdueOnce,
    KillsAlwaysAddUp,
    BystandersBlamed,
    NoByteLimit,
    HeadWaitsForBytes,
    PartsWithoutBytes,
    NoRoomLimit,
    NoRoomForOne,
    Forgetful,
    HighestFirst,
    FoulAccepted,
    CheckpointOfReceived,
]


@pytest.mark.parametrize("mutant", MUTANTS)
def test_simulation_finds_the_mutant(mutant: type[Dispatcher]) -> None:
    with pytest.raises(SimulationError):
        for seed in range(MAX_SEEDS):
            simulate(seed, ordered=True, dispatcher=mutant, validated=False)
            simulate(seed, ordered=False, dispatcher=mutant, validated=False)
