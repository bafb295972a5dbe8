from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.readers.example import Decoder, MalformedExample, _few_ints, _many_ints, decode
from flazy.writers.example import UnfitValue, encode

# {"a": [1.0, -2.0], "b": [1, 300, -1], "c": [b"x", b""]}, as TensorFlow 2.21 serialized it (deterministic=True).
LITERAL = bytes.fromhex(
    "0a39 0a11 0a0161 120c 120a 0a08 0000803f 000000c0"
    "0a16 0a0162 1211 1a0f 0a0d 01 ac02 ffffffffffffffffff01"
    "0a0c 0a0163 1207 0a05 0a0178 0a00"
)


def sized(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    return bytes([tag, size] if size < 128 else [tag, size & 127 | 128, size >> 7]) + body


def example(*entries: bytes) -> bytes:
    return sized(0x0A, *entries)


def entry(key: str, *features: bytes) -> bytes:
    return sized(0x0A, sized(0x0A, key.encode()), *(sized(0x12, feature) for feature in features))


def listed(sample: dict) -> dict:
    """Give a sample in a form that compares bit by bit, types included."""
    return {key: (value.dtype, value.tolist() if value.dtype == object else value.tobytes())
            for key, value in sample.items()}


def same(expected: dict, actual: dict) -> bool:
    return listed(expected) == listed(actual)


def objects(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


# Decoding ---------------------------------------------------------------------------------------------


def test_literal_bytes_are_decoded():
    expected = {
        "a": np.array([1, -2], np.float32),
        "b": np.array([1, 300, -1], np.int64),
        "c": objects(b"x", b""),
    }

    assert same(expected, decode(LITERAL))


def test_literal_bytes_are_encoded():
    assert LITERAL == encode({"a": [1.0, -2.0], "b": [1, 300, -1], "c": [b"x", b""]})


def test_memoryview_is_decoded_and_not_kept():
    data = bytearray(LITERAL)
    sample = decode(memoryview(data))
    data[:] = bytes(len(data))

    assert same(decode(LITERAL), sample)


def test_arrays_are_writable_and_own_their_memory():
    for array in decode(LITERAL).values():
        array[0] = array[-1]

        assert array.flags.writeable
        assert array.flags.aligned


def test_only_wanted_keys_are_decoded():
    assert ["b"] == list(decode(LITERAL, ["b", "nowhere"]))


def test_unwanted_feature_is_not_looked_into():
    record = example(entry("a", b"\xff\xff"), entry("b", sized(0x1A, sized(0x0A, b"\x05"))))

    assert same({"b": np.array([5])}, decode(record, ["b"]))


def test_empty_record_has_no_features():
    assert {} == decode(b"")


def test_numbers_that_are_not_packed_are_read():
    floats = sized(0x12, b"\x0d" + np.float32(1.5).tobytes(), b"\x0d" + np.float32(2).tobytes())
    ints = sized(0x1A, b"\x08\x05\x08\xac\x02")

    expected = {"f": np.array([1.5, 2], np.float32), "i": np.array([5, 300])}

    assert same(expected, decode(example(entry("f", floats), entry("i", ints))))


def test_pieces_of_a_list_are_joined():
    pieces = sized(0x1A, sized(0x0A, b"\x01\x02"), b"\x08\x03", sized(0x0A), sized(0x0A, b"\xac\x02"))

    assert same({"i": np.array([1, 2, 3, 300])}, decode(example(entry("i", pieces))))


def test_lists_of_one_kind_are_merged_and_the_last_kind_stays():
    floats = sized(0x12, sized(0x0A, np.float32(1).tobytes()))
    one, two = sized(0x1A, sized(0x0A, b"\x01")), sized(0x1A, sized(0x0A, b"\x02"))

    assert same({"i": np.array([1, 2])}, decode(example(entry("i", one + floats, one, two))))


def test_last_entry_of_a_key_stays():
    first = entry("i", sized(0x12, sized(0x0A, np.float32(1).tobytes())))
    last = entry("i", sized(0x1A, sized(0x0A, b"\x02")))

    assert same({"i": np.array([2])}, decode(example(first, last)))


def test_features_given_twice_are_merged():
    record = example(entry("a", sized(0x1A, b"\x08\x01"))) + example(entry("b", sized(0x1A, b"\x08\x02")))

    assert same({"a": np.array([1]), "b": np.array([2])}, decode(record))


def test_key_may_come_behind_the_value():
    record = example(sized(0x0A, sized(0x12, sized(0x1A, b"\x08\x01")), sized(0x0A, b"a")))

    assert same({"a": np.array([1])}, decode(record, ["a"]))


def test_missing_key_field_is_the_empty_key():
    assert same({"": np.array([1])}, decode(example(sized(0x0A, sized(0x12, sized(0x1A, b"\x08\x01"))))))


def test_unknown_fields_are_skipped_on_every_level():
    unknown = b"\x20\xff\x01" + b"\x21" + bytes(8) + b"\x2a\x02ab" + b"\x2d" + bytes(4) + b"\xa2\x06\x01x"
    value = sized(0x1A, unknown, sized(0x0A, b"\x07"), unknown)
    inner = sized(0x0A, unknown, sized(0x0A, b"a"), sized(0x12, unknown, value))
    record = unknown + example(unknown, inner, unknown) + unknown

    assert same({"a": np.array([7])}, decode(record))


def test_feature_without_a_kind_is_left_out():
    assert {} == decode(example(entry("a", b""), entry("b")))


def test_empty_lists_keep_their_kind():
    empty = {"b": sized(0x0A), "f": sized(0x12), "i": sized(0x1A), "j": sized(0x1A, sized(0x0A))}
    record = example(*(entry(key, feature) for key, feature in empty.items()))

    expected = {"b": objects(), "f": np.array([], np.float32), "i": np.array([], np.int64), "j": np.array([], np.int64)}

    assert same(expected, decode(record))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\x0a\x05\x0a", "longer than what holds it"),
        (b"\x0a", "ends within"),
        (b"\x0b\x00", "wire type 3"),
        (b"\x02\x00", "number 0"),
        (b"\xff" * 11, "longer than 10 bytes"),
        (example(entry("a", sized(0x12, sized(0x0A, b"abc")))), "not a multiple of 4"),
        (example(entry("a", sized(0x1A, sized(0x0A, b"\x80")))), "has no end"),
        (example(entry("a", sized(0x1A, sized(0x0A, b"\xff" * 10 + b"\x01")))), "longer than 10 bytes"),
        (example(entry("a", sized(0x1A, sized(0x0A, b"\xff" * 10 + b"\x01" * 20)))), "longer than 10 bytes"),
        (example(sized(0x0A, sized(0x0A, b"\xff"))), "not UTF-8"),
    ],
)
def test_malformed_record_is_told(record, message):
    with pytest.raises(MalformedExample, match=message):
        decode(record)


@given(st.binary(max_size=60))
def test_any_bytes_give_features_or_malformed(record):
    try:
        sample = decode(record)
    except MalformedExample:
        return

    assert all(isinstance(value, np.ndarray) for value in sample.values())


# The memory of layouts --------------------------------------------------------------------------------

INTS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300)
LISTS = st.one_of(
    st.lists(INTS, max_size=40).map(lambda values: np.array(values, np.int64)),
    st.lists(st.floats(width=32), max_size=20).map(lambda values: np.array(values, np.float32)),
    st.lists(st.binary(max_size=20), max_size=5).map(lambda values: objects(*values)),
)
SAMPLES = st.dictionaries(st.text(max_size=8), LISTS, max_size=5)


def outcome(function, record):
    try:
        return listed(function(record))
    except MalformedExample as error:
        return str(error)


@given(SAMPLES, st.data())
def test_decoder_gives_what_decode_gives_whatever_changes(sample, data):
    record = encode(sample)
    wanted = data.draw(st.none() | st.sets(st.sampled_from(sorted(sample) or [""])))
    decoder = Decoder(wanted)
    for _ in range(4):
        assert outcome(lambda record: decode(record, wanted), record) == outcome(decoder.decode, record)

        if record:
            changed = bytearray(record)
            changed[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
            for same_length in (record, bytes(changed), memoryview(changed)):
                expected = outcome(lambda record: decode(record, wanted), same_length)

                assert expected == outcome(decoder.decode, same_length)


def test_decoder_walks_a_length_only_until_its_layout_is_known(monkeypatch):
    decoder = Decoder()
    for _ in range(2):
        decoder.decode(LITERAL)
    expected = decode(LITERAL)
    monkeypatch.setattr("flazy.readers.example._walk", None)

    assert same(expected, decoder.decode(LITERAL))


def test_decoder_remembers_a_bounded_number_of_lengths():
    decoder = Decoder()
    for size in range(3000):
        decoder.decode(encode({"a": bytes(size)}))

    assert len(decoder._layouts) <= Decoder._MOST_LENGTHS


def test_unpacked_ints_of_one_length_are_read_right():
    decoder = Decoder()
    two_bytes = example(entry("i", sized(0x1A, b"\x08\xac\x02\x08\x01")))
    other = example(entry("i", sized(0x1A, b"\x08\x01\x08\xac\x02")))

    read = [decoder.decode(record)["i"].tolist() for record in (two_bytes, two_bytes, two_bytes, other)]

    assert [[300, 1], [300, 1], [300, 1], [1, 300]] == read


# Encoding ---------------------------------------------------------------------------------------------


@given(SAMPLES)
def test_what_is_encoded_is_decoded(sample):
    assert same(sample, decode(encode(sample)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, np.array([1])),
        (7, np.array([7])),
        (np.uint8(200), np.array([200])),
        (np.array([True, False]), np.array([1, 0])),
        (np.uint64(2**63 - 1), np.array([2**63 - 1])),
        ([-(2**63), 2**63 - 1], np.array([-(2**63), 2**63 - 1])),
        ([True, 2], np.array([1, 2])),
        (0.5, np.array([0.5], np.float32)),
        (np.float16(0.5), np.array([0.5], np.float32)),
        (np.float64(0.1), np.array([0.1], np.float32)),
        ([1, 2.5], np.array([1, 2.5], np.float32)),
        ([math.inf, -math.inf], np.array([math.inf, -math.inf], np.float32)),
        (np.array([1, 2], ">f8"), np.array([1, 2], np.float32)),
        (np.arange(6).reshape(2, 3).T, np.array([0, 3, 1, 4, 2, 5])),
        ([[1, 2], (3,), [np.array([4, 5])]], np.array([1, 2, 3, 4, 5])),
        (np.array(2.5), np.array([2.5], np.float32)),
        ("é", objects("é".encode())),
        (b"\x00", objects(b"\x00")),
        (bytearray(b"ab"), objects(b"ab")),
        (["a", b"b"], objects(b"a", b"b")),
        (np.array(["a", "bc"]), objects(b"a", b"bc")),
        (np.array([b"a", b"bc"]), objects(b"a", b"bc")),
        (np.array([b"a\0", "b"], object), objects(b"a\0", b"b")),
        (np.array([1, 2], object), np.array([1, 2])),
        (np.array([], "S3"), objects()),
        (np.array([], np.float64), np.array([], np.float32)),
        (np.array([], np.uint8), np.array([], np.int64)),
    ],
)
def test_value_is_stored_as_its_kind(value, expected):
    assert same({"key": expected}, decode(encode({"key": value})))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ({1, 2}, "set"),
        (1j, "complex"),
        (np.array([1j]), "complex128"),
        (np.datetime64("2020-01-01"), "datetime64"),
        ([1, "a"], "int, str"),
        ([1, None], "NoneType"),
        ([], "empty list has no type"),
        ([[], ()], "empty list has no type"),
        (2**63, "int64"),
        (-(2**63) - 1, "int64"),
        (np.uint64(2**63), "int64"),
        ([2**63, 1], "int64"),
        (1e39, "float32"),
        (np.array([0.0, -1e39]), "float32"),
        ([10**400, 0.5], "out of the range"),
        ("\ud800", "UTF-8"),
        (np.ma.masked_array([1, 2], [True, False]), "mask"),
    ],
)
def test_value_that_does_not_fit_is_told_with_its_key_and_type(value, message):
    with pytest.raises(UnfitValue, match=rf"key 'k', .*{message}") as caught:
        encode({"fits": 1, "k": value})

    assert type(value).__name__ in str(caught.value)


@pytest.mark.parametrize("key", [1, b"a", None, "\ud800"])
def test_key_that_is_no_text_is_told(key):
    with pytest.raises(UnfitValue, match="key"):
        encode({key: 1})


def test_order_of_keys_is_kept():
    assert ["b", "a", "c"] == list(decode(encode({"b": 1, "a": 2.0, "c": b""})))


@pytest.mark.parametrize("count", [*range(1, 20), 1000])
def test_ints_of_every_size_survive_in_any_number(count):
    powers = [sign * 2**k + d for k in range(63) for sign in (1, -1) for d in (-1, 0)]
    values = np.resize(np.array([0, -(2**63), 2**63 - 1, *powers]), count)

    assert same({"i": values}, decode(encode({"i": values})))


@given(st.lists(st.binary(max_size=12), min_size=1, max_size=20))
def test_many_ints_are_read_as_few_are(pieces):
    payload = b"".join(bytes(byte | 128 for byte in piece) + b"\x05" for piece in pieces)

    assert outcome_of(_few_ints, payload) == outcome_of(_many_ints, payload)


def outcome_of(function, payload):
    try:
        return function(payload).tolist()
    except MalformedExample:
        return "malformed"
