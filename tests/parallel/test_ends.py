"""The ends of passes that are used in odd ways: dropped, shared, held by a traceback, opened where nobody stays."""

import itertools
import threading
import time

import pytest

from flazy import Dataset, Threads
from tests.parallel import functions as fn

pytestmark = pytest.mark.slow

BEHIND = {
    "prefetch": lambda ds: ds.prefetch(2),
    "another parallel stage": lambda ds: ds.flatmap(lambda x: [x]).map(fn.same, workers=Threads(1)),
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_close_does_not_wait_for_a_slow_function_of_a_stage_before(monkeypatch, behind):
    for module in ("prefetch", "feeder"):
        monkeypatch.setattr(f"flazy.run.{module}.CLOSE_SECONDS", 50)
    let_go = threading.Event()

    def slow(x):
        if x:
            let_go.wait(50)
        return x

    opened = behind(Dataset(itertools.count).map(slow, workers=Threads(2, chunk=1))).open()
    next(opened)
    started = time.monotonic()
    opened.close()
    seconds = time.monotonic() - started
    let_go.set()

    assert seconds < 25
