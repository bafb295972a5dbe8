"""One rank of two, a program of its own: what it was given, and what both were given, as JSON of rank 0."""

import json
import sys

import numpy as np
import torch
from torch import distributed
from torch.utils.data import DataLoader

from flazy import Dataset

LENGTH = 45


def distorted(x, rng):
    return np.array([x, rng.integers(10**6)])


def samples():
    return Dataset(range(LENGTH)).shuffle(seed=3).random_map(distorted, seed=4)


def loaded(dataset, workers):
    context = "fork" if workers else None
    return DataLoader(dataset.torch(), batch_size=None, num_workers=workers, multiprocessing_context=context)


def spelled(iterable):
    return [row.tolist() for row in iterable]


def steps(batches):
    """Train in lockstep: a rank that had fewer batches would leave the other waiting."""
    count = torch.zeros(())
    for batch in batches:
        size = torch.tensor(float(len(batch)))
        distributed.all_reduce(size)
        count += size
    return int(count)


def main(rank, store):
    dataset = samples().shard(equal="pad")  # before there are ranks
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
    own = {
        "none": spelled(samples().shard(equal="none")),
        "drop": spelled(samples().shard(equal="drop")),
        "passes": [spelled(loaded(dataset, 0)) for _ in range(2)],
        "lengths": [len(samples().shard(equal=equal)) for equal in ("none", "drop", "pad")],
        "workers": [spelled(batch) for batch in loaded(samples().batch(4, None).shard(equal="drop"), 2)],
        "steps": steps(loaded(samples().shard(equal="pad").batch(4, None, drop_remainder=False), 2)),
        "explained": samples().shard().explain().splitlines()[4],
    }
    both = [None, None]
    distributed.all_gather_object(both, own)
    distributed.destroy_process_group()
    if rank == "0":
        print(json.dumps(both))


if __name__ == "__main__":
    main(*sys.argv[1:])
