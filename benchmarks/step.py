"""How long a training step of 20 ms waits for batches whose augmentation takes 30 ms of one core.

    python -m benchmarks.step                     # three runs of Flazy, PyTorch's DataLoader and a serial loop
    python -m benchmarks.step --ms 20 --burn 45   # a batch that two workers cannot make in time

The step needs no processor, and two workers make a batch in 15 ms at best, so the loop should hardly ever wait. A
batch is 32 samples, whose work is calibrated by this process's own processor time, right before each run. The share
is of the time since the first batch, and measured in the same way for all. Other programs on the machine count, so the
cores that they took just before are shown.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flazy import Dataset

SIZE = 32
WORKERS = 2
IMAGE = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)


def augment(number: int, rounds: int) -> Any:
    """Burn processor time, half of it in Python, half in numpy, and give an image."""
    image = IMAGE + number
    for _ in range(rounds):
        sum(i * i for i in range(400))
        image = np.sqrt(image * image + 1)
    return image


def calibrated(cpu_s: float) -> int:
    """Give the rounds of `augment` that take so much processor time."""
    for rounds in (50, 200):  # the first warms up
        start = time.process_time()
        augment(0, rounds)
        taken = time.process_time() - start
    return max(1, round(rounds * cpu_s / taken))


def serial(batches: int, rounds: int) -> Iterator[Any]:
    for first in range(0, batches * SIZE, SIZE):
        yield np.stack([augment(number, rounds) for number in range(first, first + SIZE)])


def flazy(batches: int, rounds: int) -> Iterable[Any]:
    fn = functools.partial(augment, rounds=rounds)
    return Dataset(range(batches * SIZE)).map(fn, workers=WORKERS).batch(SIZE)


def torch(batches: int, rounds: int) -> Iterable[Any]:
    data = importlib.import_module("torch.utils.data")
    return data.DataLoader(Samples(batches * SIZE, rounds), SIZE, num_workers=WORKERS)


class Samples:
    """A dataset as PyTorch has it."""

    def __init__(self, length: int, rounds: int) -> None:
        self.length = length
        self.rounds = rounds

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Any:
        return augment(number, self.rounds)


def waited(batches: Iterable[Any], step_s: float) -> tuple[float, float]:
    """Give the share of the time since the first batch that a loop waited, and the seconds for the first."""
    never = threading.Event()
    begun = time.perf_counter()
    running = iter(batches)
    next(running)
    first = time.perf_counter()
    waited_s = 0.0
    while True:
        never.wait(step_s)
        start = time.perf_counter()
        if next(running, None) is None:
            break
        waited_s += time.perf_counter() - start
    return waited_s / (start - first), first - begun


def taken_by_others(seconds: float = 1.0) -> float:
    """Give the cores that the machine is busy with while this program does nothing."""
    before = times()
    threading.Event().wait(seconds)
    idle, everything = (after - was for after, was in zip(times(), before, strict=True))
    return (os.cpu_count() or 1) * (1 - idle / everything)


def times() -> tuple[int, int]:
    """Give idle and all processor time of the machine, in ticks."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return ticks[3] + ticks[4], sum(ticks[:8])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=float, default=20.0, help="milliseconds that the loop takes a batch (20)")
    parser.add_argument("--burn", type=float, default=30.0, help="milliseconds of one core that a batch takes (30)")
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    pipelines: dict[str, Callable[[int, int], Iterable[Any]]] = {"flazy": flazy, "serial": serial}
    if importlib.util.find_spec("torch") is not None:
        pipelines["torch"] = torch
    print("run  who      waited  first batch  cores that others took just before")
    for run in range(1, given.runs + 1):
        for name, pipeline in pipelines.items():
            busy = taken_by_others()
            rounds = calibrated(given.burn / 1000 / SIZE)
            share, first_s = waited(pipeline(given.batches, rounds), given.ms / 1000)
            print(f"{run:<4} {name:<8} {share:5.1%}  {first_s:8.2f} s  {busy:.1f}", flush=True)
        rounds = calibrated(given.burn / 1000 / SIZE)
        print(f"     simulate_step({given.ms:g}): {flazy(given.batches, rounds).simulate_step(given.ms)}", flush=True)


if __name__ == "__main__":
    main()
