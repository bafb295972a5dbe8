"""Every example runs, with small settings, as a user would start it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMALL = ["--epochs", "1", "--samples", "100"]

# example -> the settings it is run with, each in a process of its own
SETTINGS = {
    "keras_digits": [[*SMALL, "--workers", "2"]],
    "train_digits": [[*SMALL, "--workers", "0"], [*SMALL, "--workers", "2"]],
}
NEEDS = {
    "keras_digits": ["sklearn", "scipy", "tensorflow"],
    "train_digits": ["sklearn", "scipy"],
}


def run(example, settings, folder):
    return subprocess.run(
        [sys.executable, ROOT / "examples" / f"{example}.py", *settings],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.slow
@pytest.mark.time_limit(180)
@pytest.mark.parametrize(
    ("example", "settings"), [(example, settings) for example, several in SETTINGS.items() for settings in several]
)
def test_example_runs(example, settings, tmp_path):
    for package in NEEDS[example]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{example}.py needs {package}, which is not installed")
    done = run(example, settings, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "% of 20 digits that it never saw are told right" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_all_examples_are_run_here_and_listed():
    examples = {path.stem for path in (ROOT / "examples").glob("*.py")}
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")

    assert set(SETTINGS) == examples == set(NEEDS)
    assert [example for example in sorted(examples) if f"- `{example}.py`" not in listed] == []
