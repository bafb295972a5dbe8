"""The workers of one parallel stage, on other machines and on this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flazy.core.events import Blame, Grant, Send
from flazy.dtypes import is_extended
from flazy.plan.remote import Remote
from flazy.plan.shipping import sending
from flazy.remote.host import Terms
from flazy.remote.hosts import Hosts
from flazy.remote.parcel import Parcel
from flazy.transport.arena import Arena, Span
from flazy.transport.codec import Unencodable
from flazy.transport.payload import Encoded, Payload, Placed
from flazy.transport.places import Intake
from flazy.transport.stretches import arranged
from flazy.transport.wire import Task
from flazy.workers.deaths import Death, tidy
from flazy.workers.launch import Running
from flazy.workers.passing import Passing
from flazy.workers.pool import Inputs, Owner, message_of
from flazy.workers.processes import ProcessPool

__all__ = ["Guests", "RemotePool", "terms_of"]


def terms_of(where: Remote, batching: Any, log_levels: dict[str, int], stages: str) -> Terms:
    """Say on which terms hosts work on a stage."""
    return Terms(
        batching=None if batching is None else (batching.size, _spelled(batching.default_dtype)),
        timeout=where.timeout,
        pickled=where.allow_pickle,
        compression=where.compression,
        log_levels=log_levels,
        stages=stages,
        batch=0 if batching is None else batching.size,
    )


def _spelled(dtype: Any) -> str | None:
    if dtype is None:
        return None
    return str(dtype.name if is_extended(dtype) else dtype.str)


class Guests(Passing):
    """The workers of other machines, as they are told of: see `flazy.remote.host.User`.

    Nobody is replaced here who leaves: hosts see to their processes, and people to their hosts.

    Parameters
    ----------
    parcel, terms
        What they run, and how.
    beside
        So many processes of this machine work beside them.
    warn_slow
        Brings a warning, with a stack, to the caller.
    """

    def __init__(
        self, parcel: Parcel, terms: Terms, *, beside: int = 0, warn_slow: Callable[[str, str], None]
    ) -> None:
        super().__init__(1)  # and more as they come
        self.run = 0
        self.parcel = parcel
        self.terms = terms
        self._beside = beside
        self._warn_slow = warn_slow
        self._names: dict[int, str] = {}

    def open(self, owner: Owner) -> None:
        """Tell a stage from now on."""
        self._owner, self.run = owner, owner.run

    def close(self) -> None:
        """Tell nobody any more."""
        self._owner = None

    def knows(self, worker: int) -> bool:
        """Say whether a worker is, or was, one of them."""
        return worker in self._names

    def name(self, worker: int) -> str:
        """Spell one of them."""
        return self._names.get(worker, "a worker process of another machine")

    def joined(self, worker: int, name: str) -> None:
        """Pass on."""
        self._names[worker] = name
        self._breaker.n = max(self._breaker.n, len(self._names))
        self._pass_joined(worker)

    def lost(self, worker: int, death: Death, blame: Blame | None, *, own: bool) -> None:
        """Pass on; where its processes die faster than they work, give up."""
        if self._owner is not None and self.knows(worker):  # else it was lost before it could be told of
            self._pass_lost(worker, death, blame, own=own)

    def refused(self, error: Exception) -> None:
        """Give up, unless there are processes of this machine."""
        if not self._beside:
            self.broken(error)

    def slow(self, worker: int, running: Running, seconds: float, stack: str) -> None:
        """Warn with the name of the sample."""
        if self._owner is not None:
            what = self._owner.describe(running.task, running.place)
            self._warn_slow(f"{what} has been running for {seconds:.0f} s in {self.name(worker)}", tidy(stack))


class RemotePool:
    """Whoever is there: every host of an address, and processes of this machine beside them.

    Parameters
    ----------
    where
        What the user has asked for.
    guests
        What hosts tell of the stage.
    hosts
        Those that there are, and that will come.
    local, arena
        The processes of this machine, None for none, and where what they are given lies.
    """

    def __init__(
        self, where: Remote, guests: Guests, hosts: Hosts, *, local: ProcessPool | None = None,
        arena: Arena | None = None,
    ) -> None:  # fmt: skip
        self._guests = guests
        self._arena = arena
        self._where = where
        self._hosts = hosts
        self._local = local
        self._owner: Owner | None = None
        self._intake = Intake(None)

    def open(self, owner: Owner) -> None:
        """Let them work."""
        self._owner = owner
        self._guests.open(owner)
        if self._local is not None:
            self._local.open(owner)
        self._hosts.admit(self._guests, None if self._local is not None else self._where.join_timeout)

    def send(self, command: Send | Grant) -> None:
        """Send to a worker, wherever it is."""
        if self._local is not None and not self._guests.knows(command.worker):
            self._local.send(command)
        elif self._owner is not None:
            message = message_of(self._owner, command)
            inputs = command.inputs if isinstance(command, Send) else None
            samples, first = (inputs.samples, inputs.first) if isinstance(inputs, Inputs) else (0, 0)
            if isinstance(message, Task) and isinstance(message.payload, Placed):
                message = replace(message, payload=Encoded(message.payload.found(self._read)))
            self._hosts.give(command.worker, message, samples, first)

    def finish(self) -> None:
        """Let the workers go before the consumer has taken what they made."""
        if self._owner is not None:
            self._hosts.dismiss(self._guests)
            if self._local is not None:
                self._local.finish()

    def close(self) -> None:
        """Let them go."""
        self._owner = None
        self._guests.close()
        self._hosts.dismiss(self._guests)
        if self._local is not None:
            self._local.close()

    def keep(self, value: object) -> object:
        """Copy what the source may write into again."""
        return self._intake.keep(value) if self._local is None else self._local.keep(value)

    def pack(self, values: Sequence[object]) -> Payload:
        """Encode a copy of the inputs; where functions went by value, so do the classes of samples beside them."""
        with sending(self._guests.parcel.sent):
            if self._local is not None:
                return self._local.pack(values)
            try:
                return self._intake.packed(arranged(values))
            except Unencodable:
                Encoded.of(values)  # says which it is
                raise

    def name(self, worker: int) -> str:
        """Spell a worker."""
        if self._local is not None and not self._guests.knows(worker):
            return self._local.name(worker)
        return self._guests.name(worker)

    def _read(self, span: Span) -> memoryview:
        """Copy what lies in shared memory, which is not shared with other machines."""
        assert self._arena is not None
        _, offset, length, _, _ = span
        return memoryview(os.pread(self._arena.file, length, offset))
