"""Ray Data: map_batches, order kept. It hands out whole blocks, so its clock starts with the pass."""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from benchmarks.streaming import WrongOutput
from benchmarks.workloads import Workload

FROM_START = True
SAMPLES = {"image_batch": 1024, "array_in_out": 1024, "cpu": 800, "startup": 64}  # of a pass, measured to its end
BLOCKS = {"image_batch": 16, "array_in_out": 8, "cpu": 32, "startup": 1}


@dataclass(frozen=True, slots=True)
class Make:
    """Makes the outputs of a block of samples."""

    work: Workload

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """Run in a worker."""
        outputs = self.work.make(block["id"].tolist() if "id" in block else list(block["data"]))
        return {"x": np.concatenate(outputs) if self.work.batch else np.array(outputs)}


@dataclass(frozen=True, slots=True)
class Passes:
    """A pass for each ``iter()``."""

    work: Workload
    source: Callable[[], Any]

    def __iter__(self) -> Iterator[Any]:
        data = self.source().map_batches(Make(self.work), batch_size=self.work.batch or None)
        if self.work.batch:
            outputs = data.iter_batches(batch_size=self.work.batch, drop_last=True, batch_format="numpy")
        else:
            outputs = data.iter_rows()
        count = 0
        for output in outputs:
            yield output["x"]
            count += 1
        if count != SAMPLES[self.work.name] // (self.work.batch or 1):
            raise WrongOutput(f"{count} outputs of {SAMPLES[self.work.name]} samples")

    def close(self) -> None:
        """End Ray."""
        ray.shutdown()


def pipeline(work: Workload, workers: int = 2) -> Passes:
    if not ray.is_initialized():
        ray.init(
            "local", num_cpus=workers, object_store_memory=2 * 10**9, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR, configure_logging=False, _temp_dir=tempfile.gettempdir(),
        )  # fmt: skip
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    if work.name != "startup":
        ray.data.range(2).map_batches(abs_of).materialize()  # starts the workers, so that streaming is measured alone
    return Passes(work, functools.partial(numbers if isinstance(work.source, range) else arrays, work))


def numbers(work: Workload) -> Any:
    return ray.data.range(SAMPLES[work.name], override_num_blocks=BLOCKS[work.name])


def arrays(work: Workload) -> Any:
    """Put the inputs into the object store, a block each; a pass pays for that, as others pay for sending theirs."""
    size = SAMPLES[work.name] // BLOCKS[work.name]
    starts = range(0, SAMPLES[work.name], size)
    return ray.data.from_numpy([np.stack(work.source[start : start + size]) for start in starts])


def abs_of(block: dict[str, Any]) -> dict[str, Any]:
    return {"id": np.abs(block["id"])}
