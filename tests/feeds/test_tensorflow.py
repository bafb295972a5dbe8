"""``dataset.tensorflow()`` with the real TensorFlow: what its elements are.  Its runs are in the next module."""

import os
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from flazy import Dataset, Ragged
from flazy.errors import InvalidType
from tests.feeds.test_passes import Source

tf = pytest.importorskip("tensorflow")
ml_dtypes = pytest.importorskip("ml_dtypes")
signatures = pytest.importorskip("flazy.feeds.signatures")

NUMBER = tf.TensorSpec([], tf.int64)


class Point(NamedTuple):
    x: Any
    y: Any


# The structure of samples -----------------------------------------------------------------------------------------


def plain(structure):
    """Turn tensors into Python's own values."""
    return tf.nest.map_structure(lambda tensor: np.asarray(tensor).tolist(), structure)


def iterated(dataset):
    return [plain(element) for element in dataset]


@pytest.mark.parametrize(
    "samples",
    [
        [{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}],
        [(1, 2.5), (3, 4.5)],
        [{"a": (1, {"b": 2}), "c": True}, {"a": (3, {"b": 4}), "c": False}],
        [Point(1, 2), Point(3, 4)],
        [1, 2, 3],
        [{"a": b"one"}, {"a": b"two\0"}],
        [[1, 2], [3, 4]],
        [{1: 1, 0: 2}],
    ],
    ids=repr,
)
def test_elements_are_the_samples(samples):
    dataset = Dataset(samples).tensorflow()

    assert iterated(dataset) == samples


def test_named_tuples_keep_their_class():
    assert isinstance(Dataset([Point(1, 2)]).tensorflow().element_spec, Point)


def test_mapping_of_another_class_becomes_a_dict():
    class Row(dict):
        pass

    assert iterated(Dataset([Row(a=1)]).tensorflow()) == [{"a": 1}]


@pytest.mark.parametrize(
    ("sample", "shape", "dtype"),
    [
        (1, [], "int64"),
        (1.5, [], "float32"),
        (True, [], "bool"),
        (1j, [], "complex64"),
        ("ä", [], "string"),
        (b"\0\0", [], "string"),
        (np.str_("a"), [], "string"),
        ([1, 2.5], [2], "float32"),
        ([], [0], "float32"),
        (["a", b"b"], [2], "string"),
        ([(1, 2), (3, 4)], [2, 2], "int64"),
        ([np.float64(1)], [1], "float64"),
        (np.float16(1), [], "float16"),
        (np.longlong(1), [], "int64"),
        (np.zeros((3, 0, 2), np.uint8), [3, 0, 2], "uint8"),
        (np.ones(3, ">f8"), [3], "float64"),
        (np.asfortranarray(np.ones((2, 3))), [2, 3], "float64"),
        (np.array(["a", "bcd"]), [2], "string"),
        (np.array([b"a", "b"], object), [2], "string"),
    ],
    ids=repr,
)
def test_shape_and_dtype_of_a_value(sample, shape, dtype):
    dataset = Dataset([sample]).tensorflow()

    assert dataset.element_spec == tf.TensorSpec(shape, dtype)
    [element] = dataset
    assert (element.shape, element.dtype) == (shape, dtype)


def test_strings_are_utf8_and_keep_nuls_at_the_end():
    samples = [{"text": "zwölf\0", "list": ["é", b"\xff\0"]}]

    assert iterated(Dataset(samples).tensorflow()) == [{"text": "zwölf\0".encode(), "list": ["é".encode(), b"\xff\0"]}]


def test_batches_of_strings():
    dataset = Dataset(s=["one", "zwölf", "three"]).batch(2, drop_remainder=False).tensorflow()

    assert iterated(dataset) == [{"s": [b"one", "zwölf".encode()]}, {"s": [b"three"]}]


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"a": None}, "key 'a': NoneType None has no tensor"),
        ({"a": ({"b": {1}},)}, "key ['a'][0]['b']: set {1} has no tensor"),
        (np.array(["2020-01-01"], "M8[D]"), r"dtype datetime64[D] has no tensor"),
        (np.ma.masked_array([1, 2], [True, False]), "would lose its mask"),
        (2**63, "does not fit into int64"),
        (2**70, "has no tensor"),
        ([1, [2]], "list [1, [2]] has no tensor"),
        ([{"a": 1}], "has no tensor"),
        ({}, "samples that hold something"),
    ],
    ids=repr,
)
def test_first_sample_without_a_tensor_is_refused_with_its_key(sample, said):
    with pytest.raises(InvalidType) as raised:
        Dataset([sample]).tensorflow()

    assert said in str(raised.value)


# The first dimension ----------------------------------------------------------------------------------------------


def rows(batch):
    return batch["x"] * 2


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (lambda ds: ds, [2]),
        (lambda ds: ds.batch(4), [None, 2]),
        (lambda ds: ds.batch(4).map(lambda batch: {"x": rows(batch)}), [None, 2]),
        (lambda ds: ds.batch(4).take(2).repeat(2).skip(1).shuffle(3).prefetch(1), [None, 2]),
        (lambda ds: Dataset.concat([ds.batch(4), ds.batch(2)]), [None, 2]),
        (lambda ds: ds.batch(2).batch(2), [None, 2, 2]),
        (lambda ds: ds.window(2), [None, 2]),
        (lambda ds: ds.padded_batch(2), [None, None]),
        (lambda ds: ds.bucket_batch(len, [2], 2), [None, None]),
        (lambda ds: ds.padded_batch(2) + ds.batch(2), [None, None]),
        (lambda ds: ds.batch(4).unbatch(), [2]),
        (lambda ds: ds.batch(4).transform(lambda batches: batches), [4, 2]),
    ],
)
def test_first_dimension_is_free_where_the_plan_batches(made, shape):
    dataset = made(Dataset(x=np.zeros((9, 2)))).tensorflow()

    assert dataset.element_spec == {"x": tf.TensorSpec(shape, tf.float64)}


def test_padded_batches_may_differ_in_every_dimension():
    dataset = Dataset([np.ones((length, 3)) for length in (1, 2, 4, 3)]).padded_batch(2)

    assert [(2, 2, 3), (2, 4, 3)] == [tuple(element.shape) for element in dataset.tensorflow()]


def test_incomplete_last_batch_comes_too():
    dataset = Dataset(x=np.zeros((10, 3)), y=range(10)).batch(4, drop_remainder=False).tensorflow()

    assert [(element["x"].shape, element["y"].shape) for element in dataset] == [
        ((4, 3), (4,)),
        ((4, 3), (4,)),
        ((2, 3), (2,)),
    ]


def test_length_is_told_where_the_plan_knows_it():
    numbers = Dataset(range(10))

    assert len(numbers.batch(4).tensorflow()) == 2
    assert numbers.repeat().tensorflow().cardinality() == tf.data.INFINITE_CARDINALITY
    assert numbers.filter(bool).tensorflow().cardinality() == tf.data.UNKNOWN_CARDINALITY


# Signatures -------------------------------------------------------------------------------------------------------


def spec(shape, dtype):
    return tf.TensorSpec(shape, dtype)


def test_signature_spares_the_look():
    source = Source()
    dataset = Dataset(source).tensorflow(spec([], tf.int64))
    assert source.started == 0

    assert iterated(dataset) == [0, 1, 2, 3, 4]


def test_empty_dataset_with_a_signature_is_empty():
    assert iterated(Dataset([]).tensorflow(spec([], tf.int64))) == []


def test_signature_frees_dimensions():
    dataset = Dataset([{"x": np.ones(2)}, {"x": np.ones(3)}]).tensorflow({"x": spec([None], tf.float64)})

    assert [element["x"].shape for element in dataset] == [2, 3]


def test_signature_chooses_the_dtype_of_pythons_numbers():
    signature = (spec([], tf.int32), spec([2], tf.float16), spec(None, tf.uint8), spec([], tf.float64))

    assert plain(next(iter(Dataset([(1, [2, 3], True, 2)]).tensorflow(signature)))) == (1, [2.0, 3.0], 1, 2.0)


def test_ragged_values_go_with_a_ragged_signature():
    ragged = tf.ragged.constant([[1], [2, 3]])
    dataset = Dataset([ragged]).tensorflow(tf.RaggedTensorSpec([2, None], tf.int32))

    assert [element.to_list() for element in dataset] == [[[1], [2, 3]]]


def test_sparse_values_go_with_a_sparse_signature():
    sparse = tf.sparse.from_dense([[0, 1], [2, 0]])
    dataset = Dataset([{"x": sparse, "y": 1}]).tensorflow({"x": tf.SparseTensorSpec([2, 2], tf.int32), "y": NUMBER})

    assert [tf.sparse.to_dense(element["x"]).numpy().tolist() for element in dataset] == [[[0, 1], [2, 0]]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_numbers_of_ml_dtypes_keep_their_dtype(dtype):
    numbers = np.arange(4).astype(np.dtype(getattr(ml_dtypes, dtype)))
    [element] = Dataset([numbers]).tensorflow()

    assert (dtype, [0, 1, 2, 3]) == (element.dtype.name, element.numpy().tolist())


def test_signature_takes_pythons_numbers_to_bfloat16():
    assert plain(next(iter(Dataset([[0.5, 3]]).tensorflow(spec([2], tf.bfloat16))))) == [0.5, 3]


# Ragged -----------------------------------------------------------------------------------------------------------

WORDS = [Ragged(np.array([3, 1, 4], np.int32), np.array([0, 2, 2, 3])), Ragged(np.array([1], np.int32), [0, 0, 1])]


def test_ragged_is_a_ragged_tensor():
    dataset = Dataset({"words": words, "y": 1} for words in WORDS[:1]).tensorflow()

    assert dataset.element_spec["words"] == tf.RaggedTensorSpec([3, None], tf.int32)
    assert [element["words"].to_list() for element in dataset] == [[[3, 1], [], [4]]]


def test_ragged_of_another_number_of_rows_goes_with_a_signature():
    signature = tf.RaggedTensorSpec([None, None], tf.int32, row_splits_dtype=tf.int32)
    dataset = Dataset(WORDS).tensorflow(signature)

    assert [element.to_list() for element in dataset] == [[[3, 1], [], [4]], [[], [1]]]


def test_rows_of_a_ragged_keep_their_further_dimensions():
    points = Ragged(np.arange(6.0).reshape(3, 2), [0, 1, 3])
    dataset = Dataset([points]).tensorflow()

    assert dataset.element_spec == tf.RaggedTensorSpec([2, None, 2], tf.float64, 1)
    assert [element.to_list() for element in dataset] == [[[[0, 1]], [[2, 3], [4, 5]]]]


# Samples that do not fit ------------------------------------------------------------------------------------------


def test_array_that_fits_exactly_is_handed_on_as_it_is():
    array = np.ones((2, 3), "f")
    arrays = []
    signatures.fitting({"y": spec([], "int64"), "x": spec([None, 3], "float32")}).fill({"x": array, "y": 7}, arrays)

    assert arrays[0] is array
    assert (7, "int64") == (arrays[1], arrays[1].dtype)


@pytest.mark.parametrize(
    ("signature", "sample", "said"),
    [
        (tf.RaggedTensorSpec([2, None], tf.int32), WORDS[0],
         "shape (4,) and dtype int64 where the signature has shape (3,)"),
        (tf.RaggedTensorSpec([None, None], tf.float32), WORDS[0],
         "shape (3,) and dtype int32 where the signature has shape (None,) and dtype float32"),
        (tf.RaggedTensorSpec([None, None, None], tf.int32), WORDS[0], "where the signature has RaggedTensorSpec"),
        (tf.SparseTensorSpec([None, None], tf.int32), WORDS[0], "where the signature has SparseTensorSpec"),
        (tf.RaggedTensorSpec([None, None], tf.int32), [[1], [2, 3]], "where the signature has RaggedTensorSpec"),
        (spec([None], tf.int32), WORDS[0], "Ragged(3 rows, int32 values of shape (3,)) where the signature has shape"),
        ({"x": spec([2], "float32")}, {"x": np.ones(3, "f")},
         "(3,) and dtype float32 where the signature has shape (2,) and dtype float32; give a signature with None"),
        ({"x": spec([2], "float32")}, {"x": np.ones(2)},
         "key 'x': ndarray of shape (2,) and dtype float64 where the signature has shape (2,) and dtype float32"),
        ({"x": (spec([], "int64"),)}, {"x": (2.5,)},
         "key ['x'][0]: float 2.5 where the signature has shape () and dtype int64"),
        (spec([], "int32"), 2**40, "where the signature has shape () and dtype int32: it does not fit into int32"),
        (spec([], "float32"), 2**24 + 1, "it does not fit into float32"),
        (spec([], "float32"), 1e39, "it does not fit into float32"),
        (spec([], "string"), 3, "int 3 where the signature has shape () and dtype string"),
        (spec([], "int64"), "three", "str 'three' where the signature has shape () and dtype int64"),
        (spec([], "int64"), (1,), "tuple (1,) where the signature has shape () and dtype int64"),
        ({"x": spec([], "int64")}, {"y": 1}, "a dict of 'y' where the signature has one of 'x'"),
        ({"x": spec([], "int64")}, {"x": 1, "y": 1}, "a dict of 'x', 'y' where the signature has one of 'x'"),
        ({"x": spec([], "int64")}, 1, "int 1 where the signature has a dict of 'x'"),
        ((spec([], "int64"),), (1, 2), "a tuple of 2 where the signature has a tuple of 1"),
        ((spec([], "int64"),), 1, "int 1 where the signature has a tuple of 1"),
    ],
)  # fmt: skip
def test_sample_that_does_not_fit_is_named_with_both_sides(signature, sample, said):
    with pytest.raises(tf.errors.OpError) as raised:
        list(Dataset([sample]).tensorflow(signature))

    assert "FeedError: tensorflow(), sample 0: " in str(raised.value)
    assert said in str(raised.value)


def test_later_sample_that_differs_from_the_first_is_named():
    dataset = Dataset([{"x": np.ones(2)}, {"x": np.ones(3)}]).tensorflow()

    with pytest.raises(tf.errors.OpError, match=r"tensorflow\(\), sample 1: key 'x': ndarray of shape \(3,\)"):
        list(dataset)


@pytest.mark.parametrize("signature", [[tf.int64], {"x": tf.float32}, ("float32",), {"x": [1]}])
def test_signature_of_anything_else_is_refused(signature):
    with pytest.raises(InvalidType, match=r"tf\.TensorSpec"):
        Dataset(range(3)).tensorflow(signature)
