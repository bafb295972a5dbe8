"""A program that is killed, at any moment, takes everything with it: workers, what functions have started, files."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import flazy
from flazy import Dataset, Processes
from tests.parallel.scripts import Program, alive, cases, ended, remains, run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

HEAD = """
import itertools, multiprocessing, os, signal, subprocess, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor
from flazy import Dataset, Processes

def same(x):
    return x

def stuck(x):
    if x == 3:
        signal.signal(signal.SIGTERM, lambda *_: print("ending", flush=True))
        print("ready", flush=True)
        time.sleep(600)
    return x

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
kept = []

def parent(x):
    if not kept:
        warnings.simplefilter("ignore", ResourceWarning)  # of what is kept, in a worker that ends before the program
        kept.append(subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE))
        kept[0].stdout.readline()
        kept.append(multiprocessing.Process(target=time.sleep, args=(600,)))
        kept[-1].start()
        kept.append(ProcessPoolExecutor(1))
        kept[-1].submit(time.sleep, 600)
        kept.append(multiprocessing.get_context("spawn").SimpleQueue())  # a resource tracker, a name in /dev/shm
        kept.append(threading.Thread(target=time.sleep, args=(600,), daemon=True))
        kept[-1].start()
    return x

"""

MOMENTS = {
    "start": "print('ready', flush=True); Dataset(itertools.count).map(same, workers=2).list()",
    "streaming": """
for x in Dataset(itertools.count).map(same, workers=2):
    if x == 20: print("ready", flush=True)
""",
    "idle": """
list(Dataset(range(20)).map(same, workers=2))
print("ready", flush=True)
time.sleep(600)
""",
    "closing": """
it = iter(Dataset(itertools.count).map(stuck, workers=Processes(2, chunk=1)))
next(it)
input()
""",
    "with what functions have started": """
for x in Dataset(itertools.count).map(parent, workers=2):
    if x == 1000: print("ready", flush=True)
""",
    "with a pipeline inside": """
def inner(x):
    return sum(Dataset(range(3)).map(parent, workers=1).map(same, workers=1))
for x in Dataset(itertools.count).map(inner, workers=2):
    if x == 3: print("ready", flush=True)
""",
}


OFTEN = ["start", "closing", "with what functions have started", "with a pipeline inside"]


@pytest.mark.parametrize("moment", cases(MOMENTS, OFTEN))
def test_nothing_outlives_a_program_that_is_killed(tmp_path, moment):
    with Program(tmp_path, HEAD + MOMENTS[moment]) as program:
        ready = [program.line()]
        if moment == "closing":
            program.say("")
            ready.append(program.line())  # the worker has heard SIGTERM, so the program is waiting for it
        started = time.monotonic()
        code, _out, err, _seconds = program.signal(signal.SIGKILL)

        assert ("ready", -signal.SIGKILL, "") == (ready[0], code, err)
        assert [] == remains(tmp_path)
        print(f"{moment}: {time.monotonic() - started:.2f} s")


def test_nothing_outlives_a_program_that_is_killed_without_a_zygote(tmp_path):
    source = "from flazy.workers import zygote; zygote.is_supported = lambda: False\n"
    with Program(tmp_path, HEAD + source + MOMENTS["with what functions have started"]) as program:
        program.line()
        program.signal(signal.SIGKILL)

        assert [] == remains(tmp_path)


def test_nothing_but_its_child_outlives_a_killed_program_that_has_forked(tmp_path):
    """The child holds every pipe and socket of its parent, so no end of a file tells of the parent's death."""
    source = """
    import warnings
    it = iter(Dataset(itertools.count).map(same, workers=2))
    next(it)
    warnings.simplefilter("ignore")
    if (pid := os.fork()) == 0:
        signal.pause()
    print(pid, flush=True)
    signal.pause()
    """
    with Program(tmp_path, HEAD + "if True:" + source) as program:
        child = int(program.line())
        try:
            os.kill(program.pid, signal.SIGKILL)
            left = remains(tmp_path, but=(child, program.pid))
            lives = psutil.pid_exists(child)
        finally:
            os.kill(child, signal.SIGKILL)

        assert ([], True) == (left, lives)


def test_workers_end_by_themselves_when_zygote_and_program_are_killed(tmp_path):
    with Program(tmp_path, HEAD + MOMENTS["with what functions have started"]) as program:
        program.line()
        (zygote,) = psutil.Process(program.pid).children()
        zygote.send_signal(signal.SIGSTOP)  # so that it can do nothing before it is killed
        os.kill(program.pid, signal.SIGKILL)
        zygote.send_signal(signal.SIGKILL)

        assert [] == remains(tmp_path)


@pytest.mark.parametrize("end", cases(["1 / 0", "os._exit(0)", "sys.exit(0)", ""], ["1 / 0"]))
def test_what_functions_have_started_ends_with_a_program_that_ends(tmp_path, end):
    source = f"""
for x in Dataset(range(1000)).map(parent, workers=2): pass
print(x)
{end}
"""
    done = run(tmp_path, HEAD + source)

    assert "999\n" == done.stdout
    assert [] == remains(tmp_path)
    assert ("1 / 0" == end) == done.returncode == done.stderr.count("Traceback")


class Parent:
    """A function that starts a process in each worker and notes both."""

    def __init__(self, folder):
        self.folder = folder
        self.child = None

    def __call__(self, x):
        if self.child is None:
            self.child = subprocess.Popen(["sleep", "600"])
            (self.folder / f"{os.getpid()}").write_text(str(self.child.pid))
        return x


def test_what_a_worker_has_started_ends_with_it_while_the_stream_goes_on(tmp_path):
    run = Dataset(range(10**9)).map(Parent(tmp_path), workers=Processes(2, chunk=8)).open()
    next(run)
    worker, child = next((path.name, path.read_text()) for path in tmp_path.iterdir() if path.read_text())
    child = psutil.Process(int(child))
    os.kill(int(worker), signal.SIGKILL)
    gone = ended(child)
    more = [next(run) for _ in range(2000)]
    run.close()

    assert gone
    assert [*range(1, 2001)] == more


@pytest.mark.parametrize("forked", [True, False])
def test_what_a_worker_has_started_ends_with_an_idle_one(tmp_path, monkeypatch, forked):
    if not forked:  # as on systems without pidfds
        monkeypatch.setattr("flazy.workers.zygote.is_supported", lambda: False)
    Dataset(range(10)).map(Parent(tmp_path), workers=1).list()
    children = [psutil.Process(int(path.read_text())) for path in tmp_path.iterdir()]
    running = [child.is_running() for child in children]
    flazy.shutdown()

    assert [True] == running
    assert ended(children[0])


# The folder of sockets -----------------------------------------------------------------------------------------

LEFT = """
import os, signal, sys, tempfile
from flazy.workers import folder
made = folder.Folder()
import socket
socket.socket(socket.AF_UNIX).bind(made.path + "/results")
print(made.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folder_of_a_program_killed_before_it_had_workers_is_removed_by_the_next(tmp_path):
    killed = run(tmp_path, LEFT)
    before = remains(tmp_path)
    source = "from flazy import Dataset; print(sum(Dataset(range(9)).map(abs, workers=1)))"
    done = run(tmp_path, source)

    assert [killed.stdout.strip()] == [str(tmp_path / name) for name in before]
    assert ("36\n", "") == (done.stdout, done.stderr)
    assert [] == remains(tmp_path)


def test_folder_of_a_program_that_lives_is_left_alone(tmp_path):
    source = "it = iter(Dataset(iter(sys.stdin.readline, '')).map(str.strip, workers=1))\n"
    with Program(tmp_path, HEAD + source + "print(next(it), flush=True); print(list(it), flush=True)") as program:
        program.say("a")
        first = program.line()
        other = run(tmp_path, "from flazy import Dataset; print(sum(Dataset(range(9)).map(abs, workers=1)))")
        for process in alive(tmp_path):
            if process.pid not in (program.pid, *[p.pid for p in psutil.Process(program.pid).children()]):
                process.kill()  # the worker; another one must find the sockets
        program.say("b")
        code, out, err = program.end()

        assert ("a", "36\n") == (first, other.stdout)
        assert (0, "['b']\n", "") == (code, out, err)
        assert [] == remains(tmp_path)


def test_only_empty_folders_and_sockets_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    theirs = tmp_path / "flazy-hub-notes"
    theirs.mkdir()
    (theirs / "note").write_text("mine")
    (tmp_path / "flazy-hub-file").write_text("mine")
    (tmp_path / "flazy-hub-link").symlink_to(theirs)
    (tmp_path / "flazy-other").mkdir()
    Dataset(range(3)).map(abs, workers=1).list()
    flazy.shutdown()

    names = ["flazy-hub-file", "flazy-hub-link", "flazy-hub-notes", "flazy-other"]
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert "mine" == (theirs / "note").read_text()
