"""Whether what a worker has imported is still what lies on disk.

A warm worker must not run yesterday's code.  Modules of the standard library and of site-packages count as fixed; all
others are compared by path, size and time of change.
"""

from __future__ import annotations

import os
import pathlib
import site
import sys

__all__ = ["Imported"]

Stamp = tuple[str, int, int]

# Found out when this is loaded: once, in the zygote, rather than in each worker.  Not by sysconfig, which takes long to
# load.
STDLIB = str(pathlib.Path(os.__file__).parent)
FIXED = tuple({path + os.sep for path in [STDLIB, *site.getsitepackages(), site.getusersitepackages()]})


class Imported:
    """The modules that were imported since it was made, as they were when they were noted."""

    def __init__(self) -> None:
        self._before = set(sys.modules)
        self._stamps: dict[str, Stamp | None] = {}

    def note(self) -> None:
        """Note what has been imported by now and is not fixed."""
        for name, module in list(sys.modules.items()):
            if name in self._before or name in self._stamps:
                continue
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and not file.startswith(FIXED):
                self._stamps[name] = _stamp(file)

    def is_fresh(self) -> bool:
        """Say whether nothing of it has changed since."""
        return all(stamp is None or _stamp(stamp[0]) == stamp for stamp in self._stamps.values())


def _stamp(file: str) -> Stamp | None:
    try:
        found = pathlib.Path(file).stat()
    except OSError:  # gone; what was imported from it is as good as ever, until it is back
        return None
    return file, found.st_mtime_ns, found.st_size
