"""Whether anything grows: batches of images for many minutes, and what all processes hold meanwhile.

    make soak                 # an hour
    make soak MINUTES=10

Every batch is looked at. Every ten seconds there is a line: batches a second; megabytes of all processes (PSS) with
shared memory, and that alone; descriptors and threads of all of them; how much of the arena is in use. In the end
each of these is fitted with a line from the second minute on, and the program fails if one of them grows. Shared
memory is that of the whole system, so nothing else should use it at the time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks import memory
from benchmarks.peers import flazy_
from benchmarks.workloads import find

EVERY_S = 10.0
SETTLING_S = 60.0  # a fifth of the time, where that is less
# How much each may rise over the whole time: noise, and what an allocator keeps.
ALLOWED = {"total_mb": 30.0, "shared_mb": 30.0, "descriptors": 1.0, "threads": 1.0, "arena_mb": 80.0}


@dataclass(frozen=True, slots=True)
class Line:
    """What there is at one moment."""

    seconds: float
    batches_a_second: float
    total_mb: float
    shared_mb: float
    descriptors: float
    threads: float
    arena_mb: float


def entries(pid: int, folder: str) -> int:
    """Count the entries of a folder of a process; none of one that is gone."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/{folder}").iterdir())
    except OSError:
        return 0


def look(seconds: float, batches: int) -> Line:
    """Look at everything."""
    held = memory.now()
    pids = [os.getpid(), *memory.below(os.getpid())]
    descriptors, threads = (sum(entries(pid, folder) for pid in pids) for folder in ("fd", "task"))
    return Line(seconds, batches / EVERY_S, held.total_mb, held.shared_mb, descriptors, threads, flazy_.lent_mb())


def watched(seconds: float) -> Iterator[Line]:
    """Work through batches, pass after pass, and look up every now and then."""
    work = find("image_batch")
    start = time.monotonic()
    due, count = start + EVERY_S, 0
    for _ in itertools.count():
        for number, batch in enumerate(flazy_.pipeline(work)):
            if work.sign([batch]) != work.total(number + 1) - work.total(number):
                raise SystemExit(f"batch {number} is wrong")
            count += 1
            now = time.monotonic()
            if now >= due:
                yield look(now - start, count)
                due, count = due + EVERY_S, 0
            if now >= start + seconds:
                return


def growth(lines: list[Line]) -> dict[str, float]:
    """Give by how much a straight line through each figure rises from its beginning to its end."""
    if len(lines) < 3:
        return {}
    seconds = np.array([line.seconds for line in lines])
    span = seconds[-1] - seconds[0]
    return {name: float(np.polyfit(seconds, [getattr(line, name) for line in lines], 1)[0] * span) for name in ALLOWED}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    seconds = 60 * parser.parse_args().minutes
    print("".join(f"{field.name.replace('_', ' '):>18}" for field in fields(Line)))
    lines = []
    for line in watched(seconds):
        lines.append(line)
        print("".join(f"{value:18,.1f}" for value in astuple(line)), flush=True)
    settled = [line for line in lines if line.seconds > min(SETTLING_S, seconds / 5)]
    grown = growth(settled)
    bad = [name for name, by in grown.items() if by > ALLOWED[name]]
    print(f"{seconds / 60:.0f} minutes, growth: {', '.join(f'{name} {by:+.1f}' for name, by in grown.items())}")
    sys.exit(f"grows: {', '.join(bad)}" if bad else None if grown else "too short to tell")


if __name__ == "__main__":
    main()
