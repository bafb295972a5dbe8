"""A whole run of the core with everything that can go wrong, drawn from one seed.

Here: a source, workers, a network and a consumer round a `Dispatcher`, played by one loop that picks at random who
acts next.  Workers crash, are suspected without reason and go on, send nonsense, or are killed by a sample each time.
Not here: real processes, time.

The one rule: the same seed gives the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from flazy.core.check import validate
from flazy.core.dispatch import Dispatcher
from flazy.core.events import Accepted, Blame, Drop, Emit, Event, Grant, Joined, Lost, Paced, Part, Poison, Send, Taken
from tests.core.actors import Death, Job, Worker, draw
from tests.core.ledger import Ledger

MAX_STEPS = 20_000  # a healthy run takes some hundreds


class SimulationError(AssertionError):
    """A run went wrong; the message names the seed."""


class Simulation:
    """One run; ``run`` ends when all is delivered, or raises."""

    def __init__(self, rng: Random, dispatcher: Callable[..., Dispatcher], *, ordered: bool, validated: bool) -> None:
        self.scenario = draw(rng, ordered=ordered)
        self.ledger = Ledger(self.scenario)
        self.dispatcher = dispatcher(self.scenario.limits, ordered=ordered)
        self.workers: list[Worker] = []
        self.queue: list[int] = []  # tasks of the emitted parts that the consumer did not take yet
        self.steps = 0
        self.events = 0
        self._crashes = self.scenario.crashes
        self._rng = rng
        self._validated = validated

    def run(self) -> None:
        """Let somebody act, until all is done."""
        for _ in range(1 if self.scenario.replaced else self.scenario.workers):
            self._join()
        while len(self.ledger.entries) < len(self.scenario.tasks) or not self.dispatcher.idle:
            self._act()
        for worker in self.workers:
            while worker.outbox:
                self._deliver(worker)
        self.ledger.check_end()
        assert self.ledger.part_nbytes() == 0, "all parts were taken"
        assert not self.queue, "everything emitted was taken"

    def _act(self) -> None:
        self.steps += 1
        assert self.steps < MAX_STEPS, "no end in sight"
        actions = self._needed()
        assert actions, "standstill: nobody can do anything, and not all is delivered"
        actions += self._optional()
        act, *arguments = self._rng.choices(actions, [weight for weight, *_ in actions])[0][1:]
        act(*arguments)

    def _needed(self) -> list[tuple]:
        """Weight, action and arguments of all that can be done without new workers, as long as one lives."""
        weights, actions = self.scenario.weights, []
        if self._has_task():
            actions.append((weights["source"], self._accept))
        if self.queue:
            actions.append((weights["consumer"], self._take))
        if not self.ledger.joined:
            actions.append((1, self._join))
        for worker in self.workers:
            if worker.outbox:
                actions.append((worker.delay, self._deliver, worker))
            if worker.alive and worker.inbox:
                actions.append((worker.delay, worker.receive, self.scenario.part_outputs))
            if worker.alive and worker.runnable():
                actions.append((worker.speed, self._work, worker))
        return actions

    def _optional(self) -> list[tuple]:
        weights, actions = self.scenario.weights, []
        if self.scenario.replaced and len(self.ledger.joined) < self.scenario.workers:
            actions.append((weights["join"], self._join))
        actions.append((0.02, self._pace))
        living = [worker for worker in self.workers if worker.alive and not worker.lost]
        if self._crashes and living:
            actions.append((weights["crash"], self._crash, self._rng.choice(living)))
        return actions

    def _handle(self, event: Event) -> None:
        self.events += 1
        commands = self.dispatcher.handle(event)
        foreign = isinstance(event, Part) and not self.ledger.counts(event.worker, Blame(event.task, (), own=True))
        self.ledger.note(event)
        dropped = [Drop(event.worker, event.task, event.payload)] if foreign else []
        assert dropped == [command for command in commands if isinstance(command, Drop)], "foreign parts are dropped"
        for command in commands:
            self.ledger.check(command)
            if isinstance(command, Send | Grant):
                self.workers[command.worker].inbox.append(command)
            elif isinstance(command, Emit | Poison):
                self.queue.append(command.task)
        self.ledger.check_bounds()
        assert self.ledger.undelivered() == self.dispatcher.undelivered, "the checkpoint is what is not delivered"
        if self._validated:
            validate(self.dispatcher)

    # Source and consumer

    def _has_task(self) -> bool:
        number = len(self.ledger.entries)
        return number < len(self.scenario.tasks) and self.dispatcher.has_room(len(self.scenario.tasks[number]))

    def _accept(self) -> None:
        number = len(self.ledger.entries)
        inputs = self.scenario.tasks[number]
        self._handle(Accepted(number, inputs, len(inputs), self.scenario.input_nbytes))

    def _take(self) -> None:
        first = self.scenario.ordered or self._rng.random() < 0.5
        self._handle(Taken(self.queue.pop(0 if first else self._rng.randrange(len(self.queue)))))

    # Workers and network

    def _join(self) -> None:
        rng, number = self._rng, len(self.workers)
        if self.ledger.entries and rng.random() < 0.1:  # seen, but never joined
            self._handle(Part(number, rng.randrange(len(self.ledger.entries)), 0, 1, last=True))
            self._handle(Lost(number, "never joined"))
        self.workers.append(Worker(number, rng.choice([0.1, 1, 1, 3]), rng.choice([0.1, 1, 1, 3])))
        self._handle(Joined(number))

    def _pace(self) -> None:
        self._handle(Paced(self._rng.randint(1, 3)))

    def _work(self, worker: Worker) -> None:
        worker.running = job = worker.runnable()
        result = job.step()
        if isinstance(result, Part):
            nbytes = result.outputs * self.scenario.output_nbytes
            worker.outbox.append(replace(result, worker=worker.number, nbytes=nbytes))
            if result.last:
                del worker.jobs[result.task]
        elif isinstance(result, str):
            own = (result == "own") ^ (result != "overdue" and self._rng.random() < 0.1)
            blame = self._blame(job, own, overdue=result == "overdue")
            known = result == "overdue" or self._rng.random() < 0.75
            self._die(worker, Death(f"{result} {self.steps}", blame if known else None, genuine=True))

    def _deliver(self, worker: Worker) -> None:
        message = worker.outbox.popleft()
        if isinstance(message, Part):
            self._handle(message)
        else:
            self._lose(worker, message)

    # Faults

    def _crash(self, worker: Worker) -> None:
        """Let a worker die, be suspected without reason, or send nonsense; the latter two go on as zombies."""
        self._crashes -= 1
        death = Death(f"crash {self.steps}", self._draw_blame(worker))
        kind = self._rng.choice(["dies", "dies", "suspected", "foul"])
        if kind == "dies":
            self._die(worker, death)
            return
        owned = [task for task, entry in enumerate(self.ledger.entries) if entry.owner == worker.number]
        if kind == "foul" and owned:
            self._refused(worker, self._rng.choice(owned))
        self._lose(worker, death)

    def _refused(self, worker: Worker, task: int) -> None:
        entry = self.ledger.entries[task]
        start = entry.received + (self._rng.choice([-1, 1]) if entry.permits else 0)
        try:
            self.dispatcher.handle(Part(worker.number, task, start, 1, last=True))
        except ValueError:
            return
        raise AssertionError("foul parts are refused")

    def _die(self, worker: Worker, death: Death) -> None:
        """End a worker; what it sent arrives before the news, or in part, or after it."""
        worker.alive = False
        if worker.lost:
            return
        order = self._rng.choice(["before", "in part", "after"])
        if order == "after":
            self._lose(worker, death)
            return
        if order == "in part":
            for _ in range(self._rng.randint(0, len(worker.outbox))):
                worker.outbox.pop()
        worker.outbox.append(death)

    def _lose(self, worker: Worker, death: Death) -> None:
        worker.lost = True
        blame = death.blame
        counts = not death.genuine and self.ledger.counts(worker.number, blame)
        if counts and self.ledger.verdict(blame, f"? {self.steps}"):
            blame = None  # blame that is wrong again and again would be right to make poison
        self._handle(Lost(worker.number, death.reason, blame))
        if self._rng.random() < 0.1:
            self._handle(Lost(worker.number, "again"))

    def _blame(self, job: Job, own: bool, *, overdue: bool = False) -> Blame:
        """Say what ran; in a first attempt it is not always known which call, or which input."""
        place = (job.index, 0)
        if job.send.attempt == 1 and not overdue:
            place = place[: self._rng.choice([0, 1, 2])]
        return Blame(job.send.task, place, own, overdue, job.made)

    def _draw_blame(self, worker: Worker) -> Blame | None:
        kind, own = self._rng.choice(["right", "none", "wrong"]), self._rng.random() < 0.5
        if kind == "right" and worker.running is not None:
            return self._blame(worker.running, own)
        if kind == "wrong":
            return Blame(self._rng.randrange(len(self.scenario.tasks)), (self._rng.randrange(4), 0), own)
        return None


def simulate(
    seed: int, *, ordered: bool, dispatcher: Callable[..., Dispatcher] = Dispatcher, validated: bool = True
) -> Simulation:
    """Play one run to its end.

    Raises
    ------
    SimulationError
        Anything was wrong, with the seed.
    """
    simulation = Simulation(Random(seed), dispatcher, ordered=ordered, validated=validated)
    try:
        simulation.run()
    except Exception as error:
        raise SimulationError(f"seed {seed}, ordered={ordered}, step {simulation.steps}: {error!r}") from error
    return simulation
