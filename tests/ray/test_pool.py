"""Actors of Ray keep the promise that processes keep: the same stream, the same errors, whoever dies."""

import ctypes
import logging
import os
import pathlib
import re
import signal
import sys
import threading

import numpy as np
import pytest

import flazy
from flazy import Dataset, PoisonSample, Ray, Retry, SampleError, SourceError
from flazy.errors import SkippedSamples, UnserializableFunction, UnserializableSample, WorkerError, WorkerPoolBroken
from tests.parallel import functions as fn
from tests.parallel.test_faults import MAKERS, Unloadable, deadly, failing, inputs, seen, source_failing_at

ray = pytest.importorskip("ray")
pool = pytest.importorskip("flazy.workers.ray.pool")

pytestmark = [pytest.mark.slow, pytest.mark.time_limit(120), pytest.mark.usefixtures("cluster")]
shares = pytest.mark.shares_workers

WHERES = {"two": Ray(2), "small": Ray(2, chunk=3, window=7)}
wheres = pytest.mark.parametrize("where", WHERES.values(), ids=WHERES)


def triple(x):
    return 3 * x


def odd(x):
    return x % 2


def noisy(x, rng):
    return x, float(rng.random())


PIPELINES = {
    "map": lambda ds, where: ds.map(triple, workers=where),
    "filter": lambda ds, where: ds.filter(odd, workers=where),
    "flatmap": lambda ds, where: ds.flatmap(fn.many, workers=where),
    "random_map": lambda ds, where: ds.random_map(noisy, seed=1, workers=where),
    "batch": lambda ds, where: ds.map(triple, workers=where).batch(7, drop_remainder=False).map(np.ndarray.tolist),
    "chain": lambda ds, where: ds.map(triple, workers=where).filter(odd, workers=where).flatmap(fn.few, workers=where),
    "two stages": lambda ds, where: ds.map(triple, workers=where).shuffle(9, seed=1).map(str, workers=where),
    "repeat": lambda ds, where: ds.shuffle(seed=1).map(triple, workers=where).repeat(2),
    "skip": lambda ds, where: ds.flatmap(fn.breaks_off, on_error="skip", workers=where),
    "retry": lambda ds, where: ds.random_map(
        fn.fail_at_random, seed=6, on_error=Retry(2, then="skip"), workers=where
    ),
    "replace": lambda ds, where: ds.map(fn.fail_odd, on_error=fn.instead, workers=where),
}


@shares
@wheres
@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.filterwarnings("ignore::flazy.errors.SkippedSamples")
def test_stream_is_the_serial_one_in_two_passes(where, name):
    serial, parallel = [PIPELINES[name](Dataset(range(40)), where) for where in (None, where)]

    assert serial.list() == parallel.list()
    assert serial.list() == parallel.list()


@shares
def test_without_order_the_same_samples_come():
    ds = Dataset(range(500)).flatmap(fn.few, workers=Ray(2), ordered=False)

    assert sorted(ds.serial().list()) == sorted(ds.list())


@shares
@wheres
@pytest.mark.parametrize("name", ["ValueError", "StopIteration", "SystemExit", "KeyboardInterrupt", "Locked"])
def test_exception_is_raised_at_its_place_and_says_where_it_comes_from(where, name):
    values, error = seen(Dataset(range(50)).map(failing(MAKERS[name], 37), workers=where))

    assert list(range(37)) == values
    assert isinstance(error, SampleError)
    assert ("map(fail)", (37,), 0) == (error.stage, error.address, error.cycle)
    assert re.fullmatch(r"Ray actor \d+ on \S+", error.worker)
    assert name in str(error).splitlines()[0]


@shares
def test_error_behind_a_flatmap_names_the_offset():
    fail = failing(lambda: KeyError("k"), 7)
    values, error = seen(Dataset([5, 9]).flatmap(range, workers=Ray(2)).map(fail, workers=Ray(2)))

    assert [*range(5), *range(7)] == values
    assert ((1, 7), "map(fail)") == (error.address, error.stage)


@shares
@pytest.mark.parametrize("chunk", [1, 4])
def test_what_cannot_travel_is_named_after_everything_before_it(chunk):
    where = Ray(2, chunk=chunk)
    values, error = seen(Dataset(inputs).map(fn.same, workers=where))

    assert (list(range(10)), UnserializableSample, (10,)) == (values, type(error), error.address)

    give = Dataset(range(20)).map(lambda x: {"a": (x for x in ())} if x == 10 else x, workers=where)
    values, error = seen(give)

    assert (list(range(10)), UnserializableSample, (10,)) == (values, type(error), error.address)


@shares
def test_error_of_the_source_follows_its_samples():
    values, error = seen(Dataset(lambda: source_failing_at(25, OSError("disk"))).map(fn.same, workers=Ray(2)))

    assert (list(range(25)), (25,), True) == (values, error.address, isinstance(error, SourceError))


@shares
def test_function_that_cannot_be_loaded_is_an_error_with_the_traceback():
    with pytest.raises(WorkerError, match="could not load") as caught:
        Dataset(range(5)).map(Unloadable(), workers=Ray(1)).list()

    assert "only in the driver" in str(caught.value)


# Arrays -------------------------------------------------------------------------------------------------


@shares
def test_large_arrays_come_and_go_and_are_the_consumers_own():
    source = np.arange(6 * 50_000, dtype=np.float64).reshape(6, 50_000)
    made = Dataset(source).map(add_in_place, workers=Ray(2)).list()
    for array in made:
        array[0] = -1

    np.testing.assert_array_equal(source[:, 1:] + 1, [array[1:] for array in made])
    assert 0 == source[0, 0]


def add_in_place(array):
    array += 1
    return array


@shares
def test_array_that_a_function_goes_on_to_write_into_arrives_as_it_was_returned():
    buffer = np.zeros(50_000)

    def fill(x):
        buffer[:] = x
        return buffer

    made = Dataset(range(30)).map(fill, workers=Ray(2)).list()

    assert [(x, x) for x in range(30)] == [(array.min(), array.max()) for array in made]


class Holder:
    """What only pickle can carry; the memory of its array is not copied for that."""

    def __init__(self):
        self.array = np.zeros(50_000)

    def __call__(self, x):
        self.array[:] = x
        return self


@shares
def test_object_whose_array_a_function_goes_on_to_write_into_arrives_as_it_was_returned():
    made = Dataset(range(30)).map(Holder(), workers=Ray(1, chunk=1)).list()

    assert [(x, x) for x in range(30)] == [(each.array.min(), each.array.max()) for each in made]


@shares
def test_captured_array_is_each_actors_own_and_as_it_was_at_open():
    captured = np.zeros(300_000)

    def count(x):
        captured[0] += 1
        return captured[1] + x

    ds = Dataset(range(10)).map(count, workers=Ray(2))
    with ds.open() as run:
        captured[1] = 5
        first = list(run)

    assert (list(range(10)), 0) == (first, captured[0])
    assert list(range(5, 15)) == ds.list()


@shares
@pytest.mark.parametrize("size", [10, 30_000])
def test_batches_are_those_that_a_loop_makes(size):
    ds = Dataset(range(100)).map(lambda x: {"x": np.full(size, x), "y": x}, workers=Ray(2)).batch(8)

    for expected, actual in zip(ds.serial(), ds, strict=True):
        np.testing.assert_equal(expected, actual)
        assert actual["x"].flags.writeable


# Deaths -------------------------------------------------------------------------------------------------


@shares
def test_sample_that_kills_its_actors_is_named_after_everything_before_it():
    values, error = seen(Dataset(range(60)).map(deadly(lambda: ctypes.string_at(0), 23), workers=Ray(2, chunk=5)))
    last = r"2 workers died while it ran; the last, Ray actor \d+ on \S+, was killed by SIGSEGV \(called with 23\)"

    assert list(range(23)) == values
    assert ("map(run)", (23,), signal.SIGSEGV) == (error.stage, error.address, error.signal)
    assert isinstance(error, PoisonSample)
    assert re.search(last, str(error))
    assert "in string_at" in error.traceback


@shares
def test_sample_that_kills_its_actors_can_be_skipped():
    with pytest.warns(SkippedSamples, match="sample 7: PoisonSample: 2 workers .* exited with code 5"):
        values = Dataset(range(20)).map(deadly(lambda: os._exit(5), 7), on_error="skip", workers=Ray(1)).list()

    assert [x for x in range(20) if x != 7] == values


@shares
def test_actors_that_are_killed_from_outside_are_not_seen_in_the_stream(caplog):
    def named(x):
        return x, os.getpid()

    killed = set()
    values = []
    with Dataset(range(2000)).map(named, workers=Ray(2, chunk=10, window=200)).open() as run:
        for x, pid in run:
            values.append(x)
            if x % 1000 == 500 and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        stats = run.stats()

    assert list(range(2000)) == values
    assert len(killed) == stats.segments[0].lost_workers
    assert f"Ray actor {killed.pop()} on " in caplog.text


@shares
def test_actor_that_ray_ends_is_not_seen_in_the_stream(tmp_path):
    def end_once(x):
        if x == 30 and not (tmp_path / "ended").exists():
            (tmp_path / "ended").touch()
            ray.kill(ray.get_runtime_context().current_actor)
            threading.Event().wait()
        return x

    with Dataset(range(60)).map(end_once, workers=Ray(2, chunk=5)).open() as run:
        values = list(run)
        lost = run.stats().segments[0].lost_workers

    assert (list(range(60)), 1) == (values, lost)


# Around it ----------------------------------------------------------------------------------------------


@shares
def test_actors_stay_for_the_next_pass_and_see_folder_search_path_and_log_levels(monkeypatch, tmp_path, caplog):
    def look(x):
        logging.getLogger("tests.there").debug("seen by %s", x)
        return os.getpid(), str(pathlib.Path.cwd()), str(tmp_path) in sys.path

    ds = Dataset(range(4)).map(look, workers=Ray(1))
    monkeypatch.syspath_prepend(tmp_path)
    first = ds.list()
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG, "tests.there"):
        second = ds.list()
        flazy.shutdown()  # what was logged has come by then

    assert [(first[0][0], str(tmp_path), True)] * 4 == second
    seen_there = [each.getMessage() for each in caplog.records if each.name == "tests.there"]
    assert [f"seen by {x}" for x in range(4)] == seen_there


@shares
def test_options_reach_ray():
    def look(x):
        return ray.get_runtime_context().get_assigned_resources().get("CPU"), os.environ.get("ASKED")

    where = Ray(1, num_cpus=0.5, runtime_env={"env_vars": {"ASKED": "yes"}})

    assert [(0.5, "yes")] == Dataset([0]).map(look, workers=where).list()


@shares
def test_a_pipeline_runs_inside_an_actor_or_task_of_ray():
    def train():
        values = Dataset(range(20)).map(lambda x: 3 * x, workers=Ray(1)).list()
        flazy.shutdown()
        return values

    assert list(range(0, 60, 3)) == ray.get(ray.remote(num_cpus=0)(train).remote())


def test_break_closes_and_shutdown_gives_back_what_actors_hold():
    for x in Dataset(range(10**9)).map(triple, workers=Ray(2)):
        if x > 3000:
            break
    flazy.shutdown()
    while ray.available_resources().get("CPU", 0) < 4:  # Ray tells when it gets to it; it takes a tenth of a second
        pass

    assert 0 == len([thread for thread in threading.enumerate() if thread.name.startswith("flazy")])


def test_cluster_without_room_is_said_and_is_an_error_in_the_end(monkeypatch, caplog):
    monkeypatch.setattr(pool, "WARN_SECONDS", 0.1)
    monkeypatch.setattr(pool, "START_SECONDS", 0.5)
    asked = "0 of 2 Ray actors have started; each asks for 99 CPU, 1 GPU, and the cluster has 4 CPU, of which 4 CPU"

    with pytest.raises(WorkerPoolBroken, match=asked):
        Dataset(range(9)).map(triple, workers=Ray(2, num_cpus=99, num_gpus=1)).list()

    assert f"{asked} are free; waiting for the first" in caplog.text


def test_another_address_than_that_of_the_program_is_an_error():
    with pytest.raises(WorkerError, match=r"is connected to the Ray cluster at .* and can be connected to one only"):
        Dataset(range(9)).map(triple, workers=Ray(2, address="10.0.0.1:6379")).list()


def test_function_that_captures_a_lock_is_refused_before_anything_starts():
    lock = threading.Lock()

    with pytest.raises(UnserializableFunction, match="'lock'"):
        Dataset(range(5)).map(lambda x: lock and x, workers=Ray(2)).open()

    assert [] == [thread.name for thread in threading.enumerate() if thread.name.startswith("flazy")]
