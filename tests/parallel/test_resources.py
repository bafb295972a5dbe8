"""Little of everything: descriptors, processes, memory, space.  It works, or one error names the limit."""

import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

from flazy import Dataset, Threads
from flazy.errors import ResourceError
from flazy.workers import room
from tests.parallel import cgroups
from tests.parallel.scripts import environment, write

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="limits are set as Linux has them")]


def run(folder, source, *arguments, prefix=(), **variables):
    """Run a script in a working directory of its own, which must be empty in the end; give its lines."""
    (folder / "cwd").mkdir(exist_ok=True)
    done = subprocess.run(
        [*prefix, sys.executable, str(write(folder, source)), *arguments],
        cwd=folder / "cwd", env={**environment(folder), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip

    assert [] == list((folder / "cwd").iterdir())
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def permitted(prefix):
    """Skip the test where a command may not be run so."""
    found = shutil.which(prefix[0])
    if found is None or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip(f"{prefix[0]} is not permitted here")
    return prefix


# Descriptors -------------------------------------------------------------------------------------------

FEW_FILES = """
import os, resource
import flazy
from flazy import Dataset
from flazy.errors import ResourceError

def twice(x):
    return 2 * x

Dataset(range(3)).map(twice).list()  # what is loaded with a file of its own, is
for workers, limits in ((2, (8, 26, 30, 64)), (8, (70,))):
    for limit in limits:
        before = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 4096))
        try:
            print(limit, sum(Dataset(range(1000)).map(twice, workers=workers)))
        except ResourceError as error:
            print(limit, error.errno, error)
        flazy.shutdown()
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        assert before == len(os.listdir("/proc/self/fd"))
"""


def test_few_descriptors_are_enough_or_an_error_that_says_how_many_there_may_be(tmp_path):
    """ZeroMQ would end the program."""
    said = dict(line.split(" ", 1) for line in run(tmp_path, FEW_FILES))

    assert ["8", "26", "30", "64", "70"] == list(said)
    assert "999000" == said["64"]
    for limit in ("8", "26", "30", "70"):
        assert said[limit].startswith("24 no room for ")
        assert f"this process may have {limit} files open (RLIMIT_NOFILE" in said[limit]


FILES_RUN_OUT = """
import os, resource, signal
from flazy import Dataset, Processes
from flazy.errors import ResourceError

def fill():
    files = []
    try:
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return files

resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
ds = Dataset(range(3000)).map(lambda x: (x, os.getpid()), workers=Processes(2, chunk=1, window=8))
for kill in (False, True):
    with ds.open() as run:
        pids = set()
        while len(pids) < 2:
            x, pid = next(run)
            pids.add(pid)
        files = fill()
        if kill:
            os.kill(pid, signal.SIGKILL)
        try:
            print([x for x, _ in run] == list(range(x + 1, 3000)))
        except ResourceError as error:
            print(error.errno, error)
    for file in files:
        os.close(file)
print(ds.count())
"""


def test_descriptors_that_run_out_on_the_way_matter_only_where_a_worker_must_be_replaced(tmp_path):
    went_on, broke, anew = run(tmp_path, FILES_RUN_OUT)

    assert ("True", "3000") == (went_on, anew)
    assert broke.startswith("24 no room for a worker process: this process may have 200 files open (RLIMIT_NOFILE")


# Space and places --------------------------------------------------------------------------------------

WHERE = """
import os, sys
import flazy
from flazy import Dataset
from flazy.errors import ResourceError
from flazy.run import runtime

for named in sys.argv[1:]:
    for variable, value in zip(("TMPDIR", "XDG_RUNTIME_DIR"), named.split(":")):
        os.environ[variable] = value
        if value == "unset":
            del os.environ[variable]
    try:
        assert 999000 == sum(Dataset(range(1000)).map(lambda x: 2 * x, workers=2))
        folder = runtime.runtime().fleet.hub.folder
        print(oct(os.stat(folder).st_mode & 0o777), os.path.dirname(folder))
        flazy.shutdown()
        assert not os.path.exists(folder)
    except ResourceError as error:
        print(error)
"""


def test_folder_for_sockets_is_private_and_where_temporary_files_are_if_that_can_be(tmp_path):
    """Else where the user's other sockets are, or in /tmp; never in the working directory."""
    long = tmp_path / ("x" * 150)
    short = pathlib.Path("/tmp", f"flazy-short-{os.getpid()}")
    for folder in (long, short):
        folder.mkdir()
    cases = {
        f"{tmp_path}:{short}": tmp_path,
        f"{long}:{short}": short,
        f"{long}:unset": "/tmp",
        "unset:unset": "/tmp",
        f"/nowhere/at/all:{short}": short,
    }
    try:
        said = run(tmp_path, WHERE, *cases)
        left = [*long.iterdir(), *short.iterdir()]
    finally:
        shutil.rmtree(short)

    assert [f"0o700 {place}" for place in cases.values()] == said
    assert [] == left


def test_full_disk_is_passed_over_and_where_all_are_full_the_error_names_them(tmp_path):
    outside = pathlib.Path("/dev/shm", f"flazy-test-{os.getpid()}")  # of what is hidden by full disks
    full = outside / "full"
    full_one = "mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs"
    mount = f'while [ "$1" != -- ]; do {full_one} "$1"; shift; done'
    disks = ["unshare", "--mount", "sh", "-c", f'{mount}; shift; exec "$@"', "sh", str(full)]
    permitted([*disks[:4], "mount -t tmpfs tmpfs /tmp && true"])
    full.mkdir(parents=True)
    try:
        (there,) = run(outside, WHERE, f"{full}:unset", prefix=[*disks, "--"])
        (nowhere,) = run(outside, WHERE, f"{full}:unset", prefix=[*disks, "/tmp", "/var/tmp", "--"])
    finally:
        shutil.rmtree(outside)

    assert "0o700 /tmp" == there
    assert nowhere.startswith("worker processes need a folder for sockets, and none could be made in ")
    for place in (full, "/tmp", "/var/tmp"):
        assert f"{place} (No space left on device)" in nowhere


NOBODY = [
    "setpriv", "--reuid=54321", "--regid=54321", "--clear-groups",
    # To read an interpreter that lies in somebody's home, and nothing else.
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
]  # fmt: skip


def test_working_directory_may_be_read_only(tmp_path):
    prefix = permitted(NOBODY)
    temporary = pathlib.Path("/tmp", f"flazy-nobody-{os.getpid()}")
    temporary.mkdir()
    os.chown(temporary, 54321, 54321)
    try:
        said = run(tmp_path, WHERE, f"{temporary}:unset", prefix=prefix)
    finally:
        shutil.rmtree(temporary)

    assert [f"0o700 {temporary}"] == said


# Processes and threads ---------------------------------------------------------------------------------

FEW_PROCESSES = """
import os, resource, sys, warnings
import flazy
from flazy import Dataset
from flazy.errors import ResourceError

for limit in (2, 10, 40):
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, 4096))
    try:
        print(limit, sum(Dataset(range(1000)).map(lambda x: 2 * x, workers=2)))
    except ResourceError as error:
        print(limit, error.errno, error)
    flazy.shutdown()
"""


def test_few_processes_are_enough_or_an_error_that_says_how_many_there_may_be(tmp_path):
    """Of a user who has no others, since the limit counts all of them.  Here, too, ZeroMQ would end the program."""
    said = dict(line.split(" ", 1) for line in run(tmp_path, FEW_PROCESSES, prefix=permitted(NOBODY), TMPDIR="/tmp"))

    assert "999000" == said["40"]
    for limit in ("2", "10"):
        assert said[limit].startswith("11 no room for ")
        assert f"this user may have {limit} processes and threads (RLIMIT_NPROC" in said[limit]


FEW_PROCESSES_HERE = """
from flazy import Dataset
from flazy.errors import ResourceError

try:
    print(sum(Dataset(range(1000)).map(lambda x: 2 * x, workers=2)))
except ResourceError as error:
    print(error.errno, error)
"""


@pytest.mark.parametrize("most", [9, 40])
def test_few_processes_in_a_container_are_enough_or_an_error_that_says_so(tmp_path, most):
    with cgroups.processes(most) as cgroup:
        (said,) = run(tmp_path, FEW_PROCESSES_HERE, prefix=cgroup.prefix)

    if most == 40:
        assert "999000" == said
    else:
        assert said.startswith("11 no room for ")
        assert f"this container {most} (pids.max of its cgroup)" in said


@pytest.mark.parametrize(
    ("name", "what", "stage"),
    [
        ("flazy-worker", "a worker thread", lambda ds: ds.map(abs, workers=Threads(2))),
        ("flazy-feeder", "the thread that reads the source of a stage", lambda ds: ds.map(abs, workers=Threads(2))),
        ("flazy-feeder", "the thread that reads the source of a stage", lambda ds: ds.map(abs, workers=1)),
        ("flazy-prefetch", "the thread of a prefetch", lambda ds: ds.prefetch(2)),
    ],
)
def test_thread_that_cannot_be_started_is_an_error_that_says_which(monkeypatch, name, what, stage):
    started = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith(name):
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(ResourceError, match=rf"no room for {what}: .* \(RLIMIT_NPROC"):
        stage(Dataset(range(3))).list()


def test_trial_of_threads_leaves_none():
    tasks = set(pathlib.Path("/proc/self/task").iterdir())
    room.threads(20, "a test")

    assert tasks == set(pathlib.Path("/proc/self/task").iterdir())


# Memory ------------------------------------------------------------------------------------------------

LARGE = """
import os
import numpy as np
from flazy import Dataset
from flazy.run import runtime

def make(x):
    return np.full(2_000_000, x, np.float32)

in_arena = 0
for x, array in enumerate(Dataset(range(40)).map(make, workers=2)):
    assert array.shape == (2_000_000,) and (array == x).all()
    in_arena += runtime.runtime().fleet.arena.find(array.view(np.uint8).data) is not None
print(in_arena > 20, os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize)
"""


def test_large_samples_need_no_dev_shm(tmp_path):
    """Eight megabytes each, where it has one, as in containers; what is anonymous does not count there."""
    small = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    prefix = permitted(["unshare", "--mount", "sh", "-c", small, "sh"])

    assert ["True 1048576"] == run(tmp_path, LARGE, prefix=prefix)


NO_MEMORY = """
import resource
import numpy as np
from flazy import Dataset, SampleError

resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
def make(x):
    return np.ones(2**31 if x == 37 else 2_000_000, np.uint8)
seen = []
try:
    for array in Dataset(range(100)).map(make, workers=2):
        seen.append(array.nbytes)
except SampleError as error:
    print(len(seen), isinstance(error, MemoryError), error.stage, error.address)
print(sum(Dataset(range(10)).map(lambda x: 2 * x, workers=2)))
"""


def test_memory_error_of_a_function_names_its_sample(tmp_path):
    assert ["37 True map(make) (37,)", "90"] == run(tmp_path, NO_MEMORY)


NO_MEMORY_FOR_ALL = """
import numpy as np
from flazy import Dataset, PoisonSample

def make(x):
    return int(np.ones(2**30 if x == 7 else 100, np.uint8).sum())
seen = []
try:
    for value in Dataset(range(20)).map(make, workers=2):
        seen.append(value)
except PoisonSample as error:
    print(len(seen), error.address, error.signal, "cgroup's oom_kill rose" in str(error).splitlines()[0])
print(sum(Dataset(range(10)).map(lambda x: 2 * x, workers=2)))
"""


def test_worker_that_the_system_kills_for_its_memory_costs_its_sample_alone(tmp_path):
    with cgroups.memory(400 * 2**20) as cgroup:
        said = run(tmp_path, NO_MEMORY_FOR_ALL, prefix=cgroup.prefix)
        kills = cgroup.kills()

    assert ["7 (7,) 9 True", "90"] == said
    assert kills >= 2
