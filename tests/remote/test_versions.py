"""What differs between two sides is told in a table, whatever the other side says."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from flazy.remote import messages
from flazy.remote.versions import RULES, about, differences, plain

ROOT = pathlib.Path(__file__).parents[2]
HERE = about()


def test_equal_sides_may_work_together():
    assert differences(HERE, about()) is None


@pytest.mark.parametrize(
    ("key", "value", "line", "remedy"),
    [
        ("python", "CPython 3.99", f"Python  {HERE['python']}", HERE["python"]),
        ("bytecode", "3390", f"byte code  {HERE['bytecode']}", "the same release"),
        ("protocol", "99.1", f"protocol  {HERE['protocol']}", f"pip install flazy=={HERE['flazy']}"),
        ("cloudpickle", "3.0.0", f"cloudpickle  {HERE['cloudpickle']}", f"cloudpickle=={HERE['cloudpickle']}"),
        ("numpy", "99.0", f"numpy  {HERE['numpy']}", f"'numpy=={HERE['numpy'].partition('.')[0]}.*'"),
        ("byteorder", "middle", f"byte order  {HERE['byteorder']}", "one byte order"),
    ],
)
def test_what_differs_is_listed_with_both_sides_and_what_to_do(key, value, line, remedy):
    text = differences(HERE, {**HERE, key: value})
    rows = [" ".join(row.split()) for row in text.splitlines()]

    assert [" ".join(f"{line} {value}".split())] == [row for row in rows if row.endswith(value)]
    assert remedy in text.partition("What to do")[2]


@pytest.mark.parametrize("key", sorted({*HERE} - {*RULES}))
def test_what_is_only_told_may_differ(key):
    assert differences(HERE, {**HERE, key: "something else"}) is None


def test_numpy_may_differ_in_its_minor_version():
    major = HERE["numpy"].partition(".")[0]

    assert differences(HERE, {**HERE, "numpy": f"{major}.999.1"}) is None


def test_each_side_is_called_by_its_machine():
    text = differences({**HERE, "host": "big"}, {**HERE, "host": "spare", "numpy": "1.0"}, called=("trainer", "worker"))

    assert "trainer (big)" in text
    assert "What to do on worker (spare):" in text


@pytest.mark.parametrize(
    "there",
    [
        {},
        {"python": ""},
        dict.fromkeys(HERE, "x" * 10**6),
        dict.fromkeys(HERE, "\x1b[2J\r\n\x9b\u202e\ud800" * 40),
        dict.fromkeys(HERE, "{0.__class__} %s {flazy}" * 10),
        {**dict.fromkeys(HERE, "é" * 100), "x" * 1000: "y" * 1000},
    ],
)
def test_what_a_stranger_says_is_cut_and_cannot_steer_a_terminal(there):
    text = differences(HERE, there)

    assert len(text) <= messages.TEXT
    assert all(line.isprintable() for line in text.splitlines())
    assert "__class__'" not in text
    text.encode()


def test_plain_text_stays_as_it_is():
    assert ("3.11.7 é", "aaa…") == (plain("3.11.7 é"), plain("aaaaa", 4))


# In a bare Python there is no numpy; the two modules that only lend their numbers need it.
TOLD = """
import json, sys, types
for name, number in json.loads(sys.argv[1]).items():
    sys.modules[name] = types.SimpleNamespace(PROTOCOL=number, VERSION=number)
from flazy.remote.versions import about
print(json.dumps(about()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("release", ["3.12.1", "3.13.0"])
def test_another_python_is_told_before_its_byte_code_crashes_anything(release):
    python = pathlib.Path.home() / f".pyenv/versions/{release}/bin/python"
    if not python.exists():
        pytest.skip(f"no Python {release} at {python}")
    numbers = {"flazy.remote.messages": 1, "flazy.transport.wire": 2}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(
        [python, "-c", TOLD, json.dumps(numbers)], capture_output=True, check=True, timeout=30, env=environment
    )
    there = json.loads(told.stdout)
    text = differences(HERE, there)

    assert (f"CPython {release[:4]}", "missing", "1.2") == (there["python"], there["numpy"], there["protocol"])
    assert (sys.version_info[:2] != tuple(map(int, release.split(".")[:2]))) == ("Python" in text.split())
    assert "byte code" not in text
    assert HERE["cloudpickle"] in text
