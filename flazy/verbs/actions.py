"""What runs a plan and gives a result."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flazy.collate import collate, shape_of, type_of
from flazy.errors import EmptyDataset, InvalidArgument, InvalidType, OutOfRange
from flazy.plan import nodes
from flazy.plan.length import known_length, length_of
from flazy.verbs.base import Planned, at_least, callable_named, dtype_of, verb
from flazy.verbs.streams import needs_end

if TYPE_CHECKING:
    import builtins

    from numpy.typing import DTypeLike

    from flazy.datasets import Dataset
    from flazy.run.runs import Run
    from flazy.run.stats import Stats

__all__ = ["Actions"]


class Actions(Planned):
    """Verbs that iterate, here and now."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Any]:
            """Iterate; see `Dataset`."""

        def _peek(self, node: nodes.Node, *, timed: bool = False) -> Run:
            """Open another plan at the coming cycle, without using it up."""

        def progress(self, description: str | None = None) -> Dataset[Any]:
            """See `StreamVerbs`."""

    @verb
    def list(self, verbose: bool = False) -> builtins.list[Any]:  # noqa: FBT001, FBT002 - as the specification has it
        """Give all samples as a list; ``verbose`` shows a progress bar."""
        needs_end(self.node, "list()", "take(n) first")
        return [*self.progress()] if verbose else [*self]

    @verb
    def collect(
        self,
        default_dtype: DTypeLike | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002 - as the specification has it
    ) -> Any:
        """Give all samples as one object: stacked as `batch` does it, integers staying integers.

        Raises
        ------
        EmptyDataset
            If there is no sample, and so no structure.
        BatchError
            If samples do not stack.
        """
        needs_end(self.node, "collect()", "take(n) first")
        dtype = dtype_of(default_dtype)
        samples = self.list(verbose=verbose)
        if not samples:
            raise EmptyDataset("collect() of a dataset without samples: there is nothing that tells its structure")
        return collate(samples, dtype)

    @verb
    def first(self) -> Any:
        """Give the first sample of the coming pass; that pass is not used up.

        Raises
        ------
        EmptyDataset
            If there is none.
        """
        with self._peek(nodes.Take(self.node, 1)) as run:
            for sample in run:
                return sample
        raise EmptyDataset("first() of a dataset without samples")

    @verb
    def count(self) -> int:
        """Count the samples; iterates only where the plan does not tell."""
        needs_end(self.node, "count()", "take(n) first")
        length = length_of(self.node)
        return int(length) if length is not None else sum(1 for _ in self)

    @verb
    def reduce(self, fn: Callable[[Any, Any], Any], initial: Any) -> Any:
        """Fold the samples: ``fn(fn(initial, first), second) …``."""
        callable_named(fn, "reduce")
        needs_end(self.node, "reduce()", "take(n) first")
        result = initial
        for sample in self:
            result = fn(result, sample)
        return result

    @verb
    def simulate_step(self, ms: float, steps: int | None = None, *, verbose: bool = False) -> Stats:
        """Run the coming pass against a loop that takes ``ms`` milliseconds a batch, and say how long that waited.

        It is to a pipeline what a training loop on a GPU is, without a model: between two batches the processor is free
        for what makes the next ones. The pass is not used up.

        Parameters
        ----------
        ms
            Milliseconds that the loop spends on each batch (or sample, where the plan does not batch). 0 asks how fast
            the data could be.
        steps
            So many batches; None (default): all of them. A few seconds tell; workers need the first to start.
        verbose
            Show a progress bar.

        Returns
        -------
        Stats
            Its ``repr`` is one line; ``waited``, ``first_s``, ``rate`` and ``slowest`` are its figures.

        Raises
        ------
        EndlessDataset
            Without ``steps`` on a plan that repeats without end.

        Notes
        -----
        ``waited`` is the share of the time since the first batch, which workers need to start and which does not count.
        Waited 0 %: the data is fast enough, and more workers would change nothing. Waited 40 %: a real loop of that
        step would be idle for 40 % of its time; the line names the stage that limits it: give that one more workers, or
        ``workers=`` if it has none. It measures this machine as it is now: whatever else runs on it counts.

        Examples
        --------
        >>> from flazy import Dataset
        >>> tried = Dataset(range(640)).map(lambda x: x / 2).batch(64).simulate_step(ms=1)
        >>> tried.given, tried.unit
        (10, 'batches')

        ``print(tried)`` says, for a stage that cannot keep up: ``625 batches in 19.1 s; the first after 310 ms, then
        33.2/s; the loop waited 34 % of the time; slowest: map(augment), its 2 workers 99 % busy; more workers for
        map(augment) would help``.
        """
        seconds = _milliseconds(ms) / 1000
        node = self.node if steps is None else nodes.Take(self.node, at_least(1, steps, "steps"))
        needs_end(node, "simulate_step()", "say how many steps= it may take")
        never = threading.Event()
        with self._peek(nodes.Progress(node, None) if verbose else node, timed=True) as run:
            for _batch in run:  # held during the step, as a loop does
                never.wait(seconds)
        return run.stats()

    @verb
    def shape(self) -> Any:
        """Give the shapes of the first sample, in its structure; ``()`` for what is not an array."""
        return shape_of(self.first())

    @verb
    def types(self) -> Any:
        """Give the dtypes of the first sample's arrays and the types of the rest, in its structure."""
        return type_of(self.first())

    def __len__(self) -> int:
        """Give the number of samples where the plan knows it without running.

        Raises
        ------
        UnknownLength
            Where only a pass could tell, as behind ``filter``; ``count()`` makes that pass.
        """
        return known_length(self.node)

    def __bool__(self) -> bool:
        """Be true: a dataset stands for a plan, whatever it gives."""
        return True

    def __getitem__(self, item: int | slice) -> Any:
        """Give sample ``item``, or the dataset of a slice.

        Raises
        ------
        OutOfRange
            If there is no such sample; an ``IndexError``.
        """
        if isinstance(item, slice):
            return self._over(_sliced(self.node, item))
        index = at_least(0, item, "an index of a dataset")
        with self._peek(nodes.Take(nodes.Skip(self.node, index), 1)) as run:
            for sample in run:
                return sample
        raise OutOfRange(f"index {index} is beyond the end of the dataset")


def _milliseconds(ms: Any) -> float:
    """Check a time that a loop may take."""
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        raise InvalidType(f"simulate_step(ms) takes milliseconds, not {ms!r}")
    if not 0 <= ms < math.inf:
        raise InvalidArgument(f"simulate_step(ms) takes milliseconds, 0 or more, not {ms}")
    return ms


def _sliced(node: nodes.Node, part: slice) -> nodes.Node:
    if part.stop is not None:
        node = nodes.Take(node, at_least(0, part.stop, "the stop of a slice of a dataset"))
    if part.start is not None and part.start != 0:
        node = nodes.Skip(node, at_least(0, part.start, "the start of a slice of a dataset"))
    if part.step is not None and part.step != 1:
        node = nodes.Stride(node, at_least(1, part.step, "the step of a slice of a dataset"))
    return node
