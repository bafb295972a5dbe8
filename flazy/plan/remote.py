"""``workers=Remote(…)``: workers on other machines, which come and go."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from flazy.errors import InvalidArgument, InvalidType
from flazy.plan.where import Where

__all__ = ["Remote"]

COMPRESSIONS = ("lz4",)
HOST = re.compile(r"[\w.-]+|[\w.%]*:[\w.%]*:[\w.:%]*")  # a name or IPv4, or IPv6, without a port


@dataclass(frozen=True, slots=True, repr=False)
class Remote(Where):
    """Workers on other machines: whoever runs ``flazy-worker`` there with the line that this program shows.

    The program listens on two TCP ports, workers only connect out.  They may join and leave at any time; samples that
    were under way at one that leaves are sent to others.  All parallel stages and pipelines of the program that name
    the same address share the same workers.  Everything between machines is encrypted, and both sides prove who they
    are (CURVE); see ``docs/remote.md`` for what that protects from, and what it does not.

    Parameters
    ----------
    listen
        ``tcp://address:port``: an address of this machine, or ``0.0.0.0`` for all of them. Port 0 takes a free one.
    results_port
        The second port, by which samples come back. ``None``: the one after the first.
    local
        So many processes of this machine beside those of others.
    window, chunk
        As of `Processes`; with ``None``, what is under way grows with the workers that are there.
    timeout
        As of `Processes`; the worker's machine sees to it.
    host
        The name or address by which others reach this machine, for the line that they are shown. ``None``: the
        address of ``listen``, or this machine's own where that stands for all.
    join_file
        Where the line is written, readable by its owner alone. ``None``: it is shown on the terminal; where there is
        none, it is written to a file whose path is logged.
    join_timeout
        Seconds without any worker after which `NoWorkers` is raised; at the start, and whenever all have gone.
    heartbeat
        Seconds of silence after which a machine counts as lost.
    authorized_workers
        A file with the public keys of the machines that may work for us, one a line, as ``flazy-worker keygen`` prints
        them; for keys that last. ``None``: there is one new key for each run, and it is in the line that is shown.
    key
        The file with this program's own key that lasts, where there are ``authorized_workers``. ``None``:
        ``~/.config/flazy/trainer.key``.
    ship
        Modules or packages, or their names, whose code is sent along, since workers do not have them. The modules
        beside the script are sent unasked.
    allow_pickle
        Whether samples may come back that only pickle can carry. Whoever works for us can then run code in this
        program, so it is for machines that are trusted as this one is. Without it such a sample raises
        `UnserializableSample`.
    compression
        ``"lz4"`` for links that are slower than compressing (``pip install flazy[lz4]`` on both sides).
    """

    listen: str = "tcp://0.0.0.0:5555"
    window: int | str | None = field(default=None, kw_only=True)
    chunk: int | None = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    local: int = field(default=0, kw_only=True)
    results_port: int | None = field(default=None, kw_only=True)
    host: str | None = field(default=None, kw_only=True)
    join_file: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    join_timeout: float = field(default=120.0, kw_only=True)
    heartbeat: float = field(default=10.0, kw_only=True)
    authorized_workers: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    key: str | os.PathLike[str] | None = field(default=None, kw_only=True)
    ship: Sequence[str | ModuleType] = field(default=(), kw_only=True)
    allow_pickle: bool = field(default=False, kw_only=True)
    compression: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check what can be checked without a network."""
        if not isinstance(self.listen, str):
            raise InvalidType(
                f"Remote({self.listen!r}): give the address to listen on, e.g. 'tcp://0.0.0.0:5555'; "
                "processes of this machine beside the others are local=n"
            )
        self._check_counts("window", "chunk")
        self._check_counts("local", "results_port", least=0)
        self._check_seconds("timeout", or_none="no limit")
        self._check_seconds("join_timeout")
        self._check_seconds("heartbeat")
        if self.host is not None and not HOST.fullmatch(self.host):
            raise InvalidArgument(f"host={self.host!r} of Remote: give a name or an address alone, e.g. '192.168.1.5'")
        if self.compression not in (None, *COMPRESSIONS):
            raise InvalidArgument(f"compression={self.compression!r} of Remote: there is {', '.join(COMPRESSIONS)}")
        if self.key is not None and self.authorized_workers is None:
            raise InvalidArgument("key= of Remote goes with authorized_workers=; without that, keys are new each run")
        object.__setattr__(self, "ship", self._ship())

    @property
    def asked(self) -> int:
        """Nobody knows."""
        return 0

    @property
    def processes(self) -> int:
        """Those beside the others."""
        return self.local

    @property
    def shipped(self) -> tuple[str, ...]:
        """The names of ``ship``."""
        return tuple(map(str, self.ship))

    def _ship(self) -> tuple[str, ...]:
        given = (self.ship,) if isinstance(self.ship, str | ModuleType) else self.ship
        try:
            names: list[Any] = [each.__name__ if isinstance(each, ModuleType) else each for each in given]
        except TypeError:
            names = [None]
        if not all(isinstance(name, str) for name in names):
            raise InvalidType(f"ship={self.ship!r} of Remote: give modules or their names, e.g. ship=[my_package]")
        return tuple(sorted(set(names)))

    def __str__(self) -> str:
        """Spell it for plans and messages."""
        beside = f" and {self.local} processes here" if self.local else ""
        return f"workers that join {self.listen}{beside}"
