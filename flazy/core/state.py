"""What a `Dispatcher` remembers of each task and of each worker; only it writes here."""

from __future__ import annotations

from dataclasses import dataclass, field

from flazy.core.events import Blame, Emit, Poison, Verdict

__all__ = ["Death", "Task", "Worker"]


@dataclass(frozen=True, slots=True)
class Death:
    """A death that a task is blamed for; ``given`` outputs had come of the call by then."""

    blame: Blame
    reason: object
    given: int


@dataclass(slots=True)
class Task:
    """An open task; ``held`` is (command, outputs, nbytes) to be emitted, ``emitted`` (outputs, nbytes) to be taken."""

    number: int
    inputs: object
    samples: int
    nbytes: int
    attempt: int = 1
    worker: int | None = None
    permits: int = 0  # parts that the present owner may still send
    received: int = 0
    taken: int = 0
    done: bool = False
    held: list[tuple[Emit | Poison, int, int]] = field(default_factory=list)
    emitted: list[tuple[int, int]] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    judged: int = 0  # deaths that there were at the last verdict
    verdicts: dict[tuple[int, ...], Verdict] = field(default_factory=dict)  # by place

    @property
    def outstanding(self) -> int:
        """Parts that are held, or emitted and not yet taken."""
        return len(self.held) + len(self.emitted)


@dataclass(slots=True)
class Worker:
    """A joined worker, its unfinished tasks, and how many of them occupy it."""

    tasks: dict[int, Task] = field(default_factory=dict)
    load: int = 0
