"""Other users of the machine reach nothing of what the trainer and its workers have between them."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.parallel import scripts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="it takes root to become somebody else"),
]

TRAINER = """
    from flazy import Dataset

    run = Dataset(range(10**6)).map(lambda x: x, workers=2).open()
    print(next(run), flush=True)
    input()
    run.close()
"""

# What it prints is what it could do. Python itself may lie where others cannot read, so it is loaded before.
ATTACK = """
    import contextlib, json, os, socket, sys

    folder, files, pids, descriptors = json.loads(sys.argv[1])
    done = []
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

    def attempt(what, *arguments):
        with contextlib.suppress(PermissionError):
            done.append([what.__name__, *map(str, arguments), str(what(*arguments))])

    def connect(path):
        with socket.socket(socket.AF_UNIX) as peer:
            return peer.connect(path)

    def bind(path):
        with socket.socket(socket.AF_UNIX) as server:
            return server.bind(path)

    attempt(os.listdir, folder)
    attempt(bind, os.path.join(folder, "mine"))
    attempt(os.rename, folder, folder + "-mine")
    for path in files:
        attempt(connect, path)
        attempt(os.stat, path)
        attempt(os.unlink, path)
    for pid in pids:
        attempt(os.listdir, f"/proc/{pid}/fd")
        attempt(open, f"/proc/{pid}/mem", "rb")
        attempt(open, f"/proc/{pid}/environ", "rb")
        attempt(os.kill, pid, 0)
    for path in descriptors:
        attempt(open, path, "rb")
    attempt(os.listdir, "/")
    print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def place():
    """Give a folder for temporary files that everybody may enter, as /tmp is; that of a test is not."""
    path = Path(tempfile.mkdtemp(dir="/tmp", prefix="everybody-"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def trainer(place):
    """Start a program in the midst of a pass."""
    with scripts.Program(place, TRAINER, TMPDIR=str(place), XDG_RUNTIME_DIR=str(place)) as program:
        assert "0" == program.line()
        yield program
        program.say("")
        program.end()


def pids_of(trainer):
    return [trainer.pid, *(worker.pid for worker in trainer.workers())]


def held(pids):
    """Give the descriptors of processes, and what they are of."""
    for pid in pids:
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                yield str(path), str(path.readlink())


def attacked(*targets):
    """Try everything as a user who is nobody; give what could be done."""
    command = [sys.executable, "-S", "-c", textwrap.dedent(ATTACK), json.dumps(targets)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)


def test_sockets_memory_and_processes_are_closed_to_others(trainer, place):
    (folder,) = place.glob("flazy-*")
    files = [str(path) for path in folder.iterdir()]
    pids = pids_of(trainer)
    descriptors = dict(held(pids))
    (control,) = attacked(str(folder), files, pids, list(descriptors))

    assert len(pids) > 2
    assert files
    assert any("memfd:" in target for target in descriptors.values())
    assert ["listdir", "/"] == control[:2]  # so it did try


def test_nothing_has_a_name_or_an_address_that_others_could_use(trainer):
    connections = [each for pid in pids_of(trainer) for each in psutil.Process(pid).net_connections("all")]

    assert [] == [each for each in connections if each.family != socket.AF_UNIX]
    assert [] == [each for each in connections if each.laddr.startswith("@")]
    assert any(each.laddr for each in connections)


def test_folder_of_sockets_is_its_owners_alone(trainer, place):
    (folder,) = place.glob("flazy-*")

    assert (0o700, os.getuid()) == (folder.stat().st_mode & 0o777, folder.stat().st_uid)
