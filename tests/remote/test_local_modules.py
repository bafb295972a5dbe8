"""Which modules go to other machines by value: those beside the script, and those that are named."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from flazy.errors import InvalidArgument
from flazy.remote.code import local_modules, sent_by_value

ROOT = pathlib.Path(__file__).parents[2]

SCRIPT = """
import sys; sys.path[:0] = sys.argv[1:]
import conftest, beside, within.inner, environment, installed, json, msgpack
from flazy.remote.code import local_modules
print(json.dumps(local_modules()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["script.py"], ["beside", "within"]),
        (["-m", "within.script"], ["beside", "within"]),
        (["-c", SCRIPT], ["beside", "within"]),  # no file: as in an interactive session
        (["env/bin/script.py"], []),
    ],
)
def test_what_lies_beside_the_script_goes_by_value(tmp_path, command, expected):
    files = [
        *("beside.py", "conftest.py", "within/__init__.py", "within/inner.py", "env/pyvenv.cfg"),
        *("env/lib/environment.py", "site-packages/installed.py"),
    ]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "env/bin").mkdir()
    for name in ("script.py", "within/script.py", "env/bin/script.py"):
        (tmp_path / name).write_text(SCRIPT)
    paths = [".", "env/lib", "site-packages"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, *command, *paths], capture_output=True, check=True, env=environment, cwd=tmp_path
    )

    assert expected == json.loads(ran.stdout)


def test_under_pytest_nothing_lies_beside_the_script():
    assert local_modules() == []


def test_what_is_shipped_is_loaded_and_stands_for_what_is_in_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pack").mkdir()
    for name in ("pack/__init__.py", "pack/inner.py", "single.py"):
        (tmp_path / name).touch()

    try:
        assert ("pack", "single") == sent_by_value(["single", "pack.inner", "pack"])
        assert {"pack", "pack.inner", "single"} <= set(sys.modules)
    finally:
        for name in ("pack", "pack.inner", "single"):
            sys.modules.pop(name, None)


def test_what_only_stands_among_the_modules_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "stand_in", object())

    with pytest.raises(InvalidArgument, match="no module"):
        sent_by_value(["stand_in"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.at.all", r"'nothing.at.all' of Remote: it cannot be imported here \(ModuleNotFoundError"),
        ("", "cannot be imported here"),
        ("json", "every worker has that"),
        ("numpy.linalg", "every worker has that"),
        ("msgpack._cmsgpack", "it is compiled"),
    ],
)
def test_what_cannot_be_shipped_is_refused(name, said):
    with pytest.raises(InvalidArgument, match=said):
        sent_by_value([name])
