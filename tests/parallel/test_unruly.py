"""Functions that do to their worker whatever a process can do to itself: results are exact, and nothing is left."""

import concurrent.futures
import contextlib
import gc
import io
import locale
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

import flazy
from flazy import Dataset, Processes
from tests.parallel import functions as fn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

done = set()  # in a worker: what it has done already


def once(act):
    """Do something once in each process, so that what comes later finds it done."""
    if act not in done:
        done.add(act)
        act()


def sleep():
    time.sleep(600)


# What starts something, each time ------------------------------------------------------------------------------------


def with_thread(x):
    found = []
    thread = threading.Thread(target=lambda: found.append(2 * x))
    thread.start()
    thread.join()
    return found[0]


def with_subprocess(x):
    return int(subprocess.check_output(["/bin/echo", str(2 * x)]))


def with_fork(x):
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(write, str(2 * x).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as file:
        return int(file.read())


def with_pool(x):
    with multiprocessing.Pool(2) as pool:
        return sum(pool.map(fn.same, [x, x]))


def with_executor(x):
    with concurrent.futures.ProcessPoolExecutor(1) as executor:
        return sum(executor.map(fn.same, [x, x]))


def with_spawned_executor(x):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as executor:
        return executor.submit(int.__add__, x, x).result()


def with_pipeline(x):
    return sum(Dataset([x, x]).map(fn.same, workers=1))


def with_pipeline_of_pipelines(x):
    return sum(Dataset([x]).map(with_pipeline, workers=1))


STARTERS = {
    with_thread: 100, with_subprocess: 30, with_fork: 30, with_pool: 3, with_executor: 5, with_spawned_executor: 2,
    with_pipeline: 10, with_pipeline_of_pipelines: 4,
}  # fmt: skip


@pytest.mark.parametrize("function", STARTERS, ids=lambda function: function.__name__)
def test_function_that_starts_something_each_time(function):
    count = STARTERS[function]

    assert [2 * x for x in range(count)] == Dataset(range(count)).map(function, workers=2).list()


# What is left running or changed, once a worker -------------------------------------------------------------------


def leave_all_running():
    threading.Thread(target=sleep).start()  # Python waits for it at the end of a process
    threading.Thread(target=sleep, daemon=True).start()
    subprocess.Popen(["sleep", "600"])
    multiprocessing.Process(target=sleep).start()
    multiprocessing.Process(target=sleep, daemon=True).start()
    concurrent.futures.ProcessPoolExecutor(1).submit(sleep)
    concurrent.futures.ThreadPoolExecutor(1).submit(sleep)
    iter(Dataset(range(100)).map(fn.same, workers=1).open()).__next__()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleep()


def change_everything():
    os.chdir("/")
    os.environ.clear()
    os.umask(0o777)
    os.nice(3)
    gc.disable()
    gc.set_threshold(1)
    sys.setrecursionlimit(10**5)
    sys.setswitchinterval(0.5)
    sys.path.clear()
    sys.argv.clear()
    random.seed(1)
    warnings.simplefilter("error")
    socket.setdefaulttimeout(0.001)
    locale.setlocale(locale.LC_ALL, "C")
    sys.excepthook = sys.unraisablehook = threading.excepthook = None
    sys.settrace(lambda *_: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def deafen():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def ring():
    """Interrupt every system call, a thousand times a second."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


def close_standard_files():
    for number in range(3):
        os.close(number)


def close_streams():
    sys.stdin = None
    sys.stdout.close()
    sys.stderr.close()


def exit_functions():
    import atexit

    atexit.register(sleep)
    atexit.register(sys.exit, 9)


LEFT = [
    leave_all_running, change_everything, deafen, ring, close_standard_files, close_streams, exit_functions,
]  # fmt: skip


@pytest.mark.parametrize("act", LEFT, ids=lambda act: act.__name__)
def test_function_that_leaves_its_worker_changed(act):
    def work(x):
        once(act)
        return {"x": 2 * x, "bytes": bytes(x % 7)}

    ds = Dataset(range(1000)).map(work, workers=Processes(2, chunk=10))
    expected = [{"x": 2 * x, "bytes": bytes(x % 7)} for x in range(1000)]

    assert expected == ds.list()
    assert expected[:500] == ds.take(500).list()  # in the same workers
    assert expected[:99:3] == Dataset(range(0, 99, 3)).map(work, workers=1).list()


@pytest.mark.parametrize("written", ["lines", "without an end", "bytes below Python"])
def test_function_that_writes_much(written):
    megabytes = int(os.environ.get("FLAZY_WRITTEN_MB", "20"))
    each = 1000

    def write(x):
        if written == "bytes below Python":
            for number in (1, 2):
                os.write(number, (b"x" * 499 + b"\n") * each)
        else:
            for stream in (sys.stdout, sys.stderr):
                stream.write(("y" * 499 + ("\n" if written == "lines" else "z")) * each)
        return x

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        got = Dataset(range(megabytes)).map(write, workers=2).list()
        flazy.shutdown()

    assert [*range(megabytes)] == got
    for stream in (out, err):
        text = stream.getvalue()
        lines = text.splitlines()
        assert megabytes * each * 500 <= len(text) <= megabytes * each * 500 + 2
        assert written == "without an end" or megabytes * each == len(lines)
        assert {"x" * 499} >= {*lines} or {"y" * 499} >= {*lines} or written == "without an end"
