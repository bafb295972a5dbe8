"""The numbers of ml_dtypes, which numpy takes for raw bytes, go wherever numpy's own go, with and without workers."""

import re

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import WriteError
from tests.transport.same import same

ml_dtypes = pytest.importorskip("ml_dtypes")

NAMES = [
    name
    for name, kind in vars(ml_dtypes).items()
    if isinstance(kind, type) and issubclass(kind, np.generic) and "complex" not in name
]
MANY = 20_000  # of so many items an array is written into its row of the batch, or lies in shared memory
BITS = [0, 1, 0, 1]  # what a number of one bit can be; a sign is lost by uint1 and has no matter here


def arrays(length):
    return {name: np.resize(BITS, length).astype(name) for name in NAMES}


def with_number(sample):
    return {**sample, "n": sample["bfloat16"][0]}


def unchanged(sample):
    return sample


@pytest.mark.slow
@pytest.mark.parametrize("length", [4, MANY], ids=["small", "large"])
def test_all_dtypes_come_through_workers_and_batches(length):
    samples = Dataset([arrays(length) for _ in range(6)])
    parallel = samples.map(unchanged, workers=1)

    assert same(samples.list(), parallel.list())
    assert same(samples.batch(3).list(), parallel.batch(3).list())
    assert same(samples.batch(3).unbatch().list(), parallel.batch(3).unbatch().list())
    assert same(samples.map(with_number).batch(3).list(), samples.map(with_number, workers=1).batch(3).list())


@pytest.mark.slow
def test_rows_of_an_array_go_to_workers():
    for name in "bfloat16", "float8_e5m2", "int4":
        numbers = Dataset(np.resize(BITS, 300).astype(name))
        rows = Dataset(np.resize(BITS, (300, 2)).astype(name))

        assert same(numbers.list(), numbers.map(unchanged, workers=1).list())
        assert same(rows.list(), rows.map(unchanged, workers=1).list())


@pytest.mark.slow
def test_large_batches_are_views_of_shared_memory():
    # What samples look like is learnt from the first.
    *_, last = Dataset(range(24)).map(lambda i: np.full(MANY, i, ml_dtypes.bfloat16), workers=1).batch(2)

    assert same(np.repeat([[22], [23]], MANY, axis=1).astype(ml_dtypes.bfloat16), last)
    assert not last.flags.owndata


@pytest.mark.parametrize("name", NAMES)
def test_shape_types_cache_and_collect_keep_them(name):
    dataset = Dataset([{"x": np.resize(BITS, 4).astype(name)}] * 2).cache()
    dtype = np.dtype(name)

    assert {"x": (4,)} == dataset.shape()
    assert {"x": dtype} == dataset.types()
    assert same(np.resize(BITS, (2, 4)).astype(name), dataset.collect()["x"])
    assert same(dataset.list(), dataset.list())


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_padded_ragged_packed_and_windowed_they_stay_what_they_are(name):
    one, two = np.ones(1, name), np.ones(2, name)
    rows = Dataset([one, two])

    assert same(np.array([[1, 0], [1, 1]]).astype(name), rows.padded_batch(2).first())
    assert same(np.ones(3, name), rows.ragged_batch(2).first().values)
    assert same(np.ones(3, name), rows.map(lambda row: {"x": row}).pack(3).first()["x"])
    assert same(two, Dataset(two).window(2, 2).first())


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_python_numbers_become_them_in_a_batch(name):
    (batch,) = Dataset(f=[0.1, -2.5, float("inf") if name != "float8_e4m3fn" else 1.0], i=[1, 2, 3]).batch(3, name)

    assert same(np.array([0.1, -2.5, batch["f"][2]]).astype(name), batch["f"])
    assert same(np.array([1, 2, 3]).astype(name), batch["i"])


@pytest.mark.parametrize(
    ("number", "name"), [(257, "bfloat16"), (1e39, "bfloat16"), (1e4, "float8_e4m3fn"), (9, "int4")]
)
def test_python_numbers_that_do_not_fit_are_refused(number, name):
    with pytest.raises(ValueError, match=re.escape(f"{number!r} does not fit into default_dtype={name}")):
        Dataset([number]).batch(1, name).list()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "int4"])
def test_tfrecord_refuses_them_and_says_what_to_do(name, tmp_path):
    for value in np.ones(2, name), np.ones(2, name)[0]:
        with pytest.raises(WriteError, match=rf"key 'x'.*{name}.*cast"):
            Dataset([{"x": value}]).write.tfrecord(tmp_path / "x.tfrecord")
