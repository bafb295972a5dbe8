"""One sample, or one worker, that is slow does not hold up the others further than the window."""

import contextlib
import os
import sys
import threading

import pytest

from flazy import Dataset, Processes, Threads

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="opens pipes through /proc")]

WINDOW = 24


class Held:
    """Notes each sample that it is called with in a pipe, and lets the first one wait for a word."""

    def __init__(self):
        self.seen, self.see = os.pipe()
        self.waits, self.word = os.pipe()
        self.home = os.getpid()

    def __call__(self, x):
        with open(f"/proc/{self.home}/fd/{self.see}", "wb", buffering=0) as pipe:  # noqa: PTH123
            pipe.write(b"%3d" % x)
        if x == 0:
            with open(f"/proc/{self.home}/fd/{self.waits}", "rb", buffering=0) as pipe:  # noqa: PTH123
                pipe.read(1)
        return x

    def release(self):
        os.write(self.word, b"!")

    def read(self, count):
        """Give the next samples that were begun; waits for them."""
        with open(self.seen, "rb", buffering=0, closefd=False) as pipe:
            return {int(b"".join(pipe.read(1) for _ in range(3))) for _ in range(count)}

    def close(self):
        for descriptor in (self.seen, self.see, self.waits, self.word):
            os.close(descriptor)


@pytest.fixture
def held():
    made = Held()
    yield made
    made.close()


KINDS = pytest.mark.parametrize("kind", [Processes, Threads])


@KINDS
def test_in_order_others_go_on_as_far_as_the_window_and_wait_there(kind, held):
    got = []
    with Dataset(range(200)).map(held, workers=kind(2, window=WINDOW, chunk=1)).open() as run:
        consumer = threading.Thread(target=lambda: got.extend(run))
        consumer.start()
        begun = held.read(WINDOW // 4)
        read, none_yet = run.stats().segments[0].samples_in, list(got)
        held.release()
        consumer.join(30)

    assert begun <= set(range(WINDOW))
    assert (True, []) == (read <= WINDOW, none_yet)
    assert list(range(200)) == got


@KINDS
def test_without_order_others_come_before_it(kind, held):
    """All but those that wait at the same worker, which are fewer than the window."""
    ds = Dataset(range(200)).map(held, workers=kind(2, window=WINDOW, chunk=1), ordered=False)
    with ds.open() as run:
        others = [next(run) for _ in range(200 - WINDOW)]
        held.release()
        rest = list(run)

    assert (False, True) == (0 in others, 0 in rest)
    assert list(range(200)) == sorted(others + rest)


def test_worker_that_is_slow_gets_less_to_do(tmp_path):
    """One worker takes its time with everything: it gets what waits at each worker, and little more."""

    def work(x):
        with contextlib.suppress(FileExistsError):
            (tmp_path / "slow").open("x").write(str(os.getpid()))
        if (tmp_path / "slow").read_text() == str(os.getpid()):
            threading.Event().wait(0.02)
        return x, os.getpid()

    ds = Dataset(range(1000)).map(work, workers=Processes(2, chunk=1), ordered=False)
    got = ds.list()
    slow = int((tmp_path / "slow").read_text())

    assert list(range(1000)) == sorted(x for x, _ in got)
    assert sum(pid == slow for _, pid in got) <= 250
