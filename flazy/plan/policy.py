"""What becomes of a sample on which a function fails: ``on_error=``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from flazy.errors import InvalidArgument, InvalidType, PoisonSample
from flazy.sample import Address

__all__ = ["SKIP", "OnError", "Retry", "SampleRef", "SkippedSample", "policy_of"]


class _Skip:
    """The type of `SKIP`, of which there is one in each process."""

    def __repr__(self) -> str:
        return "flazy.SKIP"

    def __reduce__(self) -> str:
        return "SKIP"


SKIP = _Skip()
"""What an ``on_error=`` function returns to leave a sample out."""


class SampleRef(NamedTuple):
    """A sample on which a function failed, as an ``on_error=`` function sees it.

    Parameters
    ----------
    stage
        The stage as ``repr(dataset)`` shows it, e.g. ``map(decode)``.
    address
        Which sample: the position in the source, then the offset at each flatmap or unbatch before the stage.
    cycle
        Which pass or repetition.
    sample
        What the function was called with.  A function that writes into its sample may have done so before it failed.
    """

    stage: str
    address: Address
    cycle: int
    sample: Any


class SkippedSample(NamedTuple):
    """A sample that was left out since a function failed on it.

    Parameters
    ----------
    stage, address, cycle
        As in `SampleRef`.
    error
        The name of the exception's class and its message.
    """

    stage: str
    address: Address
    cycle: int
    error: str

    def __str__(self) -> str:
        """Spell it for a list."""
        number = self.address[0] if len(self.address) == 1 else self.address
        return f"{self.stage}, sample {number}" + (f" of cycle {self.cycle}" if self.cycle else "") + f": {self.error}"


Then = Literal["raise", "skip"] | Callable[[SampleRef, BaseException], Any]


@dataclass(frozen=True, slots=True)
class Retry:
    """Call a function again when it fails: for reads over a network, and other things that come right by themselves.

    ``Retry(3, on=(OSError,), then="skip")`` as ``on_error=`` calls it up to three times more.  A random function gets
    the same random numbers each time.  A flatmap goes on behind what it gave.  A call that took longer than
    ``timeout=`` counts as a `SampleTimeout`, which is a ``TimeoutError`` and thus an ``OSError``; its worker is
    replaced each time.  What kills its workers is not tried again.

    Parameters
    ----------
    times
        How often more, 1 or greater.
    on
        The exceptions for which that is worthwhile; others are dealt with at once.
    then
        What becomes of the sample after that, and of other exceptions: ``"raise"``, ``"skip"`` or a function, as for
        ``on_error=`` itself.
    wait
        Seconds before the first repetition; twice as many before each further one.

    Raises
    ------
    InvalidArgument, InvalidType
        For what makes no sense.
    """

    times: int
    on: type[BaseException] | tuple[type[BaseException], ...] = (Exception,)
    then: Then = "raise"
    wait: float = 0.0

    def __post_init__(self) -> None:
        """Check."""
        try:
            times = operator.index(self.times)
        except TypeError:
            raise InvalidType(f"times={self.times!r} of Retry must be a whole number") from None
        if times < 1:
            raise InvalidArgument(f"times={times} of Retry must be at least 1")
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise InvalidType(f"on={self.on!r} of Retry must be classes of exceptions, e.g. on=(OSError,)")
        if isinstance(self.wait, bool) or not isinstance(self.wait, int | float) or not 0 <= self.wait < float("inf"):
            raise InvalidArgument(f"wait={self.wait!r} of Retry must be seconds, 0 or more")
        _check(self.then, "then= of Retry")
        object.__setattr__(self, "on", kinds)


OnError = Then | Retry


class Policy(NamedTuple):
    """``on_error=`` in one form; a stage that raises at once has none."""

    retry: Retry | None
    then: Then

    @property
    def drops(self) -> bool:
        """Whether samples may be left out."""
        return self.then != "raise"

    @property
    def times(self) -> int:
        """How often a call is made again at most."""
        return self.retry.times if self.retry is not None else 0

    def again(self, error: BaseException, failures: int) -> bool:
        """Say whether to call once more after so many failures, of which this is the last."""
        if self.retry is None or isinstance(error, PoisonSample):
            return False
        return failures <= self.retry.times and isinstance(error, self.retry.on)

    def __str__(self) -> str:
        """Spell it as the argument that makes it."""
        then = repr(self.then) if isinstance(self.then, str) else getattr(self.then, "__qualname__", repr(self.then))
        return then if self.retry is None else f"Retry({self.retry.times}, then={then})"


def policy_of(on_error: OnError, call: str) -> Policy | None:
    """Read an ``on_error=`` argument.

    Raises
    ------
    InvalidArgument
        For an unknown word.
    InvalidType
        For anything but "raise", "skip", a function or `Retry`.
    """
    if isinstance(on_error, Retry):
        return Policy(on_error, on_error.then)
    _check(on_error, f"on_error= of {call}()")
    return None if on_error == "raise" else Policy(None, on_error)


def _check(then: Any, what: str) -> None:
    known = '"raise", "skip", a function (sample_ref, error) -> replacement or flazy.SKIP'
    if isinstance(then, str):
        if then not in ("raise", "skip"):
            raise InvalidArgument(f"{what} is {then!r}; it is {known}, or Retry(n, …)")
    elif not callable(then) or isinstance(then, type):
        raise InvalidType(f"{what} must be {known}, or Retry(n, …), not {then!r}")
