"""Large arrays come in shared memory: right, writable, independent, and without end."""

import contextlib
import gc
import os
import signal

import numpy as np
import pytest

from flazy import Dataset, Processes
from flazy.run import runtime, session
from flazy.transport import arena

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not arena.is_supported(), reason="no memory files here")]

SHAPE = (3, 100, 100)


def image(i):
    return np.full(SHAPE, i, np.float32)


def images(n, **options):
    return Dataset(range(n)).map(image, workers=Processes(2, **options))


def in_use():
    fleet = runtime.runtime().fleet
    fleet.arena.release(fleet.arena.allocate(1))
    fleet.arena.allocate(1)
    return fleet.arena.in_use


def test_every_array_is_right_and_kept_ones_stay_right():
    kept = images(500).list()

    assert all((array == i).all() for i, array in enumerate(kept))


def test_they_do_come_in_shared_memory():
    kept = images(200).list()

    assert in_use() > kept[0].nbytes * 100


def labelled(i):
    return {"image": image(i), "label": i, "name": f"n{i}"}


def is_in_arena(array):
    return runtime.runtime().fleet.arena.find(array.reshape(-1).view(np.uint8).data) is not None


def test_batches_are_views_of_what_the_workers_wrote():
    """All but the first ones: what samples look like is known only then."""
    batches = Dataset(range(640)).map(labelled, workers=2).batch(8).list()

    assert all(is_in_arena(batch["image"]) for batch in batches[60:])
    assert [8 * number + row for number in range(80) for row in range(8)] == [
        label for batch in batches for label in batch["label"].tolist()
    ]
    assert all((batch["image"][row] == batch["label"][row]).all() for batch in batches for row in range(8))
    assert ["n632", "n639"] == batches[-1]["name"][[0, -1]].tolist()


def test_inputs_come_in_shared_memory_and_are_the_functions_own():
    def spoil(array):
        was = float(array[0, 0, 0])
        array[:] = -1
        return was

    source = Dataset(lambda: map(image, range(60)))

    assert list(map(float, range(60))) == source.map(spoil, workers=Processes(2, chunk=3)).list()


def test_input_whose_worker_died_is_as_it_was(tmp_path):
    """Its first attempt has written into it."""

    def spoil(array):
        was, mark = float(array[0, 0, 0]), tmp_path / f"{array[0, 0, 0]:.0f}"
        array[:] = -1
        if was % 7 == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return was

    source = Dataset(lambda: map(image, range(40)))

    assert list(map(float, range(40))) == source.map(spoil, workers=Processes(2, chunk=2)).list()


def test_changing_one_changes_no_other():
    kept = images(200).list()
    for array in kept[::2]:
        array[:] = -1

    assert all((array == i).all() for i, array in list(enumerate(kept))[1::2])


def test_blocks_come_back_so_that_memory_stays_small():
    peak = 0
    for _ in images(3000):
        peak = max(peak, runtime.runtime().fleet.arena.in_use)

    assert peak < 2.5 * session.PART_BYTES  # of what the stage may hold, rounded up, and of what is lent beyond it


def test_without_room_arrays_come_as_before(monkeypatch):
    monkeypatch.setattr("flazy.workers.fleet.Arena", lambda: arena.Arena(budget=2**20))
    kept = images(300).list()

    assert all((array == i).all() for i, array in enumerate(kept))


def test_arrays_outlive_the_runtime():
    import flazy

    kept = images(100).list()
    flazy.shutdown()
    gc.collect()

    assert all((array == i).all() for i, array in enumerate(kept))


def kill_a_worker():
    """Kill one that is there: of those that died before, some may not have been buried yet."""
    for worker in list(runtime.runtime().fleet._workers.values()):
        with contextlib.suppress(ProcessLookupError):
            if worker.pid:  # 0 would be the group of the test itself
                os.kill(worker.pid, signal.SIGKILL)
                return


def test_killed_workers_cost_no_row():
    values = []
    for i, array in enumerate(images(2000)):
        values.append(float(array[0, 0, 0]))
        if i % 300 == 100:
            kill_a_worker()

    assert list(map(float, range(2000))) == values


@pytest.mark.parametrize("chunk", [1, 7, None])
def test_mixed_shapes_and_small_ones_come_right(chunk):
    def mixed(i):
        return {"x": np.full((i % 5, 90, 90), i), "y": i, "z": (np.full(20_000, i, np.int16), "s")}

    got = Dataset(range(200)).map(mixed, workers=Processes(2, chunk=chunk)).list()

    assert all((sample["x"] == i).all() and (sample["z"][0] == i).all() for i, sample in enumerate(got))
    assert [mixed(i)["x"].shape for i in range(200)] == [sample["x"].shape for sample in got]


def test_a_fork_of_the_program_disturbs_neither_side():
    iterator = iter(images(500))
    first = [next(iterator) for _ in range(50)]
    child = os.fork()
    if child == 0:
        right = all((array == i).all() for i, array in enumerate(first))
        for array in first:
            array[:] = 7
        os._exit(0 if right else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    rest = list(iterator)

    assert 0 == code
    assert all((array == i).all() for i, array in enumerate([*first, *rest]))
