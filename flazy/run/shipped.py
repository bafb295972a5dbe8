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
from flazy.plan.ray import Ray
from flazy.plan.remote import Remote
from flazy.plan.where import Where

__all__ = ["Shipped"]


class Shipped:
    """What is held for the parallel stages of one pass, until `let_go`.

    Raises
    ------
    UnserializableFunction
        A function cannot be sent; nothing has started.
    """

    def __init__(self, physical: Physical) -> None:
        self._kernels: dict[tuple[Any, tuple[Op, ...]], Any] = {}  # by where it is kept, and chain
        self._parcels: dict[tuple[tuple[Op, ...], tuple[str, ...]], Any] = {}  # by chain, and what goes with it
        self._closed = False
        chains = list(chains_of(physical))
        for chain in chains:
            if isinstance(chain.where, Remote):
                self.parcel(chain.ops, chain.where)
        near = [chain for chain in chains if _has_kernel(chain.where)]
        if near:
            shipping = importlib.import_module("flazy.plan.shipping")
            pickled = [(chain, shipping.dump_ops(chain.ops)) for chain in near]
            while pickled:
                chain, stream = pickled.pop()
                store = _store(chain.where)
                if (store, chain.ops) not in self._kernels:
                    self._kernels[store, chain.ops] = store.keep(chain.ops, stream)

    def kernel(self, ops: tuple[Op, ...], store: Any) -> Any:
        """Give a kernel as it was when the pass was opened; pickled anew for workers that have replaced the first."""
        if (store, ops) not in self._kernels:
            self._kernels[store, ops] = store.keep(ops)
            if self._closed:  # looked at after the kernel can be seen, so that one of the two lets go of it
                self.let_go()
                raise ClosedRun("this run is closed")
        return self._kernels[store, ops]

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
            (store, _), kernel = self._kernels.popitem()
            store.let_go(kernel)


def _has_kernel(where: Where | None) -> bool:
    """Say whether processes of this machine, or actors, run it."""
    return isinstance(where, Ray) or (where is not None and where.processes > 0)


def _store(where: Where | None) -> Any:
    """Give what keeps the kernels of such workers."""
    if isinstance(where, Ray):
        return importlib.import_module("flazy.workers.ray.cluster").connected(where)
    return _runtime().fleet.kernels


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
