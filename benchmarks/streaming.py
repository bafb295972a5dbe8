"""Samples a second, while it streams: the start is not in it (``startup`` is for that).

A pass is pulled in blocks. Of the first outputs the fingerprints are taken; then the stream runs free for a moment, so
that what was made ahead is gone; then the clock starts. Of every block the sum of its stamps is taken under the clock.
After it all is compared with a plain loop, and so are a few blocks in full. A pass that ends is followed by another,
until there is enough.

Nothing is compared before the clock stops, and the last output lives until the next has come, as it does in a loop over
batches: whether the allocator must ask the system for each batch anew depends on such things, and then a plain loop is
five times slower.
"""

from __future__ import annotations

import itertools
import math
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.effort import cpu_s
from benchmarks.workloads import Workload

WARM_S = 0.25
KEEP_EVERY = 64  # of the blocks of small samples; large ones are checked by their stamps and at the beginning
FULL = 4
IN_FULL = 4  # blocks: going to a later one takes a plain loop up to there


class WrongOutput(Exception):
    """A peer gave something else than the plain loop, or in another order."""


class Checked:
    """A pass, block by block: counts it, and checks it as far as that is cheap under the clock."""

    def __init__(self, work: Workload, outputs: Iterator[Any]) -> None:
        self.work = work
        self.outputs = outputs
        self.count = 0
        self.ended = False
        self.sums: list[tuple[int, float]] = [(0, 0.0)]
        self.block: list[Any] = []
        self.first: list[Any] = []
        self.kept: list[tuple[int, list[Any]]] = []

    def pull(self, size: int) -> list[Any]:
        """Take up to ``size`` outputs; the ones before live until then, as in any loop over batches."""
        self.block = block = list(itertools.islice(self.outputs, size))
        self.ended = len(block) < size
        if block:
            self.count += len(block)
            self.sums.append((self.count, self.work.sign(block)))
            if size > 1 and len(self.sums) % KEEP_EVERY == 0:
                self.kept.append((self.count - len(block), block))
        return block

    def check(self, *, to_the_end: bool = True) -> None:
        """Compare everything that was noted; the clock is off. A pass that ended must have been whole."""
        if self.ended and to_the_end and self.count != self.work.length():
            raise WrongOutput(f"{self.count} outputs, not {self.work.length()}")
        for (start, _), (stop, found) in itertools.pairwise(self.sums):
            expected = self.work.total(stop) - self.work.total(start)
            if not math.isclose(expected, found, abs_tol=1e-3, rel_tol=1e-6):
                raise WrongOutput(f"outputs {start} to {stop} sum to {found}, not {expected}")
        serial, at = self.work.serial(), 0
        in_full = [(start, list(map(fingerprint, block))) for start, block in self.kept]
        for start, prints in [(0, self.first), *in_full][:IN_FULL]:
            expected = list(map(fingerprint, itertools.islice(serial, start - at, start - at + len(prints))))
            at = start + len(prints)
            if prints != expected:
                raise WrongOutput(f"outputs {start} to {at} are not those of a plain loop")


class Unordered(Checked):
    """A pass whose outputs come in any order, each with its number; none may come twice."""

    def __init__(self, work: Workload, outputs: Iterator[Any]) -> None:
        super().__init__(work, outputs)
        self.signed: list[tuple[int, float]] = []

    def pull(self, size: int) -> list[Any]:
        """Take up to ``size`` outputs, and note the number and the stamps of each."""
        numbered = list(itertools.islice(self.outputs, size))
        self.block = [output for _, output in numbered]
        self.ended = len(numbered) < size
        self.count += len(numbered)
        self.signed += [(number, self.work.sign([output])) for number, output in numbered]
        return self.block

    def check(self, *, to_the_end: bool = True) -> None:
        """Compare each output with the one of its number."""
        numbers = {number for number, _ in self.signed}
        if len(numbers) != self.count:
            raise WrongOutput(f"{self.count - len(numbers)} outputs came twice")
        if self.ended and to_the_end and numbers != set(range(self.work.length())):
            raise WrongOutput(f"{self.count} outputs, not all of {self.work.length()}")
        for number, found in self.signed:
            expected = self.work.total(number + 1) - self.work.total(number)
            if not math.isclose(expected, found, abs_tol=1e-3, rel_tol=1e-6):
                raise WrongOutput(f"output {number} sums to {found}, not {expected}")
        for (number, _), seen in zip(self.signed, self.first, strict=False):
            if seen != fingerprint(self.work.output(number)):
                raise WrongOutput(f"output {number} is not that of a plain loop")


def measure(
    pipeline: Any,
    work: Workload,
    seconds: float,
    *,
    from_start: bool = False,
    checked_by: Callable[[Workload, Iterator[Any]], Checked] = Checked,
) -> tuple[dict[str, float], list[Checked]]:
    """Give the rate in samples a second and the time to the first output, and the passes, for the caller to drop.

    Dropping a pass may close it, which some peers take long for. What was made ahead when processor time is first
    looked at is about as much as is ahead at the end.
    """
    before, asked = (0, cpu_s()), time.perf_counter()
    outputs = iter(pipeline)
    done = checked_by(work, outputs)
    first = look(done)
    if from_start:
        count, taken = done.count, time.perf_counter() - asked
    else:
        before = done.count, cpu_s()
        run(done, WARM_S)
        count, taken = 0, 0.0
    checked = [done]
    while True:
        more, spent = run(done, math.inf if from_start else seconds - taken)
        count, taken = count + more, taken + spent
        if taken >= 0.9 * seconds or time.perf_counter() - asked > 4 * seconds + 10:
            break
        done = checked_by(work, iter(pipeline))
        checked.append(done)
        if not from_start:
            done.pull(1)
    cpu_ms = 1e3 * (cpu_s() - before[1]) / (sum(one.count for one in checked) - before[0])
    for one in checked:
        one.check(to_the_end=not from_start)
    rate = count * (work.batch or 1) / taken
    return {"rate": rate, "first_ms": 1e3 * (first - asked), "passes": len(checked), "cpu_ms": cpu_ms}, checked


def run(done: Checked, seconds: float) -> tuple[int, float]:
    """Pull for some time, or to the end of the pass; give how many outputs came, and in which time."""
    before, start = done.count, time.perf_counter()
    now = start
    while now - start < seconds and not done.ended:
        done.pull(done.work.block)
        now = time.perf_counter()
    return done.count - before, now - start


def look(done: Checked) -> float:
    """Take the first outputs, with their fingerprints; give the time when the very first came."""
    block = done.pull(1)
    came = time.perf_counter()
    for _ in range(max(done.work.block, FULL)):
        done.first += map(fingerprint, block)
        block = done.pull(1)
    return came


def fingerprint(output: Any) -> Any:
    """Give something small that is equal for equal outputs; arrays of any library are taken as numpy's."""
    if isinstance(output, dict):
        return {key: fingerprint(value) for key, value in output.items()}
    array = np.asarray(output)
    if array.ndim == 0:
        return array.item()
    return array.dtype.str, array.shape, zlib.crc32(np.ascontiguousarray(array))
