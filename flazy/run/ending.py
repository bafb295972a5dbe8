"""The end of everything that runs, without loading what would run it."""

from __future__ import annotations

import atexit
import sys

__all__ = ["shutdown"]


def shutdown() -> None:
    """End all worker processes and threads of Flazy in this process.

    Returns in bounded time; passes that are still open raise when they are asked for more, and a later pass starts
    anew. The interpreter does it at its exit.
    """
    for name in ("flazy.run.runtime", "flazy.workers.ray.cluster"):  # in this order: runs are closed first
        if (module := sys.modules.get(name)) is not None:
            module.shutdown()


@atexit.register
def _at_exit() -> None:
    """End with the program; registered first, so that what the program registers may still use Flazy."""
    end = getattr(sys.modules.get("flazy.run.runtime"), "end_at_exit", None)
    if end is not None:  # else nothing has run, or a daemon thread is just loading it
        try:
            end()
        except KeyboardInterrupt:
            return  # a second Ctrl-C: without us the workers end by themselves
