"""Rows of a batch in a block: what may be written there, and what comes out."""

import ml_dtypes
import numpy as np
import pytest

from flazy.collate import collate
from flazy.transport.layout import LARGE_SAMPLE, Layout, spec_of
from tests.transport.same import same

MANY = LARGE_SAMPLE // 4

SAMPLES = [
    lambda i: np.full(MANY, i, np.float32),
    lambda i: {"x": np.full((3, MANY), i, np.uint16), "y": i, "name": f"n{i}", "none": None},
    lambda i: (np.full(MANY, i), {"z": np.full((1, 2), i, np.int16), "f": 0.1 * i}, np.float32(i)),
    lambda i: {"x": np.full(2 * MANY, i, "bfloat16"), "y": np.ones(3, "int4"), "z": ml_dtypes.bfloat16(i)},
    lambda i: {"t": np.arange(i, i + MANY * 3, dtype=np.float32).reshape(3, MANY).T},
]
NOT_WRITTEN = {
    "small": np.zeros(3),
    "no array": 7,
    "objects": np.zeros(MANY, object),
    "foreign byte order": np.zeros(MANY, ">f8"),
    "no dimension": (np.zeros(MANY), np.array(1.0)),
    "masked": np.ma.zeros(MANY),
    "structured": np.zeros(MANY, [("a", "f4")]),
    "list": {"x": np.zeros(MANY), "l": [1]},
    "subclass of dict": __import__("collections").OrderedDict(x=np.zeros(MANY)),
    "keys that are no text": {1: np.zeros(MANY)},
    "text arrays": np.zeros(MANY, "U4"),
}


@pytest.mark.parametrize("sample", NOT_WRITTEN.values(), ids=NOT_WRITTEN)
def test_what_is_not_written_in_rows(sample):
    assert spec_of(sample) is None


def filled(made, rows, size):
    layout = Layout(spec_of(made(0)), size)
    views = layout.views(np.zeros(layout.nbytes, np.uint8))
    beside = []
    for row in range(rows):
        arrays, other = layout.taken_apart(made(row))
        for view, array in zip(views, arrays, strict=True):
            view[row] = array
        beside.append(other)
    return layout, [view[:rows] for view in views], [list(column) for column in zip(*beside, strict=True)]


@pytest.mark.parametrize("made", SAMPLES)
@pytest.mark.parametrize("rows", [1, 3, 5])
@pytest.mark.parametrize("dtype", [None, np.float32])
def test_a_batch_of_rows_is_what_collate_makes(made, rows, dtype):
    layout, views, beside = filled(made, rows, 5)

    assert same(collate([made(i) for i in range(rows)], dtype), layout.batch(views, beside, dtype))


@pytest.mark.parametrize("made", SAMPLES)
def test_rows_come_back_as_samples(made):
    layout, views, beside = filled(made, 4, 5)

    assert same([made(i) for i in range(4)], layout.samples(views, beside))


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.zeros(MANY), "y": 1, "more": 2},
        {"y": 1, "x": np.zeros(MANY)},
        {"x": np.zeros(MANY, np.float32), "y": 1},
        {"x": np.zeros(MANY + 1), "y": 1},
        {"x": np.zeros(MANY), "y": [1]},
        {"x": np.zeros(MANY), "y": np.zeros(2)},
        {"x": None, "y": 1},
        (np.zeros(MANY), 1),
        np.zeros(MANY),
        None,
    ],
)
def test_what_does_not_look_like_the_spec_is_not_taken_apart(other):
    layout = Layout(spec_of({"x": np.zeros(MANY), "y": 1}), 2)

    assert layout.taken_apart(other) is None


def test_leaves_do_not_overlap_and_are_aligned():
    layout = Layout(spec_of((np.zeros(MANY + 1, np.uint8), np.zeros(MANY, np.uint64))), 3)
    views = layout.views(np.zeros(layout.nbytes, np.uint8))
    for number, view in enumerate(views, 1):
        view[:] = number

    assert [True, True] == [bool((view == number).all()) for number, view in enumerate(views, 1)]
    assert [0, 0] == [view.ctypes.data % view.itemsize for view in views]
