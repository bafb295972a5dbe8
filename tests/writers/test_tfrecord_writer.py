from __future__ import annotations

import gzip
import os
import stat
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy.errors import InvalidArgument, WriteError
from flazy.readers.tfrecord import read_tfrecord
from flazy.writers.shards import open_shards, shard_paths
from flazy.writers.tfrecord import write_tfrecord

VALUES = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=30),
    st.lists(st.binary(max_size=30), min_size=1, max_size=4),
)
SAMPLES = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def listed(read) -> list[dict]:
    return [{key: value.tolist() for key, value in sample.items()} for sample in read]


def held(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Samples ----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(SAMPLES, max_size=8), st.sampled_from([None, "gzip", "zlib"]))
def test_what_is_written_is_read(tmp_path_factory, samples, compression):
    path = tmp_path_factory.getbasetemp() / "round.tfrecord"
    write_tfrecord(samples, path, compression=compression)

    assert samples == listed(read_tfrecord(str(path)))


def test_paths_of_the_files_are_given(tmp_path):
    assert [str(tmp_path / "a.tfrecord")] == write_tfrecord([{"x": 1}], tmp_path / "a.tfrecord")


def test_no_samples_make_an_empty_file(tmp_path):
    write_tfrecord([], tmp_path / "a.tfrecord")

    assert {"a.tfrecord": b""} == held(tmp_path)


def test_lacking_folders_are_made(tmp_path):
    path = tmp_path / "deep" / "deeper" / "a.tfrecord"
    write_tfrecord([{"x": 1}], path)

    assert [{"x": [1]}] == listed(read_tfrecord(str(path)))


def test_file_in_the_working_folder_needs_no_folder_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert ["a.tfrecord"] == write_tfrecord([{"x": 1}], "a.tfrecord")
    assert ["a.tfrecord"] == list(held(tmp_path))


def test_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"old")
    write_tfrecord([{"x": 1}], path)

    assert [{"x": [1]}] == listed(read_tfrecord(str(path)))


def test_file_may_be_written_from_itself(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_tfrecord([{"x": i} for i in range(3)], path)
    write_tfrecord(({"x": sample["x"] + 1} for sample in read_tfrecord(str(path))), path)

    assert [{"x": [1]}, {"x": [2]}, {"x": [3]}] == listed(read_tfrecord(str(path)))


def test_sample_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(WriteError, match=r"sample 1, key 'x', complex: "):
        write_tfrecord([{"x": 1}, {"x": 1j}], tmp_path / "a.tfrecord")


@pytest.mark.parametrize("sample", [3, (1, 2), None])
def test_sample_that_is_no_dict_is_named(tmp_path, sample):
    with pytest.raises(WriteError, match=f"sample 0 is a {type(sample).__name__}"):
        write_tfrecord([sample], tmp_path / "a.tfrecord")


# Compression ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "decompress"),
    [("gzip", gzip.decompress), ("GZIP", gzip.decompress), ("zlib", zlib.decompress), ("ZLIB", zlib.decompress)],
)
def test_compressed_file_holds_the_bytes_of_the_plain_one(tmp_path, name, decompress):
    samples = [{"x": np.arange(1000), "name": f"sample {i}"} for i in range(50)]
    write_tfrecord(samples, tmp_path / "plain")
    write_tfrecord(samples, tmp_path / "compressed", compression=name)
    files = held(tmp_path)

    assert files["plain"] == decompress(files["compressed"])
    assert len(files["compressed"]) < len(files["plain"])


def test_gzip_gives_the_same_bytes_under_any_name_at_any_time(tmp_path):
    for name in ("a", "b"):
        write_tfrecord([{"x": 1}], tmp_path / name, compression="gzip")
    files = held(tmp_path)

    assert files["a"] == files["b"]
    assert bytes(4) == files["a"][4:8]  # the time, RFC 1952


def test_unknown_compression_creates_nothing(tmp_path):
    with pytest.raises(InvalidArgument, match="'infer'; known are 'gzip', 'zlib' and None"):
        write_tfrecord([{"x": 1}], tmp_path / "a", compression="infer")

    assert {} == held(tmp_path)


# Shards -----------------------------------------------------------------------------------------------


def test_samples_are_dealt_to_shards_in_turn(tmp_path):
    paths = write_tfrecord(({"x": i} for i in range(8)), tmp_path / "name.tfrecord", shards=3, compression="gzip")

    assert [f"name-0000{i}-of-00003.tfrecord" for i in range(3)] == [Path(path).name for path in paths]
    expected = [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert expected == [[sample["x"].item() for sample in read_tfrecord(path)] for path in paths]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.tfrecord", "a-00001-of-00002.tfrecord"),
        ("a", "a-00001-of-00002"),
        ("b/a.v2.tfrecord", "b/a.v2-00001-of-00002.tfrecord"),
        ("a.tfrecord.gz", "a-00001-of-00002.tfrecord.gz"),
        ("a.gz", "a-00001-of-00002.gz"),
    ],
)
def test_number_of_the_shard_stands_before_the_suffix(path, expected):
    assert expected == shard_paths(path, 2)[1]


@pytest.mark.parametrize("shards", [0, -1, 1.5, "2", None])
def test_shards_must_be_a_count(tmp_path, shards):
    with pytest.raises(InvalidArgument, match="shards must be an integer of at least 1"):
        write_tfrecord([{"x": 1}], tmp_path / "a", shards=shards)


def test_path_that_is_a_folder_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "a-00001-of-00002").mkdir()

    with pytest.raises(InvalidArgument, match="is a folder"):
        write_tfrecord([{"x": 1}], tmp_path / "a", shards=2)

    assert ["a-00001-of-00002"] == [path.name for path in tmp_path.iterdir()]


# All or nothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, SystemExit])
@pytest.mark.parametrize("shards", [1, 3])
def test_failing_samples_leave_old_files_and_no_others(tmp_path, error, shards):
    path = tmp_path / "a.tfrecord"
    write_tfrecord([{"x": 1}], path, shards=shards)
    before = held(tmp_path)

    def samples():
        yield {"x": 2}
        raise error

    with pytest.raises(error):
        write_tfrecord(samples(), path, shards=shards)

    assert before == held(tmp_path)


def test_nothing_has_its_name_before_all_is_written(tmp_path):
    seen = []

    def samples():
        yield {"x": 1}
        seen.extend(held(tmp_path))

    write_tfrecord(samples(), tmp_path / "a.tfrecord", shards=2)

    assert 2 == len(seen)
    assert all(name.startswith((".a-00000-of-00002.tfrecord.tmp-", ".a-00001-of-00002.tfrecord.tmp-")) for name in seen)


def test_rename_that_fails_removes_the_temporary_files(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_tfrecord([{"x": 1}], tmp_path / "a", shards=2)

    assert {} == held(tmp_path)


def test_name_of_the_greatest_length_can_be_written(tmp_path):
    name = "é" * 127  # 254 bytes

    with open_shards(tmp_path / name) as (file,):
        file.write(b"data")

    assert {name: b"data"} == held(tmp_path)


def test_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "any").touch()
    write_tfrecord([{"x": 1}], tmp_path / "a")

    assert (tmp_path / "any").stat().st_mode == (tmp_path / "a").stat().st_mode
    assert stat.S_ISREG((tmp_path / "a").stat().st_mode)
