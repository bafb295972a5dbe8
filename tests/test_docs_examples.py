"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import flazy


def modules():
    """Name every module of Flazy but those that need a framework or start as a program."""
    names = [module.name for module in pkgutil.walk_packages(flazy.__path__, "flazy.")]
    apart = ("flazy.feeds.", "flazy.workers.ray.")
    return ["flazy", *(name for name in names if not name.startswith(apart) and "__main__" not in name)]


@pytest.mark.parametrize("name", modules())
def test_examples_of_docstrings_run(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert 0 == found.failed


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in modules() for test in finder.find(importlib.import_module(name)) if test.examples]

    assert len(examples) >= 3
