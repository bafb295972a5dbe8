"""Every example runs, with small settings, as a user would start it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
SMALL = ["--epochs", "1", "--samples", "100"]
IMAGES = ["--images", "48", "--sheet", "sheet.png"]

# example -> the settings it is run with, each in a process of its own
SETTINGS = {
    "audio_spectrograms": [["--sounds", "120", "--workers", "2", "--picture", "spectrograms.png"]],
    "images_augment": [[*IMAGES, "--workers", "0"], [*IMAGES, "--workers", "2"]],
    "jax_digits": [[*SMALL, "--workers", "2"]],
    "keras_digits": [[*SMALL, "--workers", "2"], [*SMALL, "--workers", "2", "--backend", "torch"]],
    "lightning_digits": [[*SMALL, "--workers", "0"]],
    "remote_digits": [["--epochs", "2", "--samples", "100"]],
    "torch_digits": [[*SMALL, "--workers", "2"]],
    "torch_ddp": [["--epochs", "1", "--samples", "101"]],
    "train_digits": [[*SMALL, "--workers", "0"], [*SMALL, "--workers", "2"]],
}
NEEDS = {
    "audio_spectrograms": ["PIL", "sklearn", "scipy"],
    "images_augment": ["PIL", "sklearn"],
    "jax_digits": ["sklearn", "scipy", "jax"],
    "keras_digits": ["sklearn", "scipy", "keras", "tensorflow", "torch"],
    "lightning_digits": ["sklearn", "scipy", "lightning"],
    "remote_digits": ["sklearn", "scipy"],
    "torch_digits": ["sklearn", "scipy", "torch"],
    "torch_ddp": ["sklearn", "scipy", "torch"],
    "train_digits": ["sklearn", "scipy"],
}
# example -> what it prints behind a number, and how large that must be at least
PRINTS = {
    "audio_spectrograms": {
        " of 120 sounds are the same from TFRecord and from WAV": 120,
        "% of 24 sounds that it never heard are told right": 50,  # by chance 17
    },
    "images_augment": {" of 48 images are the same with workers and without": 48},
    "jax_digits": {"% of 20 digits that it never saw are told right": 0},
    "keras_digits": {"% of 20 digits that it never saw are told right": 0},
    "lightning_digits": {"% of 20 digits that it never saw are told right": 0},
    "remote_digits": {
        " of 5 batches are the same as without workers": 5,
        "% of 20 digits that it never saw are told right": 0,
    },
    "torch_digits": {"% of 20 digits that it never saw are told right": 0},
    "torch_ddp": {
        " of 81 digits are in the ranks' parts together": 81,
        "% of 20 digits that it never saw are told right": 0,
    },
    "train_digits": {"% of 20 digits that it never saw are told right": 0},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Give a function that runs an example, each with the same settings once: what it did, and its folder."""
    known = {}

    def run(example, settings):
        for package in NEEDS[example]:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{example}.py needs {package}, which is not installed")
        key = (example, *settings)
        if key not in known:
            folder = tmp_path_factory.mktemp(example)
            known[key] = started(example, settings, folder), folder
        return known[key]

    return run


def started(example, settings, folder):
    return subprocess.run(
        [sys.executable, ROOT / "examples" / f"{example}.py", *settings],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def pixels(path):
    """Read a picture: an array of height x width x 3."""
    with pytest.importorskip("PIL.Image").open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
@pytest.mark.time_limit(180)
@pytest.mark.parametrize(
    ("example", "settings"), [(example, settings) for example, several in SETTINGS.items() for settings in several]
)
def test_example_runs(example, settings, ran):
    done, folder = ran(example, settings)

    assert done.returncode == 0, done.stderr
    for words, least in PRINTS[example].items():
        found = re.search(rf"([\d.]+){re.escape(words)}", done.stdout)
        assert found is not None, done.stdout
        assert least <= float(found[1])
    pictures = [word for word in settings if word.endswith(".png")]
    assert pictures == [path.name for path in folder.iterdir()]


@pytest.mark.slow
@pytest.mark.time_limit(180)
def test_contact_sheet_is_the_same_file_with_workers_and_without(ran):
    sheets = [ran("images_augment", settings)[1] / "sheet.png" for settings in SETTINGS["images_augment"]]
    sheet = pixels(sheets[0])

    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    assert sheet.shape == (4 * 116 + 4, 6 * 116 + 4, 3)
    assert sheet[:4].min() == 255  # the margin
    tiles = [sheet[top : top + 112, left : left + 112] for top in range(4, 464, 116) for left in range(4, 696, 116)]
    assert min(tile.std() for tile in tiles) > 5
    assert len({tile.tobytes() for tile in tiles}) == 24


@pytest.mark.slow
@pytest.mark.time_limit(180)
def test_contact_sheet_of_the_readme_is_what_the_example_draws(ran):
    _, folder = ran("images_augment", SETTINGS["images_augment"][0])
    drawn, shown = pixels(folder / "sheet.png"), pixels(ROOT / "docs" / "contact_sheet.png")

    assert drawn.shape == shown.shape
    assert abs(drawn - shown.astype(float)).mean() < 4  # decoders of JPEG differ a little from version to version


@pytest.mark.slow
@pytest.mark.time_limit(180)
def test_spectrograms_are_drawn(ran):
    _, folder = ran("audio_spectrograms", SETTINGS["audio_spectrograms"][0])
    drawn = pixels(folder / "spectrograms.png")

    assert drawn.shape == (4 * 84 + 4, 6 * 124 + 4, 3)
    sine, rising, falling = (drawn[4:84, left : left + 120].sum(axis=2).argmax(axis=0) for left in (4, 252, 376))
    assert abs(sine[10] - sine[110]) <= 2
    assert rising[10] > rising[110]  # rows are counted from the top
    assert falling[10] < falling[110]


def test_all_examples_are_run_here_and_listed():
    examples = {path.stem for path in (ROOT / "examples").glob("*.py")}
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")

    assert set(SETTINGS) == examples == set(NEEDS) == set(PRINTS)
    assert [example for example in sorted(examples) if f"- `{example}.py`" not in listed] == []
