"""Numeric libraries take one thread in a worker, or as many as the caller says."""

import ctypes.util
import importlib
import importlib.util
import os
import pathlib
import sys

import pytest

threadpoolctl = pytest.importorskip("threadpoolctl")

from flazy import Dataset, Processes  # noqa: E402 - behind the look whether it is there
from flazy.errors import InvalidArgument, InvalidType, MissingExtra  # noqa: E402
from flazy.workers.threads import FOLLOWERS, ONE_EACH, VARIABLES, limited  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def look(_=None):
    """Say what the environment says, and how many threads each library that is loaded would take."""
    said = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return said, {each["user_api"]: each["num_threads"] for each in threadpoolctl.threadpool_info()}, os.getpid()


def openmp():
    """Give what says how many threads OpenMP would take; loads it in the worker, as scikit-learn would, but sooner."""
    found = importlib.util.find_spec("sklearn")
    libraries = pathlib.Path(found.origin).parent.parent.glob("scikit_learn.libs/libgomp*") if found else ()
    path = next(map(str, libraries), None) or ctypes.util.find_library("gomp")
    if path is None:
        pytest.skip("no OpenMP here")
    return lambda _: ctypes.CDLL(path).omp_get_max_threads()


def first(fn, **options):
    return Dataset([0]).map(fn, workers=Processes(1, **options)).first()


def test_one_each_by_default_whenever_they_are_loaded():
    said, found, _ = first(look)

    assert ONE_EACH == said
    assert {"blas": 1} == found
    assert 1 == first(openmp())


def test_what_the_caller_says_holds_for_numpy_too(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    said, found, _ = first(look)

    assert {"OMP_NUM_THREADS": "3", **ONE_EACH}.keys() - FOLLOWERS == said.keys()  # they follow OpenMP's
    assert {"blas": 3} == found
    assert 3 == first(openmp())

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")

    assert {"blas": 2} == first(look)[1]


def test_what_the_plan_says_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    for threads in (1, 2):
        said, found, _ = first(look, threads=threads)

        assert dict.fromkeys(VARIABLES, str(threads)) == said
        assert {"blas": threads} == found


def test_worker_with_other_threads_is_not_taken():
    pids = [first(look, threads=threads)[2] for threads in (None, 2, 2, None, 1)]

    assert pids[1] == pids[2]
    assert pids[0] == pids[3] == pids[4]  # one is what there is by default
    assert pids[0] != pids[1]


def test_everything_else_in_the_environment_is_the_callers():
    there = first(lambda _: dict(os.environ))

    assert dict(os.environ) == {name: value for name, value in there.items() if name not in VARIABLES}


def test_workers_of_workers_keep_to_it():
    said, found, _ = first(lambda _: first(look), threads=2)

    assert dict.fromkeys(VARIABLES, "2") == said
    assert {"blas": 2} == found


def test_a_workers_first_word_does_not_wait_for_what_is_not_needed():
    assert "threadpoolctl" not in first(lambda _: set(sys.modules))


def test_more_than_one_needs_what_tells_numpy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    assert (None, 1) == (Processes(2).threads, Processes(2, threads=1).threads)
    with pytest.raises(MissingExtra, match=r"threads=4 of Processes needs threadpoolctl.*pip install flazy\[threads\]"):
        Processes(2, threads=4)


def test_threads_are_a_whole_number():
    for wrong in (0, -1):
        with pytest.raises(InvalidArgument, match=r"threads=.* of Processes must be at least 1"):
            Processes(2, threads=wrong)
    for wrong in (1.5, "4"):
        with pytest.raises(InvalidType, match=r"threads=.* of Processes must be an int"):
            Processes(2, threads=wrong)

    assert "Processes(2, threads=4)" == repr(Processes(2, threads=4))


def test_what_is_said_is_left():
    said = {"PATH": "/bin", "RAYON_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "", "OMP_NUM_THREADS": "4,2"}

    assert said.items() <= limited(said).items()
    assert {"PATH": "/bin", **ONE_EACH} == limited({"PATH": "/bin"})
    assert {"PATH": "/bin", **dict.fromkeys(VARIABLES, "2")} == limited(said, 2)


def test_pytorch_takes_as_many():
    pytest.importorskip("torch")

    def threads(_):
        return importlib.import_module("torch").get_num_threads()

    assert [1, 2] == [first(threads), first(threads, threads=2)]
