"""What a consumer keeps is its own, however much it keeps, whatever it does with it, and whatever ends meanwhile."""

import gc
import queue
import threading
from pathlib import Path

import numpy as np
import pytest

import flazy
from flazy import Dataset
from flazy.run import runtime
from flazy.transport import arena

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not arena.is_supported(), reason="no memory files here")]

SHAPE = (128, 129)  # of uint32: a little over 64 KiB, from which on an array has a place in shared memory
MEBIBYTE = 2**20


def stamped(i):
    return np.full(SHAPE, i, np.uint32)


def at_most(budget, monkeypatch):
    monkeypatch.setattr("flazy.workers.fleet.Arena", lambda: arena.Arena(budget=budget))


def in_use():
    """Ask for what is out after what came back was taken in, which an allocation does."""
    shared = runtime.runtime().fleet.arena
    shared.release(shared.allocate(1))
    return shared.in_use


def resident(kind):
    """Give the MiB of one kind that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:"))


@pytest.mark.time_limit(180)
def test_ten_thousand_arrays_that_are_kept_and_changed_are_independent(monkeypatch):
    """They weigh 630 MiB; two thirds of them do not fit into the budget and are copied out."""
    at_most(200 * MEBIBYTE, monkeypatch)
    private, shared = resident("RssAnon"), resident("RssShmem")
    kept = []
    for i, array in enumerate(Dataset(range(10_000)).map(stamped, workers=2)):
        assert i == array[0, 0] == array[-1, -1]
        if i % 3 == 0:
            array[:] = 2**32 - 1 - i
        if i % 3 == 1:
            array[5] += 7
        kept.append(array)
    weight = sum(array.nbytes for array in kept) / MEBIBYTE

    assert resident("RssShmem") - shared < 210
    assert resident("RssAnon") - private < weight - 150 + 100  # so much is not private, and 64 MiB were under way
    for i, array in enumerate(kept):
        expected = stamped(2**32 - 1 - i) if i % 3 == 0 else stamped(i)
        if i % 3 == 1:
            expected[5] += 7
        assert (expected == array).all(), i


def test_memory_that_comes_back_is_used_again_after_the_budget_was_spent(monkeypatch):
    at_most(64 * MEBIBYTE, monkeypatch)
    ds = Dataset(range(1500)).map(stamped, workers=2)
    kept = ds.list()
    spent = in_use()
    del kept
    gc.collect()
    rest = in_use()
    again = ds.take(300).list()

    assert spent > 32 * MEBIBYTE
    assert rest < 8 * MEBIBYTE
    assert in_use() > 8 * MEBIBYTE
    assert all((array == i).all() for i, array in enumerate(again))


def batches(count):
    """Give batches of some MiB each, of arrays and of numbers."""
    return Dataset(range(32 * count)).map(lambda i: {"x": stamped(i), "y": i}, workers=2).batch(32, None)


def right(kept):
    return all(
        (np.arange(32 * number, 32 * number + 32) == batch["y"]).all()
        and (batch["x"] == batch["y"][:, None, None]).all()
        for number, batch in kept
    )


@pytest.mark.parametrize("budget", [2**40, 40 * MEBIBYTE, 2**16], ids=["room", "too little", "none"])
def test_batches_that_are_kept_stay_right_while_others_come_and_are_changed(budget, monkeypatch):
    at_most(budget, monkeypatch)
    kept = []
    for number, batch in enumerate(batches(60)):
        if number % 2:
            kept.append((number, batch))
        else:
            batch["x"][:] = 1
            batch["y"][:] = 1

    assert 30 == len(kept)
    assert right(kept)


def test_batches_outlive_the_pass_and_the_runtime():
    with batches(50).open() as run:
        kept = [(number, next(run)) for number in range(20)]
    closed = right(kept)
    later = list(enumerate(batches(20)))
    again = right(kept)
    flazy.shutdown()
    gc.collect()
    ended = right(kept + later)
    more = list(enumerate(batches(10)))
    kept[0][1]["x"][:] = 5

    assert [True] * 4 == [closed, again, ended, right(kept[1:] + later + more)]


def test_parts_of_a_batch_keep_what_they_lie_in():
    """A view is all that is left of each batch; their blocks must not be used again."""
    corners = [batch["x"][3:5, ::-1, 7] for batch in batches(40)]
    gc.collect()
    list(batches(20))

    assert all((corner[:, 0] == [32 * number + 3, 32 * number + 4]).all() for number, corner in enumerate(corners))


def test_batches_die_in_another_thread_and_order():
    """Finalizers run wherever the last reference goes."""
    box, sums = queue.SimpleQueue(), []

    def consume():
        held = []
        while (item := box.get()) is not None:
            held.append(item)
            if len(held) == 5:
                sums.extend(right([held.pop(place)]) for place in (3, 0, 1))

    thread = threading.Thread(target=consume)
    thread.start()
    for item in enumerate(batches(60)):
        box.put(item)
        del item
    box.put(None)
    thread.join()

    assert 3 * 19 == len(sums)
    assert all(sums)


def test_memory_stays_small_where_nothing_is_kept():
    peak = 0
    for number, batch in enumerate(batches(300)):
        assert 32 * number == batch["x"][0, 0, 0]
        peak = max(peak, runtime.runtime().fleet.arena.in_use)

    assert peak < 256 * MEBIBYTE
