"""Which modules a pickled function refers to, and whether both sides have the same."""

import decimal
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import pickle
import subprocess
import sys
import types
import zipfile

import cloudpickle
import hypothesis
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flazy
from flazy.plan.kernel import Op
from flazy.plan.shipping import dump_ops, load_ops
from flazy.remote import fingerprints
from flazy.remote.code import compared, known, references
from flazy.remote.fingerprints import fingerprint
from tests import leaks

ROOT = pathlib.Path(__file__).parents[2]


# What a pickle refers to ------------------------------------------------------------------------------

NAMED = [  # what a function may capture, and the modules that it then refers to
    (msgpack, {"msgpack"}),
    (msgpack.Timestamp, {"msgpack.ext"}),
    (msgpack.Timestamp(1, 2), {"msgpack.ext"}),
    (msgpack.Packer, {msgpack.Packer.__module__}),
    (pytest.importorskip, {"_pytest.outcomes"}),
    (leaks, {"tests.leaks"}),
    (hypothesis.settings.get_profile, {"hypothesis._settings"}),
    (leaks.__name__, set()),  # text that is the name of a module
    (b"cmsgpack\nPacker\n.", set()),
    (json, set()),
    (os.path, set()),
    (importlib.machinery.PathFinder, set()),
    (decimal.Decimal("1.5"), set()),
    (len, set()),
    (np, set()),
    (np.linalg.norm, set()),
    (np.arange(3), set()),
    (np.float32(2), set()),
    (flazy.Dataset, set()),
    (cloudpickle.dumps, set()),
]


def made(names, parts):
    """Make a function of no module whose globals are the parts."""
    source = f"lambda: [{', '.join(names)}]"
    return eval(source, {"__name__": "made", **dict(zip(names, parts, strict=True))})


def captured_by_a_function(parts):
    return made([f"a{number}" for number in range(len(parts))], parts)


structures = st.recursive(
    st.integers(0, len(NAMED) - 1),
    lambda inner: st.tuples(st.sampled_from(["list", "tuple", "dict", "function"]), st.lists(inner, max_size=4)),
    max_leaves=12,
)


def built(structure):
    """Build what a structure describes, and collect the modules that it refers to."""
    if isinstance(structure, int):
        return NAMED[structure]
    kind, inner = structure
    parts = [built(each) for each in inner]
    values = [value for value, _ in parts]
    kinds = {"list": list, "tuple": tuple, "dict": lambda found: dict(enumerate(found))}
    value = kinds.get(kind, captured_by_a_function)(values)
    return value, set().union(*[modules for _, modules in parts])


@given(structures, st.sampled_from([3, 4, 5]))
def test_references_are_the_modules_of_what_was_captured(structure, protocol):
    value, modules = built(structure)

    assert modules == references(cloudpickle.dumps([value, value], protocol=protocol)).loaded


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_references_are_read_in_every_protocol(protocol):
    assert references(pickle.dumps([msgpack.Timestamp, {}, msgpack.Timestamp], protocol)).loaded == {"msgpack.ext"}


def test_what_a_pickle_would_run_is_not_run():
    class Deadly:
        def __reduce__(self):
            return os._exit, (1,)

    assert references(pickle.dumps([Deadly(), msgpack.Timestamp(1, 2)])).loaded == {"msgpack.ext"}


IMPORTING = """
def fn(x):
    import json, msgpack, pytest
    from hypothesis import strategies
    from numpy import linalg
    try:
        import psutil
    except ImportError:
        pass
    def inner():
        import not_here
        from _pytest.outcomes import skip
        yield
    return json
"""


def test_what_a_function_imports_when_it_is_called_is_seen():
    space = {"__name__": "made"}
    exec(IMPORTING, space)
    stream = dump_ops((Op("map", "map(fn)", space["fn"]),)).stream

    assert (set(), {"msgpack", "pytest", "hypothesis", "not_here", "_pytest.outcomes"}) == references(stream)
    assert ["_pytest.outcomes", "hypothesis", "msgpack", "pytest"] == list(known(stream))
    assert json is load_ops(stream)[0].fn(1)


def test_relative_imports_are_not_taken_for_others():
    space = {"__name__": "made"}
    exec("def fn():\n    from . import msgpack\n    from .msgpack import ext\n", space)

    assert references(dump_ops((Op("map", "map(fn)", space["fn"]),)).stream) == (set(), set())


# Where it is ------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder on the path; code in it ends the test if it is imported."""
    bomb = "raise SystemExit('imported')\n"
    files = {
        "single.py": bomb,
        "pack/__init__.py": bomb,
        "pack/inner.py": bomb,
        "pack/deep/__init__.py": bomb,
        "pack/deep/leaf.py": bomb,
        "pack/bare/leaf.py": bomb,  # a folder without code inside a package
        "bare/low/leaf.py": bomb,
        "pack/data.txt": "one",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


MODULES = ["single", "pack", "pack.inner", "pack.deep", "pack.deep.leaf", "pack.bare.leaf", "bare", "bare.low.leaf"]


@pytest.mark.parametrize("name", MODULES)
def test_module_is_found_and_nothing_is_imported(project, name):
    before = set(sys.modules)
    mark = fingerprint(name)

    assert mark.startswith("local; file ")
    assert before == set(sys.modules)


NOWHERE = ["", ".", "pack.", ".pack", "pack.nothing", "single.inner", "nothing", "nothing.at.all", "pack./etc", "a\0b"]


@pytest.mark.parametrize("name", NOWHERE)
def test_what_is_not_there_has_no_fingerprint(project, name):
    assert fingerprint(name) is None


@pytest.mark.parametrize("edited", ["pack/deep/leaf.py", "pack/inner.py", "pack/__init__.py", "pack/new.py"])
def test_any_edited_file_of_a_package_changes_it(project, edited):
    before = fingerprint("pack.inner")
    (project / edited).write_text("another = 1\n")

    assert before != fingerprint("pack.inner")


@pytest.mark.parametrize(
    "beside", ["pack/data.txt", "single.py", "pack/__pycache__/old.py", "pack/.git/hook.py", "pack/env/lib/thing.py"]
)
def test_what_is_no_code_of_a_package_does_not_change_it(project, beside):
    (project / "pack/env").mkdir()
    (project / "pack/env/pyvenv.cfg").touch()
    before = fingerprint("pack")
    (project / beside).parent.mkdir(exist_ok=True, parents=True)
    (project / beside).write_text("another = 1\n")

    assert before == fingerprint("pack")


def test_large_package_is_told_by_the_file_alone(project, monkeypatch):
    monkeypatch.setattr(fingerprints, "MOST_FILES", 3)

    assert "package" not in fingerprint("pack")


def test_installed_and_compiled_modules_are_told_as_such():
    assert fingerprint("msgpack").startswith("installed; file ")
    assert fingerprint("msgpack").endswith(f"version {'.'.join(map(str, msgpack.version))}")
    assert fingerprint("numpy._core._multiarray_umath").startswith("extension; version ")
    assert fingerprint("_io") == "extension"


def test_module_in_a_zip_file_is_found(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "raise SystemExit\n")
        archive.writestr("zipped/inner.py", "here = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "code.zip"))

    assert fingerprint("zipped.inner").startswith("local; file ")
    assert "zipped" not in sys.modules


def test_module_whose_file_is_gone_has_no_fingerprint(project):
    (project / "fleeting.py").touch()
    __import__("fleeting")
    (project / "fleeting.py").unlink()

    assert fingerprint("fleeting") is None
    del sys.modules["fleeting"]


class Elsewhere:
    """A finder such as editable installs put in place."""

    def __init__(self, file):
        self.file = file

    def find_spec(self, name, path=None, target=None):
        if name == "nowhere.else":
            raise KeyError(name)
        return importlib.util.spec_from_file_location(name, self.file) if name == "elsewhere" else None


def test_finders_of_editable_installs_are_asked(project, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Elsewhere(project / "single.py"), *sys.meta_path])

    assert fingerprint("single") == fingerprint("elsewhere")
    assert fingerprint("nowhere.else") is None


def test_package_stands_for_modules_that_it_makes(monkeypatch):
    inner = types.ModuleType("msgpack.made")
    inner.fn = eval("lambda: 1", {"__name__": "msgpack.made"})
    inner.fn.__qualname__ = inner.fn.__name__ = "fn"
    monkeypatch.setitem(sys.modules, "msgpack.made", inner)
    stream = cloudpickle.dumps(inner.fn)

    assert references(stream).loaded == {"msgpack.made"}
    assert known(stream) == {"msgpack": fingerprint("msgpack")}


# Here and there ---------------------------------------------------------------------------------------


def test_edited_and_missing_modules_of_another_path_are_told(project, tmp_path_factory):
    there = tmp_path_factory.mktemp("there")
    (there / "pack").mkdir()
    for name in ("pack/__init__.py", "pack/inner.py"):
        (there / name).write_text((project / name).read_text())
    (there / "pack/other.py").touch()
    names = ["single", "pack", "pack.inner", "msgpack", "msgpack.ext"]
    script = f"import json; from flazy.remote.fingerprints import *; print(json.dumps(fingerprints({names})))"
    environment = {**os.environ, "PYTHONPATH": f"{there}:{ROOT}"}
    ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, check=True, env=environment)
    text = compared(fingerprints.fingerprints(names), json.loads(ran.stdout), called=("trainer", "spare"))
    rows = [line.split() for line in text.splitlines()]

    assert [["module", "trainer", "spare"], "pack", "pack.inner", "single"] == [rows[0], *[row[0] for row in rows[1:4]]]
    assert "missing" == rows[3][-1]
    assert ["pack", "5", "3"] == [rows[1][0], rows[1][1], rows[1][6]]
    assert "on spare as on trainer, or have the code sent along: Remote(..., ship=['pack', 'single']). Import" in text


LOCAL = "local; file 1; package 2; 3 files, 4 bytes"


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        (LOCAL, LOCAL, True),
        (LOCAL, "local; file 1; package 9; 3 files, 4 bytes", False),
        (LOCAL, "installed; file 1; package 2; 3 files, 4 bytes; version 1", True),
        (LOCAL, "installed; file 1; package 9; 3 files, 4 bytes; version 1", False),
        (LOCAL, "installed; file 1; version 1", True),
        (LOCAL, "installed; file 9; version 1", False),
        ("installed; file 1; package 2; version 1", "installed; file 1; package 3; version 2", True),
        ("installed; file 1; version 1", "installed; file 2; version 1", False),
        ("extension; version 1", "extension; version 2", True),
        ("extension", "local; file 1", True),
        ("local; file namespace", "local; file 1", False),
        (LOCAL, None, False),
        (None, LOCAL, False),
        (None, None, False),
        (LOCAL, "", False),
        (LOCAL, "local", False),
        (LOCAL, "\x1b[2J; file; package", False),
    ],
)
def test_fingerprints_are_compared_by_what_both_tell(here, there, same):
    assert same == (compared({"m": here}, {"m": there}) is None)


def test_answer_of_a_stranger_is_cut_and_what_was_not_asked_is_ignored():
    here = dict.fromkeys([f"m{number:02}" for number in range(20)], LOCAL)
    text = compared(here, {**dict.fromkeys(here, "\x1b[2J" * 10**5), "other": None})

    assert len(text) < 3000
    assert "and 8 more" in text
    assert all(line.isprintable() for line in text.splitlines())
    assert compared({}, {"other": None}) is None


def test_what_is_sent_and_yet_referred_to_by_name_is_not_to_be_shipped_once_more():
    here = dict.fromkeys(["pack.inner", "single"], LOCAL)
    text = compared(here, {}, sent=["pack"])

    assert "ship=['single']). The code of pack.inner is sent, but that does not help" in text
