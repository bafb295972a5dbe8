"""What a function may return, and be given: it comes as it is, or is refused by its path and type."""

import collections
import sys
import threading

import numpy as np
import pytest

from flazy import Dataset, Threads
from flazy.errors import UnserializableSample
from flazy.sample import fresh
from tests.transport.same import same
from tests.transport.values import cyclic, nested

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]

Pair = collections.namedtuple("Pair", "left right")  # noqa: PYI024 - the untyped kind is what users have


def generator():
    yield 1


def alike(one, other):
    """As `same`, for what is deeper than it can go."""
    was = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        return same(one, other)
    finally:
        sys.setrecursionlimit(was)


def mixed():
    """Deeper than Python's stack, of every kind of container, and with arrays in it."""
    value = np.arange(3)
    for _ in range(100):
        value = {"a": [(value, np.arange(2)), Pair(1, bytearray(b"x"))]}
    return value


SUPPORTED = {
    "2**70": lambda: [2**70, -(2**70)],
    "depth 500": lambda: nested(500),
    "depth 900": lambda: nested(900),
    "deep tuples": lambda: nested(900, lambda item: (item, 1)),
    "mixed and deep": mixed,
    "object array": lambda: {"a": np.array([1, "a", None, [1]], object)},
    "masked array": lambda: {"a": np.ma.masked_array([1, 2, 3], [True, False, True])},
}

REFUSED = {
    "lock": (lambda: {"meta": [0, 1, 2, threading.Lock()]}, 'sample["meta"][3]', "_thread.lock"),
    "generator": (lambda: {"meta": [0, 1, 2, generator()]}, 'sample["meta"][3]', "generator"),
    "lock in an array": (lambda: {"a": (np.array([threading.Lock()]),)}, 'sample["a"][0]', "numpy.ndarray"),
    "depth 2000": (lambda: nested(2000), "sample", "list"),
    "lock in a cycle": (lambda: [cyclic(), threading.Lock()], "sample[1]", "_thread.lock"),
}


def test_what_can_travel_is_returned_as_it_is():
    got = Dataset(list(SUPPORTED)).map(lambda name: SUPPORTED[name](), workers=1)

    assert dict.fromkeys(SUPPORTED, True) == {
        name: alike(make(), value) for (name, make), value in zip(SUPPORTED.items(), got, strict=True)
    }


def test_what_can_travel_is_given_as_it_is():
    given = Dataset(lambda: ((name, make()) for name, make in SUPPORTED.items()))

    assert dict.fromkeys(SUPPORTED, True) == dict(
        given.map(lambda pair: (pair[0], alike(SUPPORTED[pair[0]](), pair[1])), workers=1)
    )


def test_a_text_of_100_mb_is_returned():
    def text(x):
        return "x" * 50_000_000 + "ä" * 25_000_000

    assert [True] == [text(0) == got for got in Dataset([0]).map(text, workers=1)]


def test_what_cannot_travel_is_refused_by_path_and_type():
    for make, path, kind in REFUSED.values():
        with pytest.raises(UnserializableSample) as caught:
            Dataset(range(5)).map(lambda x, make=make: make() if x == 3 else x, workers=1).list()
        said = str(caught.value)

        assert f"{path} is of type {kind}" in said
        assert "map(<lambda>) returned" in said
        assert (3,) == caught.value.address


@pytest.mark.parametrize("where", [1, Threads(1)], ids=["processes", "threads"])
def test_what_holds_itself_comes_so(where):
    for got in Dataset([0, 1]).map(lambda _: {"a": (cyclic(),)}, workers=where):
        (items,) = got["a"]

        assert items[0] == 1
        assert items[1] is items


@pytest.mark.parametrize("where", [1, Threads(1)], ids=["processes", "threads"])
def test_what_is_deep_is_copied_before_its_function_writes_there_again(where):
    """As is everything else that a function returns."""
    made = {}  # not made here: what is that deep cannot be captured

    def count(x):
        made.setdefault("array", np.zeros(2))[:] = x
        return made.setdefault("deep", nested(700, core=made["array"]))

    for number, got in enumerate(Dataset(range(6)).map(count, workers=where)):
        core = got
        while isinstance(core, list):
            (core,) = core

        assert [number, number] == core.tolist()


def test_a_deep_copy_keeps_what_is_shared():
    shared = [1]
    value = nested(2000, core=[shared, shared, (shared, {"a": shared})])
    copied = fresh(value)
    for _ in range(2000):
        value, copied = value[0], copied[0]
        assert value is not copied
    one, other, (third, fourth) = copied

    assert [1] == one
    assert shared is not one
    assert one is other is third is fourth["a"]


def test_tensors_are_returned_as_tensors():
    torch = pytest.importorskip("torch")

    def make(x):
        return {"t": torch.arange(10) + x, "big": torch.full((300, 300), x), "half": torch.ones(2).half()}

    for number, got in enumerate(Dataset(range(4)).map(make, workers=1)):
        expected = make(number)

        assert all(torch.equal(expected[name], got[name]) for name in expected)
        assert [expected[name].dtype for name in expected] == [got[name].dtype for name in got]
