"""What a dispatcher may do, followed from its events and commands alone.

Here: `Ledger`, a second and slower book-keeping, and the expected outputs of each task.  Not here: the dispatcher's
own state (``check.validate`` looks at that).

The one rule: nothing is asked of the dispatcher, so that what is found wrong is wrong for its user.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from flazy.core.events import (
    Accepted,
    Blame,
    Command,
    Emit,
    Event,
    Grant,
    Joined,
    Lost,
    Paced,
    Part,
    Poison,
    Send,
    Taken,
    Verdict,
)
from tests.core.actors import SETTLED, Input, Scenario


@dataclass(slots=True)
class Entry:
    """One accepted task, as its messages tell."""

    inputs: tuple[Input, ...]
    owner: int | None = None
    permits: int = 0
    attempt: int = 1
    received: int = 0
    done: bool = False
    waiting: deque[int] = field(default_factory=deque)  # bytes of each part received and not taken
    emitted: list[Emit | Poison] = field(default_factory=list)
    taken: int = 0  # of those emitted
    deaths: list[tuple[Blame, str, int]] = field(default_factory=list)  # with reason, and what had come by then
    verdicts: dict[tuple[int, ...], Verdict] = field(default_factory=dict)
    poison: Verdict | None = None

    def ended(self) -> bool:
        """Whether the consumer was given the end of it."""
        return bool(self.emitted) and (isinstance(self.emitted[-1], Poison) or self.emitted[-1].last)

    def open(self) -> bool:
        """Whether something of it is still to come or to be taken."""
        return not self.ended() or self.taken < len(self.emitted)

    def outputs(self, parts: int) -> list[object]:
        """All outputs in the first parts that were emitted."""
        return [value for part in self.emitted[:parts] if isinstance(part, Emit) for value in part.payload]


class Ledger:
    """Follow events and commands, and assert that each command is allowed."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.limits = scenario, scenario.limits
        self.slots = scenario.limits.slots
        self.entries: list[Entry] = []
        self.joined: set[int] = set()

    def note(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case Accepted():
                self.entries.append(Entry(event.inputs))
            case Joined():
                self.joined.add(event.worker)
            case Paced():
                self.slots = event.slots
            case Lost():
                self._note_loss(event)
            case Part():
                entry = self.entries[event.task]
                if entry.owner == event.worker:
                    self._note_part(entry, event)
            case Taken():
                entry = self.entries[event.task]
                if isinstance(entry.emitted[entry.taken], Emit):
                    entry.waiting.popleft()
                entry.taken += 1

    def check(self, command: Command) -> None:
        """Assert that a command is allowed, and note what it changes."""
        match command:
            case Send():
                self._check_send(command)
            case Grant():
                entry = self.entries[command.task]
                entry.permits += command.parts
                assert entry.owner == command.worker, "grants go to the owner"
                assert command.parts > 0, "grants are worth a message"
                self._check_credit(entry)
            case Emit() | Poison():
                self._check_emit(command)

    def check_bounds(self) -> None:
        """Assert that memory is bounded."""
        entries = [entry for entry in self.entries if entry.open()]
        samples = sum(len(entry.inputs) for entry in entries)
        inputs = self.scenario.input_nbytes * max(0, len(entries) - 1)
        assert len(entries) <= self.limits.tasks, "tasks"
        assert self.limits.samples is None or samples <= self.limits.samples or len(entries) == 1, "samples"
        assert inputs < self.limits.nbytes, "input bytes"
        assert all(len(entry.waiting) <= self.limits.credit for entry in entries), "parts of one task"

    def counts(self, worker: int, blame: Blame | None) -> bool:
        """Whether a blame would count: the worker owns the task."""
        return blame is not None and blame.task < len(self.entries) and self.entries[blame.task].owner == worker

    def verdict(self, blame: Blame, reason: str) -> Verdict | None:
        """Judge a blame that counts: of the deaths at its place those that add up, if they are enough."""
        entry = self.entries[blame.task]
        found: dict[str, list[str]] = {"own": [], "kill": [], "overdue": []}
        given = max(0, entry.received - blame.made)
        for death, why, before in [*entry.deaths, (blame, reason, given)]:
            kind = "overdue" if death.overdue else "own" if death.own else "kill"
            here = death.place == blame.place[: len(death.place)] and len(death.place) in (0, 1, len(blame.place))
            if here and (kind != "kill" or before == given):
                found[kind].append(why)
        most = self.limits.own_deaths if blame.own else self.limits.kills
        fatal = len(found["own" if blame.own else "kill"]) >= most
        if len(blame.place) < 2 or not (blame.overdue or fatal):
            return None
        reasons = found["overdue"] if blame.overdue else found["own"] + found["kill"]
        return Verdict(blame.place, given, blame.overdue, tuple(sorted(reasons, key=lambda why: int(why.split()[-1]))))

    def part_nbytes(self) -> int:
        """Bytes of all parts received and not taken."""
        return sum(sum(entry.waiting) for entry in self.entries)

    def undelivered(self) -> tuple[tuple[object, int], ...]:
        """What the checkpoint should be."""
        return tuple((entry.inputs, len(entry.outputs(entry.taken))) for entry in self.entries if entry.open())

    def _note_part(self, entry: Entry, part: Part) -> None:
        entry.received += part.outputs
        entry.permits -= 1
        entry.waiting.append(part.nbytes)
        if part.last:
            entry.done, entry.owner, entry.permits = True, None, 0

    def _note_loss(self, event: Lost) -> None:
        blamed = self.entries[event.blame.task] if self.counts(event.worker, event.blame) else None
        if blamed is not None:
            verdict = self.verdict(event.blame, event.reason)
            blamed.attempt += 1
            blamed.deaths.append((event.blame, event.reason, max(0, blamed.received - event.blame.made)))
            if verdict is not None:
                helps = verdict.place not in blamed.verdicts or blamed.verdicts[verdict.place].overdue
                if verdict.overdue:
                    helps = len(verdict.reasons) <= self.limits.overdue
                blamed.done = not helps
                if helps:
                    blamed.verdicts[verdict.place] = verdict
                    blamed.deaths = [death for death in blamed.deaths if death[0].own or death[0].overdue]
                else:
                    blamed.poison = verdict
        self.joined.discard(event.worker)
        for entry in self.entries:
            if entry.owner == event.worker:
                entry.owner, entry.permits = None, 0

    def _check_send(self, send: Send) -> None:
        unfinished = [task for task, entry in enumerate(self.entries) if not entry.done]
        pending = [task for task in unfinished if self.entries[task].owner is None]
        load = sum(entry.owner == send.worker and entry.permits > 0 for entry in self.entries)
        fits = self.part_nbytes() < self.limits.nbytes
        entry = self.entries[send.task]
        assert send.worker in self.joined, "tasks go to workers that live"
        assert send.task in pending, "tasks have one owner"
        assert send.task == pending[0], "the lowest task goes first"
        assert load < self.slots, "tasks go to workers with a slot"
        assert fits or send.task == unfinished[0], "parts over the byte limit stop all but the lowest task"
        assert send.attempt == entry.attempt, "only a blamed task counts its attempts"
        assert send.verdicts == tuple(entry.verdicts.values()), "a task goes with its verdicts"
        entry.owner, entry.permits = send.worker, send.credit
        self._check_credit(entry)

    def _check_credit(self, entry: Entry) -> None:
        limit = self.limits.credit if entry.attempt == 1 else 1
        assert entry.permits == 0 or len(entry.waiting) + entry.permits <= limit, "credit belongs to the task"

    def _check_emit(self, command: Emit | Poison) -> None:
        entry = self.entries[command.task]
        assert not entry.ended(), "nothing follows the end of a task"
        if self.scenario.ordered:
            assert all(lower.ended() for lower in self.entries[: command.task]), "order"
        if isinstance(command, Poison):
            assert command.verdict == entry.poison, "poison tells place and reasons of the deaths"
        else:
            assert command.start == len(entry.outputs(len(entry.emitted))), "parts follow each other"
            assert command.outputs == len(command.payload), "payloads stay with their parts"
        entry.emitted.append(command)

    def check_end(self) -> None:
        """Assert that all outputs of all tasks came, once, in order, with poison at its place."""
        assert len(self.entries) == len(self.scenario.tasks), "all tasks were accepted"
        for number, entry in enumerate(self.entries):
            stubborn = next((item for item in entry.inputs if item.deadly and item.stubborn), None)
            outputs = deque(entry.outputs(len(entry.emitted)))
            for item in entry.inputs[: len(entry.inputs) if stubborn is None else stubborn.index + 1]:
                expected = [(number, item.index, offset) for offset in range(item.outputs)]
                while expected and outputs and outputs[0] == expected[0]:
                    outputs.popleft()
                    del expected[0]
                if item.deadly and not item.stubborn:
                    assert outputs, f"task {number} lacks what stands for input {item.index}"
                    assert outputs.popleft() == (number, item.index, SETTLED), f"place of input {item.index}"
                assert item.deadly or not expected, f"task {number} lacks outputs of input {item.index}"
            assert not outputs, f"outputs of task {number}"
            poisoned = [part.verdict.place[0] for part in entry.emitted if isinstance(part, Poison)]
            assert poisoned == ([] if stubborn is None else [stubborn.index]), f"poison in task {number}"
