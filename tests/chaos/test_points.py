"""A worker that dies, or is stopped for good, exactly where its work changes hands: nobody sees it in the samples."""

import os
import re
import time

import numpy as np
import pytest

import flazy
from flazy import Dataset, PoisonSample, Processes
from flazy.errors import WorkerPoolBroken
from flazy.workers import fleet, warden, watch, zygote
from tests.chaos import points, work
from tests.chaos.faults import living_workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not zygote.is_supported(), reason="Linux only"),
    pytest.mark.filterwarnings("ignore::flazy.errors.SkippedSamples"),
]
EVERYTHING = os.environ.get("FLAZY_CHAOS") == "all"  # else workers are stopped in one pipeline a point

PIPELINES = {
    "map": lambda where: Dataset(range(40)).map(work.number, workers=where),
    "arrays": lambda where: Dataset(range(40)).map(work.array, workers=where),
    "flatmap": lambda where: Dataset(range(4)).flatmap(work.many, workers=where),
    "images": lambda where: Dataset(range(70)).map(work.array, workers=where).batch(8, drop_remainder=False),
}
WHERE = {"flatmap": Processes(2, chunk=1)}


def where(pipeline):
    """So little at a time that what workers are lent for known sizes is used as well."""
    return WHERE.get(pipeline, Processes(2, chunk=2, window=12))


@pytest.fixture
def arm(tmp_path, monkeypatch):
    """Let workers look for points, and stopped ones be given up soon; give what arms a point."""
    flazy.shutdown()
    monkeypatch.setenv(points.FOLDER, str(tmp_path))
    monkeypatch.setattr(zygote, "START", zygote.START.replace("argument =", points.START))
    for module in (watch, warden):
        monkeypatch.setattr(module, "STOPPED_SECONDS", 0.15)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(fleet, "GRACE_SECONDS", 0.2)

    def armed(point, mode, text=""):
        path = tmp_path / f"{point}.{mode}"
        path.write_text(text)
        return path

    yield armed
    flazy.shutdown()


def vanished(path, within_s=20):
    """Wait until somebody has claimed a point."""
    deadline = time.monotonic() + within_s
    while path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def alike(one, other):
    if isinstance(one[0], int):
        return one == other
    return len(one) == len(other) and all(map(np.array_equal, one, other))


CASES = [(point, mode) for point in points.POINTS for mode in ("kill", "stop")]


@pytest.mark.parametrize(("point", "mode"), CASES)
def test_nobody_sees_a_worker_that_is_lost_at(point, mode, arm):
    """In two passes, since workers close a run and wait for the next one in between."""
    pipelines = points.POINTS[point]
    for pipeline in pipelines if EVERYTHING or mode == "kill" else pipelines[-1:]:
        expected = PIPELINES[pipeline](None).list()
        path = arm(point, mode)
        dataset = PIPELINES[pipeline](where(pipeline))
        if point in points.OF_NEW_WORKERS:
            arm("in the function", "kill")
        for _ in range(2):
            with dataset.open() as run:
                got = [next(run)]
                if point == "out of credit":
                    assert vanished(path)
                got += run
            assert alike(expected, got), pipeline
        if point == "ending":
            flazy.shutdown()
        assert vanished(path), pipeline


@pytest.mark.parametrize("mode", ["kill", "stop"])
@pytest.mark.parametrize("point", ["zygote: forked and not told", "zygote: child reaped and not told"])
def test_zygote_that_is_lost_at(point, mode, arm):
    """While it has another worker to replace."""
    path = arm(point, mode)
    arm("in the function", "kill")

    assert [3 * x for x in range(40)] == PIPELINES["map"](where("map")).list()
    assert not path.exists()


@pytest.mark.parametrize("mode", ["kill", "suspend"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_worker_that_is_lost_while_it_waits_for_the_next_pass(mode, pipeline, arm):
    dataset = PIPELINES[pipeline](where(pipeline))
    expected = PIPELINES[pipeline](None).list()
    assert alike(expected, dataset.list())
    for worker in living_workers():
        getattr(worker, mode)()

    assert alike(expected, dataset.list())


# Always, for one sample --------------------------------------------------------------------------------------

DEADLY = 17
OF_THE_SAMPLE = [
    ("in the function", "map"),
    ("in the function", "arrays"),
    ("in the function", "images"),
    ("half an array written", "arrays"),
    ("written, not sent", "map"),
    ("written, not sent", "arrays"),
    ("written, not sent", "images"),
]


@pytest.mark.parametrize(("point", "pipeline"), OF_THE_SAMPLE)
def test_sample_of_which_every_worker_dies_is_poison_and_no_other(point, pipeline, arm):
    expected = PIPELINES[pipeline](None).list()
    arm(point, "always", str(DEADLY))
    got = []
    with PIPELINES[pipeline](Processes(2, chunk=1, window=12)).open() as run, pytest.raises(PoisonSample) as caught:
        got.extend(run)

    assert (DEADLY,) == caught.value.address
    assert alike(expected[: DEADLY // 8 if pipeline == "images" else DEADLY], got)


@pytest.mark.parametrize(("point", "function"), [("in the function", work.number), ("written, not sent", work.array)])
def test_sample_of_which_every_worker_dies_is_left_out_and_no_other(point, function, arm):
    arm(point, "always", str(DEADLY))
    with Dataset(range(40)).map(function, workers=Processes(2, chunk=1, window=12), on_error="skip").open() as run:
        got = list(run)

    assert alike([function(x) for x in range(40) if x != DEADLY], got)
    assert [(DEADLY,)] == [skipped.address for skipped in run.stats().skips]


def test_row_of_a_batch_that_is_written_by_nobody_twice_comes_in_another_way(arm):
    """Whoever works on a task again after a death writes no rows, so there is nothing to die of."""
    arm("half a row written", "always", str(DEADLY))

    assert alike(PIPELINES["images"](None).list(), PIPELINES["images"](Processes(2, chunk=1, window=12)).list())


def test_task_of_which_every_worker_dies_with_nobody_to_blame_ends_the_pass(arm):
    arm("nothing noted, not sent", "always", str(DEADLY))
    got = []
    with pytest.raises(WorkerPoolBroken, match="die faster than they work") as caught:
        got.extend(PIPELINES["map"](Processes(2, chunk=1, window=4)))

    assert [3 * x for x in range(len(got))] == got
    assert len(got) <= DEADLY + 1
    assert re.search("exited with code 9", str(caught.value))
