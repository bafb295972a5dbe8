"""The kinds of workers that there are, and what some of them cannot do."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import flazy
from flazy import Dataset, Processes, Remote, Threads
from flazy.run import runtime
from flazy.run.runtime import Runtime
from tests.parallel import functions as fn
from tests.pools.conformance import Workers
from tests.remote.hosts import PROGRAM, Hosts

__all__ = ["CAPABILITIES", "KINDS", "Kind"]

CAPABILITIES = {
    "bytes": "samples become bytes on their way, so they have a weight, and some of them cannot travel",
    "copies": "a function has an array of its own, not that of the source",
    "counts": "there are statistics of workers",
    "deaths": "a function that ends its process ends a worker, and nobody else",
    "interrupts": "an interrupt that a function raises is no interrupt of the program",
    "numbers": "it is said how many there are",
    "own exceptions": "the error that is raised is also of the class of the function's",
    "pickle": "samples may be of any class",
    "timeouts": "a function that hangs can be ended",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    Parameters
    ----------
    opened
        How to have it.
    missing
        Why it is not to be had here; nothing where it is.
    lacks
        What it cannot do, each with the reason.
    """

    opened: Callable[[], AbstractContextManager[Workers]]
    missing: str = ""
    lacks: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def inline() -> Iterator[Workers]:
    yield lambda **_: None


@contextlib.contextmanager
def threads() -> Iterator[Workers]:
    yield lambda n=3, **options: Threads(n, **options)


@contextlib.contextmanager
def processes() -> Iterator[Workers]:
    yield lambda n=2, **options: Processes(n, **options)


def joined(**options: Any) -> Callable[[], AbstractContextManager[Workers]]:
    """Have one host of two processes beside whatever is told."""

    @contextlib.contextmanager
    def opened() -> Iterator[Workers]:
        with tempfile.TemporaryDirectory() as folder, Hosts() as hosts:
            base = Remote("tcp://127.0.0.1:0", join_file=Path(folder, "join"), join_timeout=10, **options)
            served: list[Runtime] = []

            def where(**more: Any) -> Remote:
                if served != [runtime.runtime()]:  # a check that failed has ended it, and its host with it
                    join(base, hosts)
                    served[:] = [runtime.runtime()]
                return dataclasses.replace(base, **more)

            where()
            yield where
            flazy.shutdown()

    return opened


def join(remote: Remote, hosts: Hosts) -> None:
    """Start a host, and wait until it works."""
    with Dataset(range(100)).map(fn.same, workers=remote).open() as run:
        hosts.start(remote, processes=2)

        assert list(range(100)) == list(run)


NO_REMOTE = "" if find_spec(PROGRAM[-1]) else "there is no flazy-worker"

HERE = {
    "bytes": "samples pass by reference",
    "copies": "samples pass by reference",
    "deaths": "functions run in the process of the program",
    "timeouts": "nobody can end a thread that hangs",
}
COMING_AND_GOING = {"numbers": "they come and go as they like"}
AFAR = COMING_AND_GOING | {
    "own exceptions": "nothing of what a remote worker sends is unpickled",
    "pickle": "nothing of what a remote worker sends is unpickled, without allow_pickle=True",
}

# Those that hold something for all of their checks come first: what the tests of a file leave is looked for after the
# last of them, before that is given back.
KINDS = {
    "remote": Kind(joined(), NO_REMOTE, AFAR),
    "remote and local": Kind(joined(local=1), NO_REMOTE, AFAR),
    "remote with pickle": Kind(joined(allow_pickle=True), NO_REMOTE, COMING_AND_GOING),
    "processes": Kind(processes),
    "threads": Kind(threads, lacks=HERE),
    "inline": Kind(inline, lacks=HERE | {
        "counts": "there are no workers to count",
        "numbers": "there are no workers to count",
        "interrupts": "it is the program's own thread that is interrupted",
    }),
}  # fmt: skip
