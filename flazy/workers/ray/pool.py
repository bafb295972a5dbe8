"""The pool of actors of one parallel stage: leased, replaced as they die, up to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flazy.collate import Batching
from flazy.core.events import Blame, Grant, Send
from flazy.errors import WorkerPoolBroken
from flazy.plan.ray import Ray
from flazy.sample import fresh
from flazy.transport.codec import Unencodable, encode, nbytes
from flazy.transport.payload import Encoded, Payload
from flazy.transport.stretches import arranged
from flazy.transport.wire import Open, Task
from flazy.workers.deaths import Death
from flazy.workers.passing import Passing
from flazy.workers.pool import Inputs, Owner, message_of
from flazy.workers.ray.actors import Actors, Opened
from flazy.workers.ray.stored import LARGE, Parcel, Stored

__all__ = ["RayPool"]

WARN_SECONDS = 10.0  # after which it is said that actors are missing
START_SECONDS = 60.0  # after which a stage without any gives up


class RayPool(Passing):
    """Actors of one parallel stage; they report here, and what is the stage's business is passed on.

    Parameters
    ----------
    where
        How many, and what Ray sets aside for them.
    kernel, around
        What they run, and in which surroundings.
    actors
        Where they come from.
    batching
        What becomes of the outputs, where workers can see to that.
    """

    def __init__(
        self, where: Ray, kernel: Parcel, around: dict[str, Any], actors: Actors, batching: Batching | None = None
    ) -> None:
        super().__init__(where.n)
        self._where = where
        self._kernel = kernel
        self._around = around
        self._actors = actors
        self._batching = batching
        self._opened: Opened | None = None
        self._names: dict[int, str] = {}
        self._joins = 0
        self.run = 0

    def open(self, owner: Owner) -> None:
        """Lease the actors."""
        self._owner, self.run = owner, owner.run
        message = Open(owner.run, None, self._around, self._batching)
        self._opened = Opened(self._where.options, message, self._kernel.reference)
        self._actors.lease(self._where.n, self, self._opened)
        if len(self._ready) < self._where.n:
            self._watch()

    def send(self, command: Send | Grant) -> None:
        """Send a message."""
        if self._owner is not None:
            message = message_of(self._owner, command)
            if self._batching is not None and isinstance(message, Task):
                assert isinstance(command, Send)
                assert isinstance(command.inputs, Inputs)
                message = replace(message, row=command.inputs.first % self._batching.size)
            self._actors.send(command.worker, message)

    def finish(self) -> None:
        """Give the actors back before the consumer has taken what they made, so that the next pass finds them free."""
        if self._owner is not None:
            self.close()

    def close(self) -> None:
        """Give the actors back."""
        self._owner = None
        self._actors.release(self)

    def keep(self, value: object) -> object:
        """Copy what the source may write into again."""
        return fresh(value)

    def pack(self, values: Sequence[object]) -> Payload:
        """Encode a copy of the inputs, into the object store if they are large."""
        try:
            frames = encode(arranged(values))
        except Unencodable:
            Encoded.of(values)  # says which it is
            raise
        if nbytes(frames) >= LARGE:
            return Stored(frames)
        return Encoded([bytes(frame) if isinstance(frame, memoryview) else frame for frame in frames])

    def name(self, worker: int) -> str:
        """Spell an actor."""
        return self._names.get(worker, "Ray actor")

    # Reports of the actors --------------------------------------------------------------------------

    def joined(self, worker: int) -> None:
        """Pass on."""
        self._joins += 1
        self._names[worker] = self._actors.name(worker)
        self._pass_joined(worker)

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> None:
        """Replace a dead actor, unless they die faster than they work; ``own`` as in `Blame`."""
        opened = self._opened
        if self._owner is None or opened is None:
            return
        self._actors.relay.warn(f"{death.headline}; its samples are sent again")
        if self._pass_lost(worker, death, blame, own=own):
            self._actors.start(self, opened)
            self._watch()

    def _watch(self) -> None:
        """Look after a while whether those that are being started are there, and once more in the end."""
        for seconds, since in ((WARN_SECONDS, None), (START_SECONDS, self._joins)):
            self._actors.courier.later(seconds, partial(self._count, since))

    def _count(self, since: int | None) -> None:
        """Find out what the cluster has, if some are missing; in the courier's thread."""
        if self._owner is not None and len(self._ready) < self._where.n:
            self._actors.courier.look(lambda has, free: self._actors.post(lambda: self._missing(has, free, since)))

    def _missing(self, has: dict[str, float], free: dict[str, float], since: int | None) -> None:
        """Say that actors wait for room in the cluster; in the end, if none has joined ``since``, give up."""
        count, n = len(self._ready), self._where.n
        if self._owner is None or count == n:
            return
        text = (
            f"{count} of {n} Ray actors have started; each asks for {_amounts(self._where.options)}, and the cluster "
            f"has {_amounts(has)}, of which {_amounts(free)} are free"
        )
        if since is None:
            self._actors.relay.warn(f"{text}; {'it goes on with those' if count else 'waiting for the first'}")
        elif not count and since == self._joins:
            self.broken(WorkerPoolBroken(f"after {START_SECONDS:.0f} s {text}"))


def _amounts(resources: dict[str, Any]) -> str:
    """Spell what is asked for, or what there is, without what Ray adds for itself."""
    asked = {"CPU": resources.get("num_cpus"), "GPU": resources.get("num_gpus"), **resources.get("resources", {})}
    named = asked if "num_cpus" in resources else resources
    ours = {name: amount for name, amount in named.items() if amount and "memory" not in name and ":" not in name}
    return ", ".join(f"{amount:g} {name}" for name, amount in ours.items()) or "nothing"
