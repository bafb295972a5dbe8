"""Verbs that put samples together for models; they run in the caller's process, behind the parallel stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from flazy.plan import nodes
from flazy.plan.functions import unstack
from flazy.verbs.base import Planned, at_least, callable_named, dtype_of, verb

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from flazy.datasets import Dataset

__all__ = ["BatchVerbs"]


class BatchVerbs(Planned):
    """Verbs that make one sample of several, and back; the number of a batch is its address from there on.

    They share two keywords:

    default_dtype : dtype or None
        What Python's own int, float and bool become, alone or in lists. The default, float32, is what models compute
        in. Arrays and numpy scalars keep their dtype; None leaves numbers to numpy, so ints stay ints.
    drop_remainder : bool
        Drop an incomplete last batch (default, so that every batch has one size); False keeps it. A pass in which
        everything was dropped warns.
    """

    @verb
    def batch(
        self,
        size: int,
        default_dtype: DTypeLike | None = np.float32,
        drop_remainder: bool = True,  # noqa: FBT001, FBT002 - as the specification has it
        *,
        fn: Callable[[list[Any]], Any] | None = None,
    ) -> Dataset[Any]:
        """Stack every ``size`` samples into one of the same structure, with a new first dimension.

        Parameters
        ----------
        size
            Samples a batch.
        default_dtype
            What Python's own int, float and bool become. The default is what models compute in. Arrays and numpy
            scalars keep their dtype; None leaves numbers to numpy, so ints stay ints.
        drop_remainder
            Drop an incomplete last batch (default, so that every batch has one shape); False keeps it.
        fn
            Makes the batch itself: called with the list of its samples, whatever they are, e.g.
            ``torch.utils.data.default_collate``. What it returns is the batch; ``default_dtype`` has no meaning then.
            It runs in your process, while otherwise worker processes right before a batch make it, or fill its rows;
            so let it put together, and leave work on single samples to a `map` before.

        Raises
        ------
        BatchError
            While iterating: samples of different structure or shape, or a number that ``default_dtype`` cannot hold.
        SampleError
            While iterating: ``fn`` raised; the error is also an instance of that exception's class, and has the number
            of the batch.

        Notes
        -----
        Samples may be dicts, tuples, arrays, numbers, strings and mixtures; lists become arrays; bytes and other
        objects come in object arrays. A pass in which everything was dropped warns.

        Examples
        --------
        >>> from flazy import Dataset
        >>> for batch in Dataset(a=range(10), b=range(10, 20)).batch(4):
        ...     print(batch)
        {'a': array([0., 1., 2., 3.], dtype=float32), 'b': array([10., 11., 12., 13.], dtype=float32)}
        {'a': array([4., 5., 6., 7.], dtype=float32), 'b': array([14., 15., 16., 17.], dtype=float32)}
        >>> Dataset(["to", "be", "or"]).batch(2, drop_remainder=False, fn=" ".join).list()
        ['to be', 'or']
        """
        count, dtype = at_least(1, size, "the batch size"), dtype_of(default_dtype)
        label = "" if fn is None else callable_named(fn, "batch")
        return self._over(nodes.Batch(self.node, count, dtype, bool(drop_remainder), fn, label))

    @verb
    def unbatch(self) -> Dataset[Any]:
        """Split each sample along the first dimension of its arrays.

        It is the inverse of `batch`: arrays come as they went in, as views of the batch; Python's
        own numbers and text as numpy's scalars.

        Raises
        ------
        SampleError
            While iterating: arrays that differ in their first dimension, or a part that has none.

        Examples
        --------
        >>> from flazy import Dataset
        >>> Dataset(a=[[1, 2], [3, 4]]).batch(2).unbatch().list()[1]
        {'a': array([3., 4.], dtype=float32)}
        """
        return self._over(nodes.Unbatch(self.node, unstack, "unbatch()"))
