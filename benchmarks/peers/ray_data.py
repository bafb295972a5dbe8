"""Ray Data: map_batches, order kept. It hands out whole blocks, so its clock starts with the pass."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from benchmarks.workloads import Workload

FROM_START = True
SAMPLES = {"image_batch": 1024, "cpu": 800, "startup": 64}  # of a pass, which is measured to its end
BLOCKS = {"image_batch": 16, "cpu": 32, "startup": 1}


@dataclass(frozen=True, slots=True)
class Make:
    """Makes the outputs of a block of samples."""

    work: Workload

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        """Run in a worker."""
        outputs = self.work.make(block["id"].tolist())
        return {"x": np.concatenate(outputs) if self.work.batch else np.array(outputs)}


@dataclass(frozen=True, slots=True)
class Passes:
    """A pass for each ``iter()``."""

    work: Workload
    data: Any

    def __iter__(self) -> Iterator[Any]:
        if self.work.batch:
            for batch in self.data.iter_batches(batch_size=self.work.batch, drop_last=True, batch_format="numpy"):
                yield batch["x"]
        else:
            for row in self.data.iter_rows():
                yield row["x"]

    def close(self) -> None:
        """End Ray."""
        ray.shutdown()


def pipeline(work: Workload, workers: int = 2) -> Passes:
    if not ray.is_initialized():
        ray.init(
            num_cpus=workers, object_store_memory=2 * 10**9, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR, configure_logging=False, _temp_dir=tempfile.gettempdir(),
        )  # fmt: skip
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    if work.name != "startup":
        ray.data.range(2).map_batches(abs_of).materialize()  # starts the workers, so that streaming is measured alone
    data = ray.data.range(SAMPLES[work.name], override_num_blocks=BLOCKS[work.name])
    return Passes(work, data.map_batches(Make(work), batch_size=work.batch or None))


def abs_of(block: dict[str, Any]) -> dict[str, Any]:
    return {"id": np.abs(block["id"])}
