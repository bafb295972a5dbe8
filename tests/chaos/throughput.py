"""What kills cost: the rate of a pipeline under fire beside the same undisturbed, and the time to recover from one.

    python -m tests.chaos.throughput                      # 60 s of a kill every 100-400 ms, 4 workers
    python -m tests.chaos.throughput --seconds 20 --seed 3

Undisturbed stretches are measured before, between and after those under fire, since machines that are shared drift.
Everything that comes is compared with the run without workers.  Fails where it differs, where a sample is blamed,
where less than half the rate is left, or where the rate is not back within 2 s of a single kill.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import signal
import statistics
import sys
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import flazy
from flazy import Dataset
from tests.chaos import work
from tests.chaos.faults import Faults, Mix, living_workers

WORKERS = 4
FIRE = Mix(kill=1, every=(0.1, 0.4))
LEAST_RATIO, LONGEST_S = 0.5, 2.0
STRETCHES = 3  # under fire
BIN_S = 0.1  # of the timeline
SMOOTH = 3  # bins whose mean counts as the rate: batches of results come in bursts
SETTLING_S = 1.0
SEEN_S = 1.0  # a rate that falls later than this after a kill falls for another reason


@dataclass
class Measured:
    """One stretch: when each sample came, and what the run told."""

    seconds: float
    times: list[float]
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Samples a second."""
        return len(self.times) / self.seconds


def stretch(seconds: float, seed: str = "", kill_at: float | None = None) -> Measured:
    """Run for a while, from when the first sample is there; under fire with a seed, or with one kill."""
    faults = Faults(seed, FIRE if seed else Mix(kill=1, every=(1e6, 1e6)))
    with Dataset(itertools.count).map(work.steady, workers=WORKERS).open() as run:
        settled = time.monotonic() + SETTLING_S
        values: list[Any] = []
        for value in run:
            values.append(value)
            if time.monotonic() > settled:
                break
        with faults:
            start, times = time.monotonic(), []
            for value in run:
                values.append(value)
                times.append(time.monotonic() - start)
                if kill_at is not None and times[-1] > kill_at:
                    random.Random(seed).choice(living_workers()).send_signal(signal.SIGKILL)
                    kill_at = None
                if times[-1] > seconds:
                    break
        (stats,) = run.stats().segments
    if values != [2 * x for x in range(len(values))]:
        raise SystemExit("what came is not what comes without workers")
    figures = Counter({"killed": faults.counts["kill"], "lost": stats.lost_workers, "sent again": stats.redispatched})
    return Measured(times[-1], times, figures + Counter({"dropped": stats.dropped}))


def rates(times: list[float], seconds: float) -> list[float]:
    """Give the samples a second in each bin."""
    edges = [bisect_left(times, BIN_S * at) for at in range(int(seconds / BIN_S) + 1)]
    return [(after - before) / BIN_S for before, after in itertools.pairwise(edges)]


def recovery(seconds: float, kill_at: float) -> tuple[float, float, list[float]]:
    """Kill one worker; give how long until the rate is back at 90 % of its median, that median, and the timeline.

    Nothing where it did not fall below that.
    """
    measured = stretch(seconds, kill_at=kill_at)
    line = rates(measured.times, seconds)
    killed = int(kill_at / BIN_S)
    median = statistics.median(line[:killed])
    low = False
    for at in range(killed, len(line) - SMOOTH):
        rate = statistics.fmean(line[at : at + SMOOTH])
        low = low or (rate < 0.9 * median and at < killed + SEEN_S / BIN_S)
        if low and rate >= 0.9 * median:
            return (at - killed) * BIN_S, median, line
    return (seconds - kill_at if low else 0.0), median, line


def under_fire(seconds: float, seed: int) -> float:
    """Measure in turns; give the ratio of the medians."""
    calm, fire = [stretch(seconds / STRETCHES / 2)], []
    for number in range(STRETCHES):
        fire.append(stretch(seconds / STRETCHES, f"{seed} {number}"))
        calm.append(stretch(seconds / STRETCHES / 2))
        print(f"  undisturbed {calm[-2].rate:8,.0f}/s   under fire {fire[-1].rate:8,.0f}/s   {dict(fire[-1].figures)}")
    total = sum((measured.figures for measured in fire), Counter())
    usual = statistics.fmean(measured.rate for measured in calm)
    rate = sum(len(measured.times) for measured in fire) / sum(measured.seconds for measured in fire)
    print(f"undisturbed {usual:,.0f} samples a second, under fire {rate:,.0f}: {rate / usual:.0%}")
    lasted = sum(measured.seconds for measured in fire)
    print(f"{lasted:.0f} s under fire: {total['killed']} kills, {total['lost']} workers lost, ", end="")
    print(f"{total['sent again']} tasks sent again, {total['dropped']} results dropped, 0 samples blamed; ", end="")
    print("equal to the run without workers")
    return rate / usual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="under fire")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("flazy").setLevel(logging.ERROR)
    ratio = under_fire(given.seconds, given.seed)
    recovered = [recovery(8.0, 3.0) for _ in range(5)]
    seconds, median, line = sorted(recovered, key=lambda one: one[0])[len(recovered) // 2]
    print(f"a single kill, samples a second per {BIN_S:g} s, from 1 s before it (median before: {median:,.0f}):")
    print("  " + " ".join(f"{rate:.0f}" for rate in line[20:50]))
    each = ", ".join(f"{one[0]:.1f}" for one in recovered)
    print(f"back at 90 % of the median within {seconds:.1f} s (median of {each})")
    flazy.shutdown()
    bad = [f"{ratio:.0%} of the rate is left"] if ratio < LEAST_RATIO else []
    bad += [f"the rate is not back within {LONGEST_S:g} s"] if seconds > LONGEST_S else []
    sys.exit("; ".join(bad) or None)


if __name__ == "__main__":
    main()
