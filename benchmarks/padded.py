"""Padding spectrograms of different lengths to batches, against a loop of numpy: ``python -m benchmarks.padded``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from flazy import Dataset

SIZE, BATCHES, ROUNDS = 32, 30, 40


def by_hand(rows: list[np.ndarray], pad: float) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), SIZE):
        group = rows[start : start + SIZE]
        batch = np.full((SIZE, max(map(len, group)), 80), pad, np.float32)
        for number, row in enumerate(group):
            batch[number, : len(row)] = row
        yield batch


def seconds(batches: Callable[[], Iterable[np.ndarray]]) -> float:
    start = time.process_time()  # of this process alone: others may run beside it
    for _batch in batches():
        pass
    return time.process_time() - start


def measure(pad: float) -> float:
    """Give how much longer it takes: medians of rounds that take turns."""
    rng = np.random.default_rng(0)
    rows = [rng.random((int(length), 80), np.float32) for length in rng.integers(0, 1001, SIZE * BATCHES)]
    dataset = Dataset(rows).padded_batch(SIZE, pad)
    for expected, batch in zip(by_hand(rows, pad), dataset, strict=True):
        np.testing.assert_array_equal(expected, batch)
    taken = [(seconds(lambda: dataset), seconds(lambda: by_hand(rows, pad))) for _ in range(ROUNDS)]
    flazy, hand = map(statistics.median, zip(*taken, strict=True))
    return flazy / hand


if __name__ == "__main__":
    for pad in (0.0, -1.0):
        print(f"padded_batch({SIZE}, {pad}): {measure(pad):.2f} times a loop by hand")
