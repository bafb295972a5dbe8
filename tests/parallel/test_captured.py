"""What functions capture: sent once, shared by all workers, as it was when the pass was opened, and nobody else's."""

import builtins
import os
import pathlib
import signal

import numpy as np
import pytest

import flazy
from flazy import Dataset
from flazy.plan.shipping import LARGE
from flazy.run import runtime
from flazy.transport import arena
from flazy.transport.hub import Hub
from flazy.transport.reading import unpack
from flazy.transport.wire import Open
from flazy.workers.fleet import Fleet

pytestmark = pytest.mark.slow
needs_arena = pytest.mark.skipif(not arena.is_supported(), reason="no memory files here")

FLOATS = 2 * LARGE // 8


def by_process(pairs):
    """Group values by the process that they are from, in order."""
    found = {}
    for pid, value in pairs:
        found.setdefault(pid, []).append(value)
    return list(found.values())


def counting_from(start, pairs):
    return all([*range(start, start + len(seen))] == seen for seen in by_process(pairs))


def counter(array):
    """Give a function that counts in its array."""

    def count(_):
        array[-1] += 1
        return os.getpid(), int(array[-1]) - 1

    return count


@pytest.fixture
def sent(monkeypatch):
    """Collect the bytes of kernels that are sent, by worker and kernel."""
    sizes = {}
    send = Hub.send

    def noting(hub, worker, frames):
        message = unpack(frames)
        if isinstance(message, Open):
            sizes.setdefault((worker, message.kernel.number), []).append(len(message.kernel.stream or b""))
        send(hub, worker, frames)

    monkeypatch.setattr(Hub, "send", noting)
    monkeypatch.setattr("flazy.workers.tenancy.FREE_SECONDS", 60.0)  # else a slow machine replaces one that is busy
    return sizes


def test_bytes_of_a_kernel_are_sent_once_to_a_worker(sent):
    text = os.urandom(100_000)
    data = Dataset(range(100))
    function = lambda i: text[i]
    for _ in range(3):
        assert [*text[:100]] == data.map(function, workers=2).list()
    data.filter(lambda i: i % 2, workers=2).list()  # another kernel in between
    data.map(function, workers=2).list()

    assert 2 == len({kernel for _, kernel in sent})
    assert all(first > 0 and not any(others) for first, *others in sent.values())
    assert max(map(len, sent.values())) >= 3


@needs_arena
def test_large_arrays_are_not_sent_at_all(sent):
    array = np.arange(FLOATS)

    assert [0, 1, 2] == Dataset(range(3)).map(lambda i: int(array[i]), workers=2).list()
    assert max(map(max, sent.values())) < 10_000


def test_each_run_starts_from_what_the_array_is_in_the_driver():
    array = np.zeros(FLOATS)
    ds = Dataset(range(200)).map(counter(array), workers=2)
    first, second = ds.list(), ds.list()
    array[-1] = 100
    third = ds.list()

    assert [True] * 3 == [counting_from(0, first), counting_from(0, second), counting_from(100, third)]
    assert 100 == array[-1]


def test_change_after_open_comes_too_late():
    array = np.zeros(FLOATS)
    with Dataset(range(50)).map(lambda i: float(array[i]), workers=2).repeat(2).open() as run:
        array[:] = 1
        values = list(run)

    assert [0.0] * 100 == values


def test_array_that_a_function_puts_aside_stays_as_it_was():
    array = np.ones(FLOATS)
    aside = Dataset(range(1)).map(lambda _: vars(builtins).setdefault("_aside", array) is None, workers=1)
    aside.list()
    array[:] = 2
    look = Dataset(range(1)).map(lambda _: (float(vars(builtins)["_aside"].max()), float(array.min())), workers=1)
    aside.list()

    assert (1.0, 2.0) == look.first()


def test_replacement_of_a_killed_worker_gets_the_kernel():
    array = np.arange(FLOATS)
    ds = Dataset(range(2000)).map(lambda i: (os.getpid(), int(array[i])), workers=2)
    values = []
    for pid, value in ds:
        values.append(value)
        if value == 100:
            os.kill(pid, signal.SIGKILL)

    assert list(range(2000)) == values


def test_worker_that_knows_many_kernels_knows_them_right():
    pipelines = [Dataset(range(3)).map(lambda i, n=n: (i, n), workers=2) for n in range(50)]
    for _ in range(2):
        for n, ds in enumerate(pipelines):
            assert [(0, n), (1, n), (2, n)] == ds.list()


@needs_arena
def test_blocks_come_back():
    array = np.ones(FLOATS)
    ds = Dataset(range(10)).map(lambda i: float(array[i]), workers=2)
    used = []
    for value in range(10):
        array[:] = value
        assert [value] * 10 == ds.list()
        used.append(runtime.runtime().fleet.arena.in_use)

    assert max(used) <= 3 * array.nbytes  # one is used, one may be yet, one is free and will be counted so


@needs_arena
def test_blocks_come_back_when_the_workers_have_ended():
    array = np.ones(FLOATS)
    Dataset(range(10)).map(lambda i: float(array[i]), workers=2).list()
    fleet: Fleet = runtime.runtime().fleet
    kernels, memory = fleet.kernels, fleet.arena
    flazy.shutdown()
    memory._collect()

    assert (0, 0) == (len(kernels._table), memory.in_use)


def test_pass_that_outlives_the_runtime_takes_its_kernel_along():
    array = np.ones(FLOATS)
    run = Dataset(range(10)).map(lambda i: float(array[i]), workers=2).repeat(2).open()
    flazy.shutdown()

    assert [1.0] * 20 == list(run)


@needs_arena
def test_array_is_held_once_for_all_workers():
    array = np.ones(32 * FLOATS)

    def own_kb(_):
        array.sum()
        lines = pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous"))

    assert max(Dataset(range(20)).map(own_kb, workers=2).list()) * 1024 < array.nbytes / 2
