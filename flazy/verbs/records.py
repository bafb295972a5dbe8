"""Verbs on one sample at a time; each can run in the caller's process or in workers, with the same results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any

from flazy.errors import InvalidArgument
from flazy.plan import nodes
from flazy.plan.casts import Cast, spelled, targets
from flazy.plan.functions import Selected, SelectedTuple, Starred
from flazy.plan.policy import OnError, policy_of
from flazy.plan.where import Where, where_of
from flazy.verbs.base import Planned, callable_named, seed_of, verb

if TYPE_CHECKING:
    from flazy.datasets import Dataset

__all__ = ["RecordVerbs"]

Setup = Callable[[], Any] | None


class RecordVerbs(Planned):
    """Verbs whose function sees a single sample.

    They share four keywords:

    workers : int, Processes, Threads, Ray or None
        Where the function runs. None or 0, the default: in your own process, when a sample is asked for. A number:
        in that many worker processes of this stage alone. Neighbouring stages with equal ``workers`` and
        ``ordered`` travel as one.
    ordered : bool
        Keep the order of the samples (default). False hands a sample on as soon as it is ready.
    setup : callable, optional
        Called once in each worker, before its first sample; what it returns is passed as the function's last
        argument and closed (``close()``, else ``__exit__``) when the worker is done. For what cannot be pickled: an
        open file, a database, a model.
    on_error : "raise", "skip", callable or Retry
        What becomes of a sample on which the function fails: by an exception, by killing its workers, or by taking
        longer than ``Processes(n, timeout=…)`` allows. "raise", the default: a `SampleError` at that sample's place
        in the order, after all samples before it; it is also an instance of the exception's own class. "skip": the
        sample is left out; at the end of the pass one warning (`SkippedSamples`) counts and lists those that were,
        and ``run.stats()`` has them. A function ``(sample_ref, error)``: what it returns stands for what the function
        would have returned (for ``filter`` whether to keep the sample, for ``flatmap`` an iterable of what is left),
        or it returns ``flazy.SKIP``, or raises; it is not asked about a result that cannot travel, which "skip"
        leaves out. `Retry`: calls the function again before that. All of it is the same in workers, and when a worker
        has died meanwhile; an ``on_error`` function runs where the stage runs.
    """

    @verb
    def map(
        self,
        fn: Callable[..., Any],
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        setup: Setup = None,
        on_error: OnError = "raise",
    ) -> Dataset[Any]:
        """Replace each sample by ``fn(sample)``.

        Examples
        --------
        >>> from flazy import Dataset
        >>> sum(Dataset(range(10)).map(lambda x: x + 1))
        55
        """
        label, policy = callable_named(fn, "map", setup), policy_of(on_error, "map")
        return self._over(nodes.Map(self.node, fn, label, where_of(workers), ordered, setup, policy))

    @verb
    def random_map(
        self,
        fn: Callable[..., Any],
        seed: int | None = None,
        seed_globals: bool = True,  # noqa: FBT001, FBT002 - as the specification has it
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        setup: Setup = None,
        on_error: OnError = "raise",
    ) -> Dataset[Any]:
        """Replace each sample by ``fn(sample, rng)``, with a random generator of the sample's own.

        Parameters
        ----------
        fn
            Gets the sample and a `numpy.random.Generator`.
        seed
            Of everything random here. None draws one when the dataset is made; ``explain()`` shows it.
        seed_globals
            Also seed ``random``, ``numpy.random`` and torch (where it is loaded) for each call, and put the states
            back after it, so that code which draws from them is just as reproducible.
        workers, ordered, setup
            See `RecordVerbs`.

        Notes
        -----
        The numbers depend on seed, pass and sample alone: any number of workers gives the same stream, and every
        pass over a dataset draws anew.
        """
        label, policy = callable_named(fn, "random_map", setup), policy_of(on_error, "random_map")
        given = self.node, fn, label, where_of(workers), ordered, setup, policy
        return self._over(nodes.RandomMap(*given, seed_of(seed), seed_globals, seed is None))

    @verb
    def starmap(
        self,
        fn: Callable[..., Any],
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        setup: Setup = None,
        on_error: OnError = "raise",
    ) -> Dataset[Any]:
        """Replace each tuple by ``fn(*sample)``, each dict by ``fn(**sample)``.

        A resource of ``setup`` comes last behind a tuple, as the keyword ``resource`` behind a dict.
        """
        label, policy = callable_named(fn, "starmap", setup), policy_of(on_error, "starmap")
        return self._over(nodes.StarMap(self.node, Starred(fn), label, where_of(workers), ordered, setup, policy))

    @verb
    def flatmap(
        self,
        fn: Callable[..., Iterable[Any]],
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        setup: Setup = None,
        on_error: OnError = "raise",
    ) -> Dataset[Any]:
        """Replace each sample by everything that ``fn(sample)`` gives, be it none or more than fits in memory."""
        label, policy = callable_named(fn, "flatmap", setup), policy_of(on_error, "flatmap")
        return self._over(nodes.FlatMap(self.node, fn, label, where_of(workers), ordered, setup, policy))

    @verb
    def filter(
        self,
        fn: Callable[..., Any],
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        setup: Setup = None,
        on_error: OnError = "raise",
    ) -> Dataset[Any]:
        """Keep the samples for which ``fn(sample)`` is true."""
        label, policy = callable_named(fn, "filter", setup), policy_of(on_error, "filter")
        return self._over(nodes.Filter(self.node, fn, label, where_of(workers), ordered, setup, policy))

    @verb
    def foreach(
        self,
        fn: Callable[..., Any],
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        setup: Setup = None,
        on_error: OnError = "raise",
    ) -> None:
        """Call ``fn(sample)`` on every sample, now; what it returns is dropped.

        In workers, a sample whose worker died is run again: ``fn`` may see it twice.
        """
        label, policy = callable_named(fn, "foreach", setup), policy_of(on_error, "foreach")
        deque(self._over(nodes.ForEach(self.node, fn, label, where_of(workers), ordered, setup, policy)), maxlen=0)

    @verb
    def select(self, *keys: Hashable) -> Dataset[Any]:
        """Keep some keys of dicts, or some positions of tuples, in the order given.

        Runs in the stage before it, wherever that is.
        """
        return self._over(nodes.Pick(self.node, Selected(_some(keys, "select")), f"select({_spell(keys)})"))

    @verb
    def select_tuple(self, *keys: Hashable) -> Dataset[Any]:
        """Make tuples of the values of some keys, e.g. ``(features, label)`` for a training loop."""
        fn = SelectedTuple(_some(keys, "select_tuple"))
        return self._over(nodes.Pick(self.node, fn, f"select_tuple({_spell(keys)})"))


    @verb
    def cast(
        self,
        dtype: Any,
        *,
        workers: int | Where | None = None,
        ordered: bool = True,
        on_error: OnError = "raise",
    ) -> Dataset[Any]:
        """Give numbers another dtype; everything else stays as it is.

        Parameters
        ----------
        dtype
            One dtype is for every number of a sample: arrays, numpy scalars, and Python's own int, float and bool,
            which become numpy scalars. A dict is for what it names, ``{"image": "bfloat16"}``, nested as samples are;
            a tuple is for tuples, with a dtype or None for each part. All that numpy knows, and the names of
            ml_dtypes: "bfloat16", "float8_e4m3fn", "int4" …
        workers, ordered, on_error
            See `RecordVerbs`; but without ``workers`` it runs in the stage before it, wherever that is, since a cast is
            cheap.

        Raises
        ------
        InvalidType, InvalidArgument
            For what is no dtype of numbers.
        MissingExtra
            For a dtype of ml_dtypes where that is not installed.
        MissingKey, InvalidType, OverflowError
            While iterating, as the cause of a `SampleError`: for a key that a sample does not have, for a sample of
            another structure, and for a number that the dtype cannot hold.

        Notes
        -----
        Floats are rounded, and cut to integers (1.7 and -0.9 to 1 and 0), as numpy's ``astype`` does. It differs where
        that would give another number without a word: 300 and -1 as uint8, NaN and infinity as any integer, 1e6 as
        float16, 500 as float8_e4m3fn are errors; so are whole numbers that would be rounded, as a token 50257 to
        bfloat16: name what shall be cast, or cast to float32 before. What knows how to be an array becomes one, as in
        `batch`: tensors of PyTorch, images of Pillow. Strings, dates and other objects stay.

        Examples
        --------
        >>> import numpy as np
        >>> from flazy import Dataset
        >>> samples = Dataset(image=np.zeros((4, 8, 8), "uint8"), label=["a", "b", "c", "d"])
        >>> samples.cast({"image": "float32"}).first()["image"].dtype
        dtype('float32')
        """
        wanted, policy, where = targets(dtype), policy_of(on_error, "cast"), where_of(workers)
        return self._over(nodes.Cast(self.node, Cast(wanted), spelled(wanted), where, ordered, on_error=policy))


def _some(keys: tuple[Hashable, ...], call: str) -> tuple[Hashable, ...]:
    if not keys:
        raise InvalidArgument(f"{call}() needs at least one key, e.g. {call}('image', 'label')")
    return keys


def _spell(keys: tuple[Hashable, ...]) -> str:
    return ", ".join(map(repr, keys))
