"""Values in Ray's object store: put there once, read by whichever actor gets the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray

from flazy.errors import WorkerError
from flazy.plan.kernel import Op
from flazy.plan.shipping import Pickled, dump_ops
from flazy.transport.codec import Buffer, nbytes
from flazy.transport.payload import Encoded
from flazy.transport.wire import Task
from flazy.workers.ray.actor import as_frames

__all__ = ["LARGE", "Parcel", "Stored", "parcel_of"]

LARGE = 100 * 1024  # bytes; what is smaller Ray would not put there either, but into the message


class Stored:
    """A payload of inputs in the object store; what it holds goes with the last reference to it."""

    __slots__ = ("nbytes", "reference")
    lease = None

    def __init__(self, frames: Sequence[Buffer]) -> None:
        if not ray.is_initialized():  # Ray would start another cluster by itself
            raise WorkerError("the connection to Ray was closed while the stage was open")
        self.nbytes = nbytes(frames)
        self.reference = ray.put(as_frames(frames))

    def open(self) -> list[object]:
        """Be opened by an actor."""
        raise AssertionError("a stored payload is opened where its task runs")

    def left_out_of(self, task: Task) -> Task:
        """Give a task whose payload goes another way."""
        return replace(task, payload=Encoded(()))


class Parcel:
    """A kernel in the object store, as it was when the pass was opened; see `flazy.workers.kernels.Kept`."""

    __slots__ = ("chunk", "reference")

    def __init__(self, reference: Any) -> None:
        self.reference = reference
        self.chunk = 1


def parcel_of(ops: tuple[Op, ...], pickled: Pickled | None = None) -> Parcel:
    """Pickle a chain and put it there; the memory of large captured arrays is copied once, into it."""
    stream, aside = dump_ops(ops) if pickled is None else pickled
    return Parcel(ray.put(as_frames([stream, *aside])))
