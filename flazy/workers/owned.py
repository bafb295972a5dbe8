"""Whether a value is nobody else's, so that it needs no copy before its function runs again.

A function may return the same array each time, and go on to write into it; so what it returns is copied, unless no
reference to it is left but our own.  (numpy, too, decides by reference counts where it may reuse a temporary.)  For
small arrays in dicts the copy costs more than everything else that a worker does with a sample.
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any

import numpy as np

from flazy.sample import ATOMS
from flazy.transport.payload import LARGE

__all__ = ["is_owned"]


def is_owned(value: Any) -> bool:
    """Say whether a value that a function has just returned can be kept as it is.

    Only for small arrays, and dicts of those: large ones are copied to where they are read, and at once, while they are
    in the processor's cache.  To be called with the only variable that holds it.
    """
    if getrefcount(value) != VALUE:
        return False
    kind = type(value)
    if kind is np.ndarray:
        return value.base is None and value.nbytes < LARGE
    if kind is dict:
        for part in value.values():
            if type(part) not in ATOMS and not (
                type(part) is np.ndarray and getrefcount(part) == PART and part.base is None and part.nbytes < LARGE
            ):
                return False
        return True
    return False


def _counts(value: Any) -> tuple[int, int]:
    whole = getrefcount(value)
    for part in value.values():
        return whole, getrefcount(part)
    raise AssertionError


def _calibrated() -> tuple[int, int]:
    """Count the references to what is ours alone; where an interpreter counts them in more than one way, none match."""
    found = set()
    for number in range(1000):  # enough for the interpreter to have specialised what it runs
        v = {"part": np.zeros(number)}
        found.add(_counts(v))
    return found.pop() if len(found) == 1 else (-1, -1)


VALUE, PART = _calibrated()
