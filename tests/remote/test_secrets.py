"""The key that a line to paste holds stands in that line, and nowhere else that somebody might look or keep."""

import logging
import os
import pickle
import stat
from pathlib import Path

import pytest

from flazy import Dataset, Remote
from flazy.errors import NoWorkers
from flazy.remote import join
from flazy.transport.curve import to_raw
from tests.remote.hosts import JOINED, Host

pytestmark = [pytest.mark.slow]


def seen_by(process, name):
    """Give what /proc shows of a process; nothing, of one that has just ended."""
    try:
        return Path("/proc", str(process.pid), name).read_bytes()
    except OSError:
        return b""


def environment(_):
    """Say what a function of the user finds in its process."""
    files = {name: Path("/proc/self", name).read_text() for name in ("environ", "cmdline")}
    return {**os.environ, **files}


def spelled(code):
    """Give the ways in which a key may be written."""
    raw = to_raw(code.secret)
    return [code.encode().encode(), code.secret, raw, raw.hex().encode(), repr(raw).encode()]


def test_key_is_nowhere_but_in_the_line(remote, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    dataset = Dataset(range(40)).map(environment, workers=remote)
    with dataset.open() as run:
        text = remote.join_file.read_text().strip()
        code = join.decode(text)
        joined = text.removeprefix("FLAZY_JOIN=").removesuffix(" flazy-worker")
        with Host("--processes", "2", "--log-level", "debug", FLAZY_JOIN=joined) as host:
            host.says(JOINED)
            found = list(run)
            processes = host.alive()
            commands = [seen_by(process, "cmdline") for process in processes]
            inherited = [seen_by(process, "environ") for process in processes]
            mode = stat.S_IMODE(remote.join_file.stat().st_mode)
            said = host.output
    told = [repr(remote), str(remote), repr(dataset), dataset.explain(), repr(code), repr(found)]
    told += [caplog.text, *capfd.readouterr(), said]
    kept = [pickle.dumps(remote), pickle.dumps(dataset)]
    looked_at = [*(each.encode() for each in told), *kept, *commands, *inherited]

    assert 0o600 == mode
    assert 40 == len(found)
    assert len(inherited) >= 3
    assert all("FLAZY_JOIN" not in each for each in found)
    assert not [(key, where) for key in spelled(code) for where in looked_at if key in where]


def test_key_is_not_in_the_error_that_nobody_came(tmp_path):
    remote = Remote("tcp://127.0.0.1:0", join_file=tmp_path / "join", join_timeout=0.2)
    with Dataset(range(4)).map(abs, workers=remote).open() as run:
        code = join.decode(remote.join_file.read_text())
        with pytest.raises(NoWorkers) as caught:
            list(run)

    assert str(remote.join_file) in str(caught.value)
    assert not [key for key in spelled(code) if key in str(caught.value).encode()]
