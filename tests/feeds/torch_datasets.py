"""PyTorch datasets as their users write them."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset, get_worker_info

Pair = namedtuple("Pair", "image label")  # noqa: PYI024 - users have them
COUNT = 22


class Indexed(Dataset):
    """A function of the index."""

    def __init__(self, made, count=COUNT):
        self.made = made
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.made(index)


class AtOnce(Indexed):
    """The same, of which a batch is asked for at once."""

    def __getitems__(self, indices):
        return [(index, len(indices)) for index in indices]


class Streamed(IterableDataset):
    """Shares the numbers with the other workers, in its own uneven way."""

    def __init__(self, count=COUNT, length=None):
        self.count = count
        self.length = length

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for number in range(first, self.count // (1 + first), step):
            yield torch.full((2,), number), number, str(info is None)


class Sized(Streamed):
    def __len__(self):
        return self.count


class Random(IterableDataset):
    def __iter__(self):
        for _ in range(3):
            yield torch.rand(1).item(), np.random.rand()


def image(index):
    return torch.full((3, 64, 64), float(index)), index  # large enough to be written in place


def mixed(index):
    return {
        "tensor": torch.arange(3) + index,
        "array": np.full((2, 2), index, np.float32),
        "half": torch.full((2,), index, dtype=torch.bfloat16),
        "float8": torch.full((2,), 1.0).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(index),
        "numpy": np.float32(index),
        "int": index,
        "float": index / 3,
        "bool": index % 2 == 0,
        "text": f"number {index}",
        "bytes": b"raw",
        "tuple": (index, [float(index), torch.zeros(2)]),
        "nested": {"a": {"b": np.int16(index)}},
        "ordered": OrderedDict(x=index),
        "pair": Pair(torch.full((2, 2), index, dtype=torch.uint8), index),
    }


def varied(index):
    """Dtypes and kinds that differ from sample to sample."""
    number = index if index % 2 else float(index)
    dtype = torch.int64 if index % 2 else torch.float32
    names = ("x", "y") if index % 2 else ("y", "x")
    parts = {"x": torch.full((2,), index, dtype=dtype), "y": torch.zeros(2)}
    return number, {name: parts[name] for name in names}


def beyond_numpy(index):
    return torch.complex(torch.tensor([1.0]), torch.tensor([float(index)])).conj(), np.arange(3)[::-1] + index


@dataclass
class Packed:
    """What a collation of one's own may give."""

    images: torch.Tensor
    labels: list
    counts: np.ndarray


def packed(samples):
    images = torch.stack([sample[0] for sample in samples])
    return Packed(images, [sample[1] for sample in samples], np.arange(len(samples)))


def drawn(index):
    return index, torch.rand(1).item(), np.random.rand()


def failing(index):
    if index == 7:
        raise KeyError("no such file")
    return index


TENSORS = TensorDataset(torch.arange(COUNT * 4.0).reshape(COUNT, 4), torch.arange(COUNT))
