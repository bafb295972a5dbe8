"""The one thread that talks to Ray: it starts actors, brings messages both ways, and tells how actors ended.

Calls of Ray may take long where the cluster is in trouble, so the hub makes none.  Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flazy.workers import room
from flazy.workers.ray.actor import Frame, Item, Packed, Worker
from flazy.workers.ray.record import Here, Note, read, read_open, remove

__all__ = ["Courier", "Ending", "Listener"]

log = logging.getLogger("flazy")

READ_SECONDS = 10.0  # for which a dead actor's record is waited for
LOOK_SECONDS = 1.0  # between looks whether the program is still connected: nothing tells when it is not
LAST_SECONDS = 2.0  # for which actors that were told to end may take until all are killed

# No order is needed between methods, but each must be able to run while the other does.
ACTOR = ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"in": 1, "out": 1})(Worker)
READ = ray.remote(num_cpus=0, max_retries=0)(read)


class Ending(NamedTuple):
    """How an actor ended: in order, or as Ray and its record have it.  ``here`` is None if it never began."""

    orderly: bool
    here: Here | None = None
    note: Note | None = None
    said: str = ""


class Listener(Protocol):
    """Who is told; in the courier's thread."""

    def heard(self, number: int, items: list[Item]) -> None:
        """Take in what an actor has sent."""

    def ended(self, number: int, ending: Ending) -> None:
        """Take in that an actor has ended; nothing more comes of it."""

    def parted(self) -> None:
        """Take in that the program has no connection to this cluster any more."""


@dataclass(slots=True, eq=False)
class _Hand:
    """An actor as it is reached; ``record`` is the open file of one on this node."""

    actor: Any
    following: asyncio.Task[None] | None = None
    pushed: int = 0
    here: Here | None = None
    record: int | None = None


@dataclass(slots=True, eq=False)
class _Outgoing:
    """What goes to one actor with the next call."""

    messages: list[Packed] = field(default_factory=list)
    stored: list[Any] = field(default_factory=list)


class Courier:
    """The thread; its methods may be called from any other and do not wait, but for `stop`."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._node = ray.get_runtime_context().get_node_id()
        self._hands: dict[int, _Hand] = {}
        self._messages: deque[tuple[int, Packed, Any]] = deque()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="flazy-ray", daemon=True)
        room.start(self._thread, "the thread that talks to Ray")

    def start(self, number: int, options: dict[str, Any]) -> None:
        """Start an actor."""
        self._call(lambda: self._start(number, options))

    def send(self, number: int, frames: list[Frame], stored: Any = None, *, opens: bool = False) -> None:
        """Send a message, of which a part may be in the object store; in order."""
        self._messages.append((number, Packed(frames, None, opens), stored))
        self._call(self._flush)

    def kill(self, number: int) -> None:
        """End an actor, whatever it does."""
        self._call(lambda: self._kill(number))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run a function in this thread after some time."""
        self._call(lambda: self._loop.call_later(seconds, action))

    def look(self, then: Callable[[dict[str, float], dict[str, float]], None]) -> None:
        """Find out what the cluster has in all, and what of it is free."""

        def find_out() -> None:
            if self._connected():
                then(ray.cluster_resources(), ray.available_resources())

        self._call(find_out)

    def stop(self) -> None:
        """Wait for actors that were told to end, kill those that do not, and end; in bounded time."""
        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self._end_all(), self._loop)
        self._thread.join(LAST_SECONDS + 2)

    def _call(self, action: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(action)

    def _run(self) -> None:
        self._loop.call_later(LOOK_SECONDS, self._look)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _look(self) -> None:
        if self._connected():
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _connected(self) -> bool:
        """Say whether Ray may be called; where the program has left the cluster, a call would start another."""
        if ray.is_initialized() and ray.get_runtime_context().get_node_id() == self._node:
            return True
        self._forget_all()
        self._listener.parted()
        return False

    def _start(self, number: int, options: dict[str, Any]) -> None:
        if not self._connected():
            return
        try:
            hand = self._hands[number] = _Hand(ACTOR.options(**options).remote(number, self._node))
        except Exception as error:  # noqa: BLE001 - Ray checks the options only now
            self._listener.ended(number, Ending(orderly=False, said=str(error)))
            return
        hand.following = self._loop.create_task(self._follow(number, hand))

    def _flush(self) -> None:
        """Bring all messages that there are, with one call for each actor."""
        outgoing: dict[int, _Outgoing] = defaultdict(_Outgoing)
        while self._messages:
            number, message, stored = self._messages.popleft()
            mine = outgoing[number]
            if stored is not None:
                message = message._replace(stored=len(mine.stored))
                mine.stored.append(stored)
            mine.messages.append(message)
        for number, mine in outgoing.items() if self._connected() else ():
            if (hand := self._hands.get(number)) is not None:
                push = hand.actor.push.options(num_returns=0, concurrency_group="in")
                push.remote(hand.pushed, mine.messages, *mine.stored)
                hand.pushed += 1

    async def _follow(self, number: int, hand: _Hand) -> None:
        """Listen to an actor until it ends."""
        said = None
        try:
            stream = hand.actor.serve.options(num_returns="streaming", concurrency_group="out").remote()
            async for part in stream:
                items = await part
                if hand.here is None and isinstance(items[0], Here):
                    self._meet(hand, items[0])
                self._listener.heard(number, items)
                del items, part
        except Exception as error:  # noqa: BLE001 - Ray has dozens: the actor, its node or its results are lost
            said = str(error)
            self._kill(number)  # it may still be there
        note = await self._note(hand) if said is not None else None
        self._forget(number, hand)
        self._listener.ended(number, Ending(said is None, hand.here, note, said or ""))

    def _meet(self, hand: _Hand, here: Here) -> None:
        """Open the record of an actor on this node, while it lives."""
        hand.here = here
        if here.node == self._node:
            with contextlib.suppress(OSError):  # Ray's processes and ours may see different folders
                hand.record = os.open(here.path, os.O_RDONLY)
                remove(here.path)

    async def _note(self, hand: _Hand) -> Note | None:
        """Get the record of a dead actor; None where that is impossible."""
        if hand.record is not None:
            return read_open(hand.record)
        if hand.here is None or not self._connected():
            return None
        there = NodeAffinitySchedulingStrategy(hand.here.node, soft=False)
        try:
            found = READ.options(scheduling_strategy=there).remote(hand.here.path)
            note: Note | None = await asyncio.wait_for(found, READ_SECONDS)
        except Exception:
            log.debug("the record of a Ray actor could not be read", exc_info=True)
            return None
        return note

    def _forget(self, number: int, hand: _Hand) -> None:
        self._hands.pop(number, None)
        if hand.record is not None:
            os.close(hand.record)
            hand.record = None

    def _kill(self, number: int) -> None:
        if (hand := self._hands.get(number)) is not None and self._connected():
            with contextlib.suppress(RayError, ValueError):  # it has ended, or never began
                ray.kill(hand.actor)

    async def _end_all(self) -> None:
        for number, hand in list(self._hands.items()):
            if hand.here is None:
                self._kill(number)
        for wait in (LAST_SECONDS, 1.0):
            following = [hand.following for hand in self._hands.values() if hand.following is not None]
            if following:
                await asyncio.wait(following, timeout=wait)
            for number in list(self._hands):
                self._kill(number)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=1.0)
        self._forget_all()
        self._loop.call_soon(self._loop.stop)

    def _forget_all(self) -> None:
        for number, hand in list(self._hands.items()):
            self._forget(number, hand)
