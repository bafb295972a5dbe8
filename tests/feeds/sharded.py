"""Programs that ``test_jax_sharded.py`` starts: several devices, or processes, want an interpreter of their own.

Each prints what it found, as one line of JSON.
"""

import json
import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from flazy import Dataset
from flazy.errors import FeedError

ROWS = 8


def rows(number):
    return {"x": np.arange(12, dtype="float32").reshape(4, 3) + number, "y": np.int32(number)}


def over_devices():
    """Split batches over four devices of this process."""
    sharding = NamedSharding(jax.make_mesh((4,), ("data",)), PartitionSpec("data"))
    copies = NamedSharding(sharding.mesh, PartitionSpec())
    dataset = Dataset(range(3 * ROWS)).map(rows)
    batches = list(dataset.batch(ROWS).jax(sharding))
    shards = batches[0]["x"].addressable_shards
    (mixed, *_) = dataset.batch(ROWS).jax({"x": sharding, "y": copies})
    return {
        "equal": all(
            np.array_equal(batch[key], made[key]) and made[key].dtype == batch[key].dtype
            for batch, made in zip(dataset.batch(ROWS), batches, strict=True)
            for key in batch
        ),
        "parts": [[shard.device.id, shard.index[0].start, shard.index[0].stop] for shard in shards],
        "sum": float(jax.jit(lambda batch: batch["x"].sum() + batch["y"].sum())(batches[1])),
        "copies": [shard.data.shape for shard in mixed["y"].addressable_shards],
        "on device 2": [device.id for device in next(iter(dataset.jax(jax.devices()[2])))["x"].devices()],
        "indivisible": message_of(dataset.batch(10).jax(sharding)),
        "no axis": message_of(dataset.map(lambda sample: sample["y"]).jax(sharding)),
    }


def message_of(dataset):
    try:
        next(iter(dataset))
    except FeedError as error:
        return str(error)
    return "no error"


def in_processes(rank, count, port):
    """Feed this process's part of the rows, and let all processes add up all of them."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    shards = Dataset(range(rank, 4 * ROWS, count)).map(rows).batch(ROWS // count)
    here = shards.jax()  # made before JAX may be asked for its devices, and iterated after
    jax.distributed.initialize(f"127.0.0.1:{port}", count, rank)
    sharding = NamedSharding(jax.make_mesh((count,), ("data",)), PartitionSpec("data"))
    weights = jax.numpy.arange(ROWS, dtype="float32")
    total = jax.jit(lambda batch: (batch["x"].sum(axis=(1, 2)) * weights).sum() + batch["y"].sum())
    batches = list(shards.jax(sharding))
    found = {
        "shapes": [batch["x"].shape for batch in batches],
        "own": [batch["y"].addressable_shards[0].data.tolist() for batch in batches],
        "totals": [float(total(batch)) for batch in batches],
        "here": [batch["y"].tolist() for batch in here],
    }
    jax.distributed.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(in_processes(*map(int, sys.argv[1:])) if sys.argv[1:] else over_devices()))
