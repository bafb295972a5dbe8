"""The end of what somebody leaves behind who cannot end it any more: a worker its children, a driver its folder.

Loads next to nothing, for the zygote's start waits for what it loads.
"""

from __future__ import annotations

import contextlib
import os
import stat

__all__ = ["clear", "signal_group"]


def signal_group(leader: int, number: int) -> bool:
    """Send a signal to a worker's process group, which outlives it; say whether anybody was there.

    The system gives no number away while a group has it, and goes round all others before it gives one again: what a
    dead worker's number reaches is either its children or nothing.
    """
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
        return False
    return True


def clear(folder: str) -> None:
    """Remove a folder of sockets; others may do the same at the same time, and what is not a socket stays."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:  # by its descriptor, which nobody can exchange for another folder: pathlib cannot
            for name in os.listdir(opened):  # noqa: PTH208 - the same
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISSOCK(os.stat(name, dir_fd=opened, follow_symlinks=False).st_mode):
                        os.unlink(name, dir_fd=opened)
        finally:
            os.close(opened)
        os.rmdir(folder)  # noqa: PTH106 - the same
