"""Connections that are slow, cut, half-open, truncated or change bits cost time, and no sample."""

import contextlib
import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from flazy import Dataset
from flazy.remote import join
from tests.parallel import scripts
from tests.remote.hosts import JOINED
from tests.remote.proxy import DOWN, UP, Proxy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the loopback has one address here"),
]

CONTROL, RESULTS = 0, 1  # the links
COUNT = 300


OFTEN = {"both are cut", "results are cut in a frame", "tasks are truncated", "a bit of a result flips", "all is late"}


def full(x):
    return np.full(3000, x, np.uint16)


@contextlib.contextmanager
def proxied(remote):
    """Stand before the trainer, where hosts come that are told of it."""
    code = join.decode(Path(remote.join_file).read_text())
    with Proxy([("127.0.0.1", code.port), ("127.0.0.1", code.results_port)]) as proxy:
        yield proxy


def played(remote, hosts, do):
    """Read a stream from a host behind a proxy, to which something is done after some samples."""
    ds = Dataset(range(COUNT)).map(full, workers=dataclasses.replace(remote, window=40))  # so most is still to come
    with ds.open() as run, proxied(remote) as proxy:
        hosts.start(remote, "--trainer", "127.0.0.2", processes=1)
        first = list(itertools.islice(run, 20))
        happened = do(proxy, hosts)
        rest = list(run)

        assert happened is None or happened.wait(10)
    assert list(range(COUNT)) == [int(array[0]) for array in first + rest]
    assert all((array == array[0]).all() for array in first + rest)


FAULTS = {
    "both are cut": lambda proxy, _: proxy.cut(),
    "control is cut": lambda proxy, _: proxy.cut(CONTROL),
    "results are cut": lambda proxy, _: proxy.cut(RESULTS),
    "results are cut in a frame": lambda proxy, _: proxy.after(40_001, "cut", link=RESULTS),
    "tasks are cut in a frame": lambda proxy, _: proxy.after(101, "cut", link=CONTROL, way=DOWN),
    "results are truncated": lambda proxy, _: proxy.after(30_001, "truncate", link=RESULTS),
    "tasks are truncated": lambda proxy, _: proxy.after(33, "truncate", link=CONTROL, way=DOWN),
    "a bit of a result flips": lambda proxy, _: proxy.after(20_001, "flip", link=RESULTS),
    "a bit of a task flips": lambda proxy, _: proxy.after(77, "flip", link=CONTROL, way=DOWN),
    "a bit of control flips": lambda proxy, _: proxy.after(5, "flip", link=CONTROL, way=UP),
    "all is late": lambda proxy, _: proxy.delay(0.1),
    "all is slow": lambda proxy, _: proxy.throttle(2_000_000),
}


@pytest.mark.parametrize("name", scripts.cases(FAULTS, OFTEN))
def test_every_sample_comes_once_and_unchanged_where(name, remote, hosts):
    played(remote, hosts, FAULTS[name])


SILENCES = {
    "nothing goes through": (UP, DOWN),
    "nothing comes from the host": (UP,),
    "nothing comes to the host": (DOWN,),
}


@pytest.mark.parametrize("name", scripts.cases(SILENCES, {"nothing goes through"}))
def test_host_that_is_silent_counts_as_lost_and_another_does_its_work(name, remote, hosts):
    def silence(proxy, hosts):
        hosts.start(remote).says(JOINED)
        proxy.stop(*SILENCES[name])

    played(dataclasses.replace(remote, heartbeat=1.0), hosts, silence)
