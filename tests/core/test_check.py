"""Each invariant of ``check.validate`` notices what it is there for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flazy.core.check import validate
from flazy.core.dispatch import Dispatcher
from flazy.core.events import Accepted, Joined, Lost, Part, Poison, Verdict
from flazy.core.limits import Limits


@pytest.fixture
def target() -> Dispatcher:
    """One with task 0 running and a part of it emitted, task 1 done and held, task 2 pending."""
    result = Dispatcher(Limits(tasks=3, slots=1), ordered=True)
    inputs = [Accepted(task, "", nbytes=2) for task in range(3)]
    for event in [Joined(0), Joined(1), *inputs, Part(1, 1, 0, 1, True), Lost(1), Part(0, 0, 0, 1, False)]:
        result.handle(event)
    return result


def spoil(**attributes: object) -> Callable[[Dispatcher], None]:
    """Set attributes of the dispatcher."""

    def fault(target: Dispatcher) -> None:
        for name, value in attributes.items():
            setattr(target, name, value)

    return fault


def spoil_task(number: int, /, **attributes: object) -> Callable[[Dispatcher], None]:
    """Set attributes of one open task."""

    def fault(target: Dispatcher) -> None:
        for name, value in attributes.items():
            setattr(target._tasks[number], name, value)

    return fault


def spoil_worker(**attributes: object) -> Callable[[Dispatcher], None]:
    """Set attributes of the one worker."""

    def fault(target: Dispatcher) -> None:
        for name, value in attributes.items():
            setattr(target._workers[0], name, value)

    return fault


def test_sound_state_passes(target: Dispatcher) -> None:
    validate(target)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("tasks: not more", spoil(_limits=Limits(tasks=1))),
        ("samples: within", spoil(_limits=Limits(tasks=8, samples=1))),
        ("input bytes: below", spoil(_limits=Limits(tasks=8, nbytes=1))),
        ("samples: the counter", spoil(_samples=9)),
        ("input bytes: the counter", spoil(_input_nbytes=9)),
        ("part bytes: the counter", spoil(_part_nbytes=9)),
        ("open tasks were accepted", spoil(_next=2)),
        ("head: the lowest", spoil(_head=1)),
        ("each task lies under its number", spoil_task(0, number=1)),
        ("order: nothing is emitted beyond", spoil_task(1, emitted=[(0, 0)])),
        ("order: what may be emitted", spoil(_ordered=False)),
        ("order: nothing is taken beyond", spoil_task(1, taken=1)),
        ("outputs: received = taken", spoil_task(0, received=9)),
        ("attempt: one more", spoil_task(0, attempt=2)),
        ("memory: parts of a task", spoil_task(0, emitted=[(1, 0), (0, 0), (0, 0)])),
        ("credit: nobody may send", spoil_task(2, permits=1)),
        ("credit: the owner may send", spoil_task(0, permits=2)),
        ("a finished task has no owner", spoil_task(1, worker=0, permits=1)),
        ("a finished task is open only while", spoil_task(1, held=[], received=0)),
        ("poison ends its task", spoil_task(2, held=[(Poison(2, Verdict((0, 0), 0, False, ())), 0, 0)])),
        ("owner: worker and task", spoil_worker(tasks={})),
        ("load: the counter", spoil_worker(load=0)),
        ("free: exactly", spoil(_free={0})),
        ("workers: joined", spoil(_free={5})),
        ("each unfinished task has a joined owner or is pending", spoil(_pending=[])),
        ("each unfinished task has a joined owner or is pending", spoil(_pending=[2, 2])),
        ("owners have joined", spoil(_workers={}, _used=set())),
    ],
)
def test_fault_is_named(target: Dispatcher, name: str, fault: Callable[[Dispatcher], None]) -> None:
    fault(target)

    with pytest.raises(AssertionError, match=name):
        validate(target)


def test_task_that_waits_beside_a_free_worker_is_named(target: Dispatcher) -> None:
    target._workers[5] = type(target._workers[0])()
    target._used.add(5)
    target._free.add(5)

    with pytest.raises(AssertionError, match="progress: no task waits"):
        validate(target)
