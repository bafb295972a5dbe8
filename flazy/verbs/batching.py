"""Verbs that put samples together for models; they run in the caller's process, behind the parallel stages.

==============  ==============================================================================
samples         verb
==============  ==============================================================================
of one shape    ``batch``: stacked
of any shape    ``padded_batch``: filled up to the longest; ``bucket_batch``: with others like it
of any length   ``ragged_batch``: end to end, without padding; ``pack``: into rows of one length
overlapping     ``window``
==============  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flazy.collate import STACKED
from flazy.errors import InvalidArgument
from flazy.leaves import EndToEnd, Packed
from flazy.plan import nodes
from flazy.plan.batching import BucketBatch, Pack, Window
from flazy.plan.functions import unstack
from flazy.verbs.arguments import keys_of, padded, per_leaf, plain_pad, rising, sizes_of
from flazy.verbs.base import Planned, at_least, callable_named, dtype_of, verb

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from flazy.datasets import Dataset

__all__ = ["BatchVerbs"]

# Of lengths as texts have them (log-normal) 0.6 % of a row is padding then, 1.2 % with 8; of evenly spread lengths, the
# worst case, 5 % and 11 %. More rows would win little, and hold back more.
OPEN_ROWS = 64


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
        Samples may be dicts, tuples, arrays, numbers, strings and mixtures; lists become arrays, and so does what has
        ``__array__``: tensors of PyTorch, images of Pillow; one that numpy cannot hold (on a device, with gradients,
        bfloat16) is an error. Bytes and other objects come in object arrays. A pass in which everything was dropped
        warns. For arrays of different shapes there are `padded_batch`, `bucket_batch`, `ragged_batch` and `pack`.

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
        return self._over(nodes.Batch(self.node, count, dtype, bool(drop_remainder), STACKED, fn, label))

    @verb
    def padded_batch(
        self,
        size: int,
        pad: Any = 0,
        *,
        length: Any = None,
        multiple_of: Any = None,
        default_dtype: DTypeLike | None = np.float32,
        drop_remainder: bool = True,
    ) -> Dataset[Any]:
        """Batch arrays of different shapes: each is filled up at its end to the longest of the batch.

        Parameters
        ----------
        size
            Samples a batch.
        pad
            What to fill up with: one value, or a dict (tuple) of values like the sample, for leaves that differ:
            ``pad={"tokens": 0, "labels": -100}``. A key that is not there has 0. A leaf's dtype must hold its pad as it
            is: -100 fits no uint8. Text takes ``""``.
        length
            Fill the first axis up to this instead of the longest, so that all batches have one shape; one for all
            arrays, or by key, as ``pad``. None (default): the longest of the batch.
        multiple_of
            Round the first axis up to a multiple of this, so that a compiled model sees few shapes; one for all
            arrays, or by key, as ``pad``. None (default): do not.
        default_dtype, drop_remainder
            As for `batch`.

        Raises
        ------
        BatchError
            While iterating: an array longer than ``length``, a pad that does not fit, arrays with different numbers of
            dimensions, and what `batch` refuses. The message has batch, sample and key.

        Notes
        -----
        Every axis of every array is filled up, as far as sizes differ; lists of numbers are arrays. Numbers, text and
        everything else are batched as by `batch`. The batch does not say where padding begins: let a `map` before add
        the length or a mask (a mask of ones is padded with zeros), or use `ragged_batch`. ``length`` and
        ``multiple_of`` are for the first axis of an array, not for the batch, and where samples hold arrays that are
        not sequences, give them by key.

        Examples
        --------
        >>> import numpy as np
        >>> from flazy import Dataset
        >>> tokens = [np.array([5, 2, 7]), np.array([1])]
        >>> texts = Dataset(tokens=tokens, labels=tokens, id=[0, 1])
        >>> texts.padded_batch(2, pad={"labels": -100}).first()["labels"]
        array([[   5,    2,    7],
               [   1, -100, -100]])
        >>> texts.padded_batch(2, multiple_of={"tokens": 8}).shape()
        {'tokens': (2, 8), 'labels': (2, 3), 'id': (2,)}
        """
        count, dtype = at_least(1, size, "the batch size"), dtype_of(default_dtype)
        leaves = padded(pad, length, multiple_of)
        return self._over(nodes.Batch(self.node, count, dtype, bool(drop_remainder), leaves))

    @verb
    def bucket_batch(
        self,
        length_fn: Callable[[Any], int],
        boundaries: Sequence[int],
        size: int | Sequence[int],
        pad: Any = 0,
        *,
        multiple_of: Any = None,
        default_dtype: DTypeLike | None = np.float32,
        drop_remainder: bool = True,
    ) -> Dataset[Any]:
        """Batch samples with others of like length, so that little is padded.

        Parameters
        ----------
        length_fn
            Gives the length of a sample, a whole number; called once for each, in your process.
        boundaries
            Where the next bucket begins, rising. ``[10, 20]`` makes three: lengths up to 9, 10 to 19, and from 20 on.
        size
            Samples a batch; one number, or one for each of the ``len(boundaries) + 1`` buckets: many short samples take
            the memory of a few long ones.
        pad, multiple_of
            As for `padded_batch`, which makes the batches.
        default_dtype, drop_remainder
            As for `batch`; at the end each bucket may have a remainder, and those that are kept come in the order of
            the buckets.

        Raises
        ------
        SampleError
            While iterating: ``length_fn`` raised, or gave what is no whole number; the error is also an instance of
            that exception's class, and names the sample.
        BatchError
            As `padded_batch`.

        Notes
        -----
        A batch is given as soon as its bucket is full, so the order depends on the samples alone. In memory are at most
        as many samples as all sizes together. Shuffle before; where short and long samples come in stretches all the
        same, shuffle the batches, too: ``.shuffle(100)`` behind.

        Examples
        --------
        >>> from flazy import Dataset
        >>> words = Dataset([[1], [2] * 12, [3, 3], [4] * 11])
        >>> for batch in words.bucket_batch(len, [10], 2, default_dtype=None):
        ...     print(batch.shape)
        (2, 2)
        (2, 12)
        """
        label, bounds = callable_named(length_fn, "bucket_batch"), rising(boundaries)
        sizes, dtype = sizes_of(size, len(bounds) + 1), dtype_of(default_dtype)
        leaves, drop = padded(pad, None, multiple_of), bool(drop_remainder)
        return self._over(BucketBatch(self.node, length_fn, label, bounds, sizes, dtype, drop, leaves))

    @verb
    def ragged_batch(
        self,
        size: int,
        *,
        keys: Iterable[Any] | None = None,
        default_dtype: DTypeLike | None = np.float32,
        drop_remainder: bool = True,
    ) -> Dataset[Any]:
        """Batch arrays of different lengths without padding: end to end, with a note of where each begins.

        Parameters
        ----------
        size
            Samples a batch.
        keys
            Which parts of a dict (or positions of a tuple) shall be ragged; the others are stacked as by `batch`. None
            (default): every array that has a dimension.
        default_dtype, drop_remainder
            As for `batch`.

        Raises
        ------
        BatchError
            While iterating: arrays that differ in more than their first dimension, and what `batch` refuses.

        Notes
        -----
        Such arrays become a `flazy.Ragged`, also in a batch where they happen to be equally long, so that a model sees
        one type. Lists of numbers are arrays; numbers, text and arrays without dimensions are batched as by `batch`.
        `unbatch` gives the rows back.

        Examples
        --------
        >>> import numpy as np
        >>> from flazy import Dataset
        >>> texts = Dataset(tokens=[np.array([5, 2, 7]), np.array([1])], label=[0, 1])
        >>> batch = texts.ragged_batch(2).first()
        >>> batch["tokens"].values, batch["tokens"].offsets, batch["label"]
        (array([5, 2, 7, 1]), array([0, 3, 4]), array([0., 1.], dtype=float32))
        """
        count, dtype = at_least(1, size, "the batch size"), dtype_of(default_dtype)
        return self._over(nodes.Batch(self.node, count, dtype, bool(drop_remainder), EndToEnd(keys_of(keys))))

    @verb
    def pack(
        self,
        length: int,
        *,
        pad: Any = 0,
        split: bool = False,
        open_rows: int = OPEN_ROWS,
        drop_remainder: bool = False,
    ) -> Dataset[Any]:
        """Lay sequences end to end in rows of one length, as language models are trained: hardly anything is padded.

        Parameters
        ----------
        length
            Of a row.
        pad
            What fills the rest of a row: one value, or by key, as for `padded_batch`.
        split
            False (default): sequences stay whole, and each goes into the first row that has room. True: all are laid
            end to end and cut wherever a row is full, so that only the last row has padding.
        open_rows
            Rows that are held open for sequences that still fit, without ``split``. If there are more, the oldest is
            given. 64 leave about 1 % of padding where lengths are those of texts, 5 % where all lengths are as likely.
        drop_remainder
            Drop the last row of ``split``, if it is not full. False (default) keeps it, for with its padding it has the
            shape of all others.

        Raises
        ------
        BatchError
            While iterating, with the sample: a sequence longer than a row, without ``split``; parts that are no arrays,
            or not equally long.

        Notes
        -----
        A sample is a sequence, an array or list, or a dict or tuple of sequences that are equally long: tokens and
        their labels. What has no length (an id, a text) is left out by a `select` before. Lists of ints stay ints.
        Empty sequences vanish. A row is given as soon as it is full; the order depends on the samples alone.

        A row has the structure of the samples, in a dict, with two more arrays of shape ``(length,)``, int32:
        ``segment_ids`` are 1, 2, … for the sequences of the row and 0 for padding; ``positions`` count 0, 1, … in each
        of them (also in what is left of a sequence that was cut). What is no dict comes under ``values``.

        A model must not look from one sequence into another. Attention masks for a batch of rows are made of segment
        ids, in numpy, PyTorch or JAX alike, as here for one row; a causal mask is and-ed with it.

        Examples
        --------
        >>> from flazy import Dataset
        >>> rows = Dataset([[7, 8, 9], [4, 5], [6]]).pack(4)
        >>> row = rows.first()
        >>> row["values"], row["segment_ids"], row["positions"]
        (array([7, 8, 9, 6]), array([1, 1, 1, 2], dtype=int32), array([0, 1, 2, 0], dtype=int32))
        >>> ids = rows.list()[1]["segment_ids"]
        >>> mask = (ids[:, None] == ids[None, :]) & (ids[:, None] > 0)  # block-diagonal: may i look at j?
        >>> mask.astype(int)
        array([[1, 1, 0, 0],
               [1, 1, 0, 0],
               [0, 0, 0, 0],
               [0, 0, 0, 0]])
        """
        if drop_remainder and not split:
            raise InvalidArgument("pack(): without split=True there is no remainder; every row has its padding")
        row = Packed(at_least(1, length, "the length of a row"), per_leaf(pad, plain_pad))
        rows = None if split else at_least(1, open_rows, "open_rows")
        return self._over(Pack(self.node, row, rows, bool(drop_remainder)))

    @verb
    def window(
        self,
        size: int,
        stride: int = 1,
        *,
        drop_remainder: bool = True,
        default_dtype: DTypeLike | None = np.float32,
    ) -> Dataset[Any]:
        """Stack ``size`` consecutive samples, beginning at every ``stride``-th: windows over a time series.

        Parameters
        ----------
        size
            Samples a window.
        stride
            From one window's first sample to the next one's. Less than ``size``: windows overlap; more: samples between
            them are left out; equal: it is `batch`.
        drop_remainder
            Drop windows that the end cuts short (default, so that all have one shape); False keeps every one that has a
            sample.
        default_dtype
            As for `batch`.

        Raises
        ------
        BatchError
            While iterating: as `batch`.

        Notes
        -----
        Windows run over the whole stream. Where it consists of several series, window each, and join them with
        ``Dataset.concat``.

        Examples
        --------
        >>> from flazy import Dataset
        >>> Dataset(range(6)).window(3, stride=2, default_dtype=None).list()
        [array([0, 1, 2]), array([2, 3, 4])]
        """
        count, step = at_least(1, size, "the window size"), at_least(1, stride, "stride")
        return self._over(Window(self.node, count, step, dtype_of(default_dtype), bool(drop_remainder)))

    @verb
    def unbatch(self) -> Dataset[Any]:
        """Split each sample along the first dimension of its arrays, or into the rows of a `Ragged`.

        It is the inverse of `batch` and `ragged_batch`: arrays come as they went in, as views of the batch; Python's
        own numbers and text as numpy's scalars. Rows of `padded_batch` and `bucket_batch` keep their padding.

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
