"""What a process and everything below it holds, as Linux tells it.

Private and file pages count where they are; shared memory is taken from the whole system, since pages that are under
way between two processes may be mapped by none. Others who use shared memory at the time are counted with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MB = 1e6


@dataclass(frozen=True, slots=True)
class Held:
    """Megabytes at one moment: in all, shared memory among them, the largest child's own, and each child's by itself.

    ``worker_mb`` is what only that child has, pages of shared memory among it; ``own_mb`` is without those.
    """

    total_mb: float
    shared_mb: float
    worker_mb: float
    own_mb: dict[int, float]


def now() -> Held:
    """Look at this process and all below it."""
    ours = sum(pages(os.getpid(), "Pss_Anon", "Pss_File"))
    children = {pid: pages(pid, "Pss_Anon", "Pss_File", "Private_Dirty") for pid in below(os.getpid())}
    shared = shared_in_all()
    theirs = sum(anonymous + file for anonymous, file, _ in children.values())
    largest = max((private for _, _, private in children.values()), default=0.0)
    own = {pid: anonymous for pid, (anonymous, _, _) in children.items()}
    return Held(ours + theirs + shared, shared, largest, own)


def peak(seen: list[Held], before: Held) -> dict[str, float]:
    """Give the largest of each figure, above what was there before."""
    return {
        "total_mb": max(held.total_mb for held in seen) - before.total_mb,
        "shared_mb": max(held.shared_mb for held in seen) - before.shared_mb,
        "worker_mb": max(held.worker_mb for held in seen),
    }


def growth(seen: list[Held], idle: Held) -> float:
    """Give by how much a child has grown at most, of those that were there when nothing ran."""
    grown = (held.own_mb.get(pid, 0.0) - at_rest for held in seen for pid, at_rest in idle.own_mb.items())
    return max(grown, default=0.0)


def below(pid: int) -> Iterator[int]:
    """Yield all children, theirs included; one that ends meanwhile has none."""
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = listed.read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from below(child)


def pages(pid: int, *kinds: str) -> list[float]:
    """Give megabytes of some kinds; nothing for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return [0.0] * len(kinds)
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in lines)}
    return [kilobytes[kind] * 1024 / MB for kind in kinds]


def shared_in_all() -> float:
    """Give the shared memory of the whole system, in megabytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("Shmem:"))
