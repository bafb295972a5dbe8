"""From what the user names (paths, globs, folders) to a list of files.

Not here: opening or reading them.  The rule of this file: whatever names no file raises, and says what lies
beside it.
"""

from __future__ import annotations

import difflib
import glob
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from flazy.errors import InvalidArgument, InvalidType, MissingFile

_COMPRESSED = ".gz"
# Names compared for a suggestion; difflib needs about 25 µs for each.
_MOST_NEIGHBOURS = 2000


def expand(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, suffixes: tuple[str, ...]
) -> list[str]:
    """List the files that paths, globs and folders name, at the time of the call.

    Parameters
    ----------
    paths : path or iterable of paths
        Each a file, a folder or a glob (``*``, ``?``, ``[...]``, and ``**`` for any depth).  A name that exists is
        taken as it is, even if it looks like a glob.  A leading ``~`` is the home folder.
    suffixes : tuple of str
        Which files of a folder are meant, e.g. ``(".tfrecord",)``; with ``.gz`` behind it they are meant too.
        Files named by path or glob may have any suffix.

    Returns
    -------
    list of str
        Order of the arguments; sorted within each.  A file that is named twice is there twice.  Folders are not
        searched in depth, and hidden files (unfinished shards are such) are left out.

    Raises
    ------
    MissingFile
        A path does not exist, or a glob or folder has no file to give.
    InvalidArgument
        No path at all.
    InvalidType
        Something that is no path.
    """
    several: Iterable[object] = [paths]
    if isinstance(paths, Iterable) and not isinstance(paths, (str, bytes, os.PathLike)):
        several = paths
    found = [_expand_one(path, suffixes) for path in several]
    if not found:
        raise InvalidArgument("no path was given; name at least one file, folder or glob")
    return list(itertools.chain.from_iterable(found))


def _expand_one(path: object, suffixes: tuple[str, ...]) -> list[str]:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidType(f"a path must be a str or a path object, not {path!r}")
    name = os.path.expanduser(os.fspath(path))
    if os.path.isdir(name):
        return _folder(name, suffixes)
    if os.path.exists(name):
        return [name]
    if glob.has_magic(name):
        files = sorted(file for file in glob.glob(name, recursive=True) if os.path.isfile(file))
        if not files:
            raise MissingFile(f"no file matches {name!r}{_nearest(name)}")
        return files
    raise MissingFile(f"there is no file or folder {name!r}{_nearest(name)}")


def _folder(folder: str, suffixes: tuple[str, ...]) -> list[str]:
    endings = suffixes + tuple(suffix + _COMPRESSED for suffix in suffixes)
    names = sorted(os.listdir(folder))
    files = [os.path.join(folder, name) for name in names if name.endswith(endings) and not name.startswith(".")]
    files = [file for file in files if os.path.isfile(file)]
    if not files:
        held = f"it holds {', '.join(map(repr, names[:3]))}{', …' * (len(names) > 3)}" if names else "it is empty"
        raise MissingFile(f"the folder {folder!r} has no file ending in {' or '.join(endings)}; {held}")
    return files


def _nearest(name: str) -> str:
    """Say which names like this one exist, at the first level of the path that does not."""
    missing = Path(name)
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    with os.scandir(missing.parent) as entries:
        names = [entry.name for entry in itertools.islice(entries, _MOST_NEIGHBOURS)]
    near = difflib.get_close_matches(missing.name, names, n=3)
    if near:
        return f"; did you mean {' or '.join(repr(str(missing.with_name(one))) for one in near)}?"
    return f"; {str(missing.parent)!r} exists and holds nothing of a similar name"
