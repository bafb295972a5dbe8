"""How other threads reach a thread that sleeps in a poller: a queue of functions, and a file to poll.

The one rule is the order in `take`: empty the pipe, lower the flag, then take.  With the flag lowered first, a post
in between would leave it raised over an empty pipe, and nobody would wake the reader again.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator

__all__ = ["Mailbox"]

Action = Callable[[], None]


class Mailbox:
    """Many writers, one reader."""

    def __init__(self) -> None:
        self._actions: deque[Action] = deque()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._raised = False

    def fileno(self) -> int:
        """Give the file that is readable when there is something to take."""
        return self._read

    @property
    def waiting(self) -> int:
        """How many functions wait to be taken."""
        return len(self._actions)

    def post(self, action: Action) -> None:
        """Add a function; from any thread, never blocks, so finalizers may call it."""
        self._actions.append(action)
        if not self._raised:
            self._raised = True
            with contextlib.suppress(OSError):  # full: it is readable anyhow; closed: nobody reads any more
                os.write(self._write, b"x")

    def take(self) -> Iterator[Action]:
        """Give what was posted, also while the functions run; called by the reader alone."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        self._raised = False
        while self._actions:
            yield self._actions.popleft()

    def close(self) -> None:
        """Close the file; what is posted later is never taken."""
        for file in (self._read, self._write):
            os.close(file)
        self._read = self._write = -1  # the numbers may soon be those of other files
