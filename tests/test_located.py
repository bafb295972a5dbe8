"""What is made of a cause and a place, without any stage."""

import pathlib
import pickle

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import PoisonSample
from flazy.located import LONGEST_BRIEF, Cause, Place, brief, cause_of, located


class Own(ValueError):
    pass


class OwnOSError(OSError):
    pass


class Unruly(str):
    """What must not be asked."""

    __slots__ = ()

    def __repr__(self):
        raise AssertionError

    __str__ = __format__ = __len__ = __getitem__ = __hash__ = __repr__


INPUTS = [
    ("a/b.jpg", "'a/b.jpg'"),
    (pathlib.Path("a/b.jpg"), "'a/b.jpg'"),
    (b"\0", r"b'\x00'"),
    (4711, "4711"),
    (None, "None"),
    (np.float32(1.5), "1.5"),
    (np.zeros((2, 3), np.uint8), "uint8 array of shape (2, 3)"),
    (("a", 1), "('a', 1)"),
    ((1,), "(1,)"),
    ([0] * 9, "[0, 0, 0, 0, 0, 0, 0, 0, …]"),
    ({"image": np.zeros(3), "id": 7}, "{'image': float64 array of shape (3,), 'id': 7}"),
    ({"x": {"y": {"z": 1}}}, "{'x': {'y': <dict>}}"),
    ((Unruly("a"), 10**5000), "(<Unruly>, <int>)"),
    (Unruly("a"), ""),
    (object(), ""),
]


@pytest.mark.parametrize(("value", "text"), INPUTS, ids=range(len(INPUTS)))
def test_input_is_spelled_in_a_line(value, text):
    assert text == brief(value)


LONG = ["x" * 10**6, ["x" * 50] * 10**6, dict.fromkeys(range(10**6)), {"x" * 1000: 1}]


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_input_is_cut_where_it_is_long(value):
    assert LONGEST_BRIEF >= len(brief(value))
    assert "…" in brief(value)


def test_error_tells_what_its_function_was_called_with():
    failing = Dataset(["1", "x", "2"]).map(str.upper).map(int)

    with pytest.raises(ValueError, match=r"^map\(int\) failed on sample 1: ValueError: .*'X' \(called with 'X'\)$"):
        failing.list()


def test_worker_and_its_traceback_are_in_the_text():
    place = Place("map(f)", (3, 1), 2, "process 47")
    error = located(Cause("KeyError", "'x'", "Traceback: line 7", "KeyError", None), place)

    assert (
        "map(f) failed on sample (3, 1) of cycle 2: KeyError: 'x'\n\nIn process 47:\nTraceback: line 7" == str(error)
    )
    assert isinstance(error, KeyError)
    assert "process 47" == error.worker
    assert error.__cause__ is None


def test_cause_names_the_nearest_builtin_class():
    assert "ValueError" == cause_of(Own()).builtin
    assert "OSError" == cause_of(OwnOSError()).builtin
    assert "SystemExit" == cause_of(SystemExit()).builtin


def test_class_of_a_located_error_is_made_once():
    one, other = (located(cause_of(KeyError(n)), Place("map(f)", (n,))) for n in range(2))

    assert type(one) is type(other)
    assert ("SampleError", "flazy.errors") == (type(one).__name__, type(one).__module__)


def test_class_of_a_located_error_travels_as_that_of_the_nearest_builtin():
    for error in (KeyError("x"), Own(), OwnOSError(2, "x")):
        kind = type(located(cause_of(error), Place("map(f)", (0,))))
        loaded = pickle.loads(pickle.dumps(kind))

        assert loaded is type(located(Cause("", "", "", cause_of(error).builtin, None), Place("map(f)", (0,))))
        assert "Caught" == str(loaded("Caught"))


def test_located_poison_stays_poison():
    inner = PoisonSample("killed")

    assert isinstance(located(cause_of(inner), Place("flatmap(f)", (0,))), PoisonSample)
