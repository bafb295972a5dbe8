"""Shared memory that a device reads by itself: the door through which a feed makes it known to a driver.

A device copies fast, and while others work, only from pages that are locked and that its driver knows.  The arena has
its blocks for as long as the runtime lives, and so each of its segments has to be made known once, when the first batch
in it is on its way.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from flazy.run import runtime
from flazy.transport.arena import Arena
from flazy.transport.arrays import Array

__all__ = ["Driver", "Pinned"]

log = logging.getLogger("flazy")


class Driver(Protocol):
    """What locks pages for a device, from any thread."""

    def register(self, address: int, size: int) -> str | None:
        """Lock so many bytes from an address on; say what is wrong where that fails."""

    def unregister(self, address: int) -> None:
        """Undo it."""


class Pinned:
    """The segments of shared memory that a driver knows, for the life of the process.

    A segment that the driver does not take is not tried again, and logged.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._known: weakref.WeakKeyDictionary[Arena, dict[int, bool]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def holds(self, address: int) -> bool:
        """Say whether what lies there is in a segment that the driver knows; make that known if it is not."""
        arena = runtime.arena()
        found = None if arena is None else arena.locate(address)
        if arena is None or found is None:
            return False
        _, segment, _ = found
        with self._lock:
            known = self._known.setdefault(arena, {})
            if segment not in known:
                known[segment] = self._made_known(arena, segment)
            return known[segment]

    def _made_known(self, arena: Arena, segment: int) -> bool:
        try:
            memory = arena.whole(segment)
        except KeyError:  # closed meanwhile
            return False
        address: int = memory.__array_interface__["data"][0]
        if (wrong := self._driver.register(address, memory.nbytes)) is not None:
            log.info("shared memory cannot be locked for the device (%s); batches are copied once more", wrong)
            return False
        # It holds the memory, which therefore is mapped until the driver has let go of it. Nobody is left to do that at
        # the end of the program, and nothing has to be done there.
        weakref.finalize(arena, _let_go, self._driver.unregister, address, memory).atexit = False
        return True


def _let_go(unregister: Callable[[int], None], address: int, memory: Array) -> None:
    unregister(address)
    del memory  # from here on it may be unmapped
