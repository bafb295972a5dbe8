"""Who works on which task, what is handed on when, and what is done again after a worker is lost.

Here: `Dispatcher`, that is order, credit, memory bounds, re-dispatch and exactly-once.  Not here:
how a worker is started, reached or found dead (pools), what a payload holds, what time it is.

The one rule: every decision about a task is taken in this file, from events alone.  Each rule is one small method,
so that ``tests/core/test_mutants.py`` can break it alone; ``check.validate`` asserts what must hold between events.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import assert_never

from flazy.core.events import (
    Accepted,
    Blame,
    Command,
    Drop,
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
from flazy.core.limits import Limits
from flazy.core.state import Death, Task, Worker

__all__ = ["Dispatcher"]


class Dispatcher:
    """Turn what happens into what is to be done; the state of one parallel segment.

    A task is open from `Accepted` until it is done (its last part was received, or it is poison) and all that was
    emitted of it was taken.  Whatever crashes, each output is emitted exactly once, and those of a task in order.

    Parameters
    ----------
    limits
        What may be open, under way and lost at a time.
    ordered
        Emit the parts of the lowest task that is not done only, and hold the others; otherwise emit at once.

    Attributes
    ----------
    redispatched : int
        Tasks that lost workers gave back, so far.
    dropped : int
        Parts that were not delivered because their worker did not own the task, so far.
    """

    def __init__(self, limits: Limits, *, ordered: bool) -> None:
        self.redispatched = 0
        self.dropped = 0
        self._limits = limits
        self._slots = limits.slots
        self._ordered = ordered
        self._tasks: dict[int, Task] = {}  # the open ones, lowest first: they come in numbered without gaps
        self._workers: dict[int, Worker] = {}
        self._used: set[int] = set()  # numbers of all workers that ever joined
        self._free: set[int] = set()  # workers whose load leaves a slot
        self._pending: list[int] = []  # heap of the tasks that are neither done nor owned
        self._next = 0  # number of the next task to be accepted
        self._head = 0  # the lowest task that is not done; _next if there is none
        self._samples = 0  # of the open tasks
        self._input_nbytes = 0  # of the open tasks
        self._part_nbytes = 0  # of the parts received and not yet taken

    @property
    def idle(self) -> bool:
        """Whether no task is open."""
        return not self._tasks

    @property
    def open(self) -> tuple[int, int, int]:
        """Open tasks, their samples, and bytes."""
        return len(self._tasks), self._samples, self._input_nbytes + self._part_nbytes

    @property
    def undelivered(self) -> tuple[tuple[object, int], ...]:
        """The checkpoint: inputs and outputs already taken, of each open task in order."""
        return tuple((task.inputs, task.taken) for task in self._tasks.values())

    @property
    def workers(self) -> tuple[int, ...]:
        """Workers that joined and are not lost, in order of joining."""
        return tuple(self._workers)

    def has_room(self, samples: int = 1) -> bool:
        """Say whether one more task may be accepted now.

        Parameters
        ----------
        samples
            Those of the task.

        Returns
        -------
        bool
            Always true when nothing is open, so that a task larger than the limits can pass alone.
        """
        if not self._tasks:
            return True
        limits = self._limits
        return (
            len(self._tasks) < limits.tasks
            and (limits.samples is None or self._samples + samples <= limits.samples)
            and self._input_nbytes + self._part_nbytes < limits.nbytes
        )

    def handle(self, event: Event) -> list[Command]:
        """Take in what happened and decide what is to be done, in this order.

        Parameters
        ----------
        event
            What happened.

        Returns
        -------
        list of Command
            To be carried out in order; for each worker in the order of the list.

        Raises
        ------
        ValueError
            A worker sent a part of its own task at a wrong place or beyond its credit.  Nothing changed; the caller
            ends the worker and reports it `Lost`.
        AssertionError
            The caller broke a rule (task without room or sequence, number used twice …).  Nothing changed.
        """
        match event:
            case Part():
                commands = self._part(event)
            case Taken():
                commands = self._taken(event)
            case Accepted():
                commands = self._accepted(event)
            case Joined():
                commands = self._joined(event)
            case Lost():
                commands = self._lost(event)
            case Paced():
                commands = self._paced(event)
            case _:
                assert_never(event)
        return commands + self._assign()

    # One method per event ---------------

    def _accepted(self, event: Accepted) -> list[Command]:
        if event.task != self._next or event.samples < 0 or event.nbytes < 0:
            raise AssertionError(f"task {self._next} should come next, with sizes of 0 or more: {event}")
        if not self.has_room(event.samples):
            raise AssertionError(f"task {event.task} was accepted without room, {len(self._tasks)} are open")
        self._tasks[event.task] = Task(event.task, event.inputs, event.samples, event.nbytes)
        self._next += 1
        self._samples += event.samples
        self._input_nbytes += event.nbytes
        heappush(self._pending, event.task)
        return []

    def _joined(self, event: Joined) -> list[Command]:
        if event.worker in self._used:
            raise AssertionError(f"the number of worker {event.worker} was used before")
        self._used.add(event.worker)
        self._workers[event.worker] = Worker()
        self._free.add(event.worker)
        return []

    def _lost(self, event: Lost) -> list[Command]:
        if event.worker not in self._workers:
            return []
        tasks = list(self._workers[event.worker].tasks.values())
        for task in tasks:
            self._place(task, None, 0)
        del self._workers[event.worker]
        self._free.discard(event.worker)
        commands: list[Command] = []
        for task in tasks:
            if event.blame is not None and event.blame.task == task.number:
                commands += self._died(task, event.blame, event.reason)
            else:
                self._give_back(task)
        return commands

    def _paced(self, event: Paced) -> list[Command]:
        self._slots = max(1, event.slots)
        self._free = {number for number, worker in self._workers.items() if worker.load < self._slots}
        return []

    def _part(self, event: Part) -> list[Command]:
        task = self._tasks.get(event.task)
        if task is None or not self._is_owner(task, event.worker):
            self.dropped += 1
            return [Drop(event.worker, event.task, event.payload)]
        self._refuse_foul(task, event)
        emit = Emit(task.number, event.start, event.outputs, event.last, event.payload)
        task.held.append((emit, event.outputs, event.nbytes))
        task.received += event.outputs
        self._part_nbytes += event.nbytes
        if event.last:
            return self._finish(task)
        self._place(task, task.worker, task.permits - 1)
        return self._hand_on(task)

    def _taken(self, event: Taken) -> list[Command]:
        task = self._tasks.get(event.task)
        if task is None or not task.emitted:
            raise AssertionError(f"nothing emitted of task {event.task} is left to be taken")
        outputs, nbytes = task.emitted.pop(0)
        task.taken += outputs
        self._part_nbytes -= nbytes
        if not task.done:
            return self._grant(task)
        if not task.outstanding:
            del self._tasks[task.number]
            self._samples -= task.samples
            self._input_nbytes -= task.nbytes
        return []

    def _assign(self) -> list[Command]:
        """Send what may be sent, the lowest task first, to the worker with the smallest load."""
        commands: list[Command] = []
        while self._pending and self._free and self._fits(self._pending[0]):
            worker = min(self._free, key=lambda number: (self._workers[number].load, number))
            task = self._tasks[heappop(self._pending)]
            self._place(task, worker, self._credit(task))
            verdicts = tuple(task.verdicts.values())
            commands.append(
                Send(worker, task.number, task.inputs, task.attempt, self._skip(task), task.permits, verdicts)
            )
        return commands

    def _place(self, task: Task, worker: int | None, permits: int) -> None:
        """Change owner and permits; the only writer of both, so that loads cannot drift."""
        if task.worker is not None:
            self._add_load(task.worker, -self._occupies(task))
            if worker is None:
                del self._workers[task.worker].tasks[task.number]
        elif worker is not None:
            self._workers[worker].tasks[task.number] = task
        task.worker, task.permits = worker, permits
        if worker is not None:
            self._add_load(worker, self._occupies(task))

    def _add_load(self, number: int, change: int) -> None:
        worker = self._workers[number]
        worker.load += change
        if worker.load < self._slots:
            self._free.add(number)
        else:
            self._free.discard(number)

    def _occupies(self, task: Task) -> bool:
        """Out of credit is off the worker: all might wait on later tasks while the lowest one finds no worker."""
        return task.permits > 0

    def _fits(self, number: int) -> bool:
        """Parts over the byte limit stop what is new, but never the task that the others wait for."""
        return self._part_nbytes < self._limits.nbytes or number == self._head

    def _is_owner(self, task: Task, worker: int) -> bool:
        """Fence: whoever was declared lost too early cannot do harm, for its number never comes again."""
        return task.worker == worker

    def _refuse_foul(self, task: Task, part: Part) -> None:
        if task.permits < 1:
            raise ValueError(f"worker {part.worker} sent more parts of task {part.task} than it was granted")
        if part.start != task.received or part.outputs < 0 or part.nbytes < 0:
            raise ValueError(f"worker {part.worker} should go on with output {task.received}: {part}")

    # Credit: what is outstanding plus what the owner may still send is within the limit, over all attempts ----

    def _limit(self, task: Task) -> int:
        """From the second attempt on one part at a time, so that the deadly sample alone is lost with its worker."""
        return self._limits.credit if task.attempt == 1 else 1

    def _credit(self, task: Task) -> int:
        return max(0, self._limit(task) - task.outstanding)

    def _skip(self, task: Task) -> int:
        return task.received

    def _grant(self, task: Task) -> list[Command]:
        parts = self._credit(task) - task.permits
        if task.worker is None or parts <= 0:
            return []
        self._place(task, task.worker, task.permits + parts)
        return [Grant(task.worker, task.number, parts)]

    def _hand_on(self, task: Task) -> list[Command]:
        """Emit what this task may emit and, where it was the head and is done, what it kept waiting."""
        commands: list[Command] = []
        if self._may_emit(task):
            self._release(task, commands)
        if task.done and task.number == self._head:
            self._advance(commands)
        return commands

    def _may_emit(self, task: Task) -> bool:
        return not self._ordered or task.number == self._head

    def _release(self, task: Task, commands: list[Command]) -> None:
        for command, outputs, nbytes in task.held:
            commands.append(command)
            task.emitted.append((outputs, nbytes))
        task.held.clear()

    def _advance(self, commands: list[Command]) -> None:
        """Go to the lowest task that is not done; those on the way and itself may emit what they hold."""
        while self._head < self._next:
            task = self._tasks.get(self._head)  # none: closed before its turn, as happens without order
            if task is not None:
                self._release(task, commands)
                if not task.done:
                    return
            self._head += 1

    def _finish(self, task: Task) -> list[Command]:
        self._place(task, None, 0)
        task.done = True
        return self._hand_on(task)

    def _give_back(self, task: Task) -> None:
        self.redispatched += 1
        heappush(self._pending, task.number)

    def _died(self, task: Task, blame: Blame, reason: object) -> list[Command]:
        """Count a death against the call that was running; others were bystanders and are not slowed down."""
        task.deaths.append(Death(blame, reason, self._given(task, blame)))
        task.attempt += 1
        counted = self._counted(task, blame)
        # The place is exact from the second attempt on.
        if len(blame.place) > 1 and (blame.overdue or self._is_poison([death.blame.own for death in counted])):
            return self._condemn(task, blame, tuple([death.reason for death in counted]))
        self._give_back(task)
        return []

    def _counted(self, task: Task, blame: Blame) -> list[Death]:
        """Give the deaths that add up: what died in the task, or on this input, and then here, died here before.

        Kills from outside do so only while the call gives nothing, and there is no verdict, in between: a call that
        goes on for long meets many.
        """
        known = ((), blame.place[:1], blame.place)
        return [
            death
            for number, death in enumerate(task.deaths)
            if death.blame.place in known
            and death.blame.overdue == blame.overdue
            and (death.blame.own or blame.overdue or self._is_since(task, number, death, blame))
        ]

    def _is_since(self, task: Task, number: int, death: Death, blame: Blame) -> bool:
        return number >= task.judged and death.given == self._given(task, blame)

    def _is_poison(self, own: list[bool]) -> bool:
        """Judge the last death by those of its kind: a kill from outside may hit who only leaves a call out."""
        alike = own.count(own[-1])
        return alike >= (self._limits.own_deaths if own[-1] else self._limits.kills)

    def _condemn(self, task: Task, blame: Blame, reasons: tuple[object, ...]) -> list[Command]:
        """Let the task go on without the call; end it there where that does not help."""
        verdict = Verdict(blame.place, self._given(task, blame), blame.overdue, reasons)
        if not self._helps(task, verdict):
            task.held.append((Poison(task.number, verdict), 0, 0))
            return self._finish(task)
        task.verdicts[blame.place] = verdict
        task.judged = len(task.deaths)
        self._give_back(task)
        return []

    def _given(self, task: Task, blame: Blame) -> int:
        return max(0, task.received - blame.made)

    def _helps(self, task: Task, verdict: Verdict) -> bool:
        """Say whether a worker that knows the verdict may get by; one that knew it already did not."""
        if verdict.overdue:
            return len(verdict.reasons) <= self._limits.overdue
        earlier = task.verdicts.get(verdict.place)
        return earlier is None or earlier.overdue  # after that the worker may have made the call again
