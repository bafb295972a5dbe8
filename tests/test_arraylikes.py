"""What is no array and knows how to be one is an array in a batch: tensors of PyTorch, images of Pillow, and others."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flazy import Dataset  # noqa: E402 - behind the look whether it is there
from flazy.collate import collate, shape_of  # noqa: E402
from flazy.errors import BatchError, InvalidType  # noqa: E402
from tests.test_specification import same  # noqa: E402


class Knows:
    """Something of somebody's."""

    def __init__(self, *values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype or np.int16)


class Interfaced:
    """As an image of Pillow."""

    def __init__(self, array):
        self.array = array

    @property
    def __array_interface__(self):
        return self.array.__array_interface__


@pytest.mark.parametrize(
    ("rows", "batch"),
    [
        ([Knows(1, 2), Knows(3, 4)], np.int16([[1, 2], [3, 4]])),
        ([Interfaced(np.uint8([[1]])), Interfaced(np.uint8([[2]]))], np.uint8([[[1]], [[2]]])),
        ([torch.tensor([1, 2]), torch.tensor([3, 4])], np.int64([[1, 2], [3, 4]])),
        ([torch.tensor(1), torch.tensor(2)], np.int64([1, 2])),
        ([torch.tensor([True]), torch.tensor([False])], np.array([[True], [False]])),
        ([torch.tensor([1.5]), np.float64([2.5])], np.float64([[1.5], [2.5]])),
        ([torch.tensor(1), np.int64(2), 3], np.int64([1, 2, 3])),
        ([torch.eye(2).T[:, :1], torch.ones(2, 1)], np.float32([[[1], [0]], [[1], [1]]])),
        ([[torch.tensor(1), torch.tensor(2)], [torch.tensor(3)] * 2], np.int64([[1, 2], [3, 3]])),
        (
            [{"x": torch.tensor([1]), "y": (torch.tensor(2.0), "a")}] * 2,
            {"x": np.int64([[1], [1]]), "y": (np.float32([2, 2]), np.array(["a", "a"]))},
        ),
    ],
)
def test_they_stack(rows, batch):
    same(batch, collate(rows, np.float32))


def test_images_stack():
    image = pytest.importorskip("PIL.Image")
    rows = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)

    same(rows, collate([image.fromarray(row) for row in rows], None))


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (torch.zeros(2, requires_grad=True), r".* RuntimeError: .*requires grad.*detach"),
        (torch.zeros(2, dtype=torch.bfloat16), r".* TypeError: .*BFloat16; make it one in a map\(\) before"),
        (torch.zeros(2, device="meta"), r".* TypeError: .*meta"),
        (torch.zeros(2).to_sparse(), r".* TypeError: .*Sparse"),
    ],
)
def test_what_numpy_cannot_hold_is_an_error(odd, text):
    with pytest.raises(BatchError, match=rf"^key 'x': sample 1 of the batch is of type Tensor, of which {text}"):
        collate([{"x": torch.zeros(2)}, {"x": odd}], None)
    with pytest.raises(BatchError, match=r"^a list of which numpy makes no array: "):
        collate([[odd], [odd]], None)


@pytest.mark.parametrize("other", [None, "a", {"x": 1}, b"a", object()])
def test_they_do_not_stack_with_what_is_no_array(other):
    with pytest.raises(BatchError, match="samples are of different kinds"):
        collate([torch.zeros(2), other], None)


def test_shapes_that_differ_are_an_error():
    with pytest.raises(BatchError, match=r"different shapes do not stack: \(1,\) .* and \(2,\)"):
        collate([torch.zeros(1), torch.zeros(2)], None)


def test_other_verbs_take_them_too():
    texts = Dataset([2, 1]).map(torch.arange)

    assert [[0, 1], [0, 0]] == texts.padded_batch(2).first().tolist()
    assert [0, 1, 0] == texts.ragged_batch(2).first().values.tolist()
    assert [0, 1, 0, 0] == texts.pack(4).first()["values"].tolist()
    assert [0, 1, 0] == texts.pack(3, split=True).first()["values"].tolist()
    assert [[0, 1], [0, 1]] == Dataset([2, 2]).map(torch.arange).collect().tolist()


def test_shape_is_that_of_the_array():
    assert {"x": (2, 3), "y": ()} == shape_of({"x": torch.zeros(2, 3), "y": torch.tensor(1)})
    assert {"x": tuple} == {key: type(shape) for key, shape in shape_of({"x": torch.zeros(2)}).items()}


def test_cast_takes_them_too():
    cast = Dataset([1]).map(lambda x: {"x": torch.tensor([x]), "y": torch.tensor(x)}).cast({"x": "float16"})

    same({"x": np.float16([1]), "y": torch.tensor(1)}, cast.first())
    same((np.float32([1]), np.float32(2)), Dataset([(Knows(1), torch.tensor(2))]).cast("float32").first())
    with pytest.raises(InvalidType, match=r"failed on sample 0: .*sample\['x'\] is of type Tensor, .* BFloat16"):
        Dataset([{"x": torch.zeros(1, dtype=torch.bfloat16)}]).cast("float32").first()
