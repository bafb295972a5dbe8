"""The actors of the simulation: what is to be done, and workers that do it as real ones would.

Here: `Scenario`, drawn at random; `Worker`, with its queues and suspended tasks.  Not here: who acts when, what goes
wrong (``simulation``), what is allowed (``ledger``).

The one rule: a worker knows only what its commands tell it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from flazy.core.events import Blame, Grant, Part, Send
from flazy.core.limits import Limits

SETTLED = -1  # the offset of what stands in the place of an input that is left out


@dataclass(frozen=True, slots=True)
class Input:
    """One input: it gives ``outputs`` outputs, and then, if ``deadly``, kills its worker each time.

    A worker that knows the verdict leaves it out, unless it is ``stubborn``; one that is overdue is tried ``retries``
    times more.
    """

    index: int
    outputs: int
    deadly: str = ""  # "own", "kill", "overdue"
    stubborn: bool = False
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is fixed before a run begins."""

    ordered: bool
    limits: Limits
    tasks: tuple[tuple[Input, ...], ...]
    input_nbytes: int
    output_nbytes: int
    part_outputs: int  # outputs after which a worker sends a part
    crashes: int
    workers: int
    replaced: bool  # new workers join for lost ones; otherwise only when none lives
    weights: dict[str, float]


def draw(rng: Random, *, ordered: bool) -> Scenario:
    """Draw a scenario; map, filter, flatmap or all of them."""
    most = rng.choice([1, 1, 2, 5])
    fewest = rng.choice([0, 0, 1])
    deadly = rng.choice([0, 0, 0.05, 0.2])

    limits = Limits(
        tasks=rng.randint(1, 8),
        samples=rng.choice([None, rng.randint(1, 12)]),
        nbytes=rng.choice([2**20, rng.randint(1, 60)]),
        credit=rng.randint(1, 3),
        slots=rng.randint(1, 3),
        own_deaths=rng.randint(2, 3),
        kills=rng.randint(2, 5),
        overdue=rng.randint(1, 3),
    )
    def draw_input(index: int) -> Input:
        outputs = rng.randint(fewest, most)
        if rng.random() >= deadly:
            return Input(index, outputs)
        kind, stubborn = rng.choice(["own", "own", "kill", "overdue"]), rng.random() < 0.3
        return Input(index, outputs, kind, stubborn, rng.randint(0, limits.overdue - 1))

    sizes = rng.choice([(1, 1), (1, 4), (3, 3)])
    tasks = tuple(tuple(map(draw_input, range(rng.randint(*sizes)))) for _ in range(rng.randint(1, 14)))
    weights = {name: rng.choice([0.05, 1, 1, 4]) for name in ("source", "consumer", "join", "crash")}
    weights["crash"] /= 10
    return Scenario(
        ordered=ordered,
        limits=limits,
        tasks=tasks,
        input_nbytes=rng.randint(0, 8),
        output_nbytes=rng.randint(0, 8),
        part_outputs=rng.choice([1, 2, 4, 100]),
        crashes=rng.choice([0, 1, 2, 5]),
        workers=rng.randint(1, 4),
        replaced=rng.random() < 0.5,
        weights=weights,
    )


class Job:
    """A task at a worker: a suspended generator, and the outputs that are not sent yet."""

    def __init__(self, send: Send, limit: int) -> None:
        self.send = send
        self.permits = send.credit
        self.index = 0
        self.made = 0  # outputs of the task before those of the present input
        self._limit = limit
        self._steps = self._run()

    def step(self) -> Part | str | None:
        """Go on by one output or one input: a part to be sent, the cause of death, or nothing yet."""
        return next(self._steps)

    def _run(self) -> Iterator[Part | str | None]:
        task, skip, inputs = self.send.task, self.send.skip, self.send.inputs
        sent, place, waiting = skip, 0, []
        for item in inputs:
            self.index, self.made = item.index, place
            offsets, place = self._offsets(item, place)
            for offset in offsets:
                if len(waiting) == self._limit:
                    yield self._part(sent, waiting, last=False)
                    sent, waiting = sent + len(waiting), []
                if place >= skip:
                    waiting.append((task, item.index, offset))
                place += 1
                yield None
            while item.deadly and offsets != [SETTLED]:
                yield item.deadly
            last = item is inputs[-1]
            if last or (waiting and self.send.attempt > 1):
                yield self._part(sent, waiting, last=last)
                sent, waiting = sent + len(waiting), []
            else:
                yield None

    def _offsets(self, item: Input, place: int) -> tuple[list[int], int]:
        """Say what comes of an input; where it is left out, its verdict tells what of it was received."""
        verdict = next((one for one in self.send.verdicts if one.place == (item.index, 0)), None)
        if verdict is None or item.stubborn or (verdict.overdue and len(verdict.reasons) <= item.retries):
            return list(range(item.outputs)), place
        return [SETTLED], place + verdict.given

    def _part(self, start: int, outputs: list, *, last: bool) -> Part:
        self.permits -= 1
        return Part(-1, self.send.task, start, len(outputs), last, tuple(outputs))


@dataclass(slots=True)
class Death:
    """The news of a death, on its way behind what the worker sent."""

    reason: str
    blame: Blame | None = None
    genuine: bool = False


@dataclass(slots=True)
class Worker:
    """A process with its two queues; ``lost`` is what the dispatcher was told, ``alive`` is the truth."""

    number: int
    speed: float
    delay: float
    alive: bool = True
    lost: bool = False
    inbox: deque[Send | Grant] = field(default_factory=deque)
    outbox: deque[Part | Death] = field(default_factory=deque)
    jobs: dict[int, Job] = field(default_factory=dict)
    running: Job | None = None

    def receive(self, part_outputs: int) -> None:
        """Read the oldest command."""
        command = self.inbox.popleft()
        if isinstance(command, Send):
            self.jobs[command.task] = Job(command, part_outputs)
        elif command.task in self.jobs:
            self.jobs[command.task].permits += command.parts

    def runnable(self) -> Job | None:
        """The first job that has credit."""
        return next((job for job in self.jobs.values() if job.permits > 0), None)
