"""What a part is made of as it comes: outputs, and where each came from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flazy.transport.places import Place

__all__ = ["NUMBERS", "PART_OUTPUTS", "Collected", "clock", "size_of"]

NUMBERS = (int, float)
WEIGHTLESS = {*NUMBERS, bool, type(None)}
clock = time.perf_counter_ns

# A part of a flatmap leaves when any of these is reached.  A chain that is not a flatmap sends its task as one part.
PART_OUTPUTS = 4096
PART_BYTES = 2**20
PART_NANOS = 50_000_000
LOOK_EVERY = 64  # outputs, where they are made faster and weigh less than
SMALL_NANOS = 2000
SMALL_BYTES = 1024


class Collected:
    """The outputs of a part and their origins, as they come; see `flazy.plan.kernel.Outputs`.

    Parameters
    ----------
    place
        Gives the place where values are kept at the moment.
    depth
        How many flatmaps.  Without any the task is one part, however long.
    skip
        The outputs that were received before.  They are made again, for only then it is known what comes next.
    """

    def __init__(self, place: Callable[[], Place], depth: int, skip: int) -> None:
        self._place = place
        self._depth = depth
        self._skip = skip
        self._before = 0  # outputs of the task before those in ``values``
        self._started = 0
        self._weighed = 0
        self._weight = 0
        self.values: list[Any] = []
        self._columns: list[list[int]] = [[] for _ in range(1 + depth)]
        self.append: Callable[[Any], None] = self.values.append
        self.notes: Sequence[Callable[[int], None]] = [column.append for column in self._columns]

    def begin(self, started: int) -> None:
        """Begin a part."""
        self._started, self._weighed, self._weight = started, 0, 0

    def keep(self, value: Any) -> Any:
        """Copy a value that its function may write into again."""
        return self._place().keep(value)

    def next_look(self) -> int:
        """Say after how many outputs to look at time and bytes again, which costs more than making a small output."""
        self.leave_out()
        count = len(self.values)
        if not self._depth or not count:
            return 1 if self._depth else PART_OUTPUTS
        new = self.values[self._weighed :]
        if not set(map(type, new)) <= WEIGHTLESS:
            self._weight += sum(map(size_of, new))
        self._weighed = count
        taken = clock() - self._started
        if count >= PART_OUTPUTS or self._weight >= PART_BYTES or taken >= PART_NANOS:
            return 0
        if taken > SMALL_NANOS * count or self._weight > SMALL_BYTES * count:
            return 1
        return min(LOOK_EVERY, PART_OUTPUTS - count)

    def leave_out(self) -> None:
        """Drop what was received before."""
        if self._skip:
            count = min(self._skip, len(self.values))
            self._skip -= count
            self._before += count
            for outputs in (self.values, *self._columns):
                del outputs[:count]

    def omit(self, outputs: int) -> None:
        """Take in that so many outputs, which were received before, are not made again."""
        self.leave_out()
        self._skip -= outputs
        self._before += outputs

    def made(self) -> int:
        """Count the outputs of the task so far, those included that were received before."""
        return self._before + len(self.values)

    def taken(self) -> tuple[list[Any], list[list[int]]]:
        """Give what came, and begin anew."""
        self.leave_out()
        self._before += len(self.values)
        values, columns = self.values[:], [column[:] for column in self._columns]
        for outputs in (self.values, *self._columns):
            outputs.clear()
        return values, columns


def size_of(value: Any) -> int:
    """Estimate what a value weighs: its arrays and strings."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return 16
