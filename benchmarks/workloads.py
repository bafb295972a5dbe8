"""The workloads: a source, a function, and how an output is checked; the same for every peer.

A workload goes to a worker by its name, so none pays for pickling a source that it does not send on purpose.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

IMAGE = np.random.default_rng(0).random((3, 224, 224), dtype=np.float32)
ROW = np.zeros(128, np.float32)
MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
PHOTOS = 61  # no divisor of a batch, so that neighbouring batches differ


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """One workload.

    Parameters
    ----------
    source, fn
        What goes in, and what is done to each sample.
    batch
        Samples in a batch; 0: item by item.
    keep, flat
        A filter before ``fn``, and whether ``fn`` gives several outputs.
    stack
        Makes a batch of samples.
    outputs
        How many a pass gives, where that is not plain.
    block
        Outputs that the consumer takes between two looks at the clock.
    sign, total
        The sum of the stamps of a block of outputs, and of the first ``n`` outputs: every block is checked so.
    """

    name: str
    source: Sequence[Any]
    fn: Callable[[Any], Any]
    sign: Callable[[list[Any]], float]
    total: Callable[[int], float]
    batch: int = 0
    block: int = 1
    keep: Callable[[Any], bool] | None = None
    flat: bool = False
    stack: Callable[[list[Any]], Any] = np.stack
    outputs: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a name."""
        return find, (self.name,)

    def make(self, samples: Sequence[Any]) -> list[Any]:
        """Give the outputs of some samples, as a worker does it; a last batch that is not full is dropped."""
        if self.batch:
            ends = range(self.batch, len(samples) + 1, self.batch)
            return [self.stack(list(map(self.fn, samples[end - self.batch : end]))) for end in ends]
        outputs = list(map(self.fn, samples if self.keep is None else filter(self.keep, samples)))
        return list(itertools.chain.from_iterable(outputs)) if self.flat else outputs

    def make_one(self, samples: Sequence[Any]) -> Any:
        """Give the only output of some samples."""
        return self.make(samples)[0]

    def pieces(self, size: int = 1) -> int:
        """Count the pieces: so many samples or full batches each, and the last what is left."""
        return -(-(len(self.source) // (self.batch or 1)) // size)

    def samples(self, number: int, size: int = 1) -> Sequence[Any]:
        """Give the source samples of one piece."""
        size *= self.batch or 1
        return self.source[number * size : (number + 1) * size]

    def all_samples(self, size: int = 1) -> Iterator[Sequence[Any]]:
        """Give the source samples of each piece."""
        return (self.samples(number, size) for number in range(self.pieces(size)))

    def piece(self, number: int, size: int = 1) -> list[Any]:
        """Make one piece: for peers whose workers have a source of their own."""
        return self.make(self.samples(number, size))

    def output(self, number: int) -> Any:
        """Make one output, in the same way."""
        return self.piece(number)[0]

    def length(self) -> int:
        """Count the outputs of a pass."""
        return self.outputs or self.pieces()

    def serial(self) -> Iterator[Any]:
        """Give the outputs as a plain loop makes them: what every peer is held against."""
        if self.batch:
            return map(self.output, range(self.pieces()))
        if self.keep is None:
            return map(self.fn, self.source)
        return itertools.chain.from_iterable(map(self.fn, filter(self.keep, self.source)))


class Photos(Sequence[Any]):
    """Arrays that take turns, made when the first is asked for."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(self.length))]
        if at >= self.length:
            raise IndexError(at)
        return photos()[at % PHOTOS]


@functools.cache
def photos() -> list[Any]:
    """Make the arrays, each with a stamp in the pixel that will be first."""
    made = list(np.random.default_rng(0).integers(0, 256, (PHOTOS, 256, 256, 3), dtype=np.uint8))
    for number, photo in enumerate(made):
        photo[16, 239, 0] = 4 * number
    return made


# What is done to a sample -----------------------------------------------------------------------------


def add_one(x: int) -> int:
    return x + 1


def image(x: int) -> Any:
    made = IMAGE.copy()
    made[0, 0, 0] = x
    return made


def record(x: int) -> Any:
    return {"x": ROW + x, "y": x}


def normalise(photo: Any) -> Any:
    return (photo[16:240, 16:240][:, ::-1] - MEAN) / STD


def work(x: int) -> int:
    """Burn about 5 ms, half of it in Python, half in numpy; one thread."""
    total = 0
    for i in range(85_000):
        total += i * i
    array = np.arange(280_000, dtype=np.float32)
    for _ in range(4):
        array = np.sqrt(array * array + 1)
    return x if total and array.size else 0


def is_third(x: int) -> bool:
    return x % 3 == 0


def ten(x: int) -> list[int]:
    return [x * 10 + i for i in range(10)]


# What is summed of an output --------------------------------------------------------------------------


def first_of_rows(block: list[Any]) -> float:
    return sum(float(batch[:, 0, 0, 0].sum()) for batch in block)


def copied(block: list[Any]) -> float:
    total = 0.0
    for batch in block:
        np.copyto(own_batch(), np.asarray(batch))
        total += first_of_rows([own_batch()])
    return total


def corners(block: list[Any]) -> float:
    return sum(float(array[0, 0, 0]) for array in block)


def sums(block: list[Any]) -> int:
    return sum(int(batch.sum()) for batch in block)


@functools.cache
def own_batch() -> Any:
    """Make the array of the consumer that copies."""
    return np.zeros((32, *IMAGE.shape), np.float32)


def up_to(count: int) -> int:
    """Sum 0, 1, … of ``count`` numbers."""
    return count * (count - 1) // 2


def total_of_photos(batches: int) -> float:
    stamps = [float((4 * number - MEAN[0]) / STD[0]) for number in range(PHOTOS)]
    whole, rest = divmod(32 * batches, PHOTOS)
    return whole * sum(stamps) + sum(stamps[:rest])


def total_of_tens(count: int) -> int:
    whole, rest = divmod(count, 10)
    return 300 * up_to(whole) + 45 * whole + 30 * whole * rest + up_to(rest)


def stamps_y(block: list[Any]) -> int:
    return sum(map(operator.itemgetter("y"), block))


WORKLOADS = {
    made.name: made
    for made in (
        Workload("tiny", range(3_000_000), add_one, sum, lambda n: up_to(n + 1), block=1000),
        Workload(
            "tiny_batch", range(3_000_000), add_one, sums, lambda n: up_to(256 * n + 1), batch=256, stack=np.array,
        ),
        Workload("dict_small", range(1_000_000), record, stamps_y, up_to, block=500),
        Workload("image", range(100_000), image, corners, up_to),
        Workload("image_batch", range(100_000), image, first_of_rows, lambda n: up_to(32 * n), batch=32),
        Workload("image_batch_copy", range(100_000), image, copied, lambda n: up_to(32 * n), batch=32),
        Workload("array_in_out", Photos(64_000), normalise, first_of_rows, total_of_photos, batch=32),
        Workload("cpu", range(100_000), work, sum, up_to),
        Workload(
            "filter_flatmap", range(3_000_000), ten, sum, total_of_tens, block=1000, keep=is_third, flat=True,
            outputs=10_000_000,
        ),
        Workload("startup", range(64), add_one, sum, lambda n: up_to(n + 1)),
        Workload(
            "overlap", range(6 * 50), work, sums, lambda n: up_to(6 * n), batch=6, stack=np.array,
        ),
    )
}  # fmt: skip


def find(name: str) -> Workload:
    """Give a workload by its name."""
    return WORKLOADS[name]
