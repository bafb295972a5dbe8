"""What is made of a cause and a place, without any stage."""

import pickle

from flazy.errors import PoisonSample
from flazy.located import Cause, Place, cause_of, located


class Own(ValueError):
    pass


class OwnOSError(OSError):
    pass


def test_worker_and_its_traceback_are_in_the_text():
    place = Place("map(f)", (3, 1), 2, "process 47")
    error = located(Cause("KeyError", "'x'", "Traceback: line 7", "KeyError", None), place)

    assert (
        "map(f) failed on sample (3, 1) of cycle 2: KeyError: 'x'\n\nIn process 47:\nTraceback: line 7" == str(error)
    )
    assert isinstance(error, KeyError)
    assert "process 47" == error.worker
    assert error.__cause__ is None


def test_cause_names_the_nearest_builtin_class():
    assert "ValueError" == cause_of(Own()).builtin
    assert "OSError" == cause_of(OwnOSError()).builtin
    assert "SystemExit" == cause_of(SystemExit()).builtin


def test_class_of_a_located_error_is_made_once():
    one, other = (located(cause_of(KeyError(n)), Place("map(f)", (n,))) for n in range(2))

    assert type(one) is type(other)
    assert ("SampleError", "flazy.errors") == (type(one).__name__, type(one).__module__)


def test_class_of_a_located_error_travels_as_that_of_the_nearest_builtin():
    for error in (KeyError("x"), Own(), OwnOSError(2, "x")):
        kind = type(located(cause_of(error), Place("map(f)", (0,))))
        loaded = pickle.loads(pickle.dumps(kind))

        assert loaded is type(located(Cause("", "", "", cause_of(error).builtin, None), Place("map(f)", (0,))))
        assert "Caught" == str(loaded("Caught"))


def test_located_poison_stays_poison():
    inner = PoisonSample("killed")

    assert isinstance(located(cause_of(inner), Place("flatmap(f)", (0,))), PoisonSample)
