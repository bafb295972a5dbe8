"""The same PUSH/PULL with all of an output in one packed message, as tensorpack's serializer makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import msgpack_numpy
import zmq

from benchmarks.peers import push_pull
from benchmarks.workloads import Workload

UNORDERED = True


def packed(number: int, array: Any) -> Sequence[Any]:
    return (msgpack.packb([number, array], default=msgpack_numpy.encode),)


def unpacked(frames: Sequence[zmq.Frame]) -> tuple[int, Any]:
    number, array = msgpack.unpackb(frames[0].buffer, object_hook=msgpack_numpy.decode)
    return number, array


PACKED = push_pull.Format(packed, unpacked)


def pipeline(work: Workload, workers: int = 2) -> push_pull.Pulled:
    return push_pull.pipeline(work, workers, format=PACKED)
