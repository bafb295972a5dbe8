"""Whether anything grows, and how large a sample may be: runs of minutes, with figures.

    python -m tests.chaos.resources tiny [SAMPLES]      # ten million
    python -m tests.chaos.resources cycles [CYCLES]     # ten thousand
    python -m tests.chaos.resources flow [SECONDS]      # 60
    python -m tests.chaos.resources large [BYTES …]     # from 2**31 - 1 to 2**32 + 1; needs five times that in memory

Without a word, all of them. Each prints its figures, and the program fails if one of them is not what it must be. The
functions are used by the suite too, with smaller numbers.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psutil

import flazy
from flazy import Dataset, Processes
from flazy.errors import UnserializableSample
from tests import leaks

MEGA = 1e6
SLOPE_MB = 1.0  # a million samples
DRIFT_MB = 5.0  # over all cycles
AHEAD_MB = 1.2 * 64  # of a window of 64
SIZES = (2**31 - 1, 2**31, 2**31 + 10, 2**32 + 1)


# What there is -----------------------------------------------------------------------------------------


def held_mb() -> float:
    """Give what this process and all below it hold; a page that several look at is counted once (PSS)."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / MEGA


def peak_mb(pid: int | str = "self") -> float:
    """Give the most that a process has ever held."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / MEGA


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds beside memory, and its RSS."""

    descriptors: int
    threads: int
    processes: int
    zombies: int
    files: int
    rss_mb: float


COUNTS = ("descriptors", "threads", "processes", "zombies", "files")


def held() -> Held:
    """Count everything."""
    me = psutil.Process()
    states = [child.status() for child in me.children(recursive=True)]
    folders = pathlib.Path(tempfile.gettempdir()).glob("flazy-*")
    return Held(
        me.num_fds(), me.num_threads(), len(states), states.count(psutil.STATUS_ZOMBIE),
        sum(1 for folder in folders for _ in folder.iterdir()), me.memory_info().rss / MEGA,
    )  # fmt: skip


# Ten million samples -----------------------------------------------------------------------------------


def twice(x: int) -> int:
    return 2 * x


def tiny(samples: int, *, ranged: bool) -> tuple[bool, float, list[float]]:
    """Stream small ints through two workers: whether each came once, MB a million samples, and memory on the way.

    A range travels as three numbers, so that its samples are not looked at one by one; a generator's are.
    """
    source = range(samples) if ranged else (lambda: iter(itertools.islice(itertools.count(), samples)))
    seen, every, right, count = [], max(samples // 20, 1), True, 0
    with Dataset(source).map(twice, workers=2).open() as run:
        for count, value in enumerate(run, 1):
            right = right and value == 2 * (count - 1)
            if count % every == 0:
                seen.append(held_mb())
    later = seen[len(seen) // 4 :]
    slope = float(np.polyfit(np.arange(len(later)) * every / MEGA, later, 1)[0]) if len(later) > 1 else 0.0
    return right and count == samples, slope, seen


def run_tiny(samples: int) -> bool:
    fine = True
    for ranged in (True, False):
        started = time.monotonic()
        exact, slope, seen = tiny(samples, ranged=ranged)
        seconds = time.monotonic() - started
        print(
            f"{samples:,} ints of a {'range' if ranged else 'generator'}: "
            f"{'each once, in order' if exact else 'WRONG'}, {seconds:.1f} s, "
            f"PSS {seen[0]:.1f} to {seen[-1]:.1f} MB (most {max(seen):.1f}), {slope:+.3f} MB a million",
            flush=True,
        )
        fine = fine and exact and slope < SLOPE_MB
        flazy.shutdown()
    return fine


# Ten thousand cycles -----------------------------------------------------------------------------------


def cycles(count: int, *, cold: bool = False) -> Iterator[Held]:
    """Open, take three, close, again and again; ``cold``: with new workers each time."""
    ds = Dataset(range(1000)).map(twice, workers=2)
    for _ in range(count):
        with ds.open() as run:
            assert [0, 2, 4] == list(itertools.islice(run, 3))
        if cold:
            flazy.shutdown()
        yield held()


def settled() -> Held:
    """End everything of ours, and count what is left when it has ended."""
    flazy.shutdown()
    leaks.settle(leaks.take(), within_s=0.1)
    return held()


def run_cycles(count: int) -> bool:
    fine = True
    for cold, number in ((False, count), (True, count // 20)):
        list(cycles(min(100, number), cold=cold))
        before, started = settled(), time.monotonic()
        seen = list(cycles(number, cold=cold))
        seconds = time.monotonic() - started
        after = settled()
        tenth = max(number // 10, 1)
        first, last = (max(seen[part], key=lambda each: each.rss_mb) for part in (slice(tenth), slice(-tenth, None)))
        most = [max(getattr(each, name) for each in seen) for name in COUNTS]
        print(
            f"{number:,} {'cold' if cold else 'warm'} cycles, {seconds:.1f} s\n  before {before}\n  after  {after}\n"
            f"  most {', '.join(COUNTS)}: {most}; "
            f"RSS at most {first.rss_mb:.1f} MB in the first tenth, {last.rss_mb:.1f} in the last",
            flush=True,
        )
        fine = fine and all(getattr(before, name) >= getattr(after, name) for name in COUNTS)
        fine = fine and last.rss_mb - first.rss_mb < DRIFT_MB
    return fine


# A consumer that sleeps --------------------------------------------------------------------------------

WINDOW_MB = 64


def asleep(seconds: float) -> tuple[bool, int, float]:
    """Sleep while workers could make arrays of a megabyte: whether all came, how many were read, MB that were held."""
    pulled = itertools.count()

    def source() -> Iterator[np.ndarray]:
        for x in range(300):
            next(pulled)
            yield np.full(125_000, x, np.float64)

    with Dataset(source).map(abs, workers=Processes(2, window=f"{WINDOW_MB}MB")).open() as run:
        first = float(next(run)[0])
        before = held_mb()
        threading.Event().wait(seconds)  # the sleep is what is tried
        ahead, grown = next(pulled), held_mb() - before
        values = [first, *(float(array.max()) for array in run)]
        stats = run.stats().segments[0]
    return values == list(range(300)) and not stats.lost_workers and not stats.redispatched, ahead, grown


def run_flow(seconds: int) -> bool:
    fine, ahead, grown = asleep(seconds)
    print(
        f"a consumer that sleeps {seconds} s with a window of {WINDOW_MB} MB: "
        f"{'all came, no worker was lost' if fine else 'WRONG'}; {ahead} MB were read, {grown:.1f} MB more were held",
        flush=True,
    )
    flazy.shutdown()
    return fine and ahead <= AHEAD_MB and grown <= AHEAD_MB


# Samples of some gigabytes -----------------------------------------------------------------------------

NEEDS = {"bytes": 5.2, "array": 3.5}  # of its size, in trainer and worker together


def large_sample(kind: str, size: int) -> bytes | np.ndarray:
    """Make a sample whose ends can be told from anything that was cut."""
    if kind == "bytes":
        return b"ab" + bytes(size - 4) + b"yz"
    array = np.zeros(size, np.uint8)
    array[:2], array[-2:] = (97, 98), (121, 122)
    return array


def is_whole(sample: bytes | np.ndarray, size: int) -> bool:
    return len(sample) == size and bytes(sample[:2]) == b"ab" and bytes(sample[-2:]) == b"yz"


def large(kind: str, size: int, way: str) -> str:
    """Send one sample out of a worker, or into one, and say what became of it."""
    if way == "out":
        ds = Dataset([size]).map(lambda size: large_sample(kind, size), workers=1)
    else:
        ds = Dataset(lambda: iter([large_sample(kind, size)])).map(lambda sample: is_whole(sample, size), workers=1)
    try:
        (got,) = ds
    except UnserializableSample as error:
        return f"refused: {str(error)[:200]}"
    whole = is_whole(got, size) if way == "out" else got
    return "equal" if whole else "CUT"


def one_large(kind: str, size: int, way: str) -> None:
    """Print one line; in a process of its own, since its peak is told."""
    started = time.monotonic()
    said = large(kind, size, way)
    peaks = [peak_mb(), *(peak_mb(child.pid) for child in psutil.Process().children(recursive=True))]
    print(f"{said}; {time.monotonic() - started:.1f} s, peak RSS {peaks[0]:,.0f} MB, of a worker {max(peaks[1:]):,.0f}")


def run_large(sizes: tuple[int, ...]) -> bool:
    fine = True
    for size, kind, way in itertools.product(sizes, NEEDS, ("out", "in")):
        name = f"{size:,} bytes as {kind}, {way} of a worker".replace("in of", "into")
        available = psutil.virtual_memory().available
        if available < NEEDS[kind] * size:
            print(f"{name}: left out, {available / 1e9:.0f} GB of memory are too few", flush=True)
            continue
        code = f"from tests.chaos.resources import one_large; one_large({kind!r}, {size}, {way!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        print(f"{name}: {done.stdout.strip() or done.stderr.strip()[-600:]}", flush=True)
        fine = fine and done.returncode == 0 and done.stdout.startswith(("equal", "refused"))
    return fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["tiny", "cycles", "flow", "large", "all"], default="all")
    parser.add_argument("numbers", nargs="*", type=int)
    given = parser.parse_args()
    fine = True
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        if given.what in {"tiny", "all"}:
            fine &= run_tiny(*given.numbers or [10_000_000])
        if given.what in {"cycles", "all"}:
            fine &= run_cycles(*given.numbers or [10_000])
        if given.what in {"flow", "all"}:
            fine &= run_flow(*given.numbers or [60])
        if given.what in {"large", "all"}:
            fine &= run_large(tuple(given.numbers) or SIZES)
    sys.exit(None if fine else "something is not as it must be: see above")


if __name__ == "__main__":
    main()
