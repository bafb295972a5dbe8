"""What runs in the cluster: the loop of a worker in a thread of an actor.

Messages come in by `Worker.push` and go out as what `Worker.serve` streams, both as frames, of which the large ones are
arrays in Ray's object store.  Ray promises no order to calls of a method that wait for arrays, so they are numbered.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import ray

from flazy.plan.kernel import Kernel
from flazy.plan.shipping import load_ops
from flazy.transport.codec import Buffer, nbytes
from flazy.transport.payload import Encoded, Payload
from flazy.transport.places import Place
from flazy.transport.reading import unpack
from flazy.transport.stretches import Stretch, arranged
from flazy.transport.wire import Hello, Message, Open, Result, Task, pack
from flazy.workers.allocator import keep_memory
from flazy.workers.contract import STALE
from flazy.workers.forward import Forward
from flazy.workers.freshness import Imported
from flazy.workers.loop import Loop
from flazy.workers.ray.record import Here, Record

__all__ = ["Fault", "Item", "Packed", "Worker", "as_buffers", "as_frames"]

SWITCH_SECONDS = 0.0005  # a function of pure Python would hold up each step of Ray's threads by Python's 5 ms
SMALL = 16 * 1024  # bytes up to which a frame is copied into the message rather than put beside it

Frame = bytes | np.ndarray[Any, Any]


class Fault(NamedTuple):
    """The actor cannot go on; ``trace`` says why."""

    trace: str


Item = list[Frame] | Here | Fault  # of what `Worker.serve` gives; a list is a message


class Packed(NamedTuple):
    """A message for an actor; ``stored`` says which argument of `Worker.push` holds the rest of its frames, if any.

    Of one that ``opens`` a run the rest is the kernel.
    """

    frames: list[Frame]
    stored: int | None = None
    opens: bool = False


def as_frames(buffers: Sequence[Buffer]) -> list[Frame]:
    """Put buffers into the form in which Ray carries them: large ones as arrays, which are not copied here."""
    return [np.frombuffer(each, np.uint8) if nbytes([each]) > SMALL else bytes(each) for each in buffers]


def as_buffers(frames: Sequence[Frame]) -> list[Buffer]:
    """Undo it; arrays of the object store are read-only, and are copied by whoever opens them."""
    return [each.data if isinstance(each, np.ndarray) else each for each in frames]


class Worker:
    """The actor; ``push`` and ``serve`` have a thread each, so that they do not wait for the other.

    Parameters
    ----------
    number
        That of the worker.
    node
        That of the driver.
    """

    def __init__(self, number: int, node: str) -> None:
        self._number = number
        sys.setswitchinterval(SWITCH_SECONDS)
        keep_memory()
        self._link = _Link()
        self._next = 0
        self._early: dict[int, list[Message]] = {}
        threading.Thread(target=_work, args=(number, node, self._link), name="flazy-loop", daemon=True).start()

    def __repr__(self) -> str:
        """Be what Ray puts in front of what functions print."""
        return f"flazy worker {self._number}"

    def push(self, number: int, messages: Sequence[Packed], *stored: list[Frame]) -> None:
        """Take in some messages; ``number`` counts the calls."""
        try:
            self._early[number] = [_unpacked(message, stored) for message in messages]
            while (ready := self._early.pop(self._next, None)) is not None:
                self._next += 1
                for message in ready:
                    self._link.inbox.put(message)
        except BaseException:  # noqa: BLE001 - nobody looks at what this call gives
            self._link.give(Fault(traceback.format_exc()))

    def serve(self) -> Iterator[list[Item]]:
        """Stream what the loop sends, as it comes."""
        yield from self._link.taken()


class _Link:
    """The loop's link: queues, since Ray has threads of its own."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[tuple[Item | None, threading.Event | None]] = queue.SimpleQueue()

    def receive(self, *, wait: bool) -> Message | None:
        """Give the next message."""
        try:
            return self.inbox.get(block=wait)
        except queue.Empty:
            return None

    def send(self, message: Message) -> None:
        """Send a message; returns when nobody can change it any more."""
        if isinstance(message, Hello):
            return  # said by `Here`
        frames = as_frames(pack(message))
        if not _may_change(message):
            self.give(frames)
            return
        carried = threading.Event()
        self._outbox.put((frames, carried))
        carried.wait()

    def give(self, item: Item | None) -> None:
        """Send an item; None is the last."""
        self._outbox.put((item, None))

    def taken(self) -> Iterator[list[Item]]:
        """Give what was sent, all that there is at a time; asked for more, Ray has copied what it was given."""
        last = False
        while not last:
            found = [self._outbox.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    found.append(self._outbox.get_nowait())
            items = [item for item, _ in found if item is not None]
            last = len(items) < len(found)
            if items:
                yield items
            for _, carried in found:
                if carried is not None:
                    carried.set()

    def payload(self, values: Sequence[object], place: Place | None = None, *, pickle: bool = True) -> Payload:
        """Encode values."""
        return Encoded.of(values, pickle=pickle)

    def arranged(self, values: Sequence[object], uniform: type | None) -> list[Stretch]:
        """Lay numbers and small arrays end to end."""
        return arranged(values, uniform)

    def place(self, task: Task, *, batched: bool) -> Place:
        """Give a place that copies."""
        return Place(batched=batched)


class _Loader:
    """Put on the caller's surroundings, as far as they are there, then unpickle its functions."""

    def __init__(self) -> None:
        self._imported = Imported()
        self._known = len(sys.modules)
        self._path = list(sys.path)

    def load(self, message: Open) -> Kernel:
        """Make a kernel; an actor that is stale ends instead."""
        if not self._imported.is_fresh():
            os._exit(STALE)
        around = message.surroundings
        with contextlib.suppress(OSError):
            os.chdir(around["directory"])
        path = [entry for entry in around["path"] if os.path.exists(entry or ".")]  # noqa: PTH110 - may be a zip's
        sys.path[:] = [*path, *(entry for entry in self._path if entry not in path)]
        for name, level in around["log_levels"].items():
            logging.getLogger(name).setLevel(level)
        stream, *aside = as_buffers(message.kernel)
        try:
            # Copied, for a function may write into what it has captured, and others have the same array here.
            return Kernel(load_ops(stream, [memoryview(bytearray(memory)) for memory in aside]))
        finally:
            self.note()

    def note(self) -> None:
        """Note what has been imported; a look at one number, most of the time."""
        if len(sys.modules) != self._known:
            self._known = len(sys.modules)
            self._imported.note()


def _work(number: int, driver: str, link: _Link) -> None:
    """Be a worker until `Bye`, in a thread; what goes wrong is told, or nobody would see it."""
    try:
        node = ray.get_runtime_context().get_node_id()
        record = Record(near=node == driver)
        link.give(record.here(node))
        logging.getLogger().addHandler(Forward(number, link))
        loader = _Loader()
        Loop(number, link, record.memory, loader.load, loader.note).serve()
        record.close()
    except BaseException:  # noqa: BLE001 - see above
        link.give(Fault(traceback.format_exc()))
    link.give(None)


def _may_change(message: Message) -> bool:
    """Say whether it refers to memory that functions may write into: not to arrays, which were copied or are ours.

    But to the buffers of what was pickled, of which the stream is the last frame.
    """
    if not isinstance(message, Result) or not isinstance(message.payload, Encoded):
        return False
    _, *frames = message.payload.frames
    return bool(frames) and isinstance(frames[-1], bytes)


def _unpacked(message: Packed, stored: Sequence[list[Frame]]) -> Message:
    rest = [] if message.stored is None else stored[message.stored]
    if message.opens:
        opened = unpack(as_buffers(message.frames))
        assert isinstance(opened, Open)
        return replace(opened, kernel=rest)
    return unpack(as_buffers([*message.frames, *rest]))
