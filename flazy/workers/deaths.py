"""What is known of a worker's death, and the error that it becomes where a sample is to blame."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flazy.errors import PoisonSample, ProtocolError, SampleError, SampleTimeout
from flazy.located import GENERATED

if TYPE_CHECKING:  # workers do without it, and start sooner so
    from flazy.core.events import Verdict

__all__ = ["OWN_SIGNALS", "Death", "Refused", "error_again", "error_of", "message_of", "plain_of", "refused", "tidy"]

# Deaths that are the function's own doing; every other signal comes from outside.
OWN_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker.

    ``worker`` and ``how`` make a sentence; ``code`` is negative for a signal, None where nobody can tell; ``stack`` is
    what its functions were doing, as far as it could say; ``hint`` what may be behind it; ``seconds`` the time limit
    that it broke; ``words`` its last ones on standard error.
    """

    worker: str
    how: str
    code: int | None = None
    stack: str = ""
    hint: str = ""
    seconds: float | None = None
    words: str = ""

    @property
    def remark(self) -> str:
        """The hint, in brackets."""
        return self.hint and f" ({self.hint})"

    @property
    def headline(self) -> str:
        """What happened, in one line."""
        return f"{self.worker} {self.how}{self.remark}"

    def __str__(self) -> str:
        """Spell all of it."""
        said = f"{self.headline}"
        for title, text in (("its stack", self.stack), ("its last words", self.words)):
            said += f"; {title}:\n{text.rstrip()}\n" if text else ""
        return said


def tidy(stack: str) -> str:
    """Leave out of what faulthandler wrote the thread and the frames that are ours, and its list of modules."""
    kept = []
    for block in stack.split("\n\n"):
        if "_end_with_driver" not in block and not block.startswith("Extension modules:"):
            lines = block.splitlines()
            ours = next((at for at, line in enumerate(lines) if GENERATED in line), len(lines))
            kept.append("\n".join(lines[:ours]))
    return "\n\n".join(kept).strip()


def message_of(verdict: Verdict) -> list[Any]:
    """Spell a verdict for a worker, in plain values."""
    reasons = [asdict(reason) for reason in verdict.reasons if isinstance(reason, Death)]
    return [list(verdict.place), verdict.given, verdict.overdue, reasons]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call is not made: see `flazy.plan.guard.Refusal`."""

    given: int
    overdue: bool
    failures: int
    error: SampleError


def refused(message: Sequence[Any]) -> tuple[tuple[int, ...], Refused]:
    """Read what `message_of` made: the place of the call, and what to do there."""
    place, given, overdue, reasons = message
    deaths = [Death(**reason) for reason in reasons]
    return tuple(place), Refused(given, overdue, len(deaths), error_of(deaths, overdue=overdue))


def plain_of(error: object) -> tuple[Any, ...] | None:
    """Spell the error of a verdict in plain values, for a driver that unpickles nothing; None for any other."""
    if not isinstance(error, PoisonSample | SampleTimeout) or error.stage:
        return None
    about = (str(error), error.worker, error.traceback)
    if isinstance(error, SampleTimeout):
        return (*about, error.seconds, None, None)
    return (*about, None, error.signal, error.exitcode)


def error_again(plain: Sequence[Any]) -> PoisonSample | SampleTimeout:
    """Make it again.

    Raises
    ------
    ProtocolError
        That is none.
    """
    try:
        text, worker, trace, seconds, signal_number, code = plain
    except ValueError as error:
        raise ProtocolError("a verdict that is none") from error
    numbers = {type(number) for number in (seconds, signal_number, code)}
    if {type(text), type(worker), type(trace)} - {str, type(None)} or numbers - {int, float, type(None)}:
        raise ProtocolError("a verdict that is none")
    made: PoisonSample | SampleTimeout
    if seconds is not None:
        made = SampleTimeout(text)
        made.seconds = seconds
    else:
        made = PoisonSample(text)
        made.signal, made.exitcode = signal_number, code
    made.worker, made.traceback = worker, trace or ""
    return made


def error_of(deaths: Sequence[Death], *, overdue: bool) -> PoisonSample | SampleTimeout:
    """Make the error of a sample that killed its workers, or took too long; whoever knows its place adds that."""
    last = deaths[-1]
    times = f", {len(deaths)} times" if len(deaths) > 1 else ""
    error: PoisonSample | SampleTimeout
    if overdue:
        error = SampleTimeout(f"it ran for longer than {last.seconds:g} s{times}, in {last.worker}")
        error.seconds = last.seconds or 0.0
    else:
        several = f"{len(deaths)} workers died while it ran; the last, {last.worker}, " if len(deaths) > 1 else ""
        error = PoisonSample(f"{several or last.worker + ' '}{last.how}{last.remark}")
        error.exitcode = last.code if last.code is not None and last.code >= 0 else None
        error.signal = -last.code if last.code is not None and last.code < 0 else None
    error.worker, error.traceback = last.worker, last.stack or last.words
    return error
