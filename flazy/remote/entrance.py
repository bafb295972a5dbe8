"""Where workers of other machines come in: a door, its keys, and how people are told of it.

One for each address that the program names, for as long as the runtime lives.  Keys that are not in files are made
once in a program, so a worker that waits for the program's next runtime is let in again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from flazy.errors import FlazyError, InvalidArgument, SecurityError
from flazy.plan.remote import Remote
from flazy.remote.hosts import Hosts
from flazy.remote.join import JoinCode, line
from flazy.remote.keyfiles import AuthorizedWorkers, default_path, read_keys
from flazy.remote.register import Caller
from flazy.transport.codec import Buffer
from flazy.transport.curve import KeyPair, address_of, ensure_curve, new_keys
from flazy.transport.door import Door
from flazy.transport.squeeze import need

__all__ = ["Entrance", "open_entrance"]

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - as they are read, not bound

log = logging.getLogger("flazy")


@dataclass(slots=True)
class _Keys:
    """Those of this program, where none are in files."""

    trainer: KeyPair | None = None
    workers: KeyPair | None = None


_keys = _Keys()


@dataclass(slots=True)
class Entrance:
    """An open door; the hub thread sees to it (`flazy.run.runtime.Attended`).

    ``listen`` is how the user has named it, ``settled`` what everybody who names it must agree on; ``written`` are the
    files that go with it.
    """

    listen: str
    hosts: Hosts
    settled: tuple[Any, ...]
    written: list[str] = field(default_factory=list)

    def agree(self, where: Remote) -> None:
        """See that another stage wants the same of the address.

        Raises
        ------
        InvalidArgument
            It does not.
        """
        if settled_of(where) != self.settled:
            raise InvalidArgument(
                f"two stages listen on {where.listen} with different results_port, host, join_file, heartbeat, "
                "authorized_workers or key; use one Remote for both"
            )

    def sockets(self) -> Iterable[Any]:
        """Give what becomes readable when there is something to take in."""
        return self.hosts.sockets()

    def writable(self) -> Iterable[Any]:
        """Give what waits to be written to."""
        return self.hosts.writable()

    @property
    def next_deadline(self) -> float:
        """When `tend` has something to do."""
        return self.hosts.next_deadline

    def tend(self) -> None:
        """Let the hosts have their say."""
        self.hosts.tend()

    def end(self) -> None:
        """Tell the hosts that the trainer ends."""
        self.hosts.end()

    def close(self) -> None:
        """Close the door and remove what was written; idempotent."""
        self.hosts.close()
        while self.written:
            with contextlib.suppress(OSError):
                os.unlink(self.written.pop())  # noqa: PTH108 - the runtime loads no pathlib of its own


def settled_of(where: Remote) -> tuple[Any, ...]:
    """Give what belongs to the address rather than to a stage."""
    files = where.join_file, where.authorized_workers, where.key
    paths = [None if path is None else os.fspath(path) for path in files]
    return (where.results_port, where.host, where.heartbeat, *paths)


def open_entrance(
    where: Remote, folder: str, caller: Caller, room: Callable[[int], Buffer | None] = lambda _: None
) -> Entrance:
    """Listen, and tell how workers are started.

    Parameters
    ----------
    where
        What the user has asked for.
    folder
        A private folder, for the line that starts workers.
    caller
        Brings warnings, and log records of workers, to the caller.
    room
        Gives memory for so many bytes of a result, or None.

    Raises
    ------
    SecurityError
        Keys are missing or open to others, or the guard of the door does not keep strangers out; nothing listens.
    OSError, InvalidArgument
        The address is none of this machine, or a port is in use.
    """
    ensure_curve()
    if where.compression is not None:
        need(where.compression)
    address = address_of(where.listen, where.results_port)
    keys, secret, is_allowed = _keys_of(where)
    door = Door(address, keys, is_allowed, heartbeat=where.heartbeat)
    try:
        code = JoinCode(_seen_from_outside(where.host or address.host), *door.ports, keys.public, secret)
        told = _Told(code, where, os.path.join(folder, "join"))  # noqa: PTH118 - as above
        hosts = Hosts(door, caller, told.how, heartbeat=where.heartbeat, is_allowed=is_allowed, room=room)
        return Entrance(where.listen, hosts, settled_of(where), told.written)
    except BaseException:
        door.close()
        raise


def _keys_of(where: Remote) -> tuple[KeyPair, bytes | None, Callable[[bytes], bool]]:
    """Give our keys, the secret that workers are given, and who may come in."""
    if where.authorized_workers is None:
        _keys.trainer = _keys.trainer or new_keys()
        workers = _keys.workers = _keys.workers or new_keys()
        return _keys.trainer, workers.secret, lambda public: public == workers.public
    path = default_path("trainer.key") if where.key is None else _at_home(where.key)
    try:
        keys = read_keys(path)
    except FileNotFoundError as error:
        raise SecurityError(
            f"authorized_workers= needs a key of this machine that lasts, and there is none at {os.fspath(path)}; "
            "make it with: flazy-worker keygen --trainer"
        ) from error
    listed = AuthorizedWorkers(_at_home(where.authorized_workers))
    if not len(listed):
        log.warning("nobody can join: there is no key in %s; flazy-worker keygen prints the lines for it", listed.path)
    return keys, None, _Listed(listed)


def _at_home(path: str | os.PathLike[str]) -> str:
    """Give a path without the ``~`` that it may begin with."""
    return os.path.expanduser(os.fspath(path))  # noqa: PTH111 - the runtime loads no pathlib of its own


class _Listed:
    """Who is on the list now; nobody, where it cannot be read any more, or not be believed."""

    def __init__(self, listed: AuthorizedWorkers) -> None:
        self._listed = listed

    def __call__(self, public: bytes) -> bool:
        """Say whether a key may come in."""
        try:
            return self._listed.allows(public)
        except FlazyError as error:
            log.warning("nobody is let in: %s", error)
            return False


class _Told:
    """The line that starts a worker, shown or written."""

    def __init__(self, code: JoinCode, where: Remote, path: str) -> None:
        text, join_file = line(code), where.join_file
        self.written: list[str] = []
        if join_file is not None:
            path = os.path.abspath(_at_home(join_file))  # noqa: PTH100 - whoever reads it may be in another folder
        if code.secret is None:
            self.how = f"Start one on another machine, with its own key, by:\n  {text}"
        else:
            self.how = f"Start one on another machine by the line that stands in {path} (it holds a key)"
        if code.secret is not None or join_file is not None:
            try:
                _write(path, text)
            except OSError as error:
                raise InvalidArgument(f"the join file {path} cannot be written: {error.strerror}") from error
            self.written.append(path)
        state = "takes workers of other machines" if where.local else "waits for workers of other machines"
        _announce(text if join_file is None and _is_terminal() else None, state, self.how)


def _announce(text: str | None, state: str, how: str) -> None:
    """Show the line on a terminal, and nowhere else: there is a key in it."""
    # A warning, since without a person who does something nothing goes on, and who shows no less is to see it as well.
    log.warning("this program %s. %s", state, how)
    if text is not None:
        said = f"flazy: to lend this program the cores of another machine, paste there:\n  {text}\n"
    elif not logging.getLogger().handlers:  # nobody would see the record
        said = f"flazy: this program {state}. {how}\n"
    else:
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):  # the caller's stream is closed, or None
        sys.stderr.write(said)
        sys.stderr.flush()


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # it is None, or closed
        return False


def _write(path: str, text: str) -> None:
    """Write a file that its owner alone can read, all of it at once: somebody may wait for it."""
    made = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(made)  # noqa: PTH108
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text + "\n")
    os.replace(made, path)  # noqa: PTH105


def _seen_from_outside(host: str) -> str:
    """Give an address of this machine that others can reach, as well as it can be known here."""
    if host not in EVERYWHERE:
        return host
    kind, far = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "198.51.100.1")
    with socket.socket(kind, socket.SOCK_DGRAM) as trial, contextlib.suppress(OSError):
        trial.connect((far, 9))  # nothing is sent: this asks for the route alone (both addresses are for documents)
        return str(trial.getsockname()[0])
    return socket.gethostname()
