"""What cannot travel is refused, and named by where it is and what it is."""

from __future__ import annotations

import collections
import datetime as dt
import pickle
import reprlib
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from flazy.transport.codec import Unencodable, encode
from tests.transport.values import Point, cyclic, nested

lock = threading.Lock()


def generator():
    yield 1


class Sulking:
    def __reduce__(self):
        raise ZeroDivisionError("not today")


class Holder:
    def __init__(self, item):
        self.item = item


UNENCODABLE = {
    "alone": (lock, "sample", "_thread.lock"),
    "in a dict": ({"meta": [0, 1, 2, lock]}, 'sample["meta"][3]', "_thread.lock"),
    "in a tuple under a key of another kind": ({(1, 2): (1, lock)}, "sample[(1, 2)][1]", "_thread.lock"),
    "as a key": ({"a": 1, lock: 2}, f"sample key {reprlib.repr(lock)}", "_thread.lock"),
    "in a set": ([{lock}], "sample[0] member", "_thread.lock"),
    "in a subclass": (collections.OrderedDict(a=Point(1, generator())), 'sample["a"][1]', "generator"),
    "in an opaque object": ([Holder(lock)], "sample[0]", f"{__name__}.Holder"),
    "in an array": ({"a": np.array([lock])}, 'sample["a"]', "numpy.ndarray"),
    "a memoryview": ({"a": memoryview(b"x")}, 'sample["a"]', "memoryview"),
    "beside a bytearray": ([bytearray(b"x"), {"a": lock}], 'sample[1]["a"]', "_thread.lock"),
    "raising from reduce": ([Sulking()], "sample[0]", f"{__name__}.Sulking"),
    "deeper than anything": (nested(5000), "sample", "list"),
}


@pytest.mark.parametrize(("value", "path", "kind"), UNENCODABLE.values(), ids=UNENCODABLE.keys())
def test_what_cannot_travel_is_named_by_path_and_type(value, path, kind):
    with pytest.raises(Unencodable) as caught:
        encode(["fine", value, value])

    assert (path, kind, 1) == (caught.value.path, caught.value.kind, caught.value.index)
    assert path in str(caught.value)
    assert kind in str(caught.value)


def test_an_open_file_is_refused_rather_than_turned_into_its_contents():
    with Path(__file__).open(encoding="utf-8") as file, pytest.raises(Unencodable) as caught:
        encode([{"file": file}])

    assert caught.value.path == 'sample["file"]'


def test_what_cannot_travel_is_found_in_a_cycle():
    items = cyclic()
    items.append({"a": lock})
    with pytest.raises(Unencodable) as caught:
        encode([items])

    assert caught.value.path == 'sample[2]["a"]'


def test_what_would_have_to_be_pickled_is_named_where_pickle_is_not_allowed():
    with pytest.raises(Unencodable) as caught:
        encode([1, {"when": (dt.date(2024, 1, 1),)}], pickle=False)

    assert (caught.value.path, caught.value.kind) == ('sample["when"][0]', "datetime.date")
    assert caught.value.index == 1
    assert "not allowed for what comes from another machine; return arrays, numbers, text" in str(caught.value)
    assert "Remote(..., allow_pickle=True)" in str(caught.value)


def test_the_reason_of_a_refusal_is_given_and_its_cause_kept():
    with pytest.raises(Unencodable, match=r"cannot pickle '_thread\.lock' object") as caught:
        encode([lock])

    assert isinstance(caught.value.__cause__, TypeError)


def test_a_refusal_can_be_pickled():
    with pytest.raises(Unencodable) as caught:
        encode([lock])
    result = pickle.loads(cloudpickle.dumps(caught.value))

    assert str(caught.value) == str(result)
