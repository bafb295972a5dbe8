"""The tree of all errors: listed, drawn, builtin too, and able to travel."""

import inspect
import pickle

import pytest

from flazy import errors
from flazy.errors import FlazyError, SampleError, SourceError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


def test_tree_is_listed():
    assert sorted(errors.__all__) == errors.__all__ == sorted(kind.__name__ for kind in CLASSES)
    assert all(issubclass(kind, FlazyError | Warning) for kind in CLASSES)


def test_tree_is_drawn_with_the_builtin_classes():
    drawn = {}
    for line in errors.__doc__.splitlines():
        name, _, rest = line.strip("│├└─ ").partition(" ")
        drawn[name] = rest.partition("+ ")[2].partition(" ")[0]

    for kind in CLASSES:
        (builtin,) = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"] or [""]
        if issubclass(kind, Warning):
            assert kind.__name__ in drawn
            continue
        expected = "the" if kind in (SampleError, SourceError) else builtin.replace("Exception", "")
        assert (kind.__name__, expected) == (kind.__name__, drawn[kind.__name__])


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_can_be_pickled(kind):
    error = kind("what happened")
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert "what happened" == str(copy)
