"""What the dispatcher decides: literal events in, literal commands out."""


from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from flazy.core.check import validate
from flazy.core.dispatch import Dispatcher
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
    Send,
    Taken,
)
from flazy.core.limits import Limits


def dispatcher(*events: Event, ordered: bool = True, **limits: Any) -> Dispatcher:
    """One that has seen some events; eight tasks unless told."""
    result = Dispatcher(Limits(**{"tasks": 8, **limits}), ordered=ordered)
    play(result, *events)
    return result


def play(target: Dispatcher, *events: Event) -> list[Command]:
    """Handle events, validate after each, and give the commands of the last one."""
    commands: list[Command] = []
    for event in events:
        commands = target.handle(event)
        validate(target)
    return commands


def whole(worker: int, task: int, payload: object = None, nbytes: int = 0) -> Part:
    """The one part of a map task."""
    return Part(worker, task, 0, 1, True, payload, nbytes)


# Sending ------------------------------------------------------------------------------------------------


def test_task_is_sent_to_a_worker_that_joined_before() -> None:
    target = dispatcher(Joined(0))

    assert [Send(0, 0, "a", 1, 0, 2)] == play(target, Accepted(0, "a"))


def test_tasks_wait_for_a_worker_and_go_lowest_first() -> None:
    target = dispatcher(Accepted(0, "a"), Accepted(1, "b"), Accepted(2, "c"))

    assert [Send(5, 0, "a", 1, 0, 2), Send(5, 1, "b", 1, 0, 2)] == play(target, Joined(5))


def test_task_goes_to_the_smallest_load_and_then_to_the_lowest_worker() -> None:
    target = dispatcher(Joined(1), Joined(0))
    sends = [play(target, Accepted(task, "")) for task in range(5)]

    assert [[0], [1], [0], [1], []] == [[send.worker for send in commands] for commands in sends]


def test_worker_that_finished_a_task_gets_the_next() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), slots=1)

    assert [Emit(0, 0, 1, True, "A"), Send(0, 1, "b", 1, 0, 2)] == play(target, whole(0, 0, "A"))


def test_task_out_of_credit_does_not_occupy_its_worker() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), slots=1, credit=1)

    assert [Emit(0, 0, 3, False, "A"), Send(0, 1, "b", 1, 0, 1)] == play(target, Part(0, 0, 0, 3, False, "A"))


def test_tasks_are_not_sent_while_parts_are_over_the_byte_limit() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), Accepted(2, "c"), slots=2, nbytes=100)

    assert [] == play(target, whole(0, 1, "B", 100))
    commands = play(target, whole(0, 0, "A"))
    assert [Emit(0, 0, 1, True, "A"), Emit(1, 0, 1, True, "B"), Send(0, 2, "c", 1, 0, 2)] == commands


def test_returned_head_is_sent_though_parts_are_over_the_byte_limit() -> None:
    target = dispatcher(Joined(0), Joined(1), Accepted(0, "a"), Accepted(1, "b"), Accepted(2, "c"), nbytes=100)
    play(target, whole(1, 1, "B", 100))

    assert [Send(1, 0, "a", 1, 0, 2)] == play(target, Lost(0))
    assert (0, 2) == (target.dropped, target.redispatched)


def test_taken_part_makes_room_for_tasks_that_waited_for_bytes() -> None:
    events = [Joined(0), *(Accepted(task, "") for task in range(3)), Part(0, 0, 0, 1, False, None, 100), Lost(0)]
    target = dispatcher(*events, ordered=False, nbytes=100)

    assert [Send(1, 0, "", 1, 1, 1)] == play(target, Joined(1))
    assert [Grant(1, 0, 1), Send(1, 1, "", 1, 0, 2)] == play(target, Taken(0))


# Order --------------------------------------------------------------------------------------------------


def test_ordered_parts_wait_for_those_of_lower_tasks() -> None:
    target = dispatcher(Joined(0), Joined(1), *(Accepted(task, "") for task in range(4)))

    assert [] == play(target, whole(0, 2, "C"))
    assert [] == play(target, Part(1, 1, 0, 1, False, "B0"))
    assert [Emit(0, 0, 1, True, "A"), Emit(1, 0, 1, False, "B0")] == play(target, whole(0, 0, "A"))
    assert [Emit(1, 1, 1, True, "B1"), Emit(2, 0, 1, True, "C")] == play(target, Part(1, 1, 1, 1, True, "B1"))


def test_unordered_parts_are_emitted_at_once() -> None:
    target = dispatcher(Joined(0), Joined(1), *(Accepted(task, "") for task in range(4)), ordered=False)

    assert [Emit(2, 0, 1, True, "C")] == play(target, whole(0, 2, "C"))
    assert [Emit(1, 0, 1, False, "B")] == play(target, Part(1, 1, 0, 1, False, "B"))


# Credit -------------------------------------------------------------------------------------------------


def test_map_tasks_cause_no_grants() -> None:
    target = dispatcher(Joined(0))
    commands = []
    for task in range(20):
        for event in (Accepted(task, ""), whole(0, task), Taken(task)):
            commands += play(target, event)

    assert {Send: 20, Emit: 20} == {kind: sum(isinstance(c, kind) for c in commands) for kind in map(type, commands)}


def test_each_taken_part_of_an_unfinished_task_grants_one_more() -> None:
    target = dispatcher(Joined(0), Accepted(0, ""), Part(0, 0, 0, 1, False), Part(0, 0, 1, 1, False))

    assert [Grant(0, 0, 1)] == play(target, Taken(0))
    assert [Grant(0, 0, 1)] == play(target, Taken(0))


def test_credit_belongs_to_the_task_and_not_to_the_attempt() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Part(0, 0, 0, 3, False), Part(0, 0, 3, 4, False), Lost(0))

    assert [Send(1, 0, "a", 1, 7, 0)] == play(target, Joined(1)), "two parts lie with the consumer, so none may come"
    assert [Grant(1, 0, 1)] == play(target, Taken(0))


def test_careful_task_gets_one_part_at_a_time() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Part(0, 0, 0, 3, False), credit=3)
    play(target, Lost(0, "SIGSEGV", Blame(0, (1, 0), own=True)))

    assert [Send(1, 0, "a", 2, 3, 0)] == play(target, Joined(1))
    assert [Grant(1, 0, 1)] == play(target, Taken(0))
    assert [Emit(0, 3, 1, False, None)] == play(target, Part(1, 0, 3, 1, False))
    assert [Grant(1, 0, 1)] == play(target, Taken(0))


# Losses -------------------------------------------------------------------------------------------------


def test_lost_worker_gives_back_its_tasks_after_what_was_received() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), Part(0, 0, 0, 3, False), Joined(1))

    assert [Send(1, 0, "a", 1, 3, 1), Send(1, 1, "b", 1, 0, 2)] == play(target, Lost(0, "silent"))
    assert 2 == target.redispatched


def test_only_the_blamed_task_becomes_careful() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), Joined(1))

    assert [Send(1, 0, "a", 1, 0, 2), Send(1, 1, "b", 2, 0, 1)] == play(target, Lost(0, "", Blame(1, (0, 0), own=True)))


@pytest.mark.parametrize("task", [1, 2, 7], ids=["of another worker", "finished", "unknown"])
def test_blame_for_a_task_that_the_worker_does_not_own_is_ignored(task: int) -> None:
    target = dispatcher(Joined(0), Joined(1), *(Accepted(task, "") for task in range(3)), whole(0, 2))

    assert [Send(1, 0, "", 1, 0, 2)] == play(target, Lost(0, "", Blame(task, (0, 0), own=True)))


def test_loss_of_a_worker_that_is_not_joined_changes_nothing() -> None:
    target = dispatcher(Joined(0), Accepted(0, ""), Lost(0))

    assert [] == play(target, Lost(0, "again", Blame(0, (0, 0), own=True)))
    assert [] == play(target, Lost(9, "never joined"))
    assert (1, ()) == (target.redispatched, target.workers)


@pytest.mark.parametrize(
    "part",
    [whole(0, 0, "p"), whole(1, 1, "p"), whole(1, 7, "p"), whole(9, 0, "p"), whole(1, 2, "p")],
    ids=["lost worker", "closed task", "unknown task", "worker that never joined", "task of nobody"],
)
def test_part_of_a_task_that_its_worker_does_not_own_is_dropped(part: Part) -> None:
    events = [Joined(0), Accepted(0, ""), Accepted(1, ""), Accepted(2, ""), Joined(1), Lost(0), whole(1, 1), Taken(1)]
    target = dispatcher(*events, Lost(1), Joined(2), ordered=False, slots=1)

    assert [Drop(part.worker, part.task, "p")] == play(target, part)
    assert 1 == target.dropped


# Room and checkpoint ------------------------------------------------------------------------------------


def test_room_is_counted_in_tasks() -> None:
    target = dispatcher(Joined(0), Accepted(0, ""), tasks=2)

    assert target.has_room()
    play(target, Accepted(1, ""), whole(0, 0))
    assert not target.has_room(), "received, but not taken"
    play(target, Taken(0))
    assert target.has_room()


def test_room_is_counted_in_samples() -> None:
    target = dispatcher(Accepted(0, "", samples=3), samples=5)

    assert (True, False) == (target.has_room(2), target.has_room(3))


def test_room_is_counted_in_bytes_of_inputs_and_waiting_parts() -> None:
    target = dispatcher(Joined(0), Accepted(0, "", nbytes=60), ordered=False, nbytes=100)

    assert target.has_room()
    play(target, Part(0, 0, 0, 1, False, None, 40))
    assert not target.has_room()
    play(target, Taken(0))
    assert target.has_room()


def test_task_larger_than_all_limits_passes_alone() -> None:
    target = dispatcher(tasks=2, samples=2, nbytes=100)

    assert target.has_room(9)
    play(target, Accepted(0, "", samples=9, nbytes=999))
    assert not target.has_room(1)


def test_undelivered_holds_inputs_and_outputs_taken_of_the_open_tasks() -> None:
    target = dispatcher(Joined(0), *(Accepted(task, f"inputs {task}") for task in range(3)), ordered=False, slots=3)
    play(target, whole(0, 1), Taken(1), Part(0, 0, 0, 4, False), Part(0, 0, 4, 2, True), Taken(0))

    assert (("inputs 0", 4), ("inputs 2", 0)) == target.undelivered
    assert not target.idle


def test_task_is_open_until_its_last_part_is_taken() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Part(0, 0, 0, 3, False), Part(0, 0, 3, 0, True), Taken(0))

    assert (("a", 3),) == target.undelivered
    play(target, Taken(0))
    assert target.idle


# What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (Accepted(4, ""), AssertionError),
        (Accepted(2, ""), AssertionError),
        (Accepted(3, "", samples=99), AssertionError),
        (Accepted(3, "", nbytes=-1), AssertionError),
        (Joined(0), AssertionError),
        (Joined(1), AssertionError),
        (Taken(1), AssertionError),
        (Taken(7), AssertionError),
        (Part(0, 0, 1, 1, False), ValueError),
        (Part(0, 0, 3, 1, True), ValueError),
        (Part(0, 0, 2, -1, True), ValueError),
        (Part(0, 0, 2, 1, True, None, -1), ValueError),
        (Part(0, 1, 2, 1, True), ValueError),
    ],
    ids=[
        "gap", "task twice", "no room", "negative bytes", "joined twice", "lost one joined", "not emitted",
        "not accepted", "part again", "part missing", "negative outputs", "negative part bytes", "beyond credit",
    ],
)  # fmt: skip
def test_illegal_event_is_refused_and_changes_nothing(event: Event, error: type[Exception]) -> None:
    events = [Joined(1), Lost(1), Joined(0), *(Accepted(task, "") for task in range(3)), Part(0, 0, 0, 2, False)]
    target = dispatcher(*events, Part(0, 1, 0, 1, False), Part(0, 1, 1, 1, False), samples=10)
    before = deepcopy(vars(target))

    with pytest.raises(error):
        target.handle(event)
    assert before == vars(target)


@pytest.mark.parametrize("name", ["tasks", "samples", "nbytes", "credit", "slots", "own_deaths", "kills"])
def test_limits_refuse_what_could_not_make_progress(name: str) -> None:
    with pytest.raises(ValueError, match=f"Limits.{name} must be"):
        Limits(**{"tasks": 1, name: 0})


def test_paced_down_a_worker_keeps_what_it_holds_and_gets_no_second_task():
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), Accepted(2, "c"), slots=2)
    target.handle(Paced(1))
    first = target.handle(Part(0, 0, 0, 1, last=True))
    second = target.handle(Part(0, 1, 0, 1, last=True))

    assert [] == [command for command in first if isinstance(command, Send)]
    assert [2] == [command.task for command in second if isinstance(command, Send)]


def test_paced_up_workers_get_a_second_task_at_once():
    target = dispatcher(Joined(0), Accepted(0, "a"), Accepted(1, "b"), slots=1)

    assert [Send(0, 1, "b", 1, 0, 2)] == target.handle(Paced(2))
