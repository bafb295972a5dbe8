from __future__ import annotations

import gzip
import logging
import zlib

import google_crc32c
import numpy as np
import pytest

from flazy.errors import CorruptRecord, InvalidArgument, InvalidType, MissingFile, MissingKey
from flazy.readers.tfrecord import FOOTER, HEADER, masked_crc, read_records, read_tfrecord
from flazy.writers.example import encode

# The records b"flazy" and b"", as TensorFlow 2.21 wrote them.
LITERAL = bytes.fromhex("0500000000000000 eab2043e 666c617a79 6ff97fc4 0000000000000000 29039807 d8ea82a2")
RECORDS = [b"flazy", b"", b"\x00" * 40, b"last"]
COMPRESS = {
    None: bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zlib": zlib.compress,
}


def framed(*records: bytes) -> bytes:
    parts = []
    for record in records:
        length = len(record).to_bytes(8, "little")
        parts += [HEADER.pack(len(record), masked_crc(length)), record, FOOTER.pack(masked_crc(record))]
    return b"".join(parts)


@pytest.fixture
def file(tmp_path):
    def put(data: bytes) -> str:
        path = tmp_path / "file.tfrecord"
        path.write_bytes(data)
        return str(path)

    return put


def until_error(records):
    """Give what was read, and the error or None."""
    found = []
    try:
        for record in records:
            found.append(record)  # noqa: PERF402 -- what came before the error is wanted
    except CorruptRecord as error:
        return found, error
    return found, None


def samples(count: int, size: int = 3) -> list[dict]:
    return [{"x": np.arange(size, dtype=np.float32) + i, "y": np.array([i])} for i in range(count)]


def listed(read) -> list[dict]:
    return [{key: value.tolist() for key, value in sample.items()} for sample in read]


# Framing ----------------------------------------------------------------------------------------------


def test_checksums_come_from_the_c_implementation():
    assert google_crc32c.implementation == "c"


def test_literal_file_is_read(file):
    assert [b"flazy", b""] == list(read_records(file(LITERAL)))


def test_empty_file_has_no_records(file):
    path = file(b"")

    assert [[]] * 4 == [list(read_records(path, compression=name)) for name in ("infer", None, "gzip", "zlib")]


def test_records_stay_the_same_after_the_next_is_read(file):
    records = [bytes([i]) * 300_000 for i in range(12)]

    assert records == list(read_records(file(framed(*records))))


def test_record_larger_than_the_buffer_is_read(file):
    record = np.random.default_rng(0).bytes(5_000_000)

    assert [b"a", record, b"b"] == list(read_records(file(framed(b"a", record, b"b"))))


@pytest.mark.parametrize("size", [4095, 4096, 4097, 2**18 - 17, 2**18 - 16, 2**18 - 15, 2**18, 2**20])
def test_records_at_the_edges_of_buffers_are_read(file, size):
    records = [b"x", bytes(size), b"y", b"z" * size]

    assert records == list(read_records(file(framed(*records))))


def test_missing_file_is_told_at_the_first_record(tmp_path):
    records = read_records(str(tmp_path / "none"))

    with pytest.raises(MissingFile, match="none"):
        next(records)


def test_file_is_closed_when_the_iterator_is(file):
    records = read_tfrecord(file(framed(*map(encode, samples(3)))))
    next(records)
    records.close()

    assert [] == list(records)


# Compression ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [None, "gzip", "zlib"])
@pytest.mark.parametrize("size", [10, 200_000])
def test_compression_is_inferred_or_named(file, how, size):
    records = [np.random.default_rng(i).bytes(size) + bytes(size) for i in range(9)]
    path = file(COMPRESS[how](framed(*records)))

    assert records == list(read_records(path))
    assert records == list(read_records(path, compression=how))


@pytest.mark.parametrize(("name", "how"), [("GZIP", "gzip"), ("ZLIB", "zlib"), ("Gzip", "gzip"), ("", None)])
def test_names_of_tensorflow_are_taken(file, name, how):
    assert RECORDS == list(read_records(file(COMPRESS[how](framed(*RECORDS))), compression=name))


def test_plain_record_whose_length_looks_like_gzip_is_inferred_plain(file):
    record = bytes(0x8B1F)
    data = framed(record)

    assert data.startswith(b"\x1f\x8b")
    assert [record] == list(read_records(file(data)))


def test_every_level_of_zlib_is_inferred(file):
    for level in range(10):
        assert RECORDS == list(read_records(file(zlib.compress(framed(*RECORDS), level))))


def test_gzip_files_put_end_to_end_are_read_as_one(file):
    data = COMPRESS["gzip"](framed(*RECORDS))

    assert RECORDS * 3 == list(read_records(file(data + data + bytes(100_000) + data + bytes(70_000))))


def test_long_run_that_compresses_to_almost_nothing_is_read(file):
    record = bytes(3_000_000)

    assert [record] * 2 == list(read_records(file(COMPRESS["gzip"](framed(record, record)))))


def test_gzip_that_is_called_plain_is_corrupt(file):
    with pytest.raises(CorruptRecord, match=r"record 0 .*length is wrong"):
        list(read_records(file(COMPRESS["gzip"](LITERAL)), compression=None))


def test_plain_that_is_called_gzip_is_corrupt(file):
    with pytest.raises(CorruptRecord, match="gzip data is damaged"):
        list(read_records(file(LITERAL), compression="gzip"))


def test_zeros_that_are_called_gzip_are_corrupt(file):
    with pytest.raises(CorruptRecord, match="gzip data is damaged"):
        list(read_records(file(bytes(100)), compression="gzip"))


@pytest.mark.parametrize("read", [read_records, read_tfrecord])
def test_unknown_compression_is_told_at_the_call_with_the_known(read):
    with pytest.raises(InvalidArgument, match="'bz2'; known are 'gzip', 'zlib', 'infer' and None"):
        read("nowhere", compression="bz2")


# Damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [None, "gzip", "zlib"])
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_byte_changed_anywhere_is_found_and_gives_no_garbage(file, how, flip):
    data = COMPRESS[how](framed(*RECORDS))
    for at in range(len(data)):
        path = file(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
        found, error = until_error(read_records(path, compression=how))

        assert found == RECORDS[: len(found)]
        # Compressed files hold bits without a meaning: the time, the system, what pads the last byte of the data.
        assert error is not None or (how is not None and found == RECORDS)


@pytest.mark.parametrize("how", [None, "gzip", "zlib"])
def test_file_cut_anywhere_is_found_unless_between_records(file, how):
    data = COMPRESS[how](framed(*RECORDS))
    between = {0} if how else {len(framed(*RECORDS[:count])) for count in range(len(RECORDS))}
    for size in range(len(data)):
        found, error = until_error(read_records(file(data[:size]), compression=how))

        assert found == RECORDS[: len(found)]
        assert (error is None) == (size in between)


def test_cut_file_gives_every_whole_record_first(file):
    data = framed(*RECORDS)
    found, error = until_error(read_records(file(data[:-1])))

    assert RECORDS[:-1] == found
    assert f"record 3 (at byte {len(data) - 20}): the file ends within it, 19 bytes into it" in str(error)


def test_damaged_data_is_told_with_file_record_and_offset(file):
    data = bytearray(framed(b"abc", b"def"))
    data[19 + 12] ^= 1
    path = file(data)

    with pytest.raises(CorruptRecord) as caught:
        list(read_records(path))

    expected = f"{path}: record 1 (at byte 19): the checksum of its data is wrong"
    assert str(caught.value).startswith(expected)


def test_offset_of_a_compressed_file_is_said_to_be_of_the_decompressed_data(file):
    data = bytearray(framed(b"abc", b"def"))
    data[19 + 12] ^= 1

    with pytest.raises(CorruptRecord, match=r"\(at decompressed byte 19\)"):
        list(read_records(file(gzip.compress(data))))


def test_length_that_is_a_lie_with_a_right_checksum_is_a_truncation(file):
    length = (2**62).to_bytes(8, "little")
    path = file(framed(b"a") + length + FOOTER.pack(masked_crc(length)) + bytes(100))

    found, error = until_error(read_records(path))

    assert [b"a"] == found
    assert "record 1" in str(error)


def test_skipping_leaves_out_damaged_records_and_warns_once(file, caplog):
    data = bytearray(framed(b"abc", b"def", b"ghi", b"jkl"))
    data[12] ^= 1
    data[2 * 19 + 12] ^= 1
    path = file(data)

    with caplog.at_level(logging.WARNING, "flazy"):
        found = list(read_records(path, on_corrupt="skip"))

    assert [b"def", b"jkl"] == found
    assert ["flazy"] == [record.name for record in caplog.records]
    first = "record 0 (at byte 0): the checksum of its data is wrong"
    assert [f"{path}: left out 2 damaged record(s); the first is {first}"] == caplog.messages


def test_skipping_ends_the_file_at_a_broken_length(file, caplog):
    data = bytearray(framed(b"abc", b"def", b"ghi"))
    data[19] ^= 1

    assert [b"abc"] == list(read_records(file(data), on_corrupt="skip"))
    assert "left out 1 damaged" in caplog.text
    assert "record 1 (at byte 19): the checksum of its length" in caplog.text


@pytest.mark.parametrize("how", [None, "gzip", "zlib"])
def test_skipping_never_raises_and_never_gives_garbage(file, how, caplog):
    data = COMPRESS[how](framed(*RECORDS))
    for size in range(len(data)):
        whole = list(read_records(file(data[:size]), compression=how, on_corrupt="skip"))
        flipped = data[:size] + bytes([data[size] ^ 0x40]) + data[size + 1 :]
        rest = list(read_records(file(flipped), compression=how, on_corrupt="skip"))

        assert whole == RECORDS[: len(whole)]
        assert [record for record in RECORDS if record in rest] == rest
    assert caplog.messages


def test_nothing_is_logged_for_a_whole_file(file, caplog):
    list(read_records(file(LITERAL), on_corrupt="skip"))

    assert [] == caplog.messages


@pytest.mark.parametrize("read", [read_records, read_tfrecord])
def test_unknown_policy_is_told_at_the_call(read):
    with pytest.raises(InvalidArgument, match="'ignore'; known are 'raise' and 'skip'"):
        read("nowhere", on_corrupt="ignore")


# Samples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 2000, 64_000])
def test_samples_are_read(file, size):
    path = file(framed(*map(encode, samples(20, size))))

    assert listed(samples(20, size)) == listed(read_tfrecord(path))


def test_samples_do_not_change_when_later_ones_are_read_or_written_to(file):
    kept = list(read_tfrecord(file(framed(*map(encode, samples(12, 64_000))))))
    kept[0]["x"][:] = -1

    assert listed(samples(12, 64_000)[1:]) == listed(kept[1:])


def test_keys_are_selected_in_their_order(file):
    path = file(framed(*map(encode, samples(3))))

    assert [["y", "x"]] * 3 == [list(sample) for sample in read_tfrecord(path, keys=["y", "x"])]
    assert [["y"]] * 3 == [list(sample) for sample in read_tfrecord(path, keys=("y",))]
    assert [{}] * 3 == list(read_tfrecord(path, keys=[]))


@pytest.mark.parametrize("on_corrupt", ["raise", "skip"])
def test_missing_key_names_file_record_key_and_what_is_there(file, on_corrupt):
    path = file(framed(encode({"x": 1, "y": 2}), encode({"z": 1, "y": 2})))
    read = read_tfrecord(path, keys=["x"], on_corrupt=on_corrupt)
    next(read)

    with pytest.raises(MissingKey) as caught:
        next(read)

    assert f"{path}: record 1 has no key 'x'; its keys are 'y', 'z'" == str(caught.value)


def test_keys_that_are_one_str_are_refused():
    with pytest.raises(InvalidType, match=r"such as \['audio'\]"):
        read_tfrecord("nowhere", keys="audio")


def test_record_that_is_no_example_is_corrupt(file):
    with pytest.raises(CorruptRecord, match=r"record 1 \(at byte .*not a tf\.train\.Example"):
        list(read_tfrecord(file(framed(encode({"x": 1}), b"\x0a\xff"))))


def test_record_that_is_no_example_is_skipped(file, caplog):
    path = file(framed(encode({"x": 1}), b"\x0a\xff", encode({"x": 2})))

    assert [{"x": [1]}, {"x": [2]}] == listed(read_tfrecord(path, on_corrupt="skip"))
    assert "record 1" in caplog.text
