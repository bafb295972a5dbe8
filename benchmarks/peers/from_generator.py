"""What a user of TensorFlow writes by hand: ``from_generator`` over Flazy's own loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from benchmarks.peers import flazy_
from benchmarks.peers.tf_data import Passes
from benchmarks.workloads import Workload


def pipeline(work: Workload, workers: int = 2) -> Passes:
    data = flazy_.pipeline(work, workers)

    def generate() -> Iterator[Any]:
        yield from data

    first = data.first()
    return Passes(tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec(first.shape, first.dtype)))
