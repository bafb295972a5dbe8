"""Workers on other machines, for tests: a trainer on the loopback, and hosts that join it."""

import pytest

from flazy import Remote
from tests.remote.hosts import Hosts


@pytest.fixture
def remote(tmp_path):
    """Workers that join a free port of the loopback, by a file of this test."""
    return Remote("tcp://127.0.0.1:0", join_file=tmp_path / "join", join_timeout=30)


@pytest.fixture
def hosts():
    """Start hosts: ``hosts.start(remote, processes=2)`` when a run is open."""
    with Hosts() as hosts:
        yield hosts
