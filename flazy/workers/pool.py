"""What a parallel stage needs of its workers, for processes and for threads.

A pool turns commands into messages and what happens to its workers into reports to its `Owner`.  It decides nothing
about tasks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from flazy.core.events import Blame, Grant, Send
from flazy.errors import ResourceError, WorkerError
from flazy.plan.kernel import Kernel, Op
from flazy.plan.loops import blank_record
from flazy.sample import Origin, fresh
from flazy.transport.payload import Payload, Plain
from flazy.transport.places import Place
from flazy.transport.stretches import ROWS, Stretch
from flazy.transport.wire import Bye, Close, Granted, Hello, Message, Open, Refused, Result, Task
from flazy.workers import deaths, room
from flazy.workers.deaths import Death
from flazy.workers.loop import Loop

__all__ = ["Inputs", "Owner", "Pool", "ThreadPool", "message_of"]


class Owner(Protocol):
    """Whom a pool reports to; called in the hub thread only."""

    run: int

    def joined(self, worker: int) -> None:
        """Take in that a worker is ready."""

    def lost(self, worker: int, death: Death, blame: Blame | None) -> None:
        """Take in that a worker is gone."""

    def describe(self, task: int, place: tuple[int, ...]) -> str:
        """Name the call at a place of a task: stage and sample."""

    def result(self, result: Result) -> None:
        """Take in a part."""

    def broken(self, error: BaseException) -> None:
        """Take in that the pool cannot go on."""


class Pool(Protocol):
    """The workers of one parallel stage; used by the hub thread only."""

    def open(self, owner: Owner) -> None:
        """Start the workers; they report as they get ready."""

    def send(self, command: Send | Grant) -> None:
        """Bring a command to its worker; never blocks."""

    def finish(self) -> None:
        """Take in that every task is done and none will come; the workers may go, and report nothing; idempotent."""

    def close(self) -> None:
        """Let the workers go; idempotent."""

    def keep(self, value: object) -> object:
        """Give a value that its source cannot change any more; called by the feeder."""

    def pack(self, values: Sequence[object]) -> Payload:
        """Make a payload of inputs; called by the feeder.

        Raises
        ------
        Unencodable
            For values that cannot travel.
        """

    def name(self, worker: int) -> str:
        """Spell a worker for messages."""


class Inputs(NamedTuple):
    """What the core carries as the inputs of a task."""

    origin: Origin
    payload: Payload
    samples: int
    first: int = 0  # how many samples came before them


def message_of(owner: Owner, command: Send | Grant) -> Granted | Task:
    """Spell a command as a message; the inputs of a task are its origin and payload."""
    if isinstance(command, Grant):
        return Granted(owner.run, command.task, command.parts)
    assert isinstance(command.inputs, Inputs)
    origin, payload, _, _ = command.inputs
    verdicts = [deaths.message_of(verdict) for verdict in command.verdicts]
    numbers = (command.task, command.attempt, command.skip, command.credit)
    return Task(owner.run, *numbers, origin, payload, verdicts=verdicts)


class _Queues:
    """A link between threads: messages pass as they are."""

    def __init__(self, deliver: Callable[[Message], None]) -> None:
        self.inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._deliver = deliver

    def receive(self, *, wait: bool) -> Message | None:
        """Give the next message."""
        try:
            return self.inbox.get(block=wait)
        except queue.Empty:
            return None

    def send(self, message: Message) -> None:
        """Hand a message to the hub."""
        self._deliver(message)

    def payload(self, values: Sequence[object], place: Place | None = None, *, pickle: bool = True) -> Payload:
        """Keep values as they are; nothing is pickled between threads."""
        return Plain.of(values)

    def arranged(self, values: Sequence[object], uniform: type | None) -> list[Stretch]:
        """Leave values as they are."""
        return [(ROWS, len(values), values)]

    def place(self, task: Task, *, batched: bool) -> Place:
        """Give a place that copies."""
        return Place()


class ThreadPool:
    """Worker threads of this process.

    Parameters
    ----------
    n
        How many.
    ops
        Each gets a kernel of its own, since resources of ``setup=`` belong to one worker.
    post
        Runs a function in the hub thread, soon.
    """

    def __init__(self, n: int, ops: tuple[Op, ...], post: Callable[[Callable[[], None]], None]) -> None:
        self._n = n
        self._ops = ops
        self._post = post
        self._owner: Owner | None = None
        self._links: dict[int, _Queues] = {}

    def open(self, owner: Owner) -> None:
        """Start the threads."""
        self._owner = owner
        try:
            self._start(owner)
        except ResourceError as error:
            owner.broken(error)

    def _start(self, owner: Owner) -> None:
        for worker in range(self._n):
            link = self._links[worker] = _Queues(lambda message: self._post(lambda: self._take(message)))
            loop = Loop(worker, link, blank_record(), lambda message: Kernel(message.kernel))
            link.inbox.put(Open(owner.run, self._ops, {}))
            name = f"flazy-worker-{owner.run}-{worker}"
            room.start(threading.Thread(target=self._serve, args=(loop,), name=name, daemon=True), "a worker thread")

    def send(self, command: Send | Grant) -> None:
        """Put a message into a thread's queue."""
        if self._owner is not None:
            self._links[command.worker].inbox.put(message_of(self._owner, command))

    def finish(self) -> None:
        """Wait for `close`: values may lean on what ``setup=`` opened, and the consumer still looks at them."""

    def close(self) -> None:
        """Tell the threads to end; each does so when the function that it runs returns."""
        owner, self._owner = self._owner, None
        if owner is not None:
            for link in self._links.values():
                link.inbox.put(Close(owner.run))
                link.inbox.put(Bye())

    def keep(self, value: object) -> object:
        """Copy arrays and containers, which the source may write into again."""
        return fresh(value)

    def pack(self, values: Sequence[object]) -> Payload:
        """Keep values, copied once more where they were not kept before."""
        return Plain.of([(ROWS, len(values), [fresh(value) for value in values])])

    def name(self, worker: int) -> str:
        """Spell a thread."""
        return f"thread {worker}"

    def _serve(self, loop: Loop) -> None:
        try:
            loop.serve()
        except BaseException as error:  # noqa: BLE001 - a fault of ours must not look like a slow function
            self._post(partial(self._fail, error))

    def _fail(self, error: BaseException) -> None:
        if self._owner is not None:
            self._owner.broken(error)

    def _take(self, message: Message) -> None:
        if self._owner is None:
            return
        match message:
            case Refused():
                what = "a worker thread could not load the functions of this stage"
                self._owner.broken(WorkerError(f"{what}:\n\n{message.reason}"))
            case Hello():
                self._owner.joined(message.worker)
            case Result():
                self._owner.result(message)
