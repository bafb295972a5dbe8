"""What must hold of a `Dispatcher` between any two events, recounted from scratch.

Here: `validate`, for tests and for runs that are opened with ``validate=True``.  Not here: anything that changes
state, or what only a whole run can show (that it ends, that its outputs are right: ``tests/core/simulation.py``).

The one rule: nothing here calls a method of the dispatcher, so that a wrong rule cannot vouch for itself.
"""
# ruff: noqa: SLF001  (looking inside another class is all that this file does)

from __future__ import annotations

from flazy.core.dispatch import Dispatcher
from flazy.core.events import Poison
from flazy.core.state import Task

__all__ = ["validate"]


def validate(dispatcher: Dispatcher) -> None:
    """Assert every invariant; slow, for it looks at every open task.

    Parameters
    ----------
    dispatcher
        Between two events; it is not changed.

    Raises
    ------
    AssertionError
        The first invariant that does not hold, by name.
    """
    _check_limits(dispatcher)
    _check_counters(dispatcher)
    _check_order(dispatcher)
    for task in dispatcher._tasks.values():
        _check_task(dispatcher, task)
    _check_workers(dispatcher)
    _check_pending(dispatcher)


def _check_limits(dispatcher: Dispatcher) -> None:
    limits, tasks = dispatcher._limits, list(dispatcher._tasks.values())
    samples = sum(task.samples for task in tasks)
    inputs = sum(task.nbytes for task in tasks[:-1])  # those that were there when the last one was accepted
    assert len(tasks) <= limits.tasks, "tasks: not more open than allowed"
    assert limits.samples is None or samples <= limits.samples or len(tasks) == 1, "samples: within, or one task alone"
    assert inputs < limits.nbytes, "input bytes: below the limit when the last task was accepted"


def _check_counters(dispatcher: Dispatcher) -> None:
    tasks = dispatcher._tasks.values()
    held = sum(nbytes for task in tasks for _, _, nbytes in task.held)
    emitted = sum(nbytes for task in tasks for _, nbytes in task.emitted)
    assert dispatcher._samples == sum(task.samples for task in tasks), "samples: the counter is the recount"
    assert dispatcher._input_nbytes == sum(task.nbytes for task in tasks), "input bytes: the counter is the recount"
    assert dispatcher._part_nbytes == held + emitted, "part bytes: the counter is the recount"


def _check_order(dispatcher: Dispatcher) -> None:
    head, tasks = dispatcher._head, dispatcher._tasks
    unfinished = [number for number, task in tasks.items() if not task.done]
    assert list(tasks) == sorted(tasks), "open tasks lie in the order of their numbers"
    assert all(number < dispatcher._next for number in tasks), "open tasks were accepted"
    assert head == min(unfinished, default=dispatcher._next), "head: the lowest task that is not done"
    for number, task in tasks.items():
        assert number == task.number, "each task lies under its number"
        if dispatcher._ordered and number > head:
            assert not task.emitted, "order: nothing is emitted beyond the head"
            assert task.taken == 0, "order: nothing is taken beyond the head"
        else:
            assert not task.held, "order: what may be emitted is emitted"


def _check_task(dispatcher: Dispatcher, task: Task) -> None:
    limit = dispatcher._limits.credit if task.attempt == 1 else 1
    waiting = sum(outputs for _, outputs, _ in task.held) + sum(outputs for outputs, _ in task.emitted)
    outstanding = len(task.held) + len(task.emitted)
    poisons = int(task.done and bool(task.deaths))  # at most: a task that was blamed may also have ended well
    assert task.received == task.taken + waiting, "outputs: received = taken + waiting"
    assert task.attempt == 1 + len(task.deaths), "attempt: one more for each death that the task is blamed for"
    assert outstanding <= dispatcher._limits.credit + poisons, "memory: parts of a task within its credit"
    if task.worker is None:
        assert task.permits == 0, "credit: nobody may send parts of a task without owner"
    else:
        assert task.permits == max(0, limit - outstanding), "credit: the owner may send exactly what the limit leaves"
    if task.done:
        assert task.worker is None, "a finished task has no owner"
        assert outstanding, "a finished task is open only while something of it is to be taken"
    else:
        assert not any(isinstance(command, Poison) for command, _, _ in task.held), "poison ends its task"


def _check_workers(dispatcher: Dispatcher) -> None:
    slots = dispatcher._slots
    for number, worker in dispatcher._workers.items():
        owned = {name: task for name, task in dispatcher._tasks.items() if task.worker == number}
        load = sum(task.permits > 0 for task in owned.values())
        assert worker.tasks.keys() == owned.keys(), "owner: worker and task name each other"
        assert all(worker.tasks[name] is task for name, task in owned.items()), "owner: one object per task"
        assert worker.load == load, "load: the counter is the recount of tasks with credit"
        assert (number in dispatcher._free) == (load < slots), "free: exactly the workers with a slot"
    assert dispatcher._free <= dispatcher._workers.keys() <= dispatcher._used, "workers: joined, each number once"


def _check_pending(dispatcher: Dispatcher) -> None:
    pending, tasks = dispatcher._pending, dispatcher._tasks
    unowned = [number for number, task in tasks.items() if not task.done and task.worker is None]
    owners = {task.worker for task in tasks.values() if task.worker is not None}
    assert sorted(pending) == unowned, "each unfinished task has a joined owner or is pending, exactly once"
    assert owners <= dispatcher._workers.keys(), "owners have joined and are not lost"
    assert all(pending[(i - 1) // 2] < pending[i] for i in range(1, len(pending))), "pending is a heap"
    room = dispatcher._part_nbytes < dispatcher._limits.nbytes
    if pending and (room or pending[0] == dispatcher._head):
        assert not dispatcher._free, "progress: no task waits while it could be sent"
