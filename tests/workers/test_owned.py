"""What needs no copy is nobody else's: a function that keeps what it returned, in whatever way, is never trusted."""

import numpy as np
import pytest

from flazy.workers.owned import is_owned

SHARED = np.zeros(3)
KEPT = []


def kept(value):
    KEPT[:] = [value]
    return value


class Holder:
    def __init__(self, array):
        self.array = array


OURS = [
    lambda i: np.full(3, i),
    lambda i: {"x": np.full(3, i), "y": i, "z": "text"},
    lambda i: {},
]
NOT_OURS = [
    lambda i: SHARED,
    lambda i: np.zeros(6)[::2],
    lambda i: {"x": SHARED},
    lambda i: {"x": SHARED[1:]},
    lambda i: kept({"x": np.zeros(3)}),
    lambda i: {"x": kept(np.zeros(3))},
    lambda i: {"x": kept(Holder(np.zeros(3))).array},
    lambda i: {"x": memoryview(kept(np.zeros(3))) and KEPT[0]},
    lambda i: {"x": [np.zeros(3)]},
    lambda i: {"x": {"y": SHARED}},
    lambda i: [np.zeros(3)],
    lambda i: np.zeros(10**5),
    lambda i: {"x": np.zeros(10**5)},
    lambda i: np.ma.zeros(3),
]


def found(function, count):
    seen = set()
    for v in range(count):
        v = function(v)  # noqa: PLW2901 - as the generated code of a kernel does
        seen.add(is_owned(v))
    return seen


@pytest.mark.parametrize("function", OURS)
def test_what_was_made_for_us_is_ours(function):
    assert {True} == found(function, 2000)


@pytest.mark.parametrize("function", NOT_OURS)
def test_what_somebody_else_can_reach_is_not(function):
    """Often enough for the interpreter to have specialised its code."""
    assert {False} == found(function, 2000)
