"""How much a `Dispatcher` lets be open, under way and lost at a time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be open, under way and lost at a time.

    Parameters
    ----------
    tasks
        Open tasks at most, 1 or more.
    samples
        Open samples at most; `None` for no bound of its own.
    nbytes
        Bytes of the inputs of open tasks and of the parts received and not yet taken, beyond which nothing is
        accepted; of the parts alone, beyond which only the lowest task that is not done is sent.
    credit
        Parts of one task that may lie between worker and consumer.  Two keep a worker busy while one is taken.
    slots
        Tasks that a worker holds at a time, until `Paced` says otherwise.  Two: one runs, the next waits at hand.
    own_deaths
        A sample is poison at so many deaths of its worker's own doing, 2 or more.
    kills
        A sample is poison at so many deaths by a signal from outside, 2 or more.
    overdue
        So often may one call take longer than it may; each time its worker decides whether to make it once more.

    Raises
    ------
    ValueError
        A limit is too small to make progress, or one death would be enough for poison: the place of the sample
        is known exactly only in a careful attempt, that is from the second one on.
    """

    tasks: int
    samples: int | None = None
    nbytes: int = 256 * 2**20
    credit: int = 2
    slots: int = 2
    own_deaths: int = 2
    kills: int = 5
    overdue: int = 1

    def __post_init__(self) -> None:
        """Refuse what could not make progress."""
        ones = dict.fromkeys(["tasks", "samples", "nbytes", "credit", "slots", "overdue"], 1)
        least = {**ones, "own_deaths": 2, "kills": 2}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"Limits.{name} must be {minimum} or more, not {value}")
