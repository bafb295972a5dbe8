"""However a program is started, its functions run in workers as they would in itself; or one error says why not."""

import subprocess
import sys

import pytest

from tests.parallel.scripts import ROOT, cases, environment, remains, run, write

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

# It says when it is begun, since nothing of the program itself may run in workers: it has no guard for them.
PROGRAM = f"""
import sys
sys.path.append({str(ROOT)!r})
from dataclasses import dataclass
from flazy import Dataset
try:
    from neighbour import debug
except ImportError:  # Python was told not to look beside the script
    debug = str

print("begun", __name__, flush=True)
OFFSET = 1

@dataclass
class Point:
    x: int

def seen(point):
    return Point(point.x + OFFSET), debug(point.x), __debug__, __name__, sys.flags.utf8_mode, sys.dont_write_bytecode

ds = Dataset(range(3)).map(Point, workers=1).map(seen, workers=1)
serial = ds.serial().list()
print([point.x for point, *_ in serial], ds.list() == serial)
"""

WAYS = {
    "script": ["script.py"],
    "folder": ["package"],
    "code": ["-c", PROGRAM],
    "input": ["-"],
    "module": ["-m", "package"],
    "module of a package": ["-m", "package.script"],
    "optimised": ["-O", "script.py"],
    "isolated": ["-I", "script.py"],
    "safe path": ["-P", "script.py"],
    "many flags": ["-E", "-s", "-B", "-u", "-X", "utf8", "script.py"],
}


@pytest.mark.parametrize("way", cases(WAYS, ["module", "optimised", "isolated", "many flags"]))
def test_functions_of_a_program_do_in_workers_what_they_do_in_itself(tmp_path, way):
    (tmp_path / "package").mkdir()
    for name in ("script.py", "package/script.py", "package/__main__.py"):
        write(tmp_path, PROGRAM, name)
    write(tmp_path, "", "package/__init__.py")
    write(tmp_path, "def debug(x):\n    return x, __debug__\n", "neighbour.py")
    done = subprocess.run(
        [sys.executable, *WAYS[way]], input=PROGRAM, cwd=tmp_path, env=environment(tmp_path),
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip

    assert ("begun __main__\n[1, 2, 3] True\n", "") == (done.stdout, done.stderr)
    assert 0 == done.returncode
    assert [] == remains(tmp_path)


SPAWNED = """
import multiprocessing
from dataclasses import dataclass
from flazy import Dataset

@dataclass
class Point:
    x: int

def moved(point):
    return Point(point.x + 1)

def child():
    ds = Dataset(range(3)).map(Point).map(moved, workers=1)
    print(ds.list() == [Point(1), Point(2), Point(3)] == ds.serial().list(), __name__, flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
"""


def test_functions_and_classes_of_a_program_in_a_process_that_it_spawns(tmp_path):
    """As PyTorch starts ranks, and its DataLoader may start workers; the program is ``__mp_main__`` there."""
    done = run(tmp_path, SPAWNED)

    assert ("True __mp_main__\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    assert [] == remains(tmp_path)


def test_modules_in_the_working_folder_do_not_stand_in_for_those_of_python(tmp_path):
    """They do not in the program either, which is started from a script elsewhere."""
    for folder in ("elsewhere", "scripts"):
        (tmp_path / folder).mkdir()
    for name in ("json.py", "numpy.py", "ctypes.py", "queue.py", "zmq.py"):
        write(tmp_path / "elsewhere", "raise ValueError('not me')", name)
    done = run(tmp_path / "scripts", PROGRAM, cwd=tmp_path / "elsewhere")

    assert ("begun __main__\n[1, 2, 3] True\n", "") == (done.stdout, done.stderr)


def test_frozen_program_is_told_that_it_has_no_interpreter(tmp_path):
    """Its sys.executable is itself: it would be started in the place of a worker, and so on without an end."""
    write(tmp_path, "#!/bin/sh\necho started >>started\n", "program").chmod(0o755)
    source = """
    import sys
    sys.frozen, sys.executable = True, "./program"
    from flazy import Dataset, Threads, WorkerError
    try:
        Dataset(range(3)).map(abs, workers=2).list()
    except WorkerError as error:
        print(error)
    print(Dataset(range(3)).map(abs, workers=Threads(2)).list())
    """
    done = run(tmp_path, source)

    assert "frozen" in done.stdout.splitlines()[0]
    assert ("[0, 1, 2]", "", 0) == (done.stdout.splitlines()[-1], done.stderr, done.returncode)
    assert not (tmp_path / "started").exists()


def test_working_folder_that_is_deleted_under_a_pass(tmp_path):
    source = """
    import itertools, os, pathlib, shutil, signal
    from flazy import Dataset, WorkerError
    pathlib.Path("gone").mkdir()
    os.chdir("gone")
    run = Dataset(itertools.count).map(lambda x: (x, os.getpid()), workers=1).open()
    first, worker = next(run)
    shutil.rmtree(os.getcwd())
    print(first, [next(run)[0] for _ in range(3000)] == [*range(1, 3001)])
    os.kill(worker, signal.SIGKILL)
    try:
        for _ in run: pass
    except WorkerError as error:  # the one in its place has no folder to work in
        print("FileNotFoundError" in str(error) and "gone" in str(error))
    """
    done = run(tmp_path, source)

    assert ("0 True\nTrue\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    assert [] == remains(tmp_path)


# Notebooks: cells, which are run in a thread or under a loop, in a module of which no file is there -------------------

CELLS = [
    "from flazy import Dataset; import itertools, os, signal, sys",
    "def f(x): return x + offset\noffset = 1",
    "ds = Dataset(range(3)).map(f, workers=2)\nprint(ds.list())",
    "offset = 10\nprint(ds.list())",
    "def f(x): return -x\nprint(ds.list(), Dataset(range(3)).map(f, workers=2).list())",
    "def say(x): print('said', x); return x\nprint(sum(Dataset([7]).map(say, workers=1)))",
    "for x in Dataset(itertools.count).map(f, workers=2): 1 / x",
    "run = Dataset(itertools.count).map(f, workers=2).open(); next(run)",
    "class Point:\n    def __init__(self, x): self.x = x",
    "print([p.x for p in Dataset(range(3)).map(Point, workers=1)])",
    "print(next(run)); run.close()",
]

KERNEL = """
import asyncio, linecache, sys, threading, traceback

class Stream:  # as that of a kernel: with no file
    def __init__(self, name): self.name = name
    def write(self, text): told.append((self.name, text))
    def flush(self): pass

told = []

async def kernel():
    sys.stdout, sys.stderr = Stream("out"), Stream("err")
    for number, cell in enumerate(CELLS):
        try:
            exec(compile(cell, f"<cell {number}>", "exec"), sys.modules["__main__"].__dict__)
        except BaseException as error:
            sys.last_value, sys.last_traceback = error, error.__traceback__
            told.append(("error", type(error).__name__))

def serve():
    asyncio.run(kernel())

HOW
sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
print("".join(text for name, text in told if name == "out"))
print([text for name, text in told if name != "out"])
"""

# asyncio.run takes Ctrl-C for itself, and a kernel gives it back to its cells.
DRIVEN = """    try:
        kernel().send(None)
    except StopIteration:
        pass
"""

HOWS = {
    "in the main thread": "serve()",
    "in another thread": "thread = threading.Thread(target=serve); thread.start(); thread.join()",
}


@pytest.mark.parametrize("how", cases(HOWS, ["in another thread"]))
def test_cells_of_a_notebook(tmp_path, how):
    source = f"CELLS = {CELLS!r}\n" + KERNEL.replace("HOW", HOWS[how])
    done = run(tmp_path, source)
    *lines, errors = done.stdout.splitlines()

    assert ["[1, 2, 3]", "[10, 11, 12]", "[10, 11, 12] [0, -1, -2]"] == lines[:3]
    assert ["7", "said 7"] == sorted(lines[3:5])
    assert ["[0, 1, 2]", "-1", ""] == lines[5:]
    assert ("['ZeroDivisionError']", "", 0) == (errors, done.stderr, done.returncode)
    assert [] == remains(tmp_path)


def test_interrupted_cell_leaves_the_next_ones_alone(tmp_path):
    cells = [
        *CELLS[:2],
        "def stop(x):\n    if x == 5: os.kill(main, signal.SIGINT)\n    return x\nmain = os.getpid()",
        "for x in Dataset(itertools.count).map(stop, workers=2): pass",
        "print(Dataset(range(3)).map(f, workers=2).list())",
        "for x in Dataset(itertools.count).map(stop, workers=2).batch(2).prefetch(1): pass",
        "print(Dataset(range(3)).map(f, workers=2).list())",
    ]
    kernel = KERNEL.replace("    asyncio.run(kernel())\n", DRIVEN).replace("HOW", "serve()")
    done = run(tmp_path, f"CELLS = {cells!r}\n" + kernel)

    assert ["[1, 2, 3]", "[1, 2, 3]", "", "['KeyboardInterrupt', 'KeyboardInterrupt']"] == done.stdout.splitlines()
    assert ("", 0) == (done.stderr, done.returncode)
    assert [] == remains(tmp_path)
