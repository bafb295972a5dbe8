"""PyTorch RPC: a window of `rpc_async`, answers taken in order; arrays travel as tensors, inputs too.

TensorPipe would go through shared memory here and is held to what it has between machines: ``uv`` is its TCP. It knows
no encryption. A worker has two threads for requests, so that it computes while an answer is on its way.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed import rpc

from benchmarks.peers.elsewhere import Worker, started
from benchmarks.workloads import Workload

os.environ.setdefault("TP_SOCKET_IFNAME", "lo")  # it would listen at the address of the host's name

AHEAD = 2  # requests of each worker
THREADS = 2


def join(name: str, rank: int, size: int, folder: str) -> None:
    """Meet all others; a file tells where each of them listens."""
    options = rpc.TensorPipeRpcBackendOptions(
        init_method=f"file://{Path(folder) / 'meeting'}",
        num_worker_threads=THREADS,
        _transports=["uv"],
        _channels=["basic"],
    )
    rpc.init_rpc(name, rank=rank, world_size=size, rpc_backend_options=options)


@dataclass(frozen=True, slots=True)
class Serve:
    """Be a worker until everyone wants to end."""

    number: int
    workers: int
    folder: str

    def run(self) -> None:
        """Run in a worker."""
        torch.set_num_threads(1)
        join(str(self.number), self.number + 1, self.workers + 1, self.folder)
        rpc.shutdown()


def make(work: Workload, samples: Any) -> torch.Tensor:
    """Run in a worker."""
    inputs = samples if isinstance(samples, range) else [tensor.numpy() for tensor in samples]
    return torch.from_numpy(work.make_one(inputs))


def sent(samples: Any) -> Any:
    """Make tensors of arrays, which then travel outside of the pickle."""
    return samples if isinstance(samples, range) else [torch.from_numpy(sample) for sample in samples]


@dataclass(frozen=True, slots=True)
class Called:
    """A pass for each ``iter()``; workers stay."""

    work: Workload
    processes: list[Worker]
    folder: tempfile.TemporaryDirectory[str]

    def __iter__(self) -> Iterator[Any]:
        waiting: deque[torch.futures.Future[Any]] = deque()
        try:
            for number, samples in enumerate(self.work.all_samples()):
                worker = str(number % len(self.processes))
                waiting.append(rpc.rpc_async(worker, make, (self.work, sent(samples))))
                if len(waiting) == AHEAD * len(self.processes):
                    yield waiting.popleft().wait().numpy()
            while waiting:
                yield waiting.popleft().wait().numpy()
        finally:
            torch.futures.wait_all(list(waiting))

    def close(self) -> None:
        """End together, as RPC wants it."""
        rpc.shutdown()
        for process in self.processes:
            process.wait()
        self.folder.cleanup()


def pipeline(work: Workload, workers: int = 2) -> Called:
    folder = tempfile.TemporaryDirectory()
    processes = [started(Serve(number, workers, folder.name)) for number in range(workers)]
    join("trainer", 0, workers + 1, folder.name)
    return Called(work, processes, folder)
