"""Several samples as one: held against loops in plain Python."""

import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy import Dataset, Ragged, SampleError
from flazy.errors import BatchError
from tests.parallel.functions import OddError
from tests.transport.same import same

few = settings(max_examples=20)
SIZES = st.integers(1, 5)


def groups(samples, size, *, drop=True):
    """Give groups of samples as lists."""
    whole = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [group for group in whole if len(group) == size or not drop]


def filled(arrays, pad, *, length=None, multiple_of=1):
    """Pad arrays of one number of dimensions, number by number."""
    shape = [max(sizes) for sizes in zip(*[array.shape for array in arrays], strict=True)]
    shape[0] = -(-(shape[0] if length is None else length) // multiple_of) * multiple_of
    made = np.empty((len(arrays), *shape), arrays[0].dtype)
    for index in np.ndindex(made.shape):
        number, *place = index
        inside = all(at < size for at, size in zip(place, arrays[number].shape, strict=True))
        made[index] = arrays[number][tuple(place)] if inside else pad
    return made


@st.composite
def sequences(draw, dims=(1, 2), dtypes=("int16", "float32"), most=8, *, trailing=False):
    """Draw arrays of one dtype and number of dimensions, and of any sizes; ``trailing``: all but the first are 3."""
    dtype, ndim = draw(st.sampled_from(dtypes)), draw(st.sampled_from(dims))
    sizes = st.tuples(st.integers(0, 4), *[st.just(3) if trailing else st.integers(0, 3)] * (ndim - 1))
    shapes = draw(st.lists(sizes, max_size=most))
    return [np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape) for shape in shapes]


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


# padded_batch -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:padded_batch")
@few
@given(
    arrays=sequences(),
    size=SIZES,
    pad=st.sampled_from([0, -1, 7]),
    first=st.sampled_from([{}, {"length": 5}, {"length": 4, "multiple_of": 3}, {"multiple_of": 2}]),
    drop=st.booleans(),
)
def test_arrays_are_padded_to_the_longest(arrays, size, pad, first, drop):
    batches = Dataset(arrays).padded_batch(size, pad, **first, drop_remainder=drop)
    expected = [filled(group, pad, **first) for group in groups(arrays, size, drop=drop)]

    assert same(expected, batches.list())
    assert len(expected) == len(batches)


TEXTS = [
    {"tokens": np.array([1, 2, 3]), "more": (np.array([1, 2, 3]), np.array([[0.5], [1.5]])), "name": "a", "id": 7},
    {"tokens": np.array([4]), "more": (np.array([4]), np.array([[2.5, 3.5]])), "name": "bc", "id": 8},
]


def test_pad_length_and_multiple_may_differ_by_key():
    batch = (
        Dataset(TEXTS)
        .padded_batch(2, {"more": (-100, 0.5)}, length={"tokens": 5}, multiple_of={"more": (4, None)})
        .first()
    )

    expected = {
        "tokens": np.array([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]]),
        "more": (
            np.array([[1, 2, 3, -100], [4, -100, -100, -100]]),
            np.array([[[0.5, 0.5], [1.5, 0.5]], [[2.5, 3.5], [0.5, 0.5]]]),
        ),
        "name": np.array(["a", "bc"]),
        "id": np.float32([7, 8]),
    }
    assert same(expected, batch)


def test_lists_are_padded_as_arrays():
    lists = Dataset([[1, 2], [], [3]])

    assert same(np.float32([[1, 2], [0, 0], [3, 0]]), lists.padded_batch(3).first())
    assert same(np.array([[1, 2], [0, 0], [3, 0]]), lists.padded_batch(3, default_dtype=None).first())
    nested = Dataset([[], [[1, 2]]]).padded_batch(2, default_dtype=np.int8)
    assert same(np.int8([[[0, 0]], [[1, 2]]]), nested.first())
    words = Dataset([["to", "be"], ["or"]]).padded_batch(2, pad="")
    assert same(np.array([["to", "be"], ["or", ""]]), words.first())


def test_what_needs_no_padding_is_batched_as_ever():
    samples = [{"x": np.arange(3) + number, "y": number, "z": None} for number in range(4)]
    dataset = Dataset(samples)

    assert same(dataset.batch(2).list(), dataset.padded_batch(2, pad="fits nowhere").list())


def test_masked_arrays_are_padded_without_a_mask():
    batch = Dataset([np.ma.array([1, 2], mask=[True, False]), np.array([3])]).padded_batch(2, pad=9).first()

    assert [[None, 2], [3, 9]] == batch.tolist()


def padded_once(pad, dtype):
    return Dataset([{"x": np.zeros(2, dtype)}, {"x": np.zeros(1, dtype)}]).padded_batch(2, pad).first()["x"]


def test_pad_that_a_dtype_does_not_hold_is_refused():
    for pad, dtype in [
        (-1, np.uint8), (256, np.uint8), (0.5, np.int64), (float("nan"), np.int32), (2, np.bool_), (1e39, np.float32),
        (0, "U3"), ("long", "U3"), (np.int64(-1), np.uint16), (2**24 + 1, np.float32),
    ]:  # fmt: skip
        with pytest.raises(BatchError, match=r"^padded_batch\(2.*\), batch 0: key 'x': pad=.* does not fit into"):
            padded_once(pad, dtype)


def test_pad_that_a_dtype_holds_is_taken():
    for pad, dtype in [
        (0.1, np.float32), (float("nan"), np.float16), (True, np.bool_), (np.float32(-1), np.int8), (None, object),
        ("x", "U1"), (np.uint8(255), np.uint8), (-100, np.float64), (1j, complex), (False, object),
    ]:  # fmt: skip
        batch = padded_once(pad, dtype)

        assert np.dtype(dtype) == batch.dtype
        np.testing.assert_array_equal(np.array(pad, dtype), batch[1, 1])


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([[1, 2], [1, 2, 3]], {"length": 2}, "sample 1 of the batch is 3 long, over length=2; cut it in a map"),
        ([{"x": [1] * 3}, {"x": [1]}], {"length": {"x": 2}}, "key 'x': sample 0 of the batch is 3 long"),
        ([np.zeros(2), np.zeros((2, 1))], {}, "numbers of dimensions cannot be padded: 1 .* and 2 "),
        ([np.zeros(2), np.array(["a"])], {}, "different kinds do not stack: float64 .* and <U1"),
        ([{"x": [1]}, {"x": [1, 2]}], {"pad": {"y": 0}}, "pad= names 'y', which the samples have not; they have 'x'"),
        ([{"x": [1]}, {"x": [1, 2]}], {"pad": {"x": {"y": 0}}}, "key 'x': pad=.* is a structure, where the samples"),
        ([([1],), ([1, 2],)], {"length": (2, 3)}, "length= is a tuple of 2, the sample has 1 parts"),
        ([{"x": [1]}, {"y": [1]}], {}, "differ in the keys 'x', 'y'"),
    ],
)
def test_what_cannot_be_padded_is_named(samples, options, message):
    with pytest.raises(BatchError, match=rf"^padded_batch\(2.*\), batch 0: .*{message}"):
        Dataset(samples).padded_batch(2, **options).list()


# bucket_batch -----------------------------------------------------------------------------------------


def bucketed(arrays, boundaries, sizes, *, drop):
    """Put arrays into buckets; give each group as soon as it is full."""
    buckets, found = [[] for _ in sizes], []
    for array in arrays:
        number = sum(len(array) >= boundary for boundary in boundaries)
        buckets[number].append(array)
        if len(buckets[number]) == sizes[number]:
            found.append(buckets[number])
            buckets[number] = []
    return found if drop else found + [bucket for bucket in buckets if bucket]


@pytest.mark.filterwarnings("ignore:bucket_batch")
@few
@given(arrays=sequences(most=20), sizes=st.tuples(SIZES, SIZES, SIZES), drop=st.booleans())
def test_buckets_gather_what_is_of_like_length(arrays, sizes, drop):
    batches = Dataset(arrays).bucket_batch(len, [1, 3], sizes, -1, multiple_of=2, drop_remainder=drop)
    expected = [filled(group, -1, multiple_of=2) for group in bucketed(arrays, [1, 3], sizes, drop=drop)]

    assert same(expected, batches.list())


def test_one_size_is_for_all_buckets():
    batches = Dataset([[1], [2] * 9, [3], [4] * 8]).bucket_batch(len, (5,), 2, default_dtype=np.int8)

    assert [(2, 1), (2, 9)] == [batch.shape for batch in batches]


def test_error_of_a_length_function_has_the_sample():
    with pytest.raises(SampleError, match=r"^bucket_batch\(<lambda>\) failed on sample 3: KeyError: 'n'") as caught:
        Dataset([{}, {"n": 1}, {"n": 2}, {}]).skip(1).bucket_batch(lambda sample: sample["n"], [1], 9).list()

    assert isinstance(caught.value, KeyError)
    assert (3,) == caught.value.address


def test_interrupt_in_a_length_function_passes():
    def interrupted(sample):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        Dataset([1]).bucket_batch(interrupted, [1], 1).list()
    assert type(caught.value) is KeyboardInterrupt


def test_length_must_be_a_whole_number():
    with pytest.raises(TypeError, match=r"^bucket_batch\(<lambda>\) failed on sample 0: TypeError: .*float"):
        Dataset([1]).bucket_batch(lambda sample: 0.5, [1], 1).list()


# ragged_batch -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ragged_batch")
@few
@given(arrays=sequences(trailing=True), size=SIZES, drop=st.booleans())
def test_ragged_batches_hold_the_rows(arrays, size, drop):
    batches = Dataset(arrays).ragged_batch(size, drop_remainder=drop)
    expected = groups(arrays, size, drop=drop)

    assert same(expected, [[*batch] for batch in batches])
    assert len(expected) == len(batches)
    assert same([row for group in expected for row in group], batches.unbatch().list())


def test_what_has_no_length_is_no_ragged():
    samples = [{"a": [1] * number, "b": number, "c": np.array(number), "d": "x" * number} for number in range(2)]
    batch = Dataset(samples).ragged_batch(2, default_dtype=np.int32).first()

    assert same(Ragged(np.int32([1]), [0, 0, 1]), batch.pop("a"))
    assert same({"b": np.int32([0, 1]), "c": np.array([0, 1]), "d": np.array(["", "x"])}, batch)


def test_keys_say_what_is_ragged():
    samples = [{"tokens": [1], "image": np.zeros((2, 2)), "deep": ([1, 2],)}] * 2
    batch = Dataset(samples).ragged_batch(2, keys=["tokens", "deep"]).first()

    assert [Ragged, np.ndarray, Ragged] == [type(part) for part in (batch["tokens"], batch["image"], *batch["deep"])]
    assert Ragged is type(Dataset(samples).ragged_batch(2, keys="tokens").first()["tokens"])
    assert (np.float32, Ragged) == Dataset([[1]], [[1]]).ragged_batch(1, keys=[1]).types()


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([np.zeros((2, 3)), np.zeros((2, 4))], {}, r"in their first dimension only: \(2, 3\) .* and \(2, 4\)"),
        ([{"x": np.zeros(2)}, {"x": np.array(1)}], {}, r"key 'x': .*in their first dimension only: \(2,\) .* and \(\)"),
        ([np.zeros(2), np.array(["a"])], {}, "different kinds do not stack: float64 .* and <U1"),
        ([{"x": [1]}, {"x": [1]}], {"keys": ["y"]}, "keys= names 'y', which the samples have not; they have 'x'"),
        ([[1], [1]], {"keys": ["y"]}, r"keys=\['y'\], but the samples are arrays, without keys"),
    ],
)
def test_what_cannot_be_ragged_is_named(samples, options, message):
    with pytest.raises(BatchError, match=rf"^ragged_batch\(2.*\), batch 0: .*{message}"):
        Dataset(samples).ragged_batch(2, **options).list()


# All of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "called"),
    [
        (lambda ds: ds.batch(4, fn=list), r"batch\(4, fn=list\)"),
        (lambda ds: ds.padded_batch(4), r"padded_batch\(4\)"),
        (lambda ds: ds.ragged_batch(4), r"ragged_batch\(4\)"),
        (lambda ds: ds.window(4), r"window\(4\)"),
        (lambda ds: ds.bucket_batch(int, [2], 4), r"bucket_batch\(int, \[2\], 4\)"),
    ],
)
def test_pass_of_which_everything_was_dropped_warns(made, called):
    with pytest.warns(UserWarning, match=rf"^{called} dropped all 3 samples .*, which fill no .*drop_remainder=False"):
        assert [] == made(Dataset(range(3))).list()
    assert [] == made(Dataset([])).list()


@few
@given(arrays=sequences(dims=(1,)), size=SIZES)
def test_unbatch_gives_back_what_was_put_together(arrays, size):
    samples = [{"x": array, "y": (np.float32(len(array)), array)} for array in arrays]
    dataset = Dataset(samples)

    assert same(samples, dataset.ragged_batch(size, drop_remainder=False).unbatch().list())
    padded = dataset.padded_batch(size, pad=9, drop_remainder=False).unbatch()
    for sample, row in zip(samples, padded.list(), strict=True):
        count = len(sample["x"])
        assert same(sample, {"x": row["x"][:count], "y": (row["y"][0], row["y"][1][:count])})
        assert {9} >= {*row["x"][count:], *row["y"][1][count:]}


def of_length(number):
    return {"x": np.full(number % 5, number, np.int64), "y": float(number)}


def doubled(batch):
    return {"x": Ragged(batch["x"].values * 2, batch["x"].offsets), "y": batch["y"]}


def length_of(sample):
    return len(sample["x"])


VERBS = {
    "batch": lambda ds: ds.batch(3, fn=list, drop_remainder=False),
    "padded_batch": lambda ds: ds.padded_batch(3, pad=-1, drop_remainder=False),
    "bucket_batch": lambda ds: ds.bucket_batch(length_of, [2, 4], [4, 3, 2], drop_remainder=False),
    "ragged_batch": lambda ds: ds.ragged_batch(3, drop_remainder=False),
    "pack": lambda ds: ds.select("x").pack(7, pad=-1, open_rows=2),
    "pack and split": lambda ds: ds.select("x").pack(7, split=True),
    "window": lambda ds: ds.select("y").window(3, 2, drop_remainder=False),
    "there and back": lambda ds: ds.ragged_batch(8).map(doubled, workers=1),
    "behind another": lambda ds: ds.padded_batch(4, length=5).unbatch().ragged_batch(2),
}


@pytest.mark.slow
def test_workers_change_nothing():
    samples = Dataset(range(40)).map(of_length, workers=2)
    for name, made in VERBS.items():
        dataset = made(samples)

        parallel, serial = dataset.list(), dataset.serial().list()

        assert len(serial) >= 5, name
        assert same(serial, parallel), name
