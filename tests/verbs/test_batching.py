"""Several samples as one: held against loops in plain Python."""

import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy import Dataset, SampleError
from flazy.errors import BatchError
from tests.parallel.functions import OddError
from tests.transport.same import same

few = settings(max_examples=25)
SIZES = st.integers(1, 5)


def groups(samples, size, *, drop=True):
    """Give groups of samples as lists."""
    whole = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [group for group in whole if len(group) == size or not drop]


# batch(fn=) -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:batch")
@few
@given(items=st.lists(st.integers(), max_size=12), size=SIZES, drop=st.booleans())
def test_own_function_gets_the_samples_and_makes_the_batch(items, size, drop):
    batches = Dataset(items).batch(size, drop_remainder=drop, fn=lambda samples: ("mine", samples))

    assert [("mine", group) for group in groups(items, size, drop=drop)] == batches.list()
    assert len(batches) == len(batches.list())


def collate_oddly(samples):
    if 5 in samples:
        raise OddError(samples[0])
    return sum(samples)


def test_error_of_an_own_function_has_the_batch_and_the_line():
    seen = []
    with pytest.raises(SampleError, match=r"^batch\(2, fn=collate_oddly\) failed on batch 2: OddError: .*4") as caught:
        for batch in Dataset(range(8)).batch(2, fn=collate_oddly):
            seen.append(batch)  # noqa: PERF402 - what came before the error counts

    error = caught.value
    assert [1, 5] == seen
    assert isinstance(error, OddError)
    assert ("batch(2, fn=collate_oddly)", (2,), 0, 4) == (error.stage, error.address, error.cycle, error.code)
    assert "raise OddError" in error.traceback
    assert "raise OddError" in "".join(traceback.format_exception(error.__cause__))


def test_batch_error_of_an_own_function_is_told_once():
    def picky(samples):
        raise BatchError("no")

    with pytest.raises(SampleError, match=r"^batch\(1, fn=.*picky\) failed on batch 0: BatchError: no$"):
        Dataset([1]).batch(1, fn=picky).list()


def test_interrupt_in_an_own_function_passes():
    def interrupted(samples):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        Dataset([1]).batch(1, fn=interrupted).list()
    assert type(caught.value) is KeyboardInterrupt


# All of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "called"),
    [
        (lambda ds: ds.batch(4, fn=list), r"batch\(4, fn=list\)"),
    ],
)
def test_pass_of_which_everything_was_dropped_warns(made, called):
    with pytest.warns(UserWarning, match=rf"^{called} dropped all 3 samples of the pass.*drop_remainder=False"):
        assert [] == made(Dataset(range(3))).list()
    assert [] == made(Dataset([])).list()


def of_length(number):
    return {"x": np.full(number % 5, number, np.int64), "y": float(number)}


VERBS = {
    "batch": lambda ds: ds.batch(3, fn=list, drop_remainder=False),
}


@pytest.mark.slow
def test_workers_change_nothing():
    for name, made in VERBS.items():
        dataset = made(Dataset(range(40)).map(of_length, workers=2))

        parallel, serial = dataset.list(), dataset.serial().list()

        assert len(serial) > 5, name
        assert same(serial, parallel), name
