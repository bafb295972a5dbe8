"""Machines with other code or other packages are told apart before anything of the program gets there."""

import sys
from importlib.util import find_spec

import pytest

from flazy import Dataset, Remote
from flazy.errors import CodeMismatch, VersionMismatch
from tests.parallel.scripts import ROOT
from tests.remote.hosts import PROGRAM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(PROGRAM[-1]) is None, reason="there is no flazy-worker"),
]

HERE = """
class Held:
    def __init__(self, x):
        self.x = x

def fn(x):
    return (x.x if isinstance(x, Held) else x) + 1
"""
THERE = "import pathlib\npathlib.Path({loaded!r}).touch()\ndef fn(x):\n    return x + 2\n"


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Give two modules as they are here, the path of a host that has the first, edited, and what loading that makes."""
    here, there, loaded = tmp_path / "here", tmp_path / "there", tmp_path / "loaded"
    here.mkdir()
    there.mkdir()
    (here / "twofold.py").write_text(HERE)
    (here / "lonely.py").write_text(HERE)
    (there / "twofold.py").write_text(THERE.format(loaded=str(loaded)))
    monkeypatch.syspath_prepend(str(here))
    yield [__import__("twofold"), __import__("lonely")], there, loaded
    del sys.modules["twofold"], sys.modules["lonely"]


def path(folder):
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def test_edited_and_missing_modules_are_told_before_anything_is_loaded(remote, hosts, sides):
    (twofold, lonely), there, loaded = sides
    with Dataset(range(4)).map(twofold.fn, workers=remote).map(lonely.fn, workers=remote).open() as run:
        host = hosts.start(remote, name="spare", **path(there))
        with pytest.raises(CodeMismatch) as caught:
            list(run)
    host.wait(4)
    text = str(caught.value)
    _, head, first, second, _ = [line.split() for line in text.splitlines()]

    assert ["module", "the", "trainer", "spare"] == head
    assert [["lonely", True], ["twofold", False]] == [[row[0], row[-1] == "missing"] for row in (first, second)]
    assert "Remote(..., ship=['lonely', 'twofold'])" in text
    assert "Remote(..., ship=['lonely', 'twofold'])" in host.output
    assert not loaded.exists()


def test_what_is_shipped_runs_as_it_is_here(remote, hosts, sides):
    (twofold, lonely), there, loaded = sides
    shipping = Remote(remote.listen, join_file=remote.join_file, join_timeout=30, ship=[twofold, "lonely"])
    samples = [0, 1, twofold.Held(2), 3]  # whose class comes by value, too, and is the one that the function knows
    with Dataset(samples).map(twofold.fn, workers=shipping).map(lonely.fn, workers=shipping).open() as run:
        hosts.start(remote, **path(there))

        assert [2, 3, 4, 5] == list(run)
    assert not loaded.exists()


def test_other_versions_are_told_before_anything_is_sent(remote, hosts, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import cloudpickle\ncloudpickle.__version__ = '0.9'\n")
    with Dataset(range(4)).map(lambda x: x, workers=remote).open() as run:
        host = hosts.start(remote, name="spare", **path(tmp_path))
        with pytest.raises(VersionMismatch, match=r"(?s)spare cannot work .*cloudpickle.* 0\.9\n"):
            list(run)
    host.wait(4)

    assert "pip install cloudpickle==" in host.output
