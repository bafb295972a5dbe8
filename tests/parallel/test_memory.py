"""How far a stage reads ahead, what it does while nobody asks, and what never has to wait."""

import itertools
import os
import threading

import numpy as np
import pytest

from flazy import Dataset, Processes, Threads
from flazy.run import session

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]

wheres = pytest.mark.parametrize("where", [Processes, Threads])


class Source:
    """Endless numbers, counted as they are pulled; may be told to stop at one until it is let go."""

    def __init__(self, hold_at=None):
        self.pulled = 0
        self.hold_at = hold_at
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def __call__(self):
        for number in itertools.count():
            if number == self.hold_at:
                self.reached.set()
                assert self.let_go.wait(30)
            self.pulled += 1
            yield number


@wheres
@pytest.mark.parametrize(("window", "chunk"), [(1, None), (8, None), (64, None), (64, 5), (10, 50)])
def test_endless_source_is_read_no_further_than_the_window(where, window, chunk):
    source = Source()
    with Dataset(source).map(lambda x: x, workers=where(2, window=window, chunk=chunk)).open() as run:
        for number, value in enumerate(itertools.islice(run, 500)):
            assert number == value
            assert source.pulled <= number + window + 1


MEGABYTE = 1_000_000


@pytest.mark.parametrize("fn", [lambda x: x, lambda x: float(x[0])], ids=["large results", "small results"])
@pytest.mark.parametrize(("window", "most", "chunk"), [("16MB", 16, 1), ("16MiB", 17, None), ("100_000B", 1, 1)])
def test_endless_source_of_large_arrays_is_read_no_further_than_a_window_in_bytes(fn, window, most, chunk):
    source = Source()
    promised = session.PERMITS * (chunk or session.CHUNK_BYTES // MEGABYTE)  # what was permitted before they came
    arrays = Dataset(source).map(lambda number: np.full(MEGABYTE // 8, number, float))
    with arrays.map(fn, workers=Processes(2, window=window, chunk=chunk)).open() as run:
        for number, value in enumerate(itertools.islice(run, 200)):
            assert number == np.max(value)
            assert source.pulled <= number + 1 + most + promised


def test_window_in_bytes_holds_as_many_small_samples_as_it_has_room_for():
    """Without it a worker reads 32 tasks ahead."""
    source = Source(hold_at=1000)
    with Dataset(source).map(lambda x: x, workers=Processes(1, window="10MB", chunk=1)).open() as run:
        first = next(run)
        reached = source.reached.wait(30)
        source.let_go.set()

    assert 0 == first
    assert reached


def test_samples_that_came_one_by_one_leave_no_right_to_read_further():
    """A source that was slow at first, so that chunks left unfilled, and then is fast."""
    gates = [threading.Event() for _ in range(40)]
    pulled = []

    def source():
        for number in itertools.count():
            if number < len(gates):
                assert gates[number].wait(30)
            pulled.append(number)
            yield number

    with Dataset(source).map(lambda x: x, workers=Threads(1, chunk=4, window=16)).open() as run:
        for number, gate in enumerate(gates):
            gate.set()
            assert number == next(run)
        for number in range(40, 200):
            assert number == next(run)
            assert len(pulled) <= number + 1 + 16


@wheres
def test_finished_samples_arrive_although_the_source_blocks(where):
    source = Source(hold_at=5)
    with Dataset(source).map(lambda x: -x, workers=where(2, chunk=100)).open() as run:
        first = list(itertools.islice(run, 5))
        source.let_go.set()
        second = list(itertools.islice(run, 5))

    assert [0, -1, -2, -3, -4, -5, -6, -7, -8, -9] == first + second


@pytest.mark.parametrize("ordered", [True, False])
def test_take_calls_the_function_as_often_as_it_gives_samples(tmp_path, ordered):
    def touch(x):
        (tmp_path / f"{x}-{os.urandom(4).hex()}").touch()
        return x

    got = Dataset(itertools.count).map(touch, workers=8, ordered=ordered).take(4).list()

    assert [0, 1, 2, 3] == sorted(got)
    assert 4 == len(list(tmp_path.iterdir()))


def test_work_goes_on_while_the_consumer_is_busy():
    done = threading.Semaphore(0)

    def note(x):
        done.release()
        return x

    with Dataset(range(100)).map(note, workers=Threads(2, chunk=1, window=8)).open() as run:
        next(run)
        worked = [done.acquire(timeout=10) for _ in range(8)]  # the one that was given, and what the window holds
        more = done.acquire(blocking=False)

    assert [True] * 8 == worked
    assert not more


def test_processes_work_while_the_consumer_is_busy(tmp_path):
    fifo = tmp_path / "done"
    os.mkfifo(fifo)
    descriptor = os.open(fifo, os.O_RDWR)

    def note(x):
        with fifo.open("wb", buffering=0) as file:
            file.write(b"x")
        return x

    with Dataset(range(100)).map(note, workers=Processes(2, chunk=1, window=8)).open() as run:
        next(run)
        worked = b"".join(os.read(descriptor, 1) for _ in range(8))
    os.close(descriptor)

    assert b"x" * 8 == worked


def test_input_with_many_outputs_is_held_in_bounds():
    made = []

    def give(x):
        for number in range(1_000_000):
            made.append(number)
            yield number

    with Dataset([0]).flatmap(give, workers=Threads(1)).open() as run:
        for number, value in enumerate(itertools.islice(run, 100_000)):
            assert number == value
            assert len(made) <= number + 10 * 4096


def test_input_with_many_outputs_comes_through_processes():
    assert 200_000 == Dataset([0, 1]).flatmap(lambda x: range(100_000), workers=2).count()


def test_break_works_while_the_source_blocks():
    source = Source(hold_at=3)
    for value in Dataset(source).map(lambda x: x, workers=1):
        if value == 2:
            break
    source.let_go.set()

    assert 3 == source.pulled
