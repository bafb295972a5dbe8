"""What happens to a `Dispatcher` (events, in the past tense) and what it wants done (commands).

Data only.  A *task* is one or more inputs that travel together; it is named by its number, and the
numbers are the order.  A *part* is a run of outputs of one task: ``start`` is the number of outputs of
that task that came before it.  Values are opaque here: ``inputs`` and ``payload`` are carried, never
looked into.  An output is a slot, whatever came out: a value, a skipped sample or an error.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Accepted",
    "Blame",
    "Command",
    "Drop",
    "Emit",
    "Event",
    "Grant",
    "Joined",
    "Lost",
    "Paced",
    "Part",
    "Poison",
    "Send",
    "Taken",
    "Verdict",
]


# Events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task came in; tasks are numbered 0, 1, 2 … without gaps.

    ``samples`` and ``nbytes`` are what it counts against the limits.
    """

    task: int
    inputs: object
    samples: int = 1
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker is ready; its number was never used before."""

    worker: int


@dataclass(frozen=True, slots=True)
class Blame:
    """What was running when a worker died, and whose doing the death was.

    Parameters
    ----------
    task
        The task.
    place
        Which call: the index of the input, the number of the function, its offsets in flatmaps.  Where only the input
        is known, its index alone; where nobody knows which it was, nothing.
    own
        True for a crash or an exit of the worker itself (SIGSEGV, SIGABRT, ``os._exit`` …), false for a signal that
        others send (SIGKILL, SIGTERM).
    overdue
        The worker was ended because the call took longer than it may.
    made
        Outputs of the task that were made before the call began; any large number for a call that gives none but its
        result.
    """

    task: int
    place: tuple[int, ...]
    own: bool
    overdue: bool = False
    made: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker is gone, confirmed; nothing that it still seems to send counts."""

    worker: int
    reason: object = ""
    blame: Blame | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A run of outputs arrived from a worker; ``last`` ends the task (``outputs`` may then be 0)."""

    worker: int
    task: int
    start: int
    outputs: int
    last: bool
    payload: object = None
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """The consumer is done with the oldest part of a task that was emitted and not yet taken."""

    task: int


@dataclass(frozen=True, slots=True)
class Paced:
    """From now on a worker holds at most ``slots`` tasks; what it holds beyond that it keeps."""

    slots: int


# Commands -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """A call that is not made again: it killed its workers too often, or took too long.

    ``place`` is that of `Blame`; ``given`` so many outputs of the call were received; ``reasons`` are those of the
    deaths that count, oldest first.
    """

    place: tuple[int, ...]
    given: int
    overdue: bool
    reasons: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Give a task to a worker: leave out its first ``skip`` outputs, then send at most ``credit`` parts.

    ``attempt`` is 1 for the first time.  From the second on the worker sends a part after each input, so that a
    sample that kills it is the only one that is lost with it.  Where it comes to the place of one of the ``verdicts``,
    it fails there instead of making the call.
    """

    worker: int
    task: int
    inputs: object
    attempt: int
    skip: int
    credit: int
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """Let a worker send ``parts`` more parts of a task that it holds."""

    worker: int
    task: int
    parts: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a part to the consumer, now; ``last`` says that the task ends with it."""

    task: int
    start: int
    outputs: int
    last: bool
    payload: object


@dataclass(frozen=True, slots=True)
class Drop:
    """A part that must not be delivered (its worker does not own the task any more); free what it holds."""

    worker: int
    task: int
    payload: object


@dataclass(frozen=True, slots=True)
class Poison:
    """Raise at this place: workers go on dying in a task although they leave out the call of the verdict.

    Stands where an `Emit` would, after every output that came before it, and ends the task.
    """

    task: int
    verdict: Verdict


Event = Accepted | Joined | Lost | Paced | Part | Taken
Command = Send | Grant | Emit | Drop | Poison
