"""The entry of a worker process.

It ends when it is told to, and by itself when its driver is gone: it holds the reading end of a pipe whose writing
end is the driver's, and a thread that waits for its end.  Ctrl-C in a terminal is the driver's business.
"""

from __future__ import annotations

import faulthandler
import io
import json
import logging
import mmap
import os
import select
import signal
import sys
import threading
from typing import Any, NoReturn

from flazy.errors import ResourceError
from flazy.plan.kernel import Kernel
from flazy.transport.link import SocketLink
from flazy.transport.wire import Open
from flazy.workers import room
from flazy.workers.contract import (
    ASKED_AT,
    DUMP,
    NO_MEMORY,
    NO_PROCESS,
    ORPHAN,
    ORPHAN_SECONDS,
    RECORD_BYTES,
    STACK_AT,
    STALE,
)
from flazy.workers.forward import Forward
from flazy.workers.freshness import Imported
from flazy.workers.loop import Loop
from flazy.workers.remains import clear, signal_group
from flazy.workers.shelf import Shelf
from flazy.workers.threads import tell_loaded

__all__ = ["main"]


def main(argument: str) -> None:
    """Run a worker; ``argument`` is what `launch` put together."""
    given = json.loads(argument)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = given["tasks"].removeprefix("ipc://").rpartition("/")[0]
    watch = (given["alive"], given["driver"], folder, given["record"])
    try:
        room.start(threading.Thread(target=_end_with_driver, args=watch, name="flazy-driver", daemon=True), "a worker")
        room.threads(room.WORKER_THREADS, "a worker")
    except (ResourceError, MemoryError) as error:  # the driver says so
        os._exit(NO_MEMORY if isinstance(error, MemoryError) else NO_PROCESS)
    # Made anew: in a fork of the zygote they still take their descriptors for the zygote's, which may be files.
    sys.stdout = _lines_to(1)
    sys.stderr = _lines_to(2)
    _show_stacks(given["record"])
    sys.breakpointhook = _no_breakpoint
    link = SocketLink(given["tasks"], given["results"], given.get("arena"))
    logging.getLogger().addHandler(Forward(given["worker"], link))
    record = memoryview(mmap.mmap(given["record"], RECORD_BYTES)).cast("q")
    record[1] = -1
    try:
        loader = _Loader(Shelf(given.get("arena")))
        Loop(given["worker"], link, record, loader.load, loader.note).serve()
    finally:
        link.close()


def _show_stacks(record: int) -> None:
    """Write the stack where the driver finds it, at a crash or when it asks; that works while the GIL is held, too."""
    os.lseek(record, STACK_AT, os.SEEK_SET)
    faulthandler.enable(record)
    faulthandler.register(DUMP, record)


def _lines_to(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)


class _Loader:
    """Put on the caller's surroundings, then unpickle its functions; a worker that is stale ends instead."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._imported = Imported()
        self._known = len(sys.modules)

    def load(self, message: Open) -> Kernel:
        """Make a kernel."""
        stream = self._shelf.take(message.kernel)  # before anything that may fail: the driver counts on it
        if not self._imported.is_fresh():
            os._exit(STALE)
        around = message.surroundings
        os.chdir(around["directory"])
        sys.path[:] = around["path"]
        if dict(os.environ) != around["environment"]:  # looking is cheaper than setting it
            os.environ.clear()
            os.environ.update(around["environment"])
            tell_loaded(around["environment"])
        for name, level in around["log_levels"].items():
            logging.getLogger(name).setLevel(level)
        try:
            return self._shelf.kernel(stream, message.kernel.spans)
        finally:
            self.note()

    def note(self) -> None:
        """Note what has been imported; a look at one number, most of the time."""
        if len(sys.modules) != self._known:
            self._known = len(sys.modules)
            self._imported.note()


def _end_with_driver(alive: int, driver: int, folder: str, record: int) -> NoReturn:
    """Wait for the end of the pipe; look at the driver too, since a child of its may hold the pipe open.

    Then all of this process's group ends.  Where there is a zygote, that does so sooner, and more gently.  Now and then
    this thread looks whether the driver wants to know what the worker is doing.
    """
    while not select.select([alive], [], [], 1.0)[0] and _exists(driver):
        if os.pread(record, 1, ASKED_AT) == b"?":
            os.pwrite(record, b" ", ASKED_AT)
            faulthandler.dump_traceback(record)
    select.select([], [], [], ORPHAN_SECONDS)
    clear(folder)  # as the driver would have done at its end
    signal_group(os.getpid(), signal.SIGKILL)
    os._exit(ORPHAN)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # somebody else's: it is there
    return True


def _no_breakpoint(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise RuntimeError(
        "breakpoint() in a worker process, which has no terminal; "
        "iterate dataset.serial() instead: the same plan, the same samples, in your own process"
    )
