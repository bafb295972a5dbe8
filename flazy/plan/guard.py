"""A function as its kernel calls it: with its ``on_error=``, and without the calls that are not to be made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from flazy.errors import InvalidType, SampleError
from flazy.located import cause_of
from flazy.plan.policy import SKIP, Policy, SampleRef, SkippedSample
from flazy.sample import Address

__all__ = ["At", "LeftOut", "Refusal", "guarded", "skipped_for"]

LONGEST = 1000  # characters of what is said of a sample that is left out

Call = Callable[..., Any]


class LeftOut:
    """What stands in the place of an output where a sample is left out."""

    __slots__ = ("skipped",)

    def __init__(self, skipped: SkippedSample) -> None:
        self.skipped = skipped


class Refusal(Protocol):
    """Why a call is not made: see `flazy.core.events.Verdict`."""

    @property
    def given(self) -> int:
        """So many outputs of the call were received."""

    @property
    def overdue(self) -> bool:
        """It took too long; otherwise it killed its workers."""

    @property
    def failures(self) -> int:
        """How often."""

    @property
    def error(self) -> SampleError:
        """What is raised instead."""


class At(Protocol):
    """What a guard needs to know of a kernel's cursor."""

    omit: Callable[[int], object]
    left_out: Callable[[SkippedSample], object]

    def depth(self, op: int) -> int:
        """Count the flatmaps before an op."""

    def address(self, depth: int) -> Address:
        """Give the address of the present sample, behind ``depth`` flatmaps."""

    def cycle(self) -> int:
        """Give the cycle of the present sample."""

    def rng(self, op: int, depth: int) -> Any:
        """Make the generator of the present sample."""

    def seeded(self, op: int, depth: int) -> Any:
        """Seed the global generators for one call."""

    def refusal(self, op: int, depth: int) -> Refusal | None:
        """Give the reason for which the present call is not to be made, if there is one."""

    def passes(self, error: BaseException) -> bool:
        """Say whether an exception is not the function's."""


def guarded(op: Any, number: int, at: At, *, refusals: bool) -> Call:
    """Give what a kernel calls for an op; the op's function itself where nothing stands around it."""
    depth = at.depth(number)
    call: Call = op.fn
    policy: Policy | None = op.policy
    if policy is not None and op.kind == "random":
        call = _Drawn(op, number, depth, at)
    if policy is not None and op.kind == "filter":
        call = _Judged(call)
    if refusals:
        call = _Refused(call, number, depth, at, policy)
    if policy is None:
        return call
    kind = _GuardedFlatMap if op.kind == "flatmap" else _Guarded
    return kind(call, policy, op.name, depth, at)


class _Drawn:
    """A random function that draws anew in each call, so that another try gets the same numbers."""

    def __init__(self, op: Any, number: int, depth: int, at: At) -> None:
        self._op, self._number, self._depth, self._at = op, number, depth, at

    def __call__(self, value: Any, *resource: Any) -> Any:
        rng = self._at.rng(self._number, self._depth)
        if not self._op.seed_globals:
            return self._op.fn(value, rng, *resource)
        with self._at.seeded(self._number, self._depth):
            return self._op.fn(value, rng, *resource)


class _Judged:
    """A filter whose answer is asked for its truth at once, since that may fail too."""

    def __init__(self, fn: Call) -> None:
        self._fn = fn

    def __call__(self, *arguments: Any) -> bool:
        return bool(self._fn(*arguments))


class _Refused:
    """A function of which some calls are not made."""

    def __init__(self, call: Call, number: int, depth: int, at: At, policy: Policy | None) -> None:
        self._call, self._number, self._depth, self._at, self._policy = call, number, depth, at, policy

    def __call__(self, *arguments: Any) -> Any:
        refusal = self._at.refusal(self._number, self._depth)
        if refusal is not None and not self._once_more(refusal):
            self._at.omit(refusal.given)
            raise refusal.error
        return self._call(*arguments)

    def _once_more(self, refusal: Refusal) -> bool:
        if not refusal.overdue or self._policy is None:
            return False
        return self._policy.again(refusal.error, refusal.failures)


class _Guarded:
    """A function with its policy; in the place of what it returns stands `LeftOut` where a sample is left out."""

    def __init__(self, call: Call, policy: Policy, name: str, depth: int, at: At) -> None:
        self._call, self._policy, self._name, self._depth, self._at = call, policy, name, depth, at

    def __call__(self, value: Any, *resource: Any) -> Any:
        failures = 0
        while True:
            try:
                return self._call(value, *resource)
            except BaseException as error:  # noqa: BLE001 - whatever it raises is what the policy is for
                failures += 1
                if not self._again(error, failures):
                    return self._instead(error, value)

    def _again(self, error: BaseException, failures: int) -> bool:
        """Say whether to try once more, after the time that the policy waits."""
        if self._at.passes(error) or not self._policy.again(error, failures):
            return False
        if self._policy.retry is not None and self._policy.retry.wait:
            time.sleep(self._policy.retry.wait * 2 ** (failures - 1))
        return True

    def _instead(self, error: BaseException, value: Any) -> Any:
        """Give what stands for the call's result; called while the error is handled."""
        then = self._policy.then
        if then == "raise" or self._at.passes(error):
            raise error
        ref = SampleRef(self._name, self._at.address(self._depth), self._at.cycle(), value)
        if callable(then) and (made := then(ref, error)) is not SKIP:
            return made
        skipped = skipped_for(ref, error)
        self._at.left_out(skipped)
        return LeftOut(skipped)


def skipped_for(ref: SampleRef, error: BaseException) -> SkippedSample:
    """Note that a sample is left out, and why."""
    cause = cause_of(error)
    said = f"{cause.name}: {cause.message}" if cause.message else cause.name
    return SkippedSample(ref.stage, ref.address, ref.cycle, said if len(said) <= LONGEST else f"{said[:LONGEST]} …")


class _GuardedFlatMap(_Guarded):
    """The same for a flatmap, which may fail after it has given something."""

    def __call__(self, value: Any, *resource: Any) -> Iterator[Any]:
        given = failures = 0
        outputs: Iterator[Any] | None = None
        end = object()
        try:
            while True:
                try:
                    if outputs is None:
                        outputs = iter(self._call(value, *resource))
                        for _ in range(given):  # of an earlier try
                            next(outputs, end)
                    made = next(outputs, end)
                except BaseException as error:  # noqa: BLE001 - as above
                    failures += 1
                    if self._again(error, failures):
                        _close(outputs)
                        outputs = None
                        continue
                    instead = self._all_instead(error, value)
                    break
                if made is end:
                    return
                given += 1
                yield made
        finally:
            _close(outputs)
        yield from instead

    def _all_instead(self, error: BaseException, value: Any) -> Iterable[Any]:
        made = self._instead(error, value)
        if type(made) is LeftOut:
            return [made]
        try:
            samples: Iterator[Any] = iter(made)
        except TypeError:
            what = "an on_error= function of a flatmap gives what is left of the samples, as an iterable"
            raise InvalidType(f"{what}, not {type(made).__name__}") from error
        return samples


def _close(outputs: Iterator[Any] | None) -> None:
    if (close := getattr(outputs, "close", None)) is not None:
        close()
