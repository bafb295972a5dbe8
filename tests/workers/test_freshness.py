"""What counts as changed since it was imported."""

import importlib
import os
import sys

import pytest

from flazy.workers.freshness import Imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user's, imported after an `Imported` was made."""
    file = tmp_path / "flazy_test_module.py"
    file.write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    imported = Imported()
    importlib.import_module(file.stem)
    imported.note()
    yield imported, file
    sys.modules.pop(file.stem, None)


def test_an_unchanged_module_is_fresh(module):
    imported, _ = module

    assert imported.is_fresh()


def test_an_edited_module_is_not(module):
    imported, file = module
    file.write_text("x = 22")

    assert not imported.is_fresh()


def test_a_touched_module_is_not(module):
    imported, file = module
    os.utime(file, ns=(0, 0))

    assert not imported.is_fresh()


def test_modules_of_python_and_of_site_packages_count_as_fixed(module, monkeypatch):
    imported, _ = module

    assert {"flazy_test_module"} == set(imported._stamps)
