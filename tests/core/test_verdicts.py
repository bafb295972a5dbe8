"""What becomes of a call that kills its workers, or takes too long."""

from __future__ import annotations

from flazy.core.dispatch import Dispatcher
from flazy.core.events import (
    Accepted,
    Blame,
    Command,
    Emit,
    Joined,
    Lost,
    Part,
    Poison,
    Send,
    Taken,
    Verdict,
)
from tests.core.test_dispatch import dispatcher, play, whole


def die(target: Dispatcher, worker: int, blame: Blame) -> list[Command]:
    """Let a worker join, die with blame, and give what its death caused."""
    play(target, Joined(worker))
    return play(target, Lost(worker, f"death {worker}", blame))


def verdicts(target: Dispatcher, worker: int) -> tuple[Verdict, ...]:
    """Let a worker join, and give the verdicts that it gets with the task."""
    (send,) = play(target, Joined(worker))
    assert isinstance(send, Send)
    return send.verdicts


def test_after_the_second_death_of_its_own_a_call_is_left_out() -> None:
    target = dispatcher(Accepted(0, ""))

    assert [] == die(target, 0, Blame(0, (3, 0), own=True))
    assert [] == die(target, 1, Blame(0, (3, 0), own=True))
    assert (Verdict((3, 0), 0, False, ("death 0", "death 1")),) == verdicts(target, 2)


def test_where_that_does_not_help_the_sample_is_poison() -> None:
    target = dispatcher(Accepted(0, ""))
    die(target, 0, Blame(0, (3, 0), own=True))
    die(target, 1, Blame(0, (3, 0), own=True))

    reasons = ("death 0", "death 1", "death 2")
    assert [Poison(0, Verdict((3, 0), 0, False, reasons))] == die(target, 2, Blame(0, (3, 0), own=True))
    assert [] == play(target, Joined(3)), "the task is not sent again"


def test_kill_from_outside_while_a_call_is_left_out_is_nobodys_fault() -> None:
    """The worker was at the place of the verdict, of which it takes note before it leaves the call out."""
    target = dispatcher(Accepted(0, ""))
    die(target, 0, Blame(0, (3, 0), own=True))
    die(target, 1, Blame(0, (3, 0), own=True))

    assert [] == die(target, 2, Blame(0, (3, 0), own=False))
    assert (Verdict((3, 0), 0, False, ("death 0", "death 1")),) == verdicts(target, 3)


def test_kills_that_made_a_verdict_do_not_count_after_it() -> None:
    target = dispatcher(Accepted(0, ""))
    reasons = tuple(f"death {i}" for i in range(5))
    for worker in range(9):
        assert [] == die(target, worker, Blame(0, (3, 0), own=False))

    (verdict,) = verdicts(target, 9)
    assert Verdict((3, 0), 0, False, reasons) == verdict
    assert [Poison(0, Verdict((3, 0), 0, False, tuple(f"death {i}" for i in range(5, 10))))] == play(
        target, Lost(9, "death 9", Blame(0, (3, 0), own=False))
    )


def test_call_that_was_made_again_since_it_was_overdue_is_left_out_when_it_kills() -> None:
    target = dispatcher(Accepted(0, ""), overdue=2)
    die(target, 0, Blame(0, (3, 0), own=False, overdue=True))
    die(target, 1, Blame(0, (3, 0), own=True))

    assert [] == die(target, 2, Blame(0, (3, 0), own=True))
    assert (Verdict((3, 0), 0, False, ("death 1", "death 2")),) == verdicts(target, 3)


def test_after_the_fifth_death_by_a_signal_a_call_is_left_out() -> None:
    target = dispatcher(Accepted(0, ""))
    for worker in range(5):
        assert [] == die(target, worker, Blame(0, (3, 0), own=False))

    assert (Verdict((3, 0), 0, False, tuple(f"death {i}" for i in range(5))),) == verdicts(target, 5)


def test_deaths_by_signals_between_which_outputs_came_do_not_add_up() -> None:
    target = dispatcher(Accepted(0, ""), credit=9)
    for worker in range(20):
        part = Part(worker, 0, worker, 1, False)
        play(target, Joined(worker), part, Lost(worker, "killed", Blame(0, (3, 0), own=False)), Taken(0))

    assert () == verdicts(target, 20)


def test_deaths_by_signals_between_which_others_gave_something_do_add_up() -> None:
    target = dispatcher(Accepted(0, ""), credit=9)
    for worker in range(5):
        part = Part(worker, 0, worker, 1, False)
        blame = Blame(0, (3, 0), own=False, made=10**9)
        play(target, Joined(worker), part, Lost(worker, "killed", blame), Taken(0))

    assert (Verdict((3, 0), 0, False, ("killed",) * 5),) == verdicts(target, 5)


def test_death_whose_place_was_not_known_counts_against_the_next_that_is() -> None:
    target = dispatcher(Accepted(0, ""))
    die(target, 0, Blame(0, (), own=True))

    assert [] == die(target, 1, Blame(0, (3, 1, 7), own=True))
    assert (Verdict((3, 1, 7), 0, False, ("death 0", "death 1")),) == verdicts(target, 2)


def test_two_deaths_of_an_input_of_which_the_call_is_not_known_tell_nothing_yet() -> None:
    target = dispatcher(Accepted(0, ""))
    for worker in range(9):
        die(target, worker, Blame(0, (3,), own=True))

    assert () == verdicts(target, 9)


def test_verdict_tells_what_the_call_gave_before() -> None:
    target = dispatcher(Joined(0), Accepted(0, ""), Part(0, 0, 0, 5, False))
    play(target, Lost(0, "death 0", Blame(0, (1, 0), own=True, made=3)), Taken(0))
    die(target, 1, Blame(0, (1, 0), own=True, made=3))

    assert (Verdict((1, 0), 2, False, ("death 0", "death 1")),) == verdicts(target, 2)


def test_overdue_call_is_left_out_at_once_or_tried_as_often_as_allowed() -> None:
    target = dispatcher(Accepted(0, ""), overdue=2)

    assert [] == die(target, 0, Blame(0, (3, 0), own=False, overdue=True))
    assert [] == die(target, 1, Blame(0, (3, 0), own=False, overdue=True))
    assert (Verdict((3, 0), 0, True, ("death 0", "death 1")),) == verdicts(target, 2)
    assert [Poison(0, Verdict((3, 0), 0, True, ("death 0", "death 1", "death 2")))] == play(
        target, Lost(2, "death 2", Blame(0, (3, 0), own=False, overdue=True))
    )


def test_deaths_of_different_samples_do_not_add_up() -> None:
    target = dispatcher(Accepted(0, ""))

    assert [[]] * 9 == [die(target, index, Blame(0, (index, 0), own=True)) for index in range(9)]
    assert () == verdicts(target, 9)


def test_deaths_without_blame_never_make_poison() -> None:
    target = dispatcher(Accepted(0, "a"))
    for worker in range(20):
        play(target, Joined(worker), Lost(worker))

    assert [Send(20, 0, "a", 1, 0, 2)] == play(target, Joined(20))
    assert 20 == target.redispatched


def test_ordered_poison_waits_for_its_place() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Joined(1), Accepted(1, "b"), Accepted(2, "c"), slots=1)
    play(target, Part(1, 1, 0, 1, False, "B"), Lost(1, "x", Blame(1, (4, 0), own=True)), Joined(2))
    play(target, Lost(2, "y", Blame(1, (4, 0), own=True)), Joined(3))

    assert [] == play(target, Lost(3, "z", Blame(1, (4, 0), own=True)))
    poison = Poison(1, Verdict((4, 0), 1, False, ("x", "y", "z")))
    assert [Emit(0, 0, 1, True, "A"), Emit(1, 0, 1, False, "B"), poison] == [
        command for command in play(target, whole(0, 0, "A")) if not isinstance(command, Send)
    ]


def test_unordered_poison_is_raised_at_once() -> None:
    target = dispatcher(Accepted(0, ""), Accepted(1, "b"), ordered=False)
    for worker in range(2):
        play(target, Joined(worker), Lost(worker, f"{worker}", Blame(1, (2, 0), own=True)))

    poison = Poison(1, Verdict((2, 0), 0, False, ("0", "1", "2")))
    assert [poison] == play(target, Joined(2), Lost(2, "2", Blame(1, (2, 0), own=True)))[-1:]


def test_poisoned_task_is_open_until_the_poison_is_taken() -> None:
    target = dispatcher(Joined(0), Accepted(0, "a"), Part(0, 0, 0, 1, False))
    play(target, Lost(0, "x", Blame(0, (1, 0), own=True)), Taken(0))
    for worker in (1, 2):
        die(target, worker, Blame(0, (1, 0), own=True))

    assert (("a", 1),) == target.undelivered
    assert [] == play(target, Taken(0))
    assert target.idle
