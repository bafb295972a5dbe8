"""Actors of Ray: Flazy's stage against Ray Data's, on one local cluster of two CPUs, taking turns.

    python -m benchmarks.on_ray               # needs pip install 'ray[data]'
    python -m benchmarks.on_ray --rounds 7

    ints     x + 1 over 200,000 ints, taken one by one; Ray Data row by row, and as a sum of numpy batches
    images   uint8 (224, 224, 3), 150 kB, made cheaply, 2,000 of them, taken one by one
    batches  the same in batches of 32
    to it    arrays of 150 kB that lie in the program, 600 of them, to the workers and back

All keep the order. Each pass is timed from its first sample asked for to its last, after one that is not timed and
starts the workers; medians in µs a sample, and the spread. Every sum is checked.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from flazy import Dataset, Ray, shutdown

INTS = 200_000
IMAGES = 1_984  # whole batches of 32
ARRAYS = 600
WORKERS = 2
IMAGE = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
BLOCKS = 16


def add_one(x: int) -> int:
    return x + 1


def image(x: int) -> Any:
    made = IMAGE.copy()
    made[0, 0, 0] = x % 7
    return made


def invert(array: Any) -> Any:
    return 255 - array


# What is done, of so many samples: gives a sum that tells whether all came ------------------------------


def flazy_ints(n: int) -> int:
    return sum(Dataset(range(n)).map(add_one, workers=Ray(WORKERS)))


def flazy_images(n: int) -> int:
    return sum(int(made[0, 0, 0]) for made in Dataset(range(n)).map(image, workers=Ray(WORKERS)))


def flazy_batches(n: int) -> int:
    data = Dataset(range(n)).map(image, workers=Ray(WORKERS)).batch(32)
    return sum(int(batch[:, 0, 0, 0].sum()) for batch in data)


def flazy_arrays(n: int) -> int:
    return sum(int(made[0, 0, 0]) for made in Dataset(stored(n)).map(invert, workers=Ray(WORKERS)))


def data_ints(n: int) -> int:
    return sum(row["x"] for row in ray.data.range(n, override_num_blocks=BLOCKS).map(row_of_int).iter_rows())


def data_ints_batched(n: int) -> int:
    data = ray.data.range(n, override_num_blocks=BLOCKS).map_batches(batch_of_ints)
    return sum(int(batch["x"].sum()) for batch in data.iter_batches(batch_size=4096, batch_format="numpy"))


def data_images(n: int) -> int:
    data = ray.data.range(n, override_num_blocks=BLOCKS).map(row_of_image)
    return sum(int(row["x"][0, 0, 0]) for row in data.iter_rows())


def data_batches(n: int) -> int:
    data = ray.data.range(n, override_num_blocks=BLOCKS).map(row_of_image)
    batches = data.iter_batches(batch_size=32, batch_format="numpy")
    return sum(int(batch["x"][:, 0, 0, 0].sum()) for batch in batches)


def data_arrays(n: int) -> int:
    data = ray.data.from_numpy(np.array_split(stored(n), BLOCKS)).map(row_inverted)
    return sum(int(row["data"][0, 0, 0]) for row in data.iter_rows())


def row_of_int(row: dict[str, Any]) -> dict[str, Any]:
    return {"x": add_one(row["id"])}


def batch_of_ints(batch: dict[str, Any]) -> dict[str, Any]:
    return {"x": batch["id"] + 1}


def row_of_image(row: dict[str, Any]) -> dict[str, Any]:
    return {"x": image(row["id"])}


def row_inverted(row: dict[str, Any]) -> dict[str, Any]:
    return {"data": invert(row["data"])}


_stored = np.stack([image(x) for x in range(ARRAYS)])


def stored(n: int) -> Any:
    return _stored[:n]


# The rows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One workload: each side gives the same sum."""

    name: str
    samples: int
    total: int
    sides: dict[str, Callable[[int], int]]


def rows() -> list[Row]:
    stamps = sum(x % 7 for x in range(IMAGES))
    return [
        Row("ints", INTS, INTS * (INTS + 1) // 2,
            {"Flazy": flazy_ints, "Ray Data, rows": data_ints, "Ray Data, batches": data_ints_batched}),
        Row("images", IMAGES, stamps, {"Flazy": flazy_images, "Ray Data": data_images}),
        Row("batches", IMAGES, stamps, {"Flazy": flazy_batches, "Ray Data": data_batches}),
        Row("to it", ARRAYS, sum(255 - x % 7 for x in range(ARRAYS)), {"Flazy": flazy_arrays, "Ray Data": data_arrays}),
    ]  # fmt: skip


def micros(row: Row, side: Callable[[int], int]) -> float:
    """Time one pass, after another; actors that wait would keep the CPUs from the other side, so they end here."""
    side(row.samples)
    started = time.perf_counter()
    total = side(row.samples)
    taken = time.perf_counter() - started
    shutdown()
    if total != row.total:
        raise SystemExit(f"{row.name}: {total} in the place of {row.total}")
    return taken / row.samples * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each side has its turn (5)")
    given = parser.parse_args()
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(given.rounds):
        for row in rows():
            for name, side in row.sides.items():
                taken.setdefault((row.name, name), []).append(micros(row, side))
    for (row_name, name), times in taken.items():
        spread = f"{min(times):,.2f} to {max(times):,.2f}"
        print(f"{row_name:10}{name:20}{statistics.median(times):12,.2f} µs a sample   ({spread})")
    ray.shutdown()


if __name__ == "__main__":
    main()
