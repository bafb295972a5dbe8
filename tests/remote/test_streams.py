"""What goes to other machines and back, as it is there and as it is here."""

import logging

import numpy as np
import pytest

import flazy
from flazy import Dataset, Remote
from tests.remote.hosts import JOINED

pytestmark = [pytest.mark.slow]


@pytest.fixture
def joined(remote, hosts):
    """Workers of one host of two processes, which is there."""
    with Dataset(range(1)).map(abs, workers=remote).open():
        host = hosts.start(remote, processes=2)
        host.says(JOINED)
    yield remote, host
    flazy.shutdown()
    host.wait(0)


def test_large_inputs_are_not_overwritten_by_those_that_follow(joined):
    """Their memory on a host is used again only when the process has read them."""
    remote, _ = joined

    def made(x):
        return np.full(200_000, x, np.uint8)

    arrays = Dataset(range(240)).map(made)
    sums = arrays.map(lambda a: (int(a.min()), int(a.max()), int(a[::997].sum())), workers=remote)

    with sums.open() as run:
        assert sums.serial().list() == list(run)
    assert run.stats().segments[0].workers_asked in {1, 2}  # at once; the second may come too late


def test_log_records_of_functions_come_to_the_trainer(joined, caplog):
    remote, _ = joined

    def telling(x):
        logging.getLogger("of.the.user").warning("saw %d", x)
        return x

    with caplog.at_level(logging.WARNING):
        Dataset(range(3)).map(telling, workers=remote).list()
    flazy.shutdown()  # what was told is handled by a thread

    assert {"saw 0", "saw 1", "saw 2"} == {each.getMessage() for each in caplog.records if each.name == "of.the.user"}


def test_compressed_both_ways_is_the_same(joined):
    pytest.importorskip("lz4")
    remote, _ = joined
    squeezed = Remote(remote.listen, join_file=remote.join_file, join_timeout=remote.join_timeout, compression="lz4")
    images = Dataset(range(40)).map(lambda x: np.arange(30_000, dtype=np.int32) // 100 + x)
    doubled = images.map(lambda a: {"twice": a * 2, "name": "x" * 3000}, workers=squeezed)

    for expected, actual in zip(doubled.serial(), doubled, strict=True):
        assert expected["name"] == actual["name"]
        assert np.array_equal(expected["twice"], actual["twice"])
