"""What is measured: peers and workloads as data, for the schedule and the tables.

Nothing is imported here but dataclasses, so that a run can be planned before anything is installed.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGE_MB = 3 * 224 * 224 * 4 / 1e6


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a cell, as a table shows it."""

    figure: str
    heading: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One workload: its table. The first column ranks the peers."""

    name: str
    about: str
    columns: tuple[Column, ...]
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: where its code is, what it needs, and what it can do.

    Only one that works in processes and keeps the order is compared with (``rival``); the others are shown.
    ``rounds`` is less than others have for one that takes long and is far from the best (0: as many).
    """

    name: str
    module: str
    workloads: tuple[str, ...]
    packages: tuple[str, ...] = ()
    rival: bool = True
    about: str = ""
    rounds: int = 0


RATE = (Column("rate", "samples/s"),)
MEGABYTES = (Column("rate", "MB/s", IMAGE_MB),)
OVER_TCP = (
    Column("mb_s", "MB/s of outputs"),
    Column("rate", "samples/s"),
    Column("cpu_ms", "all processes' CPU (ms a batch)"),
)
START = (
    Column("cold_ms", "cold (ms)"),
    Column("warm_ms", "another pipeline (ms)"),
    Column("second_ms", "second pass (ms)"),
)
MEMORY = (
    Column("total_mb", "all processes (MB)"),
    Column("shared_mb", "of it shared memory (MB)"),
    Column("worker_mb", "largest worker's own (MB)"),
)
MEMORY_OF_BATCHES = (
    *MEMORY,
    Column("arena_batches", "arena in use (batches)"),
    Column("growth_mb", "growth of a worker over its idle size (MB)"),
)
OVERLAP = (
    Column("ratio", "× the larger side"),
    Column("total_s", "together (s)"),
    Column("producer_s", "producer alone (s)"),
    Column("consumer_s", "consumer alone (s)"),
)

WORKLOADS = {
    measured.name: measured
    for measured in (
        Measured("tiny", "3,000,000 ints, x + 1, item by item", RATE),
        Measured("tiny_batch", "the same in batches of 256", RATE),
        Measured("dict_small", "{'x': float32[128], 'y': int}, item by item", RATE),
        Measured("image", "float32 (3, 224, 224) made cheaply, item by item", MEGABYTES),
        Measured("image_batch", "the same in batches of 32; the consumer reads a stamp of each row", MEGABYTES),
        Measured("image_batch_copy", "the same; the consumer copies each batch out", MEGABYTES),
        Measured("array_in_out", "uint8 (256, 256, 3) cropped, flipped, normalised to float32, batches of 32", RATE),
        Measured("cpu", "5 ms of Python and numpy a sample", RATE),
        Measured("filter_flatmap", "a filter that keeps a third, then a flatmap of ten", RATE),
        Measured("startup", "from building to the first sample, 2 workers", START, higher_is_better=False),
        Measured("startup_16", "the same, 16 workers", START, higher_is_better=False),
        Measured(
            "memory",
            "peak over `image_batch` with a consumer that takes 30 ms a batch, above what was there before",
            MEMORY_OF_BATCHES,
            higher_is_better=False,
        ),
        Measured(
            "overlap",
            "a consumer that sleeps 20 ms a batch, a producer that needs 15 ms on two free cores",
            OVERLAP,
            higher_is_better=False,
        ),
        Measured(
            "big_closure",
            "a captured array of 500 MB, 4 workers: peak beyond the driver's own array",
            MEMORY,
            higher_is_better=False,
        ),
        Measured(
            "chain",
            "map, filter, map over 1,000,000 ints without workers; serial is a generator written by hand",
            (Column("ns", "ns a sample"),),
            higher_is_better=False,
        ),
        Measured("limits", "what this machine can do at best", ()),
        Measured("image_batch_tcp", "`image_batch` from two workers behind TCP, on this machine", OVER_TCP),
        Measured("array_in_out_tcp", "`array_in_out`, likewise", OVER_TCP),
    )
}

STREAMS = tuple(name for name, measured in WORKLOADS.items() if measured.columns in (RATE, MEGABYTES))
MAPS = tuple(name for name in STREAMS if name != "filter_flatmap")
ARRAYS = ("image", "image_batch", "image_batch_copy", "array_in_out")
FED = ("image_batch", "array_in_out")  # what a training loop is fed with
ONCE = ("startup", "memory", "overlap")
REMOTE = {"image_batch_tcp": "image_batch", "array_in_out_tcp": "array_in_out"}  # what is streamed in each
LOCAL = tuple(name for name in WORKLOADS if name not in REMOTE)

PEERS = {
    peer.name: peer
    for peer in (
        Peer("serial", "serial", (*STREAMS, "memory", "chain"), rival=False, about="a plain loop in one process"),
        Peer("flazy", "flazy_", (*STREAMS, *ONCE, "startup_16", "big_closure", "chain"), rival=False),
        Peer("flazy_torch", "flazy_torch", FED, ("torch==2.13.0",), rival=False, about="the same through .torch()"),
        Peer("flazy_jax", "flazy_jax", FED, ("jax",), rival=False, about="the same through .jax()"),
        Peer("flazy_tensorflow", "flazy_tensorflow", FED, ("tensorflow",), rival=False,
             about="the same through .tensorflow()"),
        Peer("flazy_loader", "flazy_loader", FED, ("torch==2.13.0",), rival=False,
             about="flazy.torch.loader over the dataset that the DataLoader has"),
        Peer("from_generator", "from_generator", FED, ("tensorflow",), rival=False,
             about="tf.data.Dataset.from_generator over Flazy's loop"),
        Peer("pool", "pool", (*STREAMS, *ONCE, "startup_16", "big_closure"), about="multiprocessing.Pool.imap"),
        Peer("futures", "futures", (*STREAMS, "startup", "overlap"), about="concurrent.futures, a window of submits"),
        Peer(
            "torch",
            "torch_loader",
            (*STREAMS, *ONCE, "startup_16", "big_closure"),
            ("torch==2.13.0",),  # so exactly: a looser one brings gigabytes of CUDA
            about="torch.utils.data.DataLoader, map style, persistent workers; the source is replicated",
        ),
        Peer(
            "torch_default",
            "torch_default",
            ("tiny", "tiny_batch"),
            ("torch==2.13.0",),
            rival=False,
            about="DataLoader(num_workers=2), nothing else set",
            rounds=3,
        ),
        Peer("torchdata", "torchdata_nodes", (*MAPS, *ONCE), ("torch==2.13.0", "torchdata==0.11.0"),
             about="torchdata.nodes.ParallelMapper, processes"),
        Peer("grain", "grain_", (*STREAMS, *ONCE), ("grain",),
             about="MapDataset.mp_prefetch; workers are spawned for each pass; the source is replicated"),
        Peer("spdl", "spdl_", (*STREAMS, *ONCE), ("spdl",),
             about="iterate_in_subprocess for each worker, arena for arrays; the source is replicated"),
        Peer("joblib", "joblib_", (*STREAMS, "startup", "overlap", "big_closure"), ("joblib",),
             about="Parallel(return_as='generator'), loky"),
        Peer("pescador", "pescador_", ("tiny_batch", *ARRAYS, "memory"), ("pescador",),
             about="a ZMQStreamer for each worker; dicts of arrays only; the source is replicated"),
        Peer("ray", "ray_data", ("image_batch", "cpu", "startup", *REMOTE), ("ray[data]",),
             about="Ray Data, order kept; hands out whole blocks, so its clock starts with the pass",
             rounds=3),  # 13 s a cell
        Peer("tf", "tf_data", ("tiny_batch", *ARRAYS, "cpu"), ("tensorflow",), rival=False,
             about="tf.data with numpy_function: threads of one process, under its lock",
             rounds=3),  # 6 s a cell
        Peer("machine", "machine", ("limits",), rival=False, rounds=3),
        Peer("flazy_remote", "flazy_remote", tuple(REMOTE), rival=False, about="Remote(...) and one flazy-worker"),
        Peer(
            "flazy_remote_plain", "flazy_remote_plain", tuple(REMOTE), rival=False,
            about="the same without CURVE, which the benchmark patches away: what that costs in Flazy",
        ),
        Peer("flazy_local", "flazy_", tuple(REMOTE), rival=False, about="workers=2: no network at all"),
        Peer("torch_rpc", "torch_rpc", tuple(REMOTE), ("torch==2.13.0",),
             about="torch.distributed.rpc over TensorPipe's TCP, a window of rpc_async, order kept"),
        Peer("push_pull", "push_pull", tuple(REMOTE), ("pyzmq", "msgpack"), rival=False,
             about="ZeroMQ PUSH/PULL as in tensorpack, arrays as frames; no order, and the source is replicated"),
        Peer("push_pull_msgpack", "push_pull_msgpack", tuple(REMOTE), ("pyzmq", "msgpack", "msgpack-numpy"),
             rival=False, about="the same with all of an output packed, as tensorpack packs it"),
        Peer("push_pull_curve", "push_pull_curve", tuple(REMOTE), ("pyzmq", "msgpack"), rival=False,
             about="push_pull, encrypted by CURVE"),
    )
}  # fmt: skip
