"""Sources that are read a chunk at a time give the same samples as one by one."""

import numpy as np
import pytest

from flazy import Dataset, Processes, Threads
from flazy.errors import LengthMismatch
from tests.transport.same import same

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]

RECORDS = np.zeros(50, [("a", "i4"), ("b", "U3")])
ROWS = np.arange(600.0).reshape(50, 3, 4)

SOURCES = {
    "range": range(1000, 0, -7),
    "a range too long to count": range(10, 2**80, 2**73),
    "list": [0, 1.5, "a", None, (1, 2), [3], {"a": 4}, b"x", range(3), np.arange(3)] * 20,
    "tuple": tuple(range(200)),
    "numbers": np.arange(200),
    "long longs": np.arange(200, dtype=np.longlong),
    "bools": np.arange(200) % 3 == 0,
    "numbers of the other order": np.arange(200, dtype=">f4"),
    "text": np.array(["a", "", "grüße"] * 50),
    "times": np.arange(200).astype("M8[ms]"),
    "records": RECORDS,
    "objects": np.array([None, "a", 3] * 50, object),
    "rows": ROWS,
    "rows in another order": np.asfortranarray(ROWS),
    "rows backwards": ROWS[::-2, :, ::-1],
    "rows of nothing": np.zeros((50, 0)),
    "rows of objects": np.array([[None, 1]] * 50, object),
    "large rows": np.ones((20, 40_000), np.float32),
    "masked": np.ma.masked_greater(np.arange(50), 9),
    "matrix": ROWS.reshape(50, 12).view(np.matrix),
    "no rows": np.zeros((0, 3)),
}

COLUMNS = {
    "lists and ranges": {"x": list(range(200)), "y": range(200)},
    "arrays": {"x": ROWS, "y": np.arange(50), "z": RECORDS},
    "what runs code": {"x": range(50), "y": lambda: iter(range(50))},
}

wheres = pytest.mark.parametrize("where", [Processes(2), Processes(1, chunk=7), Threads(2)], ids=repr)


def as_it_is(sample):
    return sample


def layout(sample):
    """Tell how arrays lie in memory; large ones come back from workers as they were returned."""
    return (sample.flags.c_contiguous, sample.flags.writeable) if isinstance(sample, np.ndarray) else None


@wheres
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_samples_of_a_source_are_the_same_in_workers(source, where):
    serial = Dataset(source)
    parallel = serial.map(as_it_is, workers=where)

    assert same(serial.list(), parallel.list())
    assert serial.map(layout).list() == serial.map(layout, workers=where).list()


@wheres
@pytest.mark.parametrize("columns", COLUMNS.values(), ids=COLUMNS.keys())
def test_samples_of_columns_are_the_same_in_workers(columns, where):
    by_name, by_place = Dataset(**columns), Dataset(*columns.values())

    assert same(by_name.list(), by_name.map(as_it_is, workers=where).list())
    assert same(by_place.list(), by_place.map(as_it_is, workers=where).list())


@wheres
def test_columns_that_are_unequal_only_later_fail_behind_their_samples(where):
    x, y = list(range(20)), list(range(20))
    dataset = Dataset(x, y).map(as_it_is, workers=where)
    y.pop()
    got = []
    with pytest.raises(LengthMismatch, match="equally long"):
        got.extend(dataset)

    assert [(number, number) for number in range(19)] == got


@wheres
def test_function_that_writes_into_its_sample_does_not_write_into_the_source(where):
    array = np.zeros((20, 3))
    for source in (array, list(array)):
        passed = Dataset(source).map(lambda row: np.add(row, 1, out=row), workers=where).list()

        assert 60 == sum(row.sum() for row in passed)
    assert not array.any()
