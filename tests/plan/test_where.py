"""``workers=``: where a stage runs."""

import numpy as np
import pytest

from flazy import Dataset, Processes, Threads
from flazy.errors import InvalidArgument, InvalidType
from flazy.plan.where import where_of


@pytest.mark.parametrize(
    ("workers", "where"),
    [
        (None, None),
        (0, None),
        (3, Processes(3)),
        (np.int64(3), Processes(3)),
        (Processes(2, chunk=5), Processes(2, chunk=5)),
        (Threads(2), Threads(2)),
    ],
)
def test_workers_are_read(workers, where):
    assert where == where_of(workers)


@pytest.mark.parametrize("workers", [-1, np.int64(-3)])
def test_negative_number_is_refused(workers):
    with pytest.raises(InvalidArgument, match="is negative; 0 or None runs the stage in your own process"):
        where_of(workers)


@pytest.mark.parametrize("workers", ["many", "2", 1.0, [2], Processes, len])
def test_what_is_no_number_is_refused(workers):
    with pytest.raises(InvalidType, match=r"give a number of processes.*Processes\(n, …\) or Threads\(n\)"):
        where_of(workers)


@pytest.mark.parametrize("workers", [True, False])
def test_bool_is_no_number_of_workers(workers):
    with pytest.raises(InvalidType, match="workers=4"):
        where_of(workers)


@pytest.mark.parametrize("kind", [Processes, Threads])
@pytest.mark.parametrize("numbers", [{"n": 0}, {"n": -1}, {"n": 1, "window": 0}, {"n": 1, "chunk": -2}])
def test_numbers_below_one_are_refused(kind, numbers):
    with pytest.raises(InvalidArgument, match=f"of {kind.__name__} must be at least 1"):
        kind(**numbers)


@pytest.mark.parametrize("numbers", [{"n": None}, {"n": "2"}, {"n": 1.5}, {"n": 1, "window": "a"}])
def test_numbers_that_are_none_are_refused(numbers):
    with pytest.raises(InvalidType, match="must be an int"):
        Processes(**numbers)


def test_kinds_are_values():
    assert Processes(2) == Processes(2)
    assert Processes(2) != Threads(2)
    assert 1 == len({Processes(2, window=4), Processes(np.int64(2), 4)})


@pytest.mark.parametrize("verb", ["map", "filter", "flatmap", "starmap", "random_map", "foreach"])
@pytest.mark.parametrize("workers", [-1, "many"])
def test_every_record_verb_checks_at_once(verb, workers):
    with pytest.raises((InvalidArgument, InvalidType), match="workers="):
        getattr(Dataset([1]), verb)(print, workers=workers)


@pytest.mark.parametrize(
    "verb", ["transform", "batch", "unbatch", "enumerate", "take", "shuffle", "repeat", "cache", "sample", "progress"]
)
def test_stream_verbs_take_no_workers(verb):
    with pytest.raises(InvalidType, match=rf"{verb}\(\) has no keyword 'workers'"):
        getattr(Dataset([1]), verb)(workers=2)
