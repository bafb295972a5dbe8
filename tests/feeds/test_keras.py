"""``dataset.keras()``: what it gives to whatever asks, and that Keras asks so, on each of its back ends."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import EmptyDataset, FeedError, InvalidArgument
from tests.feeds.test_passes import Source

ROOT = Path(__file__).parent.parent.parent
CHECKS = "tests/feeds/keras_backend.py"

keras = pytest.importorskip("keras")


class Sized(Source):
    """A source that tells its length."""

    def __iter__(self):
        return self()

    def __len__(self):
        return self.length


def asked(data, calls):
    """Ask as Keras does, a number for a batch; give the numbers that come."""
    given = []
    for call in calls.split():
        if call.isdigit():
            given.append(int(data[int(call)].item()))
        elif call == "workers":
            assert data.workers == 1
        else:
            {"begin": data.on_epoch_begin, "end": data.on_epoch_end}[call]()
    return given


# What comes, however it is asked for ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "given"),
    [
        ("workers 0 1 end begin 0 1 2 3 end begin 0 1 2 3 end", [0, 1, 0, 1, 2, 3, 0, 1, 2, 3]),
        ("workers 0 1 end begin 3 1 0 2 end begin 1 0 3 2 end", [0, 1, 0, 1, 2, 3, 0, 1, 2, 3]),
        ("workers 0 1 begin 0 1 2 3 end", [0, 1, 0, 1, 2, 3]),
        ("workers begin 2 end begin 1 3 2 0 end begin 3 2 1 0 end", [0, 0, 1, 2, 3, 0, 1, 2, 3]),
        ("workers end begin 1 3 2 0 end begin 3 2 1 0 end", [0, 1, 2, 3, 0, 1, 2, 3]),
        ("workers begin 0 1 2 3 end workers begin 0 1 2 3 end", [0, 1, 2, 3, 0, 1, 2, 3]),
        ("0 1 0 1", [0, 1, 0, 1]),
    ],
    ids=["TensorFlow", "TensorFlow, shuffled", "TensorFlow, predict", "not built", "built", "predict", "by hand"],
)
def test_each_batch_of_an_epoch_comes_once_and_in_order_and_looks_come_again(calls, given):
    with Dataset(range(4)).batch(1).keras() as data:
        assert given == asked(data, calls)


def test_epochs_cut_passes_that_follow_one_another():
    source = Sized(3)
    with Dataset(source).batch(1).keras(2) as data:
        assert [0, 1, 2, 0, 1, 2] == asked(data, "workers end begin 1 0 end begin 0 1 end begin 0 1 end")
    assert (source.started, source.left) == (2, 2)


def test_steps_of_fit_that_are_fewer_than_an_epoch_go_on_in_it():
    with Dataset(range(6)).batch(1).keras() as data:
        assert [0, 1, 2, 3, 4, 5, 0] == asked(data, "workers end begin 0 1 end begin 2 3 end begin 4 5 end begin 0 end")


@pytest.mark.parametrize(
    "calls",
    [
        "workers end begin 0 1 2 workers 0 1 end begin",  # broken off, on TensorFlow
        "workers end begin 3 2 1 workers end begin",
        "workers begin 0 1 2 workers end begin",  # a predict
        "workers begin 0 1 2 3 end begin",  # more looks than are kept
        "workers end begin 3 2 1 end begin 0 3",  # unheard of: an index comes again, and nothing was said
    ],
)
def test_epoch_behind_one_that_was_broken_off_is_of_a_new_pass(calls):
    source = Sized(6)
    with Dataset(source).batch(1).keras() as data:
        asked(data, calls)
        again = asked(data, "workers end begin 0 1 2 3 4 5 end")

    assert [0, 1, 2, 3, 4, 5] == again
    assert source.started >= 2
    assert source.started == source.left


def test_pass_is_closed_when_its_last_batch_was_given():
    source = Sized(3)
    data = Dataset(source).batch(1).keras()
    asked(data, "workers end begin 0 1")

    assert (source.started, source.left) == (1, 0)
    asked(data, "2")
    assert (source.started, source.left) == (1, 1)


def test_pass_is_closed_with_its_block_and_with_its_object():
    source = Source(9)
    with Dataset(source).repeat().batch(1).keras(2) as data:
        asked(data, "workers end begin 0")
    assert (source.started, source.left) == (1, 1)

    asked(data, "1")
    del data
    assert (source.started, source.left) == (2, 2)


def test_epochs_are_the_passes_of_the_dataset():
    shuffled = Dataset(range(5)).shuffle(seed=1)
    data = shuffled.batch(1).keras()

    assert [asked(data, "0 1 2 3 4") for _ in range(3)] == [shuffled.epoch(cycle).list() for cycle in range(3)]
    assert 5 == len(data) == data.num_batches


@pytest.mark.parametrize("made", [lambda ds: ds.filter(bool), lambda ds: ds.repeat()], ids=["unknown", "endless"])
def test_epoch_that_nobody_can_tell_must_be_told(made):
    with pytest.raises(InvalidArgument, match=r"keras\(\) needs steps_per_epoch=, how many batches make an epoch: "):
        made(Dataset(range(5))).batch(2).keras()
    assert 7 == len(made(Dataset(range(5))).batch(2).keras(7))


@pytest.mark.parametrize("steps", [0, -1])
def test_epoch_of_no_steps_is_refused(steps):
    with pytest.raises(InvalidArgument, match="steps_per_epoch"):
        Dataset(range(5)).batch(2).keras(steps)


def test_dataset_without_a_batch_is_refused():
    with pytest.raises(EmptyDataset):
        Dataset(range(5)).batch(6).keras()
    with pytest.raises(EmptyDataset, match="a pass over this dataset gave none"):
        Dataset(range(5)).filter(lambda x: x > 9).batch(1).keras(1)[0]


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (Dataset([(1, 2, 3, 4)]).batch(1), r"not a tuple of 4: select_tuple\(\"x\", \"y\"\) makes"),
        (Dataset([[1.0]]), "not a list"),
        (Dataset(np.ones((3, 2)), range(3)), r"has no first dimension; batch\(\) before it"),
    ],
)
def test_what_keras_would_misunderstand_is_refused(dataset, said):
    with pytest.raises(FeedError, match=said):
        dataset.keras()[0]


def test_error_of_a_stage_is_raised_as_it_is_and_ends_the_pass():
    source = Source()
    data = Dataset(source).map(lambda x: 6 // (2 - x)).batch(1).keras(3)
    assert [3, 6] == asked(data, "workers end begin 0 1")
    with pytest.raises(ZeroDivisionError):
        data[2]

    assert (source.started, source.left) == (1, 1)
    assert [3, 6] == asked(data, "workers end begin 0 1")
    data.close()


# With Keras -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.time_limit(180)
@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_keras_takes_it(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        # Keras converts arrays and tensors in ways that numpy and PyTorch warn of as out of date.
        [sys.executable, "-m", "pytest", "-q", "-W", "ignore::DeprecationWarning", "-p", "no:cacheprovider", CHECKS],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "11 passed" in done.stdout or "10 passed, 1 skipped" in done.stdout
