"""What does not stream: starting, overlapping with a consumer that takes its time, memory, and the limits."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks import chain, memory
from benchmarks.workloads import find

Keep = Callable[[Any], Any]  # takes what is to be closed at the end, and gives it back

BATCHES = 60
CLOSURE_FLOATS = 62_500_000


def startup(peer: Any, keep: Keep, workers: int = 2) -> dict[str, float]:
    """Time from building to the first sample: in a fresh process, once more on the same pipeline, and on another."""
    work = find("startup")
    cold_ms, pipeline = first_sample(lambda: keep(peer.pipeline(work, workers)))
    second_ms, _ = first_sample(lambda: pipeline)
    warm_ms, _ = first_sample(lambda: keep(peer.pipeline(work, workers)))
    return {"cold_ms": cold_ms, "second_ms": second_ms, "warm_ms": warm_ms}


def first_sample(build: Callable[[], Iterable[Any]]) -> tuple[float, Any]:
    """Give milliseconds to the first sample, and the pipeline, whose pass has come to its end."""
    start = time.perf_counter()
    pipeline = build()
    outputs = iter(pipeline)
    first = next(outputs)
    taken = 1e3 * (time.perf_counter() - start)
    expected = [*find("startup").serial()]
    if [first, *outputs] != expected:
        raise ValueError(f"a pass did not give {expected}")
    return taken, pipeline


def overlap(peer: Any, keep: Keep) -> dict[str, float]:
    """Time a producer alone, then with a consumer that sleeps: together they should take as long as the slower."""
    pipeline = keep(peer.pipeline(find("overlap"), 2))
    producer_s, _ = consume(iter(pipeline), 0.0)
    total_s, slept_s = consume(iter(pipeline), 0.02)
    return {
        "ratio": total_s / max(producer_s, slept_s),
        "total_s": total_s,
        "producer_s": producer_s,
        "consumer_s": slept_s,
    }


def consume(outputs: Iterator[Any], sleep_s: float) -> tuple[float, float]:
    """Take a whole pass; give its time from the first output on, and how much of that was slept."""
    next(outputs)
    start, slept = time.perf_counter(), 0.0
    for _ in outputs:
        if sleep_s:
            before = time.perf_counter()
            time.sleep(sleep_s)
            slept += time.perf_counter() - before
    return time.perf_counter() - start, slept


def held_by_batches(peer: Any, keep: Keep) -> dict[str, float]:
    """Look at the memory of all processes while the consumer takes 30 ms a batch; looking is part of that time.

    One that can start its workers before (``warm_up``) and tell what it has lent (``lent_mb``) is asked for that too.
    """
    work = find("image_batch")
    before = memory.now()
    tells = hasattr(peer, "lent_mb")
    if tells:
        peer.warm_up()
    idle = memory.now()
    seen, lent = [], []
    for batch in itertools.islice(iter(keep(peer.pipeline(work))), BATCHES):
        start = time.perf_counter()
        seen.append(memory.now())
        if tells:
            lent.append(peer.lent_mb() * memory.MB / batch.nbytes)
        time.sleep(max(0.0, 0.03 - (time.perf_counter() - start)))
    told = {"arena_batches": max(lent), "growth_mb": memory.growth(seen, idle)} if tells else {}
    return memory.peak(seen, before) | told


def held_by_closure(peer: Any, keep: Keep) -> dict[str, float]:
    """Look at the memory of all processes while a function that holds a large array runs in four workers."""
    array = np.ones(CLOSURE_FLOATS)
    before = memory.now()
    seen = []
    for number, value in enumerate(keep(peer.big_closure(array, 4))):
        if value != 1.0:
            raise ValueError(f"{value} came out of an array of ones")
        if number % 100 == 0:
            seen.append(memory.now())
    return memory.peak([*seen, memory.now()], before)


MEASURES: dict[str, Callable[[Any, Keep], dict[str, float]]] = {
    "startup": startup,
    "startup_16": lambda peer, keep: startup(peer, keep, 16),
    "overlap": overlap,
    "memory": held_by_batches,
    "big_closure": held_by_closure,
    "chain": lambda peer, _: chain.measure(peer.chain),
    "limits": lambda peer, _: peer.limits(),
}
