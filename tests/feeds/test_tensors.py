"""Samples as tensors: the same values and dtypes, in the same memory."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from flazy import Dataset, Processes, Ragged
from flazy.errors import InvalidType

torch = pytest.importorskip("torch")

from flazy.feeds.tensors import to_tensors  # noqa: E402 - behind the look whether PyTorch is there
from flazy.run import runtime  # noqa: E402

NUMBERS = "?bBhHiIlLqQefdFD"
Pair = namedtuple("Pair", "first second")  # noqa: PYI024 - users have them


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(), (0, 2), (3,), (2, 3)])
def test_array_is_a_tensor_over_its_memory(shape):
    for code in NUMBERS:
        is_shared(code, shape)


def is_shared(code, shape):
    array = np.arange(np.prod(shape, dtype=int)).astype(code).reshape(shape)
    tensor = to_tensors(array)

    assert np.array_equal(array, tensor.numpy())
    assert (array.dtype, array.shape) == (tensor.numpy().dtype, tuple(tensor.shape))
    assert address(array) == tensor.data_ptr() or not array.size


@pytest.mark.parametrize(
    "name", ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
)
def test_small_floats_are_the_same_numbers_in_the_same_memory(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for shape in [(), (4,), (2, 2)]:
        array = np.resize(np.array([0.5, 1, 2, 4], np.float32), shape).astype(getattr(ml_dtypes, name))
        tensor = to_tensors(array)

        assert tensor.dtype == getattr(torch, name)
        assert np.array_equal(array.astype(np.float32), tensor.to(torch.float32).numpy())
        assert address(array) == tensor.data_ptr()


def test_numpy_scalar_is_a_tensor_without_dimensions():
    for scalar in (np.float32(1.5), np.int64(3), np.bool_(True), np.uint16(7), np.complex64(1j)):
        tensor = to_tensors(scalar)

        assert scalar == tensor.numpy()
        assert (scalar.dtype, ()) == (tensor.numpy().dtype, tuple(tensor.shape))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12)[::-1],
        np.arange(12).reshape(3, 4)[:, ::-1],
        np.arange(12).astype(">f4"),
        np.zeros(3, [("a", "i1"), ("b", "f4")])["b"],
        np.broadcast_to(np.arange(3), (2, 3)),
    ],
)
def test_what_pytorch_cannot_share_is_copied_without_a_word(array):
    tensor = to_tensors(array)

    assert np.array_equal(array, tensor.numpy())
    assert address(array) != tensor.data_ptr()


def test_rows_and_strides_are_shared():
    array = np.arange(24).reshape(4, 6)

    for part in (array[1], array[::2], array[:, 1::2], array.T):
        tensor = to_tensors(part)
        assert (address(part), part.tolist()) == (tensor.data_ptr(), tensor.tolist())


def test_arrays_of_text_and_objects_are_lists():
    objects = np.empty(2, object)
    objects[:] = [None, np.arange(2)]
    sample = {"text": np.array(["a", "bc"]), "bytes": np.array([b"a"]), "objects": objects, "one": np.str_("x")}
    made = to_tensors(sample)

    assert (["a", "bc"], [b"a"], "x") == (made["text"], made["bytes"], made["one"])
    assert made["objects"][0] is None
    assert torch.equal(torch.arange(2), made["objects"][1])


def test_python_values_and_structures_stay():
    thing = object()
    parts = [1, (2, Pair(3, "4"))]
    sample = OrderedDict(number=1, real=0.5, text="t", raw=b"r", nothing=None, thing=thing, parts=parts)
    made = to_tensors(sample)

    assert dict(sample) == made
    assert OrderedDict is type(made)
    assert Pair is type(made["parts"][1][1])


def test_tensor_stays_itself():
    tensor = torch.arange(3)

    assert to_tensors({"a": tensor})["a"] is tensor


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array(["2020-01-01"], "M8[D]"), "array of dtype datetime64"),
        (np.zeros(2, np.longdouble), "array of dtype float128"),
        (np.zeros(2, [("a", "i4")]), "array of dtype"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), "masked array of dtype float64"),
    ],
)
def test_what_has_no_tensor_is_an_error_that_names_the_key(array, said):
    for sample, key in [({"x": array}, "key 'x': "), (({"x": array},), r"key \[0\]\['x'\]: "), (array, "^PyTorch")]:
        with pytest.raises(InvalidType, match=f"{key}.*{said}"):
            to_tensors(sample)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_rows_of_different_lengths_are_a_nested_tensor_over_them(dtype):
    ragged = Ragged(np.arange(6, dtype=dtype), np.array([0, 2, 2, 6]))
    made = to_tensors({"words": ragged})["words"]

    assert torch.jagged == made.layout
    assert [row.tolist() for row in ragged] == [row.tolist() for row in made.unbind()]
    assert (address(ragged.values), address(ragged.offsets)) == (made.values().data_ptr(), made.offsets().data_ptr())


def in_arena(tensor):
    return runtime.arena().locate(tensor.data_ptr()) is not None


def rows(count):
    def row(number):  # not a function of this module, or workers would load PyTorch with it
        return {"x": np.full((64, 64), number, np.float32), "y": number}

    return Dataset(range(count)).map(row, workers=Processes(2, window=16)).batch(8)


@pytest.mark.slow
def test_batches_of_workers_come_without_a_copy_and_stay_while_they_are_kept():
    kept = []
    for number, batch in enumerate(rows(800).torch()):
        if number % 10 == 5:
            kept.append(batch["x"][1:] if number % 20 == 5 else batch["x"])
        batch["y"].zero_()
    found = sorted({*kept[0].unique().tolist()})

    assert all(map(in_arena, kept))
    assert found == [41, 42, 43, 44, 45, 46, 47]
    assert [float(80 * number + 47) for number in range(10)] == [tensor[-1, 0, 0].item() for tensor in kept]
    assert all((tensor == tensor[:, :1, :1]).all() for tensor in kept)


@pytest.mark.slow
def test_tensor_can_be_written_into():
    for batch in rows(80).torch():
        before = batch["x"].clone()
        batch["x"].add_(1)
        assert torch.equal(before + 1, batch["x"])


def as_lists(sample):
    return {key: part.tolist() for key, part in sample.items()}


def test_samples_are_those_of_the_dataset():
    dataset = Dataset(x=np.arange(12.0, dtype=np.float32).reshape(6, 2), y=np.arange(6), z=list("abcdef")).batch(4)
    batches, expected = list(dataset.torch()), dataset.list()

    assert [as_lists(batch) for batch in expected] == [
        {**batch, "x": batch["x"].tolist(), "y": batch["y"].tolist()} for batch in batches
    ]
    assert [(torch.float32, torch.int64)] == [(batch["x"].dtype, batch["y"].dtype) for batch in batches]
