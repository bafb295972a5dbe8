"""The functions of a pass as they are sent to other processes and machines: pickled before anything starts.

Loads what it needs when there is something to send.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

from flazy.errors import ClosedRun, WorkerError
from flazy.plan.kernel import Op
from flazy.plan.planner import Physical, chains_of
from flazy.plan.remote import Remote

__all__ = ["Shipped"]


class Shipped:
    """What is held for the parallel stages of one pass, until `let_go`.

    Raises
    ------
    UnserializableFunction
        A function cannot be sent; nothing has started.
    """

    def __init__(self, physical: Physical) -> None:
        self._kernels: dict[tuple[Any, tuple[Op, ...]], Any] = {}  # by fleet and chain
        self._parcels: dict[tuple[tuple[Op, ...], tuple[str, ...]], Any] = {}  # by chain, and what goes with it
        self._closed = False
        chains = list(chains_of(physical))
        for chain in chains:
            if isinstance(chain.where, Remote):
                self.parcel(chain.ops, chain.where)
        here = [chain.ops for chain in chains if chain.where is not None and chain.where.processes]
        if here:
            shipping = importlib.import_module("flazy.plan.shipping")
            pickled = {ops: shipping.dump_ops(ops) for ops in here}
            fleet = _runtime().fleet
            for ops in here:
                if ops in pickled:  # else it stands twice in the plan
                    self._kernels[fleet, ops] = fleet.kernels.keep(ops, pickled.pop(ops))

    def kernel(self, ops: tuple[Op, ...], fleet: Any) -> Any:
        """Give a kernel as it was when the pass was opened; pickled anew for a runtime that has replaced the first."""
        if (fleet, ops) not in self._kernels:
            self._kernels[fleet, ops] = fleet.kernels.keep(ops)
            if self._closed:  # looked at after the kernel can be seen, so that one of the two lets go of it
                self.let_go()
                raise ClosedRun("this run is closed")
        return self._kernels[fleet, ops]

    def parcel(self, ops: tuple[Op, ...], where: Remote) -> Any:
        """Give a chain as other machines get it, as it was when the pass was opened."""
        key = ops, where.shipped
        if key not in self._parcels:
            self._parcels[key] = importlib.import_module("flazy.remote.parcel").parcel_of(*key)
        return self._parcels[key]

    def let_go(self) -> None:
        """Give them back; idempotent."""
        self._closed = True
        while self._kernels:
            (fleet, _), kernel = self._kernels.popitem()
            fleet.kernels.let_go(kernel)


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
