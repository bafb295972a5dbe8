"""The README and the pages of docs run: blocks of Python of the README one by one, those of a page section by section.

A section of a page goes on from the first one. Blocks marked ``py`` are pieces of a program, and are not run.
"""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# What a script imports -> what must be installed for it.
NEEDS = {"torch": ["torch"], "jax": ["jax"], "keras": ["keras", "jax"]}


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def scripts():
    """Give the scripts: a name, and the text."""
    for block in blocks((ROOT / "README.md").read_text()):
        yield pytest.param(block, id=f"README {block.strip().splitlines()[-1][:40]}")
    for page in ("training", "remote"):
        first, *sections = re.split(r"^## ", (ROOT / "docs" / f"{page}.md").read_text(), flags=re.MULTILINE)
        for section in sections:
            if blocks(section):
                yield pytest.param("\n".join(blocks(first) + blocks(section)), id=f"{page} {section.splitlines()[0]}")


SCRIPTS = [*scripts()]


def test_has_scripts_to_run():
    assert len(SCRIPTS) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("text", SCRIPTS)
def test_block_runs_as_a_script(text, tmp_path):
    for package in [package for name, packages in NEEDS.items() if f"import {name}" in text for package in packages]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    script = tmp_path / "block.py"
    script.write_text(text)

    command = [sys.executable, str(script)]
    surroundings = os.environ | {"KERAS_BACKEND": "jax"}  # TensorFlow loads for long, and writes of the processor
    done = subprocess.run(
        command, env=surroundings, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
