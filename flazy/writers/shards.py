"""Files that appear under their names complete, all at once at the end, or not at all.

Not here: formats.  The rule of this file: until everything is on disk nothing has a final name, and whatever
happens before leaves the folder as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from flazy.errors import InvalidArgument

__all__ = ["open_shards", "shard_paths"]

_COMPRESSED = ".gz"
# Of the final name, so that the temporary one stays below 255 bytes, which is what most file systems take.
_MOST_CHARACTERS = 50


def shard_paths(path: str | os.PathLike[str], shards: int) -> list[str]:
    """Name the files of a dataset that is written in shards.

    Parameters
    ----------
    path : path
        ``name.suffix``, or ``name.suffix.gz``; a leading ``~`` is the home folder.
    shards : int
        How many; for 1 the path is the name, otherwise the names are ``name-00000-of-00008.suffix``, as
        TensorFlow's datasets have them.

    Raises
    ------
    InvalidArgument
        Fewer than one, or not an integer.
    """
    if not isinstance(shards, int) or shards < 1:
        raise InvalidArgument(f"shards must be an integer of at least 1, not {shards!r}")
    name = os.path.expanduser(os.fspath(path))
    if shards == 1:
        return [name]
    whole = Path(name)
    plain = whole.with_suffix("") if whole.suffix == _COMPRESSED else whole
    stem, suffix = plain.stem, whole.name[len(plain.stem) :]
    return [str(whole.with_name(f"{stem}-{i:05}-of-{shards:05}{suffix}")) for i in range(shards)]


@contextmanager
def open_shards(path: str | os.PathLike[str], shards: int = 1) -> Iterator[Sequence[BinaryIO]]:
    """Open the files of `shard_paths` for writing, and give them these names if the block ends without an error.

    Parameters
    ----------
    path : path
        As in `shard_paths`; folders that lack on the way to it are made.
    shards : int
        How many files.

    Yields
    ------
    list of binary files
        Open for writing under temporary names (``file.name``), hidden and in the same folder.

    Raises
    ------
    InvalidArgument
        Of `shard_paths`, or a final name is that of a folder; nothing was created.

    Notes
    -----
    At the end of the block all files are flushed, synced to disk and closed, and only then renamed, each replacing
    what had its name.  On any error, `KeyboardInterrupt` included, they are removed and existing files are untouched.
    The renames themselves are not one step: a machine that stops between two of them leaves some new files and
    some old ones, each of them whole.  Shards of an earlier write with another number are not looked for.
    """
    finals = shard_paths(path, shards)
    for final in finals:
        if os.path.isdir(final):
            raise InvalidArgument(f"{final!r} is a folder; name a file in it")
    folder = Path(finals[0]).parent
    folder.mkdir(parents=True, exist_ok=True)
    temporaries: list[str] = []
    try:
        with ExitStack() as stack:
            files = []
            for final in finals:
                temporaries.append(_temporary(final))
                # "x" and not the tempfile module: the final file shall have the permissions of any new file.
                files.append(stack.enter_context(open(temporaries[-1], "xb")))
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for temporary, final in zip(temporaries, finals, strict=True):
            os.replace(temporary, final)
        _sync_folder(folder)
    finally:
        for temporary in temporaries:
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def _temporary(final: str) -> str:
    folder, name = os.path.split(final)
    return os.path.join(folder, f".{name[:_MOST_CHARACTERS]}.tmp-{secrets.token_hex(8)}")


def _sync_folder(folder: Path) -> None:
    """Put the renames on disk too, where the system can open folders (Windows cannot)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
