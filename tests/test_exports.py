"""What ``import flazy`` gives, and what it does not load.

Each check is a function of a package's name, so that it can also be shown to fail on a planted package.
"""

import __future__

import importlib
import os
import subprocess
import sys
from types import ModuleType

import pytest

# Loaded when a dataset first needs them.
HEAVY = frozenset(
    {
        "cloudpickle",
        "google_crc32c",
        "jax",
        "keras",
        "ml_dtypes",
        "msgpack",
        "msgpack_numpy",
        "pandas",
        "ray",
        "scipy",
        "sklearn",
        "tensorflow",
        "torch",
        "tqdm",
        "zmq",
    }
)


def export_faults(package):
    """Say what is wrong with ``__all__``: it is sorted, and holds every public name that is no module."""
    listed = list(package.__all__)
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType | __future__._Feature)
    }
    return [
        *([] if listed == sorted(set(listed)) else [f"__all__ is not sorted: {listed}"]),
        *(f"{name} is public and not in __all__" for name in sorted(public - set(listed))),
        *(f"{name} is in __all__ and not there" for name in listed if not hasattr(package, name)),
    ]


def import_afresh(name, folder=None):
    """Import a package in a new interpreter; give its exit status and all that it wrote."""
    code = f"import sys, {name}; loaded = sorted({set(HEAVY)} & set(sys.modules)); loaded and sys.exit(str(loaded))"
    return run_afresh(code, folder)


def run_afresh(code, folder=None):
    """Run a program in a new interpreter; give its exit status and all that it wrote."""
    path = os.pathsep.join(map(str, [folder, *sys.path] if folder else sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_public_names_are_listed_and_sorted():
    assert export_faults(importlib.import_module("flazy")) == []


@pytest.mark.slow
def test_import_is_light_and_silent():
    assert import_afresh("flazy") == (0, "")


@pytest.mark.slow
def test_every_public_name_can_be_had_from_a_fresh_import():
    code = "import flazy; {*flazy.__all__} <= {*dir(flazy)} or 1/0; [getattr(flazy, name) for name in flazy.__all__]"

    assert (0, "") == run_afresh(code)


@pytest.mark.slow
def test_module_for_pytorch_is_there_and_loads_it_later():
    code = "import sys, flazy; flazy.torch.loader; 'torch' in dir(flazy) or 1/0; 'torch' in sys.modules and 1/0"

    assert (0, "") == run_afresh(code)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'Dataste'"):
        importlib.import_module("flazy").Dataste  # noqa: B018 - asking is the test


@pytest.mark.slow
def test_worker_loads_nothing_that_only_a_driver_needs():
    load = "import sys; from flazy.workers import forker, process; "

    assert (0, "set()\n") == run_afresh(load + "print({'flazy.datasets', 'subprocess'} & {*sys.modules})")


# The checks themselves --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("from __future__ import annotations\nimport os\n_c = b = a = 1\n__all__ = ['a', 'b']", []),
        ("b = a = 1\n__all__ = ['b', 'a']", ["__all__ is not sorted: ['b', 'a']"]),
        ("b = a = 1\n__all__ = ['a']", ["b is public and not in __all__"]),
        ("a = 1\n__all__ = ['a', 'z']", ["z is in __all__ and not there"]),
    ],
)
def test_wrong_list_is_found(source, faults):
    package = ModuleType("planted")
    exec(source, vars(package))

    assert export_faults(package) == faults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("import json", (0, "")),
        ("import tqdm", (1, "['tqdm']\n")),
        ("print('hello')", (0, "hello\n")),
    ],
)
def test_heavy_or_talkative_import_is_found(tmp_path, source, result):
    (tmp_path / "planted.py").write_text(source)

    assert import_afresh("planted", tmp_path) == result
