"""A parallel stage whose workers are guests: on other machines, with the processes of this one beside them."""

from __future__ import annotations

from flazy.plan.kernel import Op
from flazy.plan.planner import Chain
from flazy.plan.remote import Remote
from flazy.plan.where import Processes
from flazy.remote.entrance import Entrance, open_entrance
from flazy.remote.parcel import Parcel
from flazy.remote.pool import Guests, RemotePool, terms_of
from flazy.run.runtime import Runtime
from flazy.transport.arena import Arena
from flazy.transport.codec import Buffer
from flazy.workers.kernels import Kept
from flazy.workers.processes import ProcessPool, surroundings

__all__ = ["open_pool"]


def open_pool(chain: Chain, hub: Runtime, parcel: Parcel, kept: Kept | None) -> RemotePool:
    """Make the pool of a stage; the first one of an address begins to listen.

    Parameters
    ----------
    chain
        The stage.
    hub
        The runtime.
    parcel
        The functions as other machines get them.
    kept
        The same for processes of this one, where there are to be such.

    Raises
    ------
    SecurityError, OSError, InvalidArgument
        See `flazy.remote.entrance.open_entrance`.
    """
    where = chain.where
    assert isinstance(where, Remote)
    entrance = _entrance(where, hub)
    around = surroundings()
    local = None
    if kept is not None:
        here = Processes(where.local, window=where.window, chunk=where.chunk, timeout=where.timeout)
        local = ProcessPool(here, kept, around, hub.fleet, chain.batching)
    terms = terms_of(where, chain.batching, around["log_levels"], _spelled(chain.ops))
    guests = Guests(parcel, terms, beside=where.local, warn_slow=hub.fleet.relay.warn_slow)
    return RemotePool(where, guests, entrance.hosts, local=local, arena=hub.fleet.arena)


def _entrance(where: Remote, hub: Runtime) -> Entrance:
    with hub.opening:
        for entrance in hub.attended:
            if isinstance(entrance, Entrance) and entrance.listen == where.listen:
                entrance.agree(where)
                return entrance
        made = open_entrance(where, hub.folder, hub.fleet.relay, _Room(hub.fleet.arena))
        hub.attend(made)
        return made


class _Room:
    """Memory of the arena for what comes from other machines: its pages are there, and come back by themselves."""

    def __init__(self, arena: Arena | None) -> None:
        self._arena = arena

    def __call__(self, nbytes: int) -> Buffer | None:
        """Give so many bytes; None where there is no room."""
        lease = self._arena.lease(nbytes) if self._arena is not None else None
        return None if lease is None else lease.memory.data[:nbytes]


def _spelled(ops: tuple[Op, ...]) -> str:
    return " > ".join(op.name for op in ops)
