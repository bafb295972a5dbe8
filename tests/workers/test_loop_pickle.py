"""A worker that has runs whose results must not be pickled: what needs it is refused, exceptions come as text."""

import datetime as dt

import numpy as np
import pytest

from flazy.collate import Batching
from flazy.plan.kernel import Op
from flazy.plan.policy import Policy
from flazy.transport.codec import decode
from flazy.transport.wire import Open
from flazy.workers.loop import UNSERIALIZABLE
from tests.workers.fakes import RUN, op, opened, serve_all, task
from tests.workers.test_loop import Stubborn


class Word(str):
    """Text of a class of its own."""

    __slots__ = ()


class Wordy(Exception):
    def __str__(self):
        return Word("so it is")


def serve_plainly(ops, *script, **options):
    """Run a worker whose results must not be pickled; give them, and what a strict reader makes of them."""
    link = serve_all(Open(RUN, tuple(ops), {}, pickled=False, **options), *script)
    return link.results, [decode(result.payload.frames, pickle=False) for result in link.results]


@pytest.mark.parametrize("batching", [None, Batching(2, None)])
@pytest.mark.parametrize(
    "make", [int, float, str, lambda x: {"x": np.arange(x), "y": (x, [None, True])}, lambda x: np.full(9999, x)]
)
def test_what_needs_no_pickle_travels_without(make, batching):
    results, read = serve_plainly([op("map", make)], task(0, 1, 2, 3), batching=batching)

    assert [3] == [result.outputs for result in results]
    assert [None] == [head for head, *_ in read]


def test_what_needs_pickle_ends_its_task_with_the_path_and_what_to_do():
    day = dt.date(2024, 1, 1)
    (result,), _ = serve_plainly([op("map", lambda x: {"a": [x, day]} if x == 3 else x)], task(0, 1, 2, 3, 4))
    _origins, failure, values = opened(result)

    assert ([1, 2], 2, UNSERIALIZABLE) == (values, failure[1], failure[3])
    assert failure[4].startswith('sample["a"][1] is of type datetime.date, which cannot travel')
    assert "Remote(..., allow_pickle=True)" in failure[4]


def test_what_needs_pickle_is_left_out_where_the_stage_skips():
    skips = Op("map", "map(fn)", lambda x: dt.date(1, 1, x) if x == 2 else x, policy=Policy(None, "skip"))
    (result,), ((head, *_),) = serve_plainly([skips], task(0, 1, 2, 3))

    assert [1, 3] == opened(result)[2]
    assert "which cannot travel" in head[2][0][3]


@pytest.mark.parametrize("error", [ValueError("so it is"), Wordy(), Stubborn("so it is", 2), OSError(5, "so it is")])
@pytest.mark.parametrize("kind", ["map", "flatmap"])
def test_exception_travels_as_text(kind, error):
    def fail(x):
        raise error

    (result,), _ = serve_plainly([op(kind, fail)], task(0, 1))
    failure = opened(result)[1]

    assert (type(error).__qualname__, None) == (failure[3], failure[7])
    assert "so it is" in failure[4]
    assert "in fail" in failure[5]


def test_run_that_may_pickle_does_so_beside_one_that_may_not():
    day = dt.date(2024, 1, 1)
    ops = (op("map", lambda x: day),)
    link = serve_all(Open(1, ops, {}, pickled=False), Open(2, ops, {}), task(0, 0, run=1), task(0, 0, run=2))
    failures = [opened(result)[1] for result in link.results]

    assert (UNSERIALIZABLE, None) == (failures[0][3], failures[1])
    assert [day] == opened(link.results[1])[2]
