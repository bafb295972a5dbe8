"""What goes wrong in user code or around it comes out as a named error, at its place, and nothing is lost before it."""

import ctypes
import os
import pathlib
import re
import sys
import threading

import pytest

import flazy
from flazy import Dataset, PoisonSample, Processes, SampleError, SourceError, Threads, WorkerError
from flazy.errors import UnserializableFunction, UnserializableSample, WorkerPoolBroken
from tests.parallel.functions import OddError

pytestmark = pytest.mark.slow

WHERES = {"processes": 2, "chunks": Processes(2, chunk=4), "threads": Threads(2)}
wheres = pytest.mark.parametrize("where", WHERES.values(), ids=WHERES)


class Locked(Exception):
    def __reduce__(self):
        raise TypeError("this one does not travel")


class Picky(Exception):
    def __init__(self, one, two):
        super().__init__(one)


class Rude(Exception):
    def __str__(self):
        raise ValueError("no text")


class Long(Exception):
    def __init__(self):
        super().__init__("x" * 10_000_000)


def failing(make, at):
    def fail(x):
        if x == at:
            raise make()
        return x

    return fail


def seen(dataset):
    """Give the samples and the error that ended them."""
    values = []
    try:
        for value in dataset:
            values.append(value)  # noqa: PERF402 - those before the error are what is looked for
    except BaseException as error:
        return values, error
    return values, None


MAKERS = {
    "ValueError": lambda: ValueError("bad"),
    "FileNotFoundError": lambda: FileNotFoundError(2, "gone", "/x"),
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "GeneratorExit": GeneratorExit,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "BaseException": BaseException,
    "OddError": lambda: OddError(7),
    "Locked": Locked,
    "Picky": lambda: Picky(1, 2),
    "Rude": Rude,
    "Long": Long,
}


@pytest.mark.shares_workers
@wheres
@pytest.mark.parametrize("name", MAKERS)
def test_exception_is_raised_at_its_place_and_says_where_it_comes_from(where, name):
    values, error = seen(Dataset(range(50)).map(failing(MAKERS[name], 37), workers=where))

    assert list(range(37)) == values
    assert isinstance(error, SampleError)
    assert ("map(fail)", (37,), 0) == (error.stage, error.address, error.cycle)
    assert re.fullmatch(r"worker process \d+|thread \d", error.worker)
    assert f'File "{__file__}", line ' in str(error)
    assert name in str(error).splitlines()[0]
    assert len(str(error)) < 200_000


@pytest.mark.shares_workers
@wheres
def test_error_is_also_the_users_own_and_holds_it(where):
    with pytest.raises(OddError) as caught:
        Dataset(range(50)).map(failing(MAKERS["OddError"], 37), workers=where).list()

    assert 7 == caught.value.code
    assert isinstance(caught.value.__cause__, OddError)


@pytest.mark.shares_workers
@wheres
def test_error_behind_a_flatmap_names_the_offset(where):
    fail = failing(lambda: KeyError("k"), 7)
    values, error = seen(Dataset([5, 9]).flatmap(range, workers=where).map(fail, workers=where))

    assert [*range(5), *range(7)] == values
    assert (1, 7) == error.address
    assert "map(fail)" == error.stage


@pytest.mark.shares_workers
@pytest.mark.parametrize("ordered", [True, False])
def test_error_in_a_generator_of_a_flatmap_follows_what_it_gave(ordered):
    def give(x):
        yield from range(100)
        raise OSError("the file ended")

    values, error = seen(Dataset([0]).flatmap(give, workers=1, ordered=ordered))

    assert list(range(100)) == values
    assert isinstance(error, OSError)


@pytest.mark.shares_workers
def test_error_of_a_setup_says_so():
    def setup():
        raise OSError("no database")

    _values, error = seen(Dataset(range(9)).map(lambda x, _: x, setup=setup, workers=2))

    assert ("setup of map(<lambda>)", True) == (error.stage, isinstance(error, OSError))


def deadly(how, at):
    def run(x):
        if x == at:
            how()
        return x

    return run


DEATHS = {
    "exit": (lambda: os._exit(5), "exited with code 5"),
    "segfault": (lambda: ctypes.string_at(0), "was killed by SIGSEGV"),
    "abort": (os.abort, "was killed by SIGABRT"),
}


@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.parametrize("options", [{}, {"chunk": 10}, {"window": 1}], ids=str)
def test_sample_that_kills_its_worker_is_named_after_everything_before_it(how, options, capfd):
    kill, reason = DEATHS[how]
    values, error = seen(Dataset(range(60)).map(deadly(kill, 23), workers=Processes(2, **options)))

    assert list(range(23)) == values
    assert isinstance(error, PoisonSample)
    assert ("map(run)", (23,)) == (error.stage, error.address)
    assert reason in str(error)
    assert "(called with 23)" in str(error)


def test_stack_of_a_crash_is_part_of_the_error(capfd):
    _values, error = seen(Dataset(range(9)).map(deadly(DEATHS["segfault"][0], 3), workers=1))

    assert "Fatal Python error: Segmentation fault" in str(error)
    assert pathlib.Path(__file__).name in str(error)


class Kills:
    def __reduce__(self):
        os._exit(6)


@pytest.mark.parametrize("chunk", [1, 5])
def test_sample_that_kills_its_worker_as_it_is_packed_is_named(chunk):
    where = Processes(2, chunk=chunk)
    values, error = seen(Dataset(range(20)).map(lambda x: Kills() if x == 7 else x, workers=where))

    assert list(range(7)) == values
    assert ((7,), True) == (error.address, isinstance(error, PoisonSample))


def test_flatmap_that_dies_halfway_gives_what_it_made_first_once():
    def give(x):
        for offset in range(1000):
            if (x, offset) == (3, 700):
                os._exit(1)
            yield x, offset

    values, error = seen(Dataset(range(6)).flatmap(give, workers=2))
    expected = [(x, offset) for x in range(6) for offset in range(1000)]

    assert expected[: len(values)] == values
    assert 3000 <= len(values) <= 3700
    assert (3,) == error.address


def test_crash_that_does_not_come_again_is_not_seen(tmp_path):
    def crash_once(x):
        try:
            (tmp_path / str(x)).touch(exist_ok=False)
        except FileExistsError:
            return x
        if x % 20 == 7:
            os._exit(1)
        return x

    with Dataset(range(100)).map(crash_once, workers=2).open() as run:
        values = list(run)
        stats = run.stats()

    assert list(range(100)) == values
    assert stats.segments[0].lost_workers >= 5


def test_worker_that_cannot_be_started_is_an_error_at_once(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    with pytest.raises(WorkerError, match="could not be started"):
        Dataset(range(5)).map(abs, workers=2).list()


def test_worker_that_dies_as_it_starts_is_an_error_with_its_last_words(monkeypatch, tmp_path, capfd):
    (tmp_path / "msgpack.py").write_text("raise ImportError('this is not msgpack')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(WorkerPoolBroken, match="could not start") as caught:
        Dataset(range(5)).map(abs, workers=2).list()

    assert "this is not msgpack" in str(caught.value)


class Unloadable:
    def __call__(self, x):
        return x

    def __reduce__(self):
        return (not_in_a_worker, (os.getpid(),))


def not_in_a_worker(pid):
    if os.getpid() != pid:
        raise ImportError("only in the driver")
    return Unloadable()


@pytest.mark.shares_workers
def test_function_that_cannot_be_loaded_in_a_worker_is_an_error_with_the_traceback():
    with pytest.raises(WorkerError, match="could not load") as caught:
        Dataset(range(5)).map(Unloadable(), workers=2).list()

    assert "only in the driver" in str(caught.value)
    assert "in not_in_a_worker" in str(caught.value)


def test_function_that_captures_a_lock_is_refused_before_anything_starts():
    lock = threading.Lock()
    ds = Dataset(range(5)).map(lambda x: lock and x, workers=2)

    with pytest.raises(UnserializableFunction, match="'lock'"):
        ds.open()

    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("flazy")]


def inputs():
    yield from range(10)
    yield {"meta": [1, threading.Lock()]}
    yield 11


@pytest.mark.shares_workers
@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
def test_input_that_cannot_travel_is_named_after_everything_before_it(chunk):
    values, error = seen(Dataset(inputs).map(lambda x: x, workers=Processes(2, chunk=chunk)))

    assert list(range(10)) == values
    assert (UnserializableSample, (10,), "map(<lambda>)") == (type(error), error.address, error.stage)
    assert 'sample["meta"][1]' in str(error)


@pytest.mark.shares_workers
@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
def test_output_that_cannot_travel_is_named_after_everything_before_it(chunk):
    where = Processes(2, chunk=chunk)
    ds = Dataset(range(20)).map(str, workers=where)
    values, error = seen(ds.map(lambda x: {"a": (x for x in ())} if x == "10" else x, workers=where))

    assert [str(x) for x in range(10)] == values
    assert (UnserializableSample, (10,), "map(<lambda>)") == (type(error), error.address, error.stage)
    assert 'sample["a"]' in str(error)


@pytest.mark.shares_workers
def test_threads_take_what_cannot_travel():
    locks = [threading.Lock() for _ in range(3)]

    assert locks == Dataset(locks).map(lambda x: x, workers=Threads(2)).list()


def source_failing_at(count, error):
    yield from range(count)
    raise error


@pytest.mark.shares_workers
@wheres
@pytest.mark.parametrize("count", [0, 1, 25])
def test_error_of_the_source_follows_its_samples(where, count):
    values, error = seen(Dataset(lambda: source_failing_at(count, OSError("disk"))).map(lambda x: x, workers=where))

    assert list(range(count)) == values
    assert (count,) == error.address
    assert isinstance(error, SourceError)
    assert isinstance(error, OSError)


@pytest.mark.shares_workers
def test_run_that_failed_is_over():
    run = Dataset(range(9)).map(failing(lambda: ValueError("bad"), 3), workers=1).open()
    with pytest.raises(SampleError):
        list(run)

    with pytest.raises(flazy.errors.ClosedRun):
        next(run)
