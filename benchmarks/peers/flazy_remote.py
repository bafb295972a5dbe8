"""Flazy with workers at the other end of TCP: one `flazy-worker` process with two workers, over CURVE.

The line to join with goes through a file that only this user may read, so no key is in the list of processes. The host
is run as a module: a script that was installed belongs to one Flazy, and ``PYTHONPATH`` says which one is measured.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workloads import Workload
from flazy import Dataset, Remote

HOST = (sys.executable, "-m", "flazy.remote.cli")
CLOSING_S = 5.0


@dataclass(frozen=True, slots=True)
class Hosted:
    """A pass for each ``iter()``; the host stays."""

    data: Dataset[Any]
    host: subprocess.Popen[bytes]
    folder: tempfile.TemporaryDirectory[str]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def close(self) -> None:
        """Ask the host to leave; the cell ends one that does not."""
        self.host.terminate()
        self.host.wait(CLOSING_S)
        self.folder.cleanup()


def pipeline(work: Workload, workers: int = 2, *, command: Sequence[str] = HOST) -> Hosted:
    """Start the host first: it waits for the file, which is written when the stage opens."""
    folder = tempfile.TemporaryDirectory()
    join_file = str(Path(folder.name) / "join")
    remote = Remote(f"tcp://127.0.0.1:{free_port()}", join_file=join_file)
    data = Dataset(work.source).map(work.fn, workers=remote)
    arguments = ["--processes", str(workers), "--join-file", join_file, "--keep"]
    host = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
    return Hosted(data.batch(work.batch, default_dtype=None), host, folder)


def free_port() -> int:
    """Find a port that is free, and the one after it as well."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first, contextlib.suppress(OSError, OverflowError):
            port: int = first.getsockname()[1]
            with socket.create_server(("127.0.0.1", port + 1)):
                return port
