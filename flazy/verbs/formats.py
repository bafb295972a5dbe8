"""``Dataset.read`` and ``dataset.write``: one method a format.

Readers are functions from a path to an iterator; here they become plans: paths, then a flatmap that may run in
workers, whole files each.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from flazy.errors import InvalidArgument
from flazy.plan import nodes
from flazy.plan.nodes import Node
from flazy.plan.sources import source_of
from flazy.plan.where import Where, where_of
from flazy.verbs.base import close_matches, verb
from flazy.verbs.streams import needs_end

if TYPE_CHECKING:
    from flazy.datasets import Dataset

__all__ = ["Read", "Write"]

Path = str | os.PathLike[str]


class Read:
    """Readers, by format: ``Dataset.read.tfrecord(path)``."""

    def __init__(self, dataset: Any) -> None:
        self._of: Callable[[Node], Dataset[Any]] = dataset._of  # noqa: SLF001 - the class that these readers are part of

    @verb
    def tfrecord(
        self,
        *paths: Path,
        keys: Sequence[str] | None = None,
        compression: str | None = "infer",
        on_corrupt: str = "raise",
        workers: int | Where | None = None,
        ordered: bool = True,
    ) -> Dataset[Any]:
        """Read ``tf.train.Example`` records from TFRecord files, without TensorFlow.

        Parameters
        ----------
        *paths
            Files, globs, or folders (their ``.tfrecord`` files); each sorted, in the order given.
        keys
            The features to read; all by default. A record without one of them is an error.
        compression
            "gzip", "zlib", None, or "infer" (default) from the first bytes.
        on_corrupt
            "raise" (default), or "skip" to leave damaged records out, with a warning that counts them.
        workers, ordered
            As everywhere; workers read whole files.

        Returns
        -------
        Dataset
            Of dicts: floats as float32 arrays, integers as int64 arrays, bytes as object arrays of bytes, each of one
            dimension.

        Raises
        ------
        MissingFile
            At once, for a path, glob or folder that names no file.
        CorruptRecord, MissingKey
            While iterating, as the cause of a `SampleError`.
        """
        if not paths:
            raise InvalidArgument("read.tfrecord() needs a path, a glob or a folder")
        files, tfrecord = _reader("files"), _reader("tfrecord")
        found = [path for some in paths for path in files.expand(some, suffixes=(".tfrecord", ".tfrecords"))]
        read = functools.partial(
            tfrecord.read_tfrecord, keys=keys, compression=compression, on_corrupt=on_corrupt
        )
        read(found[0])  # the call checks the arguments and opens nothing
        return self._of(nodes.FlatMap(source_of(found), read, "read_tfrecord", where_of(workers), ordered))

    def __getattr__(self, name: str) -> NoReturn:
        """Say which formats there are."""
        raise AttributeError(_no_format("read", name, ["tfrecord"]))


class Write:
    """Writers, by format: ``dataset.write.tfrecord(path)``; they run the plan."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    @verb
    def tfrecord(self, path: Path, *, shards: int = 1, compression: str | None = None) -> list[str]:
        """Write dict samples as ``tf.train.Example`` records.

        Parameters
        ----------
        path
            The file; with several shards ``name.tfrecord`` stands for ``name-00000-of-00008.tfrecord`` and so on.
        shards
            Files to deal the samples to, in turn.
        compression
            "gzip", "zlib" or None.

        Returns
        -------
        list of str
            The files. They appear all at once, when everything is written; after an error nothing has changed.

        Raises
        ------
        WriteError
            For a sample that the format cannot hold.
        """
        needs_end(self._dataset.node, "write.tfrecord()", "take(n) first")
        written: list[str] = importlib.import_module("flazy.writers.tfrecord").write_tfrecord(
            self._dataset, path, shards=shards, compression=compression
        )
        return written

    def __getattr__(self, name: str) -> NoReturn:
        """Say which formats there are."""
        raise AttributeError(_no_format("write", name, ["tfrecord"]))


def _reader(module: str) -> Any:
    return importlib.import_module(f"flazy.readers.{module}")


def _no_format(what: str, name: str, known: Iterable[str]) -> str:
    near = close_matches(name, known)
    hint = f"did you mean {what}.{near[0]}?" if near else f"the formats are {', '.join(known)}"
    return f"there is no {what}.{name}; {hint}"
