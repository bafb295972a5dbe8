"""A chain of record nodes as a stage of the caller's process."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from flazy.located import Place, cause_of, located
from flazy.plan.kernel import Cursor, Kernel
from flazy.plan.loops import UPSTREAM
from flazy.plan.planner import Chain
from flazy.plan.policy import SkippedSample
from flazy.run.stages import SourceStage, Stage
from flazy.sample import Address

__all__ = ["ChainStage"]


class LocalCursor(Cursor):
    """Where a kernel is that runs in the caller's process."""

    __slots__ = ("upstream",)

    def __init__(self, upstream: Stage, skip: Callable[[SkippedSample], None]) -> None:
        super().__init__()
        self.upstream = upstream
        self.left_out = skip

    def base(self) -> Address:
        """Give the address of the upstream's last sample."""
        return self.upstream.address

    def cycle(self) -> int:
        """Give the cycle of the upstream's last sample."""
        return self.upstream.cycle

    def passes(self, error: BaseException) -> bool:
        """Let Ctrl-C pass."""
        return isinstance(error, KeyboardInterrupt)

    def locate(self, op: int, error: BaseException, said: str) -> BaseException:
        """Locate a user's error; Ctrl-C and what was located upstream pass."""
        if self.passes(error):
            return error
        if op == UPSTREAM:
            return self.upstream.failed(error) if isinstance(self.upstream, SourceStage) else error
        place = Place(self.kernel.name_of(op), self.address(self.depth(op)), self.upstream.cycle)
        return located(cause_of(error, said), place)


class ChainStage(Stage):
    """A fused run of record nodes."""

    def __init__(self, chain: Chain, upstream: Stage, skip: Callable[[SkippedSample], None]) -> None:
        super().__init__(upstream)
        self.kernel = Kernel(chain.ops)
        self.dense = upstream.dense and self.kernel.one_to_one
        self.at = LocalCursor(upstream, skip)

    def stream(self) -> Generator[Any, None, None]:
        """Run the kernel; over a source it counts for the source, which saves a generator in between."""
        upstream = self.upstream
        if isinstance(upstream, SourceStage):
            upstream.record = self.at.record
            pulled = upstream.pull()
            return self.kernel.run(pulled, self.at, count=not upstream.positioned)
        return self.kernel.run(upstream, self.at, count=False)

    @property
    def address(self) -> Address:
        """The upstream's, and the offset in each flatmap."""
        return self.at.address(self.kernel.depth)

    def stop(self) -> None:
        """End the kernel, then close what its ``setup=`` opened."""
        super().stop()
        self.kernel.close()
