"""The private folder of a runtime's sockets: made, and removed even where its owner was killed.

The owner holds a lock on it, which the system takes back at its death, and which holds between containers that share
a folder for temporary files; a process number would say nothing there.  Whoever starts a runtime removes what nobody
holds.  The zygote and the workers do so at once when their driver dies; this is for one that was killed before it had
any.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil

from flazy.workers import room
from flazy.workers.remains import clear

__all__ = ["Folder", "sweep"]


class Folder:
    """A new folder that is ours alone."""

    def __init__(self) -> None:
        while not self._make():
            pass

    def _make(self) -> bool:
        """Make and hold it; False if somebody took it for one of a dead owner in between."""
        self.path = room.folder()
        try:
            self._held = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        with contextlib.suppress(OSError):  # a file system without locks, where nobody else has one either
            fcntl.flock(self._held, fcntl.LOCK_EX)
        if os.path.isdir(self.path):  # noqa: PTH112 - the runtime loads no pathlib of its own
            return True
        os.close(self._held)
        return False

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


def sweep() -> None:
    """Remove the folders that owners left who are dead."""
    for place in room.places():
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith(room.PREFIX):
                    _remove_if_free(entry.path)


def _remove_if_free(path: str) -> None:
    with contextlib.suppress(OSError):  # it is another user's, held, or gone
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clear(path)
        finally:
            os.close(opened)
