"""TFRecord files of ``tf.train.Example``, in one or several shards.

Not here: the bytes of an Example (``example.py``) and how files appear under their names (``shards.py``).  The
rule of this file: the framing is the reader's, from ``flazy.readers.tfrecord``.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from flazy.errors import WriteError
from flazy.readers.compression import WINDOW_BITS, choose_compression
from flazy.readers.tfrecord import FOOTER, HEADER, masked_crc
from flazy.writers.example import UnfitValue, encode
from flazy.writers.shards import open_shards, shard_paths

__all__ = ["write_tfrecord"]


def write_tfrecord(
    samples: Iterable[Mapping[str, object]],
    path: str | os.PathLike[str],
    *,
    shards: int = 1,
    compression: str | None = None,
) -> list[str]:
    """Write dict samples as records of ``tf.train.Example``.

    Parameters
    ----------
    samples : iterable of mapping
        Keys are str.  Values are numbers, str, bytes, arrays, or lists and tuples of those.  The format knows flat
        lists of int64, float32 and bytes alone: **shapes are lost** (arrays are flattened in C order) and **float64
        loses precision** (it is stored as float32); bool and all integers become int64, str becomes UTF-8.
    path : path
        The file; with several shards ``name.tfrecord`` stands for ``name-00000-of-00008.tfrecord`` and so on.
        Folders that lack on the way to it are made.
    shards : int
        Sample i goes to shard ``i % shards``.
    compression : {"gzip", "zlib", None}
        In any case of letters.  The same samples give the same bytes: gzip's header has no time and no name.

    Returns
    -------
    list of str
        The paths of the files, in the order of the shards.

    Raises
    ------
    InvalidArgument
        An unknown compression, fewer than one shard, or a path that is a folder.
    WriteError
        A sample that the format cannot hold; the message names its number, key and type.  After this as after any
        error of `samples`, files that were there are untouched and no others are left.

    Examples
    --------
    >>> import tempfile
    >>> path = f"{tempfile.mkdtemp()}/notes.tfrecord"
    >>> files = write_tfrecord([{"pitch": 60, "audio": [0.5, -0.5]}], path)
    >>> files == [path]
    True
    """
    compression = choose_compression(compression)
    with open_shards(path, shards) as files:
        sinks = [_Sink(file, compression) for file in files]
        for number, (sample, sink) in enumerate(zip(samples, itertools.cycle(sinks), strict=False)):
            sink.put(_encoded(sample, number))
        for sink in sinks:
            sink.end()
    return shard_paths(path, shards)


def _encoded(sample: object, number: int) -> bytes:
    if not isinstance(sample, Mapping):
        raise WriteError(f"sample {number} is a {type(sample).__name__}; an Example is made from a dict")
    try:
        return encode(sample)
    except UnfitValue as error:
        raise WriteError(f"sample {number}, {error}") from None


class _Sink:
    """Records into one open file, compressed or not."""

    def __init__(self, file: BinaryIO, compression: str | None) -> None:
        self._file = file
        self._deflater = None if compression is None else zlib.compressobj(wbits=WINDOW_BITS[compression])
        self._write: Callable[[bytes], object] = file.write if self._deflater is None else self._deflate

    def put(self, record: bytes) -> None:
        length = len(record).to_bytes(8, "little")
        self._write(HEADER.pack(len(record), masked_crc(length)))
        self._write(record)
        self._write(FOOTER.pack(masked_crc(record)))

    def end(self) -> None:
        if self._deflater is not None:
            self._file.write(self._deflater.flush())

    def _deflate(self, data: bytes) -> None:
        if self._deflater is not None:
            self._file.write(self._deflater.compress(data))
