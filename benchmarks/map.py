"""What a map costs: serial against a hand-written generator, and parallel against the serial loop.

    python -m benchmarks.map
    python -m benchmarks.map --rounds 9 --workers 4

The two sides of each pair take turns; medians and their ratio are printed. (`chain` has the first as a cell.)

    serial     map, filter, map over a million ints, against a generator that calls the same functions
    cpu        about 5 ms of Python a sample, against a plain loop; from the first sample asked for to the last
    bare       the same in plain processes that exchange nothing: what this machine allows at this moment
    tiny       x + 1 over 300,000 ints in workers, against a plain loop: what messages cost
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable

from benchmarks.chain import SAMPLES, add, by_hand, double, keep
from flazy import Dataset, shutdown

SLOW_SAMPLES = 1_000


def work(x: int) -> int:
    """Burn about 5 ms."""
    total = 0
    for i in range(125_000):
        total += i * i
    return x


def work_through(samples: int) -> None:
    for sample in range(samples):
        work(sample)


def bare(workers: int) -> None:
    """Do the work in processes of which each knows its share from the start."""
    share = multiprocessing.get_context("fork")
    processes = [share.Process(target=work_through, args=(SLOW_SAMPLES // workers,)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def count(samples: object) -> int:
    return sum(1 for _ in samples)  # type: ignore[attr-defined]


def pairs(workers: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Give, for each name, what Flazy does and what it is held against."""
    chain = Dataset(range(SAMPLES)).map(add).filter(keep).map(double)
    busy = Dataset(range(SLOW_SAMPLES)).map(work, workers=workers)
    tiny = Dataset(range(300_000)).map(add, workers=workers)
    return {
        "serial": (lambda: count(chain), lambda: count(by_hand(range(SAMPLES)))),
        "cpu": (lambda: count(busy), lambda: count(map(work, range(SLOW_SAMPLES)))),
        "bare": (lambda: bare(workers), lambda: work_through(SLOW_SAMPLES)),
        "tiny": (lambda: count(tiny), lambda: count(map(add, range(300_000)))),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("names", nargs="*", help="which pairs; all by default")
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {given.workers} workers, medians of {given.rounds} interleaved rounds")
    print(f"{'':8}{'flazy':>10}{'against':>10}{'ratio':>8}")
    for name, (ours, theirs) in pairs(given.workers).items():
        if given.names and name not in given.names:
            continue
        times = [(seconds(ours), seconds(theirs)) for _ in range(given.rounds)]
        mine, other = (statistics.median(column) for column in zip(*times, strict=True))
        note = f"{other / mine:.2f} times as fast" if name != "serial" else f"{mine / other:.2f} times the time"
        print(f"{name:8}{mine:9.3f}s{other:9.3f}s  {note}")
    shutdown()


if __name__ == "__main__":
    main()
