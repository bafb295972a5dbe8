"""Which cluster it is: the one that the program is connected to, another that is there, or one that is started here.

Here: the connection, and its end.  What we have begun ends with `flazy.shutdown` or with the program; what was there
before is left as it was.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from flazy.collate import Batching
from flazy.errors import MissingExtra, WorkerError
from flazy.plan.kernel import Op
from flazy.plan.ray import Ray
from flazy.plan.shipping import Pickled
from flazy.workers.relay import Relay

try:
    import ray
except ImportError as error:
    raise MissingExtra("workers=Ray(…) needs Ray, which is missing: pip install flazy[ray]") from error

from ray.util.client import ray as client

from flazy.workers.ray.actors import Actors
from flazy.workers.ray.pool import RayPool
from flazy.workers.ray.stored import Parcel, parcel_of

__all__ = ["Cluster", "connected", "shutdown"]

# Of an address that nobody has given: what RAY_ADDRESS says, or what was started on this machine with `ray start`.
FOUND = "auto"
STARTED = "local"

REACH_SECONDS = 5.0
END_SECONDS = 10.0

log = logging.getLogger("flazy")


class Cluster:
    """A connection to a cluster.

    Parameters
    ----------
    session
        By which it is told whether the program has connected to another since.
    ours
        Whether we have connected to it, and are to end that.
    """

    def __init__(self, session: tuple[str, str], *, ours: bool) -> None:
        self.session = session
        self._ours = ours
        self._actors: Actors | None = None
        self._lock = threading.Lock()

    def keep(self, ops: tuple[Op, ...], pickled: Pickled | None = None) -> Parcel:
        """Hold a chain, pickled just now or here, as long as the result is held."""
        return parcel_of(ops, pickled)

    def let_go(self, kept: Parcel) -> None:
        """Do nothing: it goes with the last reference."""

    def pool(
        self, where: Ray, kernel: Parcel, around: dict[str, Any], batching: Batching | None,
        *, post: Callable[[Callable[[], None]], None], relay: Relay,
    ) -> RayPool:  # fmt: skip
        """Make the pool of a stage; ``post`` and ``relay`` as of `Actors`."""
        with self._lock:
            if self._actors is None or self._actors.post != post:  # there is another hub since
                self._end_actors()
                self._actors = Actors(post, relay)
            return RayPool(where, kernel, around, self._actors, batching)

    def end(self) -> None:
        """End the actors, and the connection if it is ours."""
        with self._lock:
            self._end_actors()
        if self._ours and ray.is_initialized() and session() == self.session:
            ray.shutdown()

    def _end_actors(self) -> None:
        if self._actors is not None:
            self._actors.stop()
            self._actors = None


_lock = threading.Lock()
_cluster: Cluster | None = None


def connected(where: Ray) -> Cluster:
    """Give the cluster, connected to now if the program was not.

    Raises
    ------
    WorkerError
        There is none at the address, or the program is connected to another.
    """
    global _cluster  # noqa: PLW0603 - one a process, as Ray has it
    with _lock:
        _refuse_client(where)
        if not ray.is_initialized():
            _end()
            _connect(where)
            _cluster = Cluster(session(), ours=True)
        elif _cluster is None or _cluster.session != session():
            _end()
            log.info("workers are actors of the Ray cluster that this program is connected to, %s", _address())
            _cluster = Cluster(session(), ours=False)
        _check_address(where)
        return _cluster


def shutdown() -> None:
    """End what was begun here."""
    if _lock.acquire(timeout=END_SECONDS):  # else a thread is just connecting, and Ray may take long for that
        try:
            _end()
        finally:
            _lock.release()


def _end() -> None:
    global _cluster
    ending, _cluster = _cluster, None
    if ending is not None:
        ending.end()


def session() -> tuple[str, str]:
    """Name the connection."""
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def _address() -> str:
    return str(ray.get_runtime_context().gcs_address)


def _connect(where: Ray) -> None:
    """Connect to what there is, else start one; what functions print is brought by Ray."""
    quiet = {"logging_level": logging.WARNING, "log_to_driver": True}
    given = where.address or os.environ.get("RAY_ADDRESS")
    if given != STARTED:
        try:
            _reach(given)
            ray.init(given or FOUND, **quiet)
        except OSError as error:
            if given:
                raise WorkerError(f"there is no Ray cluster at {given!r}: {error}") from error
        else:
            log.info("workers are actors of the Ray cluster at %s", _address())
            return
    ray.init(STARTED, include_dashboard=False, **quiet)
    cores = ray.cluster_resources().get("CPU", 0)
    log.warning("there is no Ray cluster: one was started here, with %g CPUs; it ends with this program", cores)


def _refuse_client(where: Ray) -> None:
    """Refuse Ray Client, by which results cannot be streamed; `Ray` has looked at what was given to it."""
    given = where.address or os.environ.get("RAY_ADDRESS", "")
    if (given.startswith("ray://") and not ray.is_initialized()) or client.is_connected():
        raise WorkerError(
            "workers=Ray(…) cannot go through Ray Client (ray://), by which results are not streamed; run the program "
            "on a machine of the cluster, e.g. as a Ray job"
        )


def _reach(address: str | None) -> None:
    """Try an address that names a port, for a few seconds; Ray would try for minutes.

    Raises
    ------
    OSError
        Nobody is there.
    """
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), REACH_SECONDS).close()


def _check_address(where: Ray) -> None:
    """See that it is the cluster that was asked for, where that can be told."""
    asked = where.address
    if asked is not None and asked not in (FOUND, STARTED) and asked != _address():
        raise WorkerError(
            f"this program is connected to the Ray cluster at {_address()}, and can be connected to one only; "
            f"address={asked!r} is another"
        )


# Registered when Ray has registered its own, and so called before it: functions close what they have opened.
atexit.register(shutdown)
