"""A pass over a plan: what ``dataset.open()`` gives."""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
import warnings
import weakref
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from flazy.errors import ClosedRun, WorkerError
from flazy.plan.kernel import Op
from flazy.plan.planner import Chain, Physical
from flazy.plan.where import Processes
from flazy.run.build import build
from flazy.run.skips import Skips, caller_level
from flazy.run.stages import Stage
from flazy.run.stats import Stats

__all__ = ["Run"]


class Run(Iterator[Any]):
    """One pass: an iterator and a context manager.

    Parallel stages have started their workers when it is made; everything else starts with the first sample.  It closes
    itself at the end of the data, when an error comes out of it, and when nobody holds it any more.  Closed before its
    end, it raises `ClosedRun` if it is asked for a sample.
    """

    def __init__(self, physical: Physical, cycle: int) -> None:
        self._opened = Opened(physical, cycle)
        self._ended = False
        # A net, for a run that is dropped: ``Opened`` holds threads and workers, and knows nothing of this object.
        weakref.finalize(self, self._opened.close).atexit = False

    @cached_property
    def samples(self) -> Iterator[Any]:
        """The samples themselves; this starts the pass."""
        return iter(self._opened.stage)

    def __iter__(self) -> Self:
        """Be its own iterator."""
        return self

    def __next__(self) -> Any:
        """Give the next sample."""
        if self._opened.closed and not self._ended:
            raise ClosedRun("this run is closed; iterate the dataset, or open() it, for another pass")
        try:
            return next(self.samples)
        except BaseException as error:
            self._ended = isinstance(error, StopIteration)
            self.close()
            raise

    def __enter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the pass; idempotent. Workers are told to end, and have ended after `flazy.shutdown()` at the latest."""
        self._opened.close()

    def stats(self) -> Stats:
        """Give what it has done so far."""
        return self._opened.stats()


class Opened:
    """The stages of one pass, and what its parallel stages share; see `flazy.run.build.Opening`."""

    def __init__(self, physical: Physical, cycle: int) -> None:
        self._opened_at = time.monotonic()
        self._seconds: float | None = None
        self._segments: list[Any] = []
        self._kernels: dict[tuple[Any, tuple[Op, ...]], Any] = {}  # by fleet and chain
        self.skips = Skips()
        self.remarks: dict[str, type[Warning]] = {}
        try:
            self._keep([chain.ops for chain in _shipped(physical)])
            self.stage = build(physical, cycle, self)
        except BaseException:
            self._let_go_of_kernels()
            raise

    @property
    def closed(self) -> bool:
        """Whether the pass is over."""
        return self._seconds is not None

    def segment(self, chain: Chain, upstream: Stage) -> Stage:
        """Open a parallel stage of this pass; called while the plan is built."""
        segments = importlib.import_module("flazy.run.segment")
        stage: Stage = segments.open_segment(chain, upstream, self._kernel, self.skips)
        self._segments.append(stage)
        if self.closed:  # looked at after the segment can be seen, so that one of the two closes it
            stage.close()
            raise ClosedRun("this run is closed")
        return stage

    def _keep(self, shipped: Sequence[tuple[Op, ...]]) -> None:
        """Pickle what goes to other processes, all of it before anything starts."""
        if shipped:
            shipping = importlib.import_module("flazy.plan.shipping")
            pickled = {ops: shipping.dump_ops(ops) for ops in shipped}
            fleet = _runtime().fleet
            for ops in shipped:
                self._kernels[fleet, ops] = fleet.kernels.keep(ops, pickled.pop(ops))

    def _kernel(self, ops: tuple[Op, ...], fleet: Any) -> Any:
        """Give a kernel as it was when the pass was opened; pickled anew for a runtime that has replaced the first."""
        if (fleet, ops) not in self._kernels:
            self._kernels[fleet, ops] = fleet.kernels.keep(ops)
            if self.closed:  # looked at after the kernel can be seen, so that one of the two lets go of it
                self._let_go_of_kernels()
                raise ClosedRun("this run is closed")
        return self._kernels[fleet, ops]

    def _let_go_of_kernels(self) -> None:
        while self._kernels:
            (fleet, _), kernel = self._kernels.popitem()
            fleet.kernels.let_go(kernel)

    def close(self) -> None:
        """End every stage, and so give the workers back; idempotent."""
        if self._seconds is not None:
            return
        self._seconds = time.monotonic() - self._opened_at
        for segment in list(self._segments):
            segment.wake()
        try:
            self.stage.close()
        finally:
            del self.stage  # stages that open others hold this object
            for segment in list(self._segments):  # also one that a thread of another stage is opening just now
                segment.close()
            self._let_go_of_kernels()  # after the segments' own goodbye: the hub hears of them in this order
            self.skips.tell()
            while self.remarks:
                warnings.warn(*self.remarks.popitem(), stacklevel=caller_level())

    def stats(self) -> Stats:
        """Give what was done so far."""
        seconds = time.monotonic() - self._opened_at if self._seconds is None else self._seconds
        segments = tuple([segment.stats() for segment in self._segments])
        return Stats(seconds, segments, sum(self.skips.counts.values()), tuple(self.skips.kept))


def _runtime() -> Any:
    """Give the runtime for worker processes; the first time, their interpreter starts while the rest is being loaded.

    On two cores that halves what the first sample waits for.
    """
    begun = None
    if "flazy.run.runtime" not in sys.modules:
        zygote = importlib.import_module("flazy.workers.zygote")
        with contextlib.suppress(WorkerError):  # the fleet tries again, and says so
            begun = zygote.begin() if zygote.is_supported() else None
    try:
        runtime = importlib.import_module("flazy.run.runtime").runtime
    except BaseException:  # Ctrl-C, most of all, or a part that is not installed
        if begun is not None:
            begun.close()
        raise
    return runtime(begun)


def _shipped(physical: Physical) -> Iterator[Chain]:
    """Give the chains whose functions go to other processes: they are pickled before anything starts."""
    todo = [physical]
    while todo:
        part = todo.pop()
        if isinstance(part, Chain):
            if isinstance(part.where, Processes):
                yield part
            todo.append(part.upstream)
        else:
            todo.extend(part.upstreams)
