"""Every row of the table of faults: Flazy keeps its promise, and what its peers do is run and put into words.

What peers do is asserted nowhere: those tests (``pytest -m peers``) fail only if a cell could not be judged. The table
in the documentation is made of the same data by the same code.
"""

import importlib.util
import re

import pytest

from flazy import Dataset, PoisonSample, Processes, SampleError, SampleTimeout
from flazy.errors import UnserializableSample
from tests.parallel import compared, misbehaviour
from tests.parallel.misbehaviour import APART, BAD, FAULTS, SAMPLES, WORKERS, Misbehaving, Mixed, Must
from tests.parallel.peers import PEERS, Inner

# How a worker ends, how many are lost before its sample is given up, and whether the error has its stack.
DEATHS = {
    "raises what kills whoever pickles it": ("exited with code 6", 2, False),
    "os._exit(1)": ("exited with code 1", 2, False),
    "SIGKILL": ("was killed by SIGKILL", 5, False),
    "segmentation fault": ("was killed by SIGSEGV", 2, True),
    "abort()": ("was killed by SIGABRT", 2, True),
    "SIGBUS": ("was killed by SIGBUS", 2, True),
}


def having(must):
    names = [fault.name for fault in FAULTS.values() if fault.must == must]
    return pytest.mark.parametrize("name", names)


def passed(name, **options):
    """Run a fault; give the samples before its error, the error, and how many workers were lost."""
    values, error = [], None
    where = Processes(WORKERS, **options)
    with Dataset(range(SAMPLES)).map(Misbehaving(name, Inner("flazy")), workers=where).open() as run:
        try:
            for value in run:
                values.append(value)  # noqa: PERF402 - those before the error are what is looked for
        except BaseException as raised:
            error = raised
        return values, error, run.stats().segments[0].lost_workers


def place(error):
    return error.stage, error.address, error.cycle


@pytest.mark.shares_workers
@pytest.mark.slow
@having(Must.RAISE)
def test_what_is_raised_is_an_error_at_its_place_with_the_users_line(name):
    values, error, lost = passed(name)

    assert list(range(BAD)) == values
    assert isinstance(error, SampleError)
    assert ("map(Misbehaving)", (BAD,), 0) == place(error)
    assert re.search(rf'File "{re.escape(misbehaviour.__file__)}", line \d+, in act\n    raise make\(\)', str(error))
    assert any(word in str(error).splitlines()[0] for word in FAULTS[name].tells)
    assert len(str(error)) < 200_000
    assert 0 == lost


@pytest.mark.slow
@having(Must.DIE)
def test_what_kills_its_worker_is_an_error_at_its_place_that_says_how(name, capfd):
    how, deaths, has_stack = DEATHS[name]
    values, error, lost = passed(name)

    assert list(range(BAD)) == values
    assert isinstance(error, PoisonSample)
    assert ("map(Misbehaving)", (BAD,), 0) == place(error)
    assert how in str(error)
    assert has_stack == (f'File "{misbehaviour.__file__}", line ' in str(error))
    assert deaths == lost


@pytest.mark.shares_workers
@pytest.mark.slow
@having(Must.REFUSE)
def test_what_cannot_travel_is_an_error_at_its_place_that_says_what(name):
    values, error, lost = passed(name)

    assert list(range(BAD)) == values
    assert isinstance(error, UnserializableSample)
    assert ("map(Misbehaving)", (BAD,), 0) == place(error)
    assert FAULTS[name].tells[0] in str(error)
    assert 0 == lost


@pytest.mark.slow
@having(Must.PASS)
def test_what_a_function_may_do_does_no_harm(name, capfd):
    assert (list(range(SAMPLES)), None, 0) == passed(name)


@pytest.mark.slow
@having(Must.END)
def test_what_hangs_is_an_error_at_its_place_with_the_workers_stack(name, capfd):
    values, error, lost = passed(name, timeout=0.5)

    assert list(range(BAD)) == values
    assert isinstance(error, SampleTimeout)
    assert isinstance(error, SampleError)
    assert isinstance(error, TimeoutError)
    assert ("map(Misbehaving)", (BAD,), 0) == place(error)
    assert f"in {FAULTS[name].act.__name__}" in str(error)
    assert 1 == lost


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::flazy.errors.SkippedSamples")
def test_every_fault_in_one_stream_costs_its_own_sample_alone(capfd):
    names = tuple(fault.name for fault in FAULTS.values() if fault.must != Must.PASS)
    where = Processes(WORKERS, timeout=0.5)
    values = Dataset(range(SAMPLES)).map(Mixed(names, Inner("flazy")), workers=where, on_error="skip").list()
    bad = range(BAD, BAD + APART * len(names), APART)

    assert bad[-1] < SAMPLES
    assert [x for x in range(SAMPLES) if x not in bad] == values


# The table ----------------------------------------------------------------------------------------------------


def outcome(**found):
    return {"delivered": BAD, "right": True, "ended": True} | found


def error(kind, *texts, classes=()):
    return {"type": kind, "classes": [kind, *classes], "texts": list(texts)}


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("forks", outcome(delivered=SAMPLES, error=None), compared.WHOLE),
        ("forks", outcome(error=error("AssertionError", "daemonic")), compared.UNNAMED),
        ("forks", outcome(delivered=SAMPLES, error=None, ended=False), compared.HANGS),
        ("SIGKILL", outcome(error=None), compared.SHORT),
        ("SIGKILL", outcome(ended=False), compared.HANGS),
        ("SIGKILL", outcome(), compared.STOPS),
        ("SIGKILL", outcome(error=None, right=False), compared.WRONG),
        ("SIGKILL", outcome(error=error("Broken", "a process died")), compared.UNNAMED),
        ("SIGKILL", outcome(error=error("Broken", "a process died at line 37")), compared.UNNAMED),
        ("SIGKILL", outcome(error=error("Broken", "sample 37: its process died")), compared.NAMED),
        ("SIGKILL", outcome(error=error("Broken", "sample 37: its process died"), ended=False), compared.HANGS_LATER),
        ("SIGKILL", outcome(error=error("TypeError", "cannot pickle")), compared.HIDDEN),
        ("returns a lock", outcome(error=error("TypeError", "cannot pickle '_thread.lock'")), compared.UNNAMED),
        ("raises ValueError", outcome(error=error("Odd", "bad", classes=["ValueError"])), compared.UNNAMED),
        ("sys.exit(1)", outcome(error=error("SystemExit", "1")), compared.STOPS),
    ],
)
def test_what_happened_is_put_into_words(name, found, expected):
    assert expected == compared.classify(FAULTS[name], found)


@pytest.mark.slow
@pytest.mark.time_limit(120)
def test_cell_is_judged_and_nothing_of_it_stays():
    judged = compared.run_cell("pool", "raises StopIteration")

    assert (compared.SHORT, BAD, 0) == (judged["class"], judged["delivered"], judged["left"])


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.time_limit(60)
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("peer", PEERS)
def test_peer_is_run_and_judged(peer, name):
    if importlib.util.find_spec(PEERS[peer].module) is None:
        pytest.skip(f"{peer} is not installed here, or has nothing to run")
    judged = compared.run_cell(peer, name)

    assert judged["class"] in compared.CLASSES
    assert 0 <= judged["delivered"] <= SAMPLES
