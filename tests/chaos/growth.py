"""Whether anything grows while workers are killed now and then: batches of images, each looked at.

    python -m tests.chaos.growth --seconds 90

``make soak`` does the same without kills for an hour.  Here the number of processes is never quite the same, so what is
looked at is the caller's and the zygote's own, and shared memory; compared are the medians of the first third of the
looks, once everything is there, and of the last.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import statistics
import sys
import time
from collections.abc import Iterator

import flazy
from benchmarks import memory
from benchmarks.peers import flazy_
from benchmarks.soak import entries
from benchmarks.workloads import find
from tests.chaos.faults import Faults, Mix, the_zygote

EVERY_S = 1.0
SETTLING = 0.2  # of the time
MIX = Mix(kill=10, stop=3, stop_long=1, every=(0.3, 1.5))  # zygotes are left alone, for their descriptors are counted
# How much each may rise: what allocators keep, and workers that are being replaced at the time.
ALLOWED = {
    "caller_mb": 12.0, "shared_mb": 60.0, "descriptors": 12.0, "threads": 1.0, "zygote_descriptors": 3.0,
    "arena_mb": 60.0,
}  # fmt: skip


def look() -> dict[str, float]:
    """Look at everything."""
    zygote = the_zygote()
    return {
        "caller_mb": memory.pages(os.getpid(), "Pss_Anon")[0],
        "shared_mb": memory.shared_in_all(),
        "descriptors": entries(os.getpid(), "fd"),
        "threads": entries(os.getpid(), "task"),
        "zygote_descriptors": entries(zygote.pid, "fd") if zygote is not None else 0,
        "arena_mb": flazy_.lent_mb(),
    }


def watched(seconds: float) -> Iterator[dict[str, float]]:
    """Work through batches, pass after pass, and look up every now and then."""
    work = find("image_batch")
    start = time.monotonic()
    due = start + EVERY_S
    for _ in itertools.count():
        for number, batch in enumerate(flazy_.pipeline(work)):
            if work.sign([batch]) != work.total(number + 1) - work.total(number):
                raise SystemExit(f"batch {number} is wrong")
            now = time.monotonic()
            if now >= due:
                yield look()
                due = now + EVERY_S
            if now >= start + seconds:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("flazy").setLevel(logging.ERROR)
    with Faults(given.seed, MIX) as faults:
        looks = list(watched(given.seconds))
    flazy.shutdown()
    looks = looks[int(SETTLING * len(looks)) :]
    third = len(looks) // 3
    if third < 5:
        sys.exit("too short to tell")
    bad = []
    for name, allowed in ALLOWED.items():
        before, after = (statistics.median(seen[name] for seen in part) for part in (looks[:third], looks[-third:]))
        print(f"{name.replace('_', ' '):>20} {before:8.1f} -> {after:8.1f}   (may rise by {allowed:g})")
        bad += [name] if after - before > allowed else []
    print(f"{given.seconds:.0f} s, {sum(faults.counts.values())} faults ({dict(faults.counts)}), every batch right")
    sys.exit(f"grows: {', '.join(bad)}" if bad else None)


if __name__ == "__main__":
    main()
