from __future__ import annotations

import os
from pathlib import Path

import pytest

from flazy.errors import InvalidArgument, InvalidType, MissingFile
from flazy.readers.files import expand

SUFFIXES = (".tfrecord", ".tfrecords")


@pytest.fixture
def folder(tmp_path):
    for name in ("b.tfrecord", "a.tfrecord", "c.tfrecord.gz", "d.tfrecords", "notes.txt", ".e.tfrecord.tmp-12"):
        (tmp_path / name).touch()
    (tmp_path / "deep.tfrecord").mkdir()
    (tmp_path / "deep.tfrecord" / "f.tfrecord").touch()
    return tmp_path


def names(paths: list[str], folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in paths]


def test_path_gives_itself_whatever_its_suffix(folder):
    path = str(folder / "notes.txt")

    assert [path] == expand(path, suffixes=SUFFIXES)


def test_path_object_gives_a_str(folder):
    assert [str(folder / "a.tfrecord")] == expand(folder / "a.tfrecord", suffixes=SUFFIXES)


def test_relative_path_stays_relative(folder, monkeypatch):
    monkeypatch.chdir(folder)

    assert ["a.tfrecord"] == expand("a.tfrecord", suffixes=SUFFIXES)


def test_folder_gives_its_files_with_the_suffixes_sorted(folder):
    expected = ["a.tfrecord", "b.tfrecord", "c.tfrecord.gz", "d.tfrecords"]

    assert expected == names(expand(folder, suffixes=SUFFIXES), folder)


def test_glob_gives_files_sorted(folder):
    found = expand(str(folder / "*.tfrecord"), suffixes=SUFFIXES)

    assert ["a.tfrecord", "b.tfrecord"] == names(found, folder)


def test_double_star_reaches_any_depth(folder):
    found = expand(str(folder / "**" / "*.tfrecord"), suffixes=SUFFIXES)

    assert ["a.tfrecord", "b.tfrecord", "deep.tfrecord/f.tfrecord"] == names(found, folder)


def test_order_of_arguments_is_kept_and_repeats_stay(folder):
    found = expand([folder / "b.tfrecord", str(folder / "[ab].tfrecord")], suffixes=SUFFIXES)

    assert ["b.tfrecord", "a.tfrecord", "b.tfrecord"] == names(found, folder)


def test_arguments_may_come_from_a_generator(folder):
    found = expand((folder / f"{letter}.tfrecord" for letter in "ba"), suffixes=SUFFIXES)

    assert ["b.tfrecord", "a.tfrecord"] == names(found, folder)


def test_existing_name_that_looks_like_a_glob_is_taken_as_it_is(folder):
    path = folder / "run[ab].tfrecord"
    path.touch()

    assert [str(path)] == expand(path, suffixes=SUFFIXES)


def test_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))

    assert [str(folder / "a.tfrecord")] == expand("~/a.tfrecord", suffixes=SUFFIXES)


def test_files_are_listed_at_the_call(folder):
    found = expand(folder, suffixes=SUFFIXES)
    (folder / "z.tfrecord").touch()

    assert len(found) == 4


def test_missing_file_names_it_and_the_nearest(folder):
    with pytest.raises(MissingFile) as caught:
        expand(folder / "a.tfrecrd", suffixes=SUFFIXES)

    assert repr(str(folder / "a.tfrecrd")) in str(caught.value)
    assert f"did you mean {str(folder / 'a.tfrecord')!r}" in str(caught.value)


def test_missing_file_is_a_file_not_found_error(folder):
    with pytest.raises(FileNotFoundError):
        expand(folder / "zzz", suffixes=SUFFIXES)


def test_missing_folder_is_named_at_the_level_that_is_wrong(folder):
    (folder / "training").mkdir()
    with pytest.raises(MissingFile) as caught:
        expand(folder / "trainin" / "a" / "b.tfrecord", suffixes=SUFFIXES)

    assert f"did you mean {str(folder / 'training')!r}" in str(caught.value)


def test_missing_file_with_no_neighbour_alike_says_which_folder_exists(tmp_path):
    with pytest.raises(MissingFile, match="holds nothing of a similar name"):
        expand(tmp_path / "x.tfrecord", suffixes=SUFFIXES)


def test_shards_are_suggested_for_the_name_without_numbers(tmp_path):
    (tmp_path / "train-00000-of-00002.tfrecord").touch()

    with pytest.raises(MissingFile, match="train-00000-of-00002"):
        expand(tmp_path / "train.tfrecord", suffixes=SUFFIXES)


def test_glob_without_a_match_is_missing(folder):
    with pytest.raises(MissingFile, match=r"no file matches .*\*\.tfrec'.*did you mean"):
        expand(str(folder / "a*.tfrec"), suffixes=SUFFIXES)


def test_glob_in_a_folder_that_is_missing_is_missing(folder):
    with pytest.raises(MissingFile, match="no file matches"):
        expand(str(folder / "nowhere" / "*.tfrecord"), suffixes=SUFFIXES)


def test_folder_without_such_files_says_what_it_holds(tmp_path):
    (tmp_path / "a.csv").touch()

    with pytest.raises(MissingFile, match=r"\.tfrecord or .*\.tfrecord\.gz.*'a\.csv'"):
        expand(tmp_path, suffixes=(".tfrecord",))


def test_empty_folder_is_missing(tmp_path):
    with pytest.raises(MissingFile, match="it is empty"):
        expand(tmp_path, suffixes=SUFFIXES)


def test_no_path_at_all_is_an_error():
    with pytest.raises(InvalidArgument):
        expand([], suffixes=SUFFIXES)


@pytest.mark.parametrize("paths", [3, b"a.tfrecord", [3], None])
def test_what_is_no_path_is_an_error(paths):
    with pytest.raises(InvalidType, match="must be a str or a path object"):
        expand(paths, suffixes=SUFFIXES)
