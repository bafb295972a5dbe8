"""A program that is forked around a live pass, as PyTorch's DataLoader does it: both sides stay right.

The child sees what the parent kept, may write into it unseen, gets what had come of the pass, and starts its own.
"""

import itertools
import multiprocessing
import os

import numpy as np
import pytest

import flazy
from flazy import Dataset, Processes
from flazy.errors import ClosedRun

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

SHAPE = (130, 128)
ROWS = 8


def sample(i):
    return {"x": np.full(SHAPE, i, np.float32), "y": i}


def samples():
    return Dataset(itertools.count()).map(sample, workers=Processes(2, window=64))  # so that blocks are soon used again


def batches():
    return samples().batch(ROWS, default_dtype=None)


def right(number, given):
    """Say whether a sample, or a batch, is the one of its number."""
    if given["x"].shape == SHAPE:
        return bool(number == given["y"] and (number == given["x"]).all())
    expected = np.arange(ROWS * number, ROWS * (number + 1))
    return bool((expected == given["y"]).all() and (expected[:, None, None] == given["x"]).all())


class Around:
    """What a DataLoader is given: it holds samples or batches of a pass that is open, and the pass."""

    def __init__(self, count, dataset):
        self.run = dataset.open()
        self.kept = [(number, next(self.run)) for number in range(count)]

    def __len__(self):
        return len(self.kept)

    def __getitem__(self, index):
        """Run in a child: say what is right there, after writing over everything."""
        found = [right(*self.kept[index]), self.ends(), self.own_pass()]
        self.kept[index][1]["x"][:] = -7
        return np.array([*found, bool((self.kept[index][1]["x"] == -7).all())])

    def ends(self):
        """Say whether the pass gives nothing here but what had come before the fork, and that right."""
        try:
            for number in itertools.count(len(self.kept)):
                if not right(number, next(self.run)):
                    return False
        except (ClosedRun, StopIteration):  # the second after the first
            return True

    def own_pass(self):
        with batches().open() as run:
            return all(right(number, batch) for number, batch in enumerate(itertools.islice(run, 5)))

    def parent_is_right(self, more):
        """Say whether the parent's batches are what they were, and the pass goes on where it was."""
        start = len(self.kept)
        self.kept += [(start + number, next(self.run)) for number in range(more)]
        return all(right(number, batch) for number, batch in self.kept)

    def close(self):
        self.run.close()


@pytest.fixture(params=[samples, batches])
def around(request):
    made = Around(6, request.param())
    yield made
    made.close()


def in_child(act):
    """Fork, act, and give what the child found; it ends there without any cleaning up, as a killed one would."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, bytes(map(int, act())))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        found = list(file.read())
    os.waitpid(child, 0)
    return found


def test_children_in_turn(around):
    for index in range(4):
        assert [1, 1, 1, 1] == in_child(lambda index=index: around[index])
        assert around.parent_is_right(more=5)


def test_child_of_a_child(around):
    def act():
        mine = Around(2, batches())
        deeper = in_child(lambda: [*mine[0], *around[1]])
        flazy.shutdown()  # the child's own
        return [*deeper, mine.kept[0][1]["y"][0] == 0, right(*around.kept[1])]

    assert [1] * 10 == in_child(act)
    assert around.parent_is_right(more=20)


def work_through(around, indices, results):
    results.put([around[index].tolist() for index in indices])


def test_processes_of_multiprocessing_side_by_side(around):
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    children = [fork.Process(target=work_through, args=(around, [n, n + 2, n + 4], results)) for n in (0, 1)]
    for child in children:
        child.start()
    during = around.parent_is_right(more=30)
    found = [results.get() for _ in children]
    for child in children:
        child.join()
        child.close()
    results.close()

    assert [[[True] * 4] * 3] * 2 == found
    assert during
    assert around.parent_is_right(more=10)


def test_what_the_parent_drops_while_a_child_looks_is_not_written_again(around):
    """The child keeps looking at what lies in blocks that would be free for the parent, were it not for the child."""
    around.parent_is_right(more=100)  # the first come before anyone knows how large a block they need
    ask, answer = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ask[0], 1)
        os.write(answer[1], bytes([all(right(number, given) for number, given in around.kept)]))
        os._exit(0)
    del around.kept[:]
    more = [right(106 + number, next(around.run)) for number in range(300)]
    os.write(ask[1], b"?")
    found = os.read(answer[0], 1)
    os.waitpid(child, 0)
    for end in (*ask, *answer):
        os.close(end)

    assert b"\x01" == found
    assert all(more)
