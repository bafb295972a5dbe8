"""Consecutive samples as one: held against slices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy import Dataset
from tests.transport.same import same

SIZES = st.integers(1, 5)


@pytest.mark.filterwarnings("ignore:window")
@settings(max_examples=50)
@given(count=st.integers(0, 12), size=SIZES, stride=st.integers(1, 7), drop=st.booleans(), most=st.integers(0, 9))
def test_windows_are_slices(count, size, stride, drop, most):
    numbers = np.arange(count)
    windows = Dataset(numbers).window(size, stride, drop_remainder=drop)
    slices = [numbers[start : start + size] for start in range(0, count, stride)]
    expected = [window for window in slices if len(window) == size or not drop]

    assert same(expected, windows.list())
    assert same(expected[:most], windows.take(most).list())
    assert len(expected) == len(windows)


@pytest.mark.filterwarnings("ignore:window", "ignore:batch")
@settings(max_examples=20)
@given(count=st.integers(0, 9), size=SIZES, drop=st.booleans())
def test_batches_are_windows_with_their_size_as_stride(count, size, drop):
    dataset = Dataset(x=range(count), y=[str(number) for number in range(count)])

    assert same(
        dataset.batch(size, drop_remainder=drop).list(), dataset.window(size, size, drop_remainder=drop).list()
    )


def test_windows_share_no_memory():
    first, second = Dataset([np.zeros(1)] * 3).window(2)
    first += 1

    assert [[0], [0]] == second.tolist()
