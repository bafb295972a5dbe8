"""Log records of a worker, on their way to the driver's loggers."""

from __future__ import annotations

import logging
import threading
from typing import Any

from flazy.transport.link import Link
from flazy.transport.wire import Logged

__all__ = ["Forward"]


class Forward(logging.Handler):
    """Send records to the driver's loggers of the same name."""

    def __init__(self, worker: int, link: Link) -> None:
        super().__init__()
        self._worker = worker
        self._link = link
        self._thread = threading.get_ident()
        self._kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record as text; one of another thread goes with the next of the worker's own."""
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        kept = ("name", "levelno", "levelname", "pathname", "lineno", "funcName", "created", "process", "threadName")
        said = {name: getattr(record, name) for name in kept} | {"msg": record.getMessage(), "exc_text": trace}
        self._kept.append({name: _plain(value) for name, value in said.items()})
        if threading.get_ident() == self._thread:
            waiting, self._kept = self._kept, []
            for each in waiting:
                self._link.send(Logged(self._worker, each))


def _plain(value: Any) -> Any:
    """Make it what travels without pickle: a level may be of an enum, and a name of any class that is text."""
    if type(value) in (int, float, str, type(None)):
        return value
    return int(value) if isinstance(value, int) else str.__str__(str(value))
