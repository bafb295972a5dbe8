"""What a person sees of a worker at work: one line on a terminal that is redrawn, lines at changes of state in a log.

What is shown is a function of values (`line`, `news`, `totals`); only `Terminal` writes.  tqdm is not used: its bar
tells how far something is, which nobody knows here, and leaves out nothing where a terminal is narrow.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from flazy.remote.settings import Snapshot

__all__ = ["Journal", "Rate", "Rates", "Terminal", "amount", "line", "news", "showing", "totals"]

log = logging.getLogger("flazy")

SPAN_S = 5.0  # rates are of so long: steady enough to be read, and soon true after a change
LEAST_S = 0.5  # what happened in less says nothing of a second
WIDTH = 80  # columns of a terminal that does not tell
BETWEEN = " | "
SHORTEST = 12  # of what it runs, less tells nothing
CLEAR = "\r\x1b[K"


# What is said -----------------------------------------------------------------------------------------


class Rate(NamedTuple):
    """What comes of the processes in a second."""

    samples: float
    nbytes: float


class Rates:
    """Samples and bytes a second over the last few seconds; whoever asks brings the time."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def at(self, now: float, samples: int, nbytes: int) -> Rate | None:
        """Take what is done by now into account, and give the rates; None until they can be told."""
        self._seen.append((now, samples, nbytes))
        while len(self._seen) > 2 and self._seen[1][0] <= now - SPAN_S:
            self._seen.popleft()
        since, samples_then, nbytes_then = self._seen[0]
        if now - since < LEAST_S:
            return None
        return Rate((samples - samples_then) / (now - since), (nbytes - nbytes_then) / (now - since))


def line(snapshot: Snapshot, rate: Rate | None, width: int) -> str:
    """Say it all in one line of at most ``width`` characters.

    What has no room is left out: what it runs is shortened first, then whole parts go, the least important ones first.
    """
    parts = [part for part in _parts(snapshot, rate if snapshot.state == "working" else None) if part[1]]
    while len(parts) > 1 and len(_joined(parts)) > width:
        parts.remove(min(parts))
    running, room = ", ".join(snapshot.stages), width - len(_joined(parts)) - len(BETWEEN)
    if running and room >= min(len(running), SHORTEST):
        parts.append((0, shortened(running, room)))
    return printable(shortened(_joined(parts), width))


def _parts(snapshot: Snapshot, rate: Rate | None) -> Iterator[tuple[int, str]]:
    """Give the parts of a line, each with how important it is."""
    yield 6, snapshot.state
    yield 1, snapshot.trainer
    yield 2, processes(snapshot.processes) if snapshot.processes else ""
    yield 5, f"{rate.samples:,.{1 if rate.samples < 10 else 0}f} samples/s" if rate else ""
    yield 4, f"{snapshot.samples:,} done" if snapshot.samples else ""
    yield 3, f"{amount(rate.nbytes)}/s" if rate else ""


def _joined(parts: list[tuple[int, str]]) -> str:
    return BETWEEN.join(text for _, text in parts)


def news(snapshot: Snapshot) -> str:
    """Say what is new, for a log: the state, and nothing that grows."""
    ready = f"{processes(snapshot.processes)}: " if snapshot.processes else ""  # they start while it is opened
    running = f", {ready}{', '.join(snapshot.stages)}" if snapshot.stages else ""
    return printable(f"{snapshot.state} ({snapshot.trainer}{running})")


def totals(snapshot: Snapshot | None) -> str:
    """Say what was done in all, behind how it ended."""
    if snapshot is None or not snapshot.samples:
        return ""
    return f" ({snapshot.samples:,} samples done, {amount(snapshot.nbytes)} sent)"


def processes(number: int) -> str:
    """Count them."""
    return f"{number} process" + ("" if number == 1 else "es")


def amount(nbytes: float) -> str:
    """Spell bytes in three digits, with a decimal unit, as networks are measured."""
    unit = "B"
    for larger in ("kB", "MB", "GB"):
        if nbytes < 999.5:
            break
        nbytes, unit = nbytes / 1000, larger
    return f"{nbytes:,.{0 if unit == 'B' or nbytes >= 99.95 else 1}f} {unit}"


def shortened(text: str, width: int) -> str:
    """Cut what is too long."""
    return text if len(text) <= width else text[: max(width - 3, 0)] + "..."[:width]


def printable(text: str) -> str:
    """Take out what a terminal would obey: the names come from another machine."""
    return "".join(character if character.isprintable() else "?" for character in text)


# Where it is said -------------------------------------------------------------------------------------


class Journal:
    """A log: what is new is told, in lines that stay."""

    is_terminal = False

    def __init__(self) -> None:
        self.last: Snapshot | None = None
        self._told: tuple[str, tuple[str, ...]] = ("", ())

    def show(self, snapshot: Snapshot) -> None:
        """Log the state if it is another one, or if something else is run than the last time that something was.

        The time between two passes is no news, and how it ends is said by whoever shows it.
        """
        self.last = snapshot
        told = (snapshot.state, snapshot.stages or self._told[1])
        if told != self._told and snapshot.state not in {"starting", "waiting for work", "leaving"}:
            self._told = told
            log.info("%s", news(snapshot))


class Terminal:
    """One line that is redrawn; what else is written goes above it.  Any thread may write."""

    is_terminal = True

    def __init__(self, stream: TextIO) -> None:
        self.last: Snapshot | None = None
        self._stream = stream
        self._rates = Rates()
        self._is_drawn = False
        self._lock = threading.Lock()

    def show(self, snapshot: Snapshot) -> None:
        """Draw the line for this."""
        self.last = snapshot
        rate = self._rates.at(time.monotonic(), snapshot.samples, snapshot.nbytes)
        self._draw(line(snapshot, rate, self._width()))

    def clear(self) -> None:
        """Take the line away."""
        self._draw("")

    def above(self, stream: TextIO, text: str) -> int:
        """Write something else in the place of the line, which comes again below it with the next news."""
        with self._lock:
            self._erase()
            return stream.write(text)

    def _draw(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{CLEAR if self._is_drawn else ''}{text}")  # at once, so that nothing flickers
            self._stream.flush()
            self._is_drawn = bool(text)

    def _erase(self) -> None:
        if self._is_drawn:
            self._stream.write(CLEAR)
            self._stream.flush()
            self._is_drawn = False

    def _width(self) -> int:
        """Count the columns; one stays free, for many a terminal begins a new line where all are full."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            columns = 0
        return (columns or WIDTH) - 1


class Beside(io.TextIOBase):
    """A stream that shares the terminal with the line: what is written goes above it."""

    def __init__(self, stream: TextIO, terminal: Terminal) -> None:
        self._stream = stream
        self._terminal = terminal

    def write(self, text: str, /) -> int:
        """Write above the line."""
        return self._terminal.above(self._stream, text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """Be the stream for those who go around it."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Be the terminal that it is."""
        return self._stream.isatty()


@contextlib.contextmanager
def showing(level: str) -> Iterator[Terminal | Journal]:
    """Show what happens on stderr, in the way that suits it, with log records of this level and above."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with contextlib.ExitStack() as stack:
        screen: Terminal | Journal = Journal()
        if is_terminal:
            screen = Terminal(sys.stderr)
            stack.callback(screen.clear)
            for name in ("stdout", "stderr"):
                stack.callback(setattr, sys, name, getattr(sys, name))
                setattr(sys, name, Beside(getattr(sys, name), screen))
        logging.basicConfig(
            stream=sys.stderr, level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        yield screen
