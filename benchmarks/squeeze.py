"""What ``compression="lz4"`` makes of samples of several kinds, and how slow a link must be for it to pay.

    python -m benchmarks.squeeze

Below "pays" compressing one frame takes less time than sending what it saves. Time is the processor's, of one thread: a
host compresses in one, and a trainer, for inputs, in the one that sees to all its workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flazy.transport.squeeze import expanded, squeezed

SIZE = 512
REPEATS = 5
NBYTES = 30_000_000  # that are compressed at a time


def samples() -> dict[str, Any]:
    """Make one of each kind."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    smooth = np.stack([128 + 90 * np.sin(x / 37 + c) * np.cos(y / 53 - c) for c in range(3)], -1)
    photo = np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for kind in range(20):
        column, row, radius = *rng.integers(0, SIZE, 2), rng.integers(10, 80)
        mask[(y - row) ** 2 + (x - column) ** 2 < radius**2] = kind
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
    return {
        "noise, uint8": rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        "a photograph, uint8 (smooth, two grey levels of noise)": photo,
        "the same as float32": photo / np.float32(255),
        "a drawing, uint8 (smooth, no noise)": smooth.astype(np.uint8),
        "a mask, uint8": mask,
        "a mask, int32": mask.astype(np.int32),
        "text": np.frombuffer(text, np.uint8),
        "numbers of words, int64": rng.zipf(1.3, 200_000).clip(0, 50_000),
    }


def seconds(call: Callable[[], object], nbytes: int) -> float:
    """Give the processor time of one call, the least of a few tries."""
    calls = max(1, NBYTES // nbytes)
    tries = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for _ in range(calls):
            call()
        tries.append((time.process_time() - begun) / calls)
    return min(tries)


def row(name: str, array: Any) -> str:
    """Measure one kind."""
    frames = [memoryview(np.ascontiguousarray(array)).cast("B")]
    small, sizes = squeezed(frames)
    there, back = seconds(lambda: squeezed(frames), array.nbytes), seconds(lambda: expanded(small, sizes), array.nbytes)
    left = len(small[0]) / array.nbytes
    pays = f"{(1 - left) * array.nbytes / there / 1e6:,.0f}" if left < 1 else "never"
    speeds = [f"{array.nbytes / time_s / 1e6:,.0f}" for time_s in (there, back)]
    return f"| {name} | {100 * left:.0f} | {speeds[0]} | {speeds[1] if left < 1 else ''} | {pays} |"


def main() -> None:
    print("| a sample of | % that are left | compressed (MB/s) | expanded (MB/s) | pays on links below (MB/s) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, array in samples().items():
        print(row(name, array), flush=True)


if __name__ == "__main__":
    main()
