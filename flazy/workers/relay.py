"""What workers print and log, brought to the caller, line by line.

One thread reads all pipes and writes to ``sys.stdout`` and ``sys.stderr`` as they are at that moment, so that
notebooks and redirections see it; log records go to the loggers of their names.  The hub never waits for any of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from flazy.errors import SlowSample
from flazy.workers.mailbox import Mailbox

__all__ = ["Relay"]

log = logging.getLogger("flazy")

READ_BYTES = 64 * 1024
LINE_BYTES = 64 * 1024  # of a longer line that is not complete all but the last character is brought as it is
LAST_WORDS = 4096
MOST_WAITING = 10_000  # log records that nobody has handled yet
MOST_LOGGERS = 10_000  # of names that workers say: logging keeps a logger for ever


@dataclass(slots=True)
class _Pipe:
    """One output of one worker; ``rest`` is the line that is not complete."""

    worker: int
    file: IO[bytes]
    error: bool
    rest: bytes = b""


@dataclass(slots=True)
class _Output:
    pipes: list[_Pipe]
    last_words: bytes = b""


class Relay:
    """The thread; its methods may be called from any other and do not wait."""

    def __init__(self) -> None:
        self._mailbox = Mailbox()
        self._outputs: dict[int, _Output] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._mailbox, selectors.EVENT_READ)
        self._left_out = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="flazy-relay", daemon=True)
        self._thread.start()

    def add(self, worker: int, outputs: tuple[IO[bytes], IO[bytes]]) -> None:
        """Read the outputs of a new worker."""
        self._mailbox.post(lambda: self._add(worker, outputs))

    def finish(self, worker: int, then: Callable[[str], None]) -> None:
        """Read what a dead worker has left, then call ``then`` with its last words on standard error."""
        self._mailbox.post(lambda: self._finish(worker, then))

    def log(self, record: dict[str, Any]) -> None:
        """Hand a record to its logger; not if those come faster than they are handled, and fill the memory."""
        if self._mailbox.waiting >= MOST_WAITING:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        if left_out:
            self.warn(f"{left_out} log records of workers were left out: they came faster than they could be handled")
        self._mailbox.post(lambda: _log(record))

    def warn(self, text: str) -> None:
        """Log a warning of our own; handlers are user code, which no other thread of ours may run."""
        record = {"name": log.name, "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
        self._mailbox.post(lambda: _log(record))

    def warn_slow(self, text: str, stack: str) -> None:
        """Warn of a call that may hang, where Python's warnings go: who waits for it should see that unasked."""
        self._mailbox.post(lambda: _warn_slow(text, stack))

    def stop(self, timeout_s: float) -> None:
        """Bring what is there and end."""
        self._mailbox.post(self._stop)
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._selector.close()
            self._mailbox.close()

    def _stop(self) -> None:
        self._stopping = True

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._read(key.data)
            for action in self._mailbox.take():
                action()
        for worker in list(self._outputs):
            self._finish(worker, lambda _words: None)

    def _add(self, worker: int, outputs: tuple[IO[bytes], IO[bytes]]) -> None:
        pipes = [_Pipe(worker, file, error) for file, error in zip(outputs, (False, True), strict=True)]
        self._outputs[worker] = _Output(pipes)
        for pipe in pipes:
            os.set_blocking(pipe.file.fileno(), False)
            self._selector.register(pipe.file, selectors.EVENT_READ, pipe)

    def _finish(self, worker: int, then: Callable[[str], None]) -> None:
        output = self._outputs.pop(worker)
        for pipe in output.pipes:
            while not pipe.file.closed and self._read(pipe, output):
                pass
            self._end(pipe)
        then(output.last_words.decode(errors="replace").strip())

    def _read(self, pipe: _Pipe, output: _Output | None = None) -> bool:
        """Bring what one pipe has; say whether there may be more."""
        try:
            data = os.read(pipe.file.fileno(), READ_BYTES)
        except BlockingIOError:
            return False
        output = output or self._outputs[pipe.worker]
        if not data:
            self._end(pipe)
            return False
        if pipe.error:
            output.last_words = (output.last_words + data)[-LAST_WORDS:]
        whole, end, pipe.rest = (pipe.rest + data).rpartition(b"\n")
        if len(pipe.rest) > LINE_BYTES:  # else a worker that never ends its line would fill the caller's memory
            cut = len(pipe.rest) - _last_character(pipe.rest)
            whole, end, pipe.rest = whole + end, pipe.rest[:cut], pipe.rest[cut:]
        if end:
            _write(whole + end, error=pipe.error)
        return True

    def _end(self, pipe: _Pipe) -> None:
        if pipe.rest:
            _write(pipe.rest + b"\n", error=pipe.error)
            pipe.rest = b""
        if not pipe.file.closed:
            self._selector.unregister(pipe.file)
            pipe.file.close()


def _last_character(text: bytes) -> int:
    """Say how many bytes the last character of UTF-8 has so far."""
    return next((n for n in range(1, 5) if text[-n] & 0xC0 != 0x80), 1)


def _write(data: bytes, *, error: bool) -> None:
    stream = sys.stderr if error else sys.stdout
    with contextlib.suppress(Exception):  # the caller's stream is closed, or None, or code that raises what it likes
        stream.write(data.decode(errors="backslashreplace"))
        stream.flush()


def _log(record: dict[str, Any]) -> None:
    known = logging.root.manager.loggerDict
    logger = logging.getLogger(record["name"] if len(known) < MOST_LOGGERS or record["name"] in known else log.name)
    try:
        # What `isEnabledFor` says, which keeps for ever what it has said of a level.
        if record["levelno"] >= logger.getEffectiveLevel() and record["levelno"] > logging.root.manager.disable:
            logger.handle(logging.makeLogRecord(record))
    except Exception:  # a user's filter; this thread must go on, since the dead are reported through it
        with contextlib.suppress(Exception):  # the same filter may see this one
            log.exception("a log record of a worker could not be handled")


def _warn_slow(text: str, stack: str) -> None:
    shown = f", at\n{stack.rstrip()}" if stack else "; it did not say where"
    message = f"{text}{shown}"
    try:
        warnings.warn(message, SlowSample, stacklevel=1)
    except Exception:  # as an error, or through a function of the user's
        log.warning(message, exc_info=True)
