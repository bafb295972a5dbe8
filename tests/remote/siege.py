"""A program that runs, with an honest host at work beside an attacker; and what it calls on whose behalf.

The one rule: what is counted is what the program itself calls; its functions are wrapped, and none is replaced.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self
from unittest import mock

from flazy import Dataset, Remote
from flazy.remote import hosts as hosts_module
from flazy.remote import join, keyfiles
from flazy.run.runtime import runtime
from flazy.transport import codec
from flazy.transport.unpacking import Reader
from tests.remote.hosts import JOINED, Host, Hosts
from tests.remote.rogue import Rogue

__all__ = ["Outcome", "Siege"]

SAMPLES = 200
IDLE = 300  # connections


class Outcome(NamedTuple):
    """What became of an attack.

    ``read`` messages of the attacker were looked at by the program, ``decoded`` times the decoder was called for them,
    and ``unpickled`` times something was unpickled in the program, by whomever; ``is_exact``: the stream was that of a
    run without workers; ``grown``: bytes of memory.
    """

    what: str
    read: int
    decoded: int
    unpickled: int
    is_exact: bool
    grown: int


class Watch:
    """Counts calls of the real functions, by the key on whose behalf they are made."""

    def __init__(self) -> None:
        self.read: Counter[bytes] = Counter()
        self.decoded: Counter[bytes] = Counter()
        self.unpickled = 0
        self._key = threading.local()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count from here on."""
        hear, collect, unpack = hosts_module.Hosts._hear, hosts_module.Hosts._collect, hosts_module.unpack
        read, loads = Reader.read, codec.pickling.loads

        def of_key(made: Callable[..., Any], place: int) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                self._key.now = arguments[place]
                try:
                    return made(*arguments)
                finally:
                    self._key.now = None

            return call

        def counted(made: Callable[..., Any], counter: Counter[bytes]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                if (key := getattr(self._key, "now", None)) is not None:
                    counter[key] += 1
                return made(*arguments, **named)

            return call

        def unpickling(*arguments: Any, **named: Any) -> Any:
            self.unpickled += 1
            return loads(*arguments, **named)

        with (
            mock.patch.multiple(hosts_module.Hosts, _hear=of_key(hear, 2), _collect=of_key(collect, 1)),
            mock.patch.object(hosts_module, "unpack", counted(unpack, self.read)),
            mock.patch.object(Reader, "read", counted(read, self.decoded)),
            mock.patch.object(codec.pickling, "loads", unpickling),
        ):
            yield


class Siege:
    """A program with an address, an honest host that works for it, and keys for those who do not.

    Parameters
    ----------
    folder
        For its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watch = Watch()
        self.names = ("trainer", "honest", "rogue", "leaver")
        self.keys = {name: keyfiles.keygen(folder / f"{name}.key") for name in self.names}
        self.listed = folder / "authorized_workers"
        self.list("honest", "rogue", "leaver")
        self.remote = Remote(
            "tcp://127.0.0.1:0", join_file=folder / "join", key=folder / "trainer.key", join_timeout=60, chunk=2,
            authorized_workers=self.listed,
        )  # fmt: skip
        self.dataset = Dataset(range(SAMPLES)).map(lambda x: x * x, workers=self.remote)
        self.samples: list[int] = []
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.watch.watching())
        self.hosts = self._open.enter_context(Hosts())
        with self.dataset.open():
            self.honest = self.hosts.start(self.remote, "--key", os.fspath(self.folder / "honest.key"), name="honest")
            self.honest.says(JOINED)
            self.code = join.decode((self.folder / "join").read_text())
        # They say nothing; what becomes of them is looked at later, since nobody has to wait for it so.
        mute = [socket.create_connection(("127.0.0.1", self.ports[0])) for _ in range(IDLE)]
        self.idle = [self._open.enter_context(each) for each in mute]
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def ports(self) -> tuple[int, int]:
        """Those of the program."""
        return self.code.port, self.code.results_port

    @property
    def hub(self) -> hosts_module.Hosts:
        """The program's side of all hosts; of the hub thread."""
        (entrance,) = runtime().attended
        return entrance.hosts

    def list(self, *names: str) -> None:
        """Write the list of those who may work for the program."""
        self.listed.write_text("".join(f"{keyfiles.public_line(self.keys[name].public)}\n" for name in names))
        self.listed.chmod(0o600)

    def rogue(self, name: str = "rogue") -> Rogue:
        """Give a host that has a key."""
        return Rogue(self.code, self.keys[name], name)

    def misled(self, port: int, results_port: int) -> Host:
        """Start a host that knows the trainer's key, and is led to other ports; whoever asks for it ends it."""
        code = self.code._replace(port=port, results_port=results_port)
        key = os.fspath(self.folder / "rogue.key")
        return Host("--join", code.encode(), "--key", key, "--processes", "1")

    def outcome(self, attack: Callable[[Siege], str]) -> Outcome:
        """Let an attack happen while a pass runs."""
        self.samples = []
        self.mark()
        with self.dataset.open() as run:
            self.reading = threading.Thread(target=lambda: self.samples.extend(run), name="consumer")
            what = attack(self)
            if not self.reading.ident:
                self.reading.start()
            self.reading.join(30)
        honest = self.keys["honest"].public
        return Outcome(
            what,
            sum(count for key, count in self.watch.read.items() if key != honest),
            sum(count for key, count in self.watch.decoded.items() if key != honest),
            self.watch.unpickled,
            self.samples == [x * x for x in range(SAMPLES)],
            resident() - self._resident,
        )

    def lost(self) -> list[str]:
        """Give what the honest host said of an end of its connection."""
        return [line for line in self.honest.lines if "broke" in line or "lost sight" in line or "turned" in line]

    def mark(self) -> None:
        """Count from here on."""
        self.watch.read.clear()
        self.watch.decoded.clear()
        self.watch.unpickled = 0
        self._resident = resident()


def resident() -> int:
    """Give the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
