"""The only tests of the readers that need TensorFlow: both sides read what the other wrote."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.readers.example import MalformedExample, decode
from flazy.readers.tfrecord import read_records, read_tfrecord
from flazy.writers.example import encode
from flazy.writers.tfrecord import write_tfrecord

tf = pytest.importorskip("tensorflow")

SAMPLES = [
    {"floats": np.linspace(-1, 1, 500, dtype=np.float32), "ints": np.array([-1, -(2**63), 2**63 - 1, 0, 300])},
    {"floats": np.array([np.nan, np.inf, -0.0], np.float32), "ints": np.array([7])},
    {"floats": np.array([], np.float32), "ints": np.array([], np.int64)},
    {"floats": np.ones(64_000, np.float32), "ints": np.arange(-500, 500)},
]
TEXTS = [[b"one", b"", b"\x00\xff"], [b"one"], [], ["é".encode()] * 300]
for one, texts in zip(SAMPLES, TEXTS, strict=True):
    one["bytes"] = np.empty(len(texts), object)
    one["bytes"][:] = texts


def their_example(sample):
    def feature(value):
        if value.dtype == np.float32:
            return tf.train.Feature(float_list=tf.train.FloatList(value=value))
        if value.dtype == np.int64:
            return tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))

    return tf.train.Example(features=tf.train.Features(feature={key: feature(sample[key]) for key in sample}))


def listed(sample):
    """Give a sample in a form that compares bit by bit, types included."""
    return {
        key: (value.dtype, value.tolist() if value.dtype == object else value.tobytes())
        for key, value in sample.items()
    }


def from_message(message):
    """Give the sample of their message, as ours would be."""
    sample = {}
    for key, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind == "float_list":
            sample[key] = np.array(feature.float_list.value, np.float32)
        elif kind == "int64_list":
            sample[key] = np.array(feature.int64_list.value, np.int64)
        elif kind == "bytes_list":
            sample[key] = np.empty(len(feature.bytes_list.value), object)
            sample[key][:] = list(feature.bytes_list.value)
    return sample


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
@pytest.mark.parametrize("named", [True, False])
def test_what_tensorflow_writes_is_read(tmp_path, compression, named):
    path = str(tmp_path / "a.tfrecord")
    with tf.io.TFRecordWriter(path, compression) as writer:
        for sample in SAMPLES:
            writer.write(their_example(sample).SerializeToString())

    read = read_tfrecord(path, keys=["floats", "ints", "bytes"], compression=compression if named else "infer")

    assert list(map(listed, SAMPLES)) == list(map(listed, read))


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_tensorflow_reads_what_is_written(tmp_path, compression):
    path = str(tmp_path / "a.tfrecord")
    write_tfrecord(SAMPLES, path, compression=compression)
    features = {
        "floats": tf.io.RaggedFeature(tf.float32),
        "ints": tf.io.RaggedFeature(tf.int64),
        "bytes": tf.io.RaggedFeature(tf.string),
    }
    read = tf.data.TFRecordDataset(path, compression).map(lambda record: tf.io.parse_single_example(record, features))

    assert list(map(listed, SAMPLES)) == [
        listed({key: sample[key].numpy() for key in SAMPLES[0]}) for sample in read
    ]


def test_records_are_theirs(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    write_tfrecord(SAMPLES, path)
    theirs = [record.numpy() for record in tf.data.TFRecordDataset(path)]

    assert theirs == list(read_records(path))


def test_files_are_equal_byte_for_byte(tmp_path):
    ordered = [{key: sample[key] for key in sorted(sample)} for sample in SAMPLES]
    write_tfrecord(ordered, tmp_path / "ours")
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for sample in ordered:
            writer.write(their_example(sample).SerializeToString(deterministic=True))

    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()


# Messages as protobuf allows them: merged, repeated, replaced, unpacked, in pieces, with unknown fields.  The lists are
# well formed, because protobuf also refuses a malformed list that a later one replaces, and we do not look at it.
VARINT = st.integers(0, 2**64 - 1) | st.integers(0, 300)


def varint(value):
    octets = bytearray()
    while value > 127:
        octets.append(value & 127 | 128)
        value >>= 7
    return bytes([*octets, value])


def message(field):
    return st.lists(field, max_size=4).map(b"".join)


def sized(tags, content):
    return st.tuples(st.sampled_from(tags), content).map(lambda pair: bytes([pair[0]]) + varint(len(pair[1])) + pair[1])


NUMBER = st.one_of(
    VARINT.map(lambda value: b"\x08" + varint(value)),
    st.binary(min_size=4, max_size=4).map(lambda value: b"\x0d" + value),
    st.binary(min_size=8, max_size=8).map(lambda value: b"\x09" + value),
    VARINT.map(lambda value: b"\x20" + varint(value)),
)
FLOATS = st.lists(st.binary(min_size=4, max_size=4), max_size=9).map(b"".join)
INTS = st.lists(VARINT.map(varint), max_size=30).map(b"".join)
FEATURE = message(
    st.one_of(
        sized([0x0A], message(NUMBER | sized([0x0A, 0x0A, 0x12], st.binary(max_size=8)))),
        sized([0x12], message(NUMBER | sized([0x0A, 0x0A, 0x12], FLOATS))),
        sized([0x1A], message(NUMBER | sized([0x0A, 0x0A, 0x12], INTS))),
        sized([0x22], st.binary(max_size=8)),
        NUMBER,
    )
)
KEY = sized([0x0A], st.sampled_from([b"", b"a", b"b", "é".encode(), b"\xff"]))
# No unknown fields here: their Python parser then drops the entry, ours keeps it, as the wire format's rule has it.
ENTRY = message(KEY | sized([0x12], FEATURE))
EXAMPLE = message(st.one_of(sized([0x0A, 0x0A, 0x12], message(sized([0x0A, 0x0A, 0x12], ENTRY) | NUMBER)), NUMBER))


@given(EXAMPLE)
def test_any_message_is_read_as_protobuf_reads_it(record):
    try:
        theirs = listed(from_message(tf.train.Example.FromString(record)))
    except Exception as error:
        theirs = type(error).__name__
    try:
        ours = listed(decode(record))
    except MalformedExample:
        ours = "DecodeError"

    assert theirs == ours


@given(st.text(max_size=5), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40))
def test_ints_are_encoded_as_protobuf_encodes_them(key, values):
    sample = {key: np.array(values)}

    assert their_example(sample).SerializeToString() == encode(sample)
