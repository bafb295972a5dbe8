"""Copies of a dataset in the workers of a PyTorch ``DataLoader``, and which pass they are at.

Each of them iterates a part of the pass, so all must be at the same one, and the next epoch at the next.  The process
that owns the dataset cannot tell them: workers are forked by the loader, which asks nobody, or live on from epoch to
epoch.  So they agree among themselves, over a file without a name that all of them have.

What tells one epoch from another: the workers of one have the same base seed, which the loader draws, and each of them
begins once.  So a worker joins the first pass that was begun with its base seed and has no worker of its number yet;
where there is none, it begins one.  That holds for workers that live on, too, whose base seed stays the same, and
where a program seeds PyTorch anew for each epoch.

All this is among the workers of one process.  Ranks that were spawned or forked with the dataset have the file, too,
and each of them counts for itself there, with its workers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from multiprocessing import context, reduction
from typing import Any, Protocol

from flazy.run.runs import Run

__all__ = ["Epochs", "Opens"]

log = logging.getLogger("flazy")

MOST_BEGUN = 64  # passes that are remembered; a worker that is more behind is not to be expected
MOST_LOADERS = 256  # processes that load, of those that have the file
BYTES = 1 << 20


class Opens(Protocol):
    """What opens passes: all of one, or one of several parts."""

    processes: int  # that each of these starts

    def __call__(self, cycle: int, num_shards: int = 1, index: int = 0) -> Run:
        """Open a run."""


class Epochs:
    """The number of the coming pass, for a dataset and for its copies in workers of loaders.

    Parameters
    ----------
    coming
        The dataset's pass counter, of length one.  Passes over the dataset itself count here, too.

    Notes
    -----
    May be called from any thread and process.  Workers of a loader count with the process that ``loader`` names, where
    they have the file: by a fork, or pickled for a process that is being spawned.  Everybody else counts for himself.
    """

    def __init__(self, coming: list[int], fd: int | None = None) -> None:
        self._coming = coming
        self._synced = coming[0]
        self._fd = _unnamed() if fd is None else fd
        weakref.finalize(self, os.close, self._fd)

    def take(self) -> int:
        """Give the number of the coming pass, which is begun with that."""
        with self._locked() as state:
            return self._begun(state)

    def join(self, base_seed: int, workers: int, worker: int, loader: int | None = None) -> int:
        """Give the number of the pass that a worker of a loader is to take part in, once for each time it iterates.

        ``loader`` is the process whose worker it is; None, this one.
        """
        with self._locked(loader) as state:
            for entry in state["begun"]:
                if entry[:2] == [base_seed, workers] and not entry[3] >> worker & 1:
                    break
            else:
                entry = [base_seed, workers, self._begun(state), 0]
                state["begun"] = [*state["begun"], entry][-MOST_BEGUN:]
            entry[3] |= 1 << worker
            return int(entry[2])

    def set(self, cycle: int) -> None:
        """Let the coming pass be that of ``cycle``, here and in workers."""
        with self._locked() as state:
            self._coming[0] = self._synced = state["coming"] = cycle

    def warn_of(self, processes: int, loader: int | None = None) -> None:
        """Say once that loader and pipeline have worker processes."""
        with self._locked(loader) as state:
            if processes and not state["warned"]:
                state["warned"] = True
                log.warning(
                    "each worker of the DataLoader starts %d worker process%s of the pipeline's workers=; "
                    "num_workers=0 is enough, since the pipeline works ahead by itself",
                    processes, "es" if processes > 1 else "",
                )  # fmt: skip

    def _begun(self, state: dict[str, Any]) -> int:
        cycle = int(state["coming"])
        if self._coming[0] != self._synced:  # the dataset itself was iterated since
            cycle = max(cycle, self._coming[0])
        self._coming[0] = self._synced = state["coming"] = cycle + 1
        return cycle

    @contextlib.contextmanager
    def _locked(self, loader: int | None = None) -> Iterator[dict[str, Any]]:
        """Give what a loader and its workers know, to be changed.  The lock ends with its process, however it ends."""
        with _turns:  # for the system's lock does not keep the threads of a process apart
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            try:
                text = os.pread(self._fd, BYTES, 0).decode()
                table = json.JSONDecoder().raw_decode(text)[0] if text else {}
                whose = str(os.getpid() if loader is None else loader)
                table[whose] = table.pop(whose, None) or {"coming": self._coming[0], "begun": [], "warned": False}
                yield table[whose]
                kept = dict([*table.items()][-MOST_LOADERS:])
                os.pwrite(self._fd, json.dumps(kept).encode() + b"\n", 0)  # what was longer before is not read
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the file along where a process is being spawned."""
        spawning = context.get_spawning_popen() is not None
        return _unpickled, (self._coming, reduction.DupFd(self._fd) if spawning else None)


def _unpickled(coming: list[int], file: Any) -> Epochs:
    return Epochs(coming, None if file is None else file.detach())


def _unnamed() -> int:
    if hasattr(os, "memfd_create"):  # needs no folder, which may be full
        return os.memfd_create("flazy-epochs")
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


_turns = threading.Lock()


def _forget_turns() -> None:
    """Start anew in a forked child: the thread whose turn it was is not there."""
    global _turns  # noqa: PLW0603 - one a process is the point
    _turns = threading.Lock()


os.register_at_fork(after_in_child=_forget_turns)
