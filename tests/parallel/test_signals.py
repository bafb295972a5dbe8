"""Ctrl-C and its kin: one KeyboardInterrupt, no word of workers, an end in time, and nothing left."""

import os
import signal
import sys
import time

import pytest

from tests.parallel.scripts import END_SECONDS, ROOT, Program, cases, remains, write

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

HEAD = """
import atexit, itertools, os, signal, sys, threading, time
from flazy import Dataset, Processes, Threads

def same(x):
    return x

def stuck(x):
    if x == 3:
        print("ready", flush=True)
        time.sleep(600)
    return x

def stubborn(x):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return stuck(x)

def busy(x):
    if x == 3:
        print("ready", flush=True)
        while True: pass
    return x

def source():
    yield from range(3)
    print("ready", flush=True)
    time.sleep(600)

"""

# Where the program is when the signal comes; each says "ready" there.
PLACES = {
    "loop body": """
for x in Dataset(itertools.count).map(same, workers=2):
    print("ready", flush=True)
    time.sleep(600)
""",
    "next, and functions compute": "for x in Dataset(itertools.count).map(busy, workers=2): pass",
    "next, and functions ignore SIGTERM": "Dataset(itertools.count).map(stubborn, workers=2).list()",
    "next, and the source sleeps": "for x in Dataset(source).map(same, workers=2): pass",
    "next, of threads": "for x in Dataset(itertools.count).map(stuck, workers=Threads(2)): pass",
    "next, behind other stages": """
for x in Dataset(itertools.count).map(stuck, workers=2).batch(2).map(same, workers=1).prefetch(2): pass
""",
    "source of a serial stage": "for x in Dataset(source): pass",
}


def interrupted(err):
    """Say whether the one thing on the terminal is the program's own KeyboardInterrupt."""
    return (1, "KeyboardInterrupt") == (err.count("Traceback"), err.rstrip().splitlines()[-1])


def ended_by_interrupts(err):
    """Say whether all that is on the terminal are interrupts, of which Python shows those in a clean-up as well.

    The line of each that says what it is has no blank at its front.
    """
    beside = (" ", "Traceback", "During handling", "Exception ignored in:")
    said = [line for line in err.splitlines() if line and not line.startswith(beside)]
    return {"KeyboardInterrupt"} == {line.rstrip(": ") for line in said}


# Where a pass has processes, which see to its files when it cannot; with threads alone the next start does that.
WITH_PROCESSES = [place for place in PLACES if place not in {"next, of threads", "source of a serial stage"}]

# Where the exception of a handler does not come out of the user's own source, whose errors are named as such.
OUTSIDE = [place for place in PLACES if place != "source of a serial stage"]

OFTEN = ["loop body", "next, and functions ignore SIGTERM", "next, behind other stages", "next, of threads"]


@pytest.mark.parametrize("place", cases(PLACES, OFTEN))
def test_interrupt_is_raised_once_wherever_the_program_is(tmp_path, place):
    with Program(tmp_path, HEAD + PLACES[place]) as program:
        ready = program.line()
        started = time.monotonic()
        program.terminal(signal.SIGINT)
        code, _out, err = program.end()
        seconds = time.monotonic() - started

        print(f"{place}: {seconds:.2f} s")
        assert ("ready", -signal.SIGINT) == (ready, code)
        assert interrupted(err), err
        assert seconds < END_SECONDS
        assert [] == remains(tmp_path)


# The interpreter of workers waits at its very start until somebody writes into a pipe, so that no worker is ever ready.
SLOW_START = """
import os, sys
if "-c" in sys.orig_argv:
    with open(os.environ["HOLD"] + ".started", "w") as begun:
        print("ready", file=begun)
    with open(os.environ["HOLD"]) as hold:
        hold.read()
"""


def test_interrupt_before_any_worker_is_ready(tmp_path):
    write(tmp_path, SLOW_START, "sitecustomize.py")
    hold, begun = tmp_path / "hold", tmp_path / "hold.started"
    for pipe in (hold, begun):
        os.mkfifo(pipe)
    source = """
def told():
    for x in itertools.count():
        print("waiting", flush=True)
        yield x
for x in Dataset(told).map(same, workers=2): pass
"""
    with Program(tmp_path, HEAD + source, HOLD=str(hold), PYTHONPATH=f"{tmp_path}:{ROOT}") as program:
        ready, waiting = begun.read_text().strip(), program.line()
        started = time.monotonic()
        program.terminal(signal.SIGINT)
        code, _out, err = program.end()
        seconds = time.monotonic() - started

        print(f"not ready: {seconds:.2f} s")
        assert ("ready", "waiting", -signal.SIGINT) == (ready, waiting, code)
        assert interrupted(err), err
        assert seconds < END_SECONDS
        assert [] == remains(tmp_path)


IMPORTING = """
class Pause:
    def find_spec(self, name, path, target=None):
        if name == NAME:
            print("ready", flush=True)
            time.sleep(600)

sys.meta_path.insert(0, Pause())
for x in Dataset(itertools.count).map(same, workers=2): pass
"""


@pytest.mark.parametrize("module", cases(["flazy.run.runtime", "flazy.run.segment", "zmq"], ["flazy.run.runtime"]))
def test_interrupt_while_the_runtime_is_imported(tmp_path, module):
    with Program(tmp_path, HEAD + f"NAME = {module!r}\n" + IMPORTING) as program:
        ready = program.line()
        program.terminal(signal.SIGINT)
        code, _out, err = program.end()

        assert ("ready", -signal.SIGINT) == (ready, code)
        assert interrupted(err), err
        assert [] == remains(tmp_path)


# What the program waits for at its end; each says "ending" while it does.
CLEANING = {
    "a worker": """
def deaf(x):
    signal.signal(signal.SIGTERM, lambda *_: print("ending", flush=True))
    return stuck(x)
for x in Dataset(itertools.count).map(deaf, workers=1): pass
""",
    "a source": """
class Slow:
    def __iter__(self): return self
    def __next__(self):
        print("ready", flush=True)
        threading.main_thread().join(0.3)
        print("ending", flush=True)
        time.sleep(600)
Dataset(Slow()).map(same, workers=2).list()
""",
    "a clean-up of the user's": """
def through(samples):
    try:
        for x in samples: yield x
    finally:
        print("ending", flush=True)
        time.sleep(600)
for x in Dataset(itertools.count).map(same, workers=2).transform(through):
    print("ready", flush=True)
    time.sleep(600)
""",
}


@pytest.mark.parametrize("what", CLEANING)
def test_second_interrupt_during_the_clean_up(tmp_path, what):
    with Program(tmp_path, HEAD + CLEANING[what]) as program:
        ready = program.line()
        program.terminal(signal.SIGINT)
        ending = program.line()
        started = time.monotonic()
        program.terminal(signal.SIGINT)
        code, _out, err = program.end()
        seconds = time.monotonic() - started

        assert ("ready", "ending", -signal.SIGINT) == (ready, ending, code)
        assert ended_by_interrupts(err), err
        assert seconds < END_SECONDS
        assert [] == remains(tmp_path)


@pytest.mark.parametrize("place", cases(PLACES, ["next, of threads"]))
def test_many_interrupts_at_once(tmp_path, place):
    with Program(tmp_path, HEAD + PLACES[place]) as program:
        ready = program.line()
        started = time.monotonic()
        program.terminal(signal.SIGINT, times=5)
        code, _out, err = program.end()
        seconds = time.monotonic() - started

        assert ("ready", -signal.SIGINT) == (ready, code)
        assert ended_by_interrupts(err), err
        assert seconds < END_SECONDS
        assert [] == remains(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", cases(WITH_PROCESSES, ["loop body"]))
def test_signal_that_ends_the_program_at_once_ends_everything(tmp_path, number, place):
    with Program(tmp_path, HEAD + PLACES[place]) as program:
        ready = program.line()
        program.terminal(number)
        code, _out, err = program.end()

        assert ("ready", -number, "") == (ready, code, err)
        assert [] == remains(tmp_path)


@pytest.mark.parametrize("number", cases([signal.SIGTERM, signal.SIGINT, signal.SIGHUP], [signal.SIGTERM]))
@pytest.mark.parametrize("place", cases(OUTSIDE, ["loop body"]))
def test_handler_that_raises_system_exit(tmp_path, number, place):
    handler = f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
    with Program(tmp_path, HEAD + handler + PLACES[place]) as program:
        ready = program.line()
        program.terminal(number)
        code, _out, err = program.end()

        assert ("ready", 7, "") == (ready, code, err)
        assert [] == remains(tmp_path)


COUNTED = """
seen = []
signal.signal(signal.SIGINT, HANDLER)
print("ready", flush=True)
it = iter(Dataset(iter(sys.stdin.readline, "end\\n")).map(str.strip, workers=2))
print(next(it), flush=True)
print(next(it), flush=True)
print(list(it), len(seen), flush=True)
"""


@pytest.mark.parametrize(("handler", "count"), [("lambda *_: seen.append(1)", 1), ("signal.SIG_IGN", 0)])
def test_handler_that_goes_on_disturbs_nothing(tmp_path, handler, count):
    with Program(tmp_path, HEAD + COUNTED.replace("HANDLER", handler)) as program:
        lines = [program.line()]
        program.say("a")
        lines.append(program.line())
        program.terminal(signal.SIGINT)  # while it waits for the second
        for line in ("b", "c", "end"):
            program.say(line)
        lines += [program.line(), program.line()]
        code, _out, err = program.end()

        assert ["ready", "a", "b", f"['c'] {count}"] == lines
        assert (0, "") == (code, err)
        assert [] == remains(tmp_path)
