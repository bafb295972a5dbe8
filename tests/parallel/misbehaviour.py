"""Functions that misbehave on one sample of many: one table of faults, for Flazy and for its peers.

Each is good on every sample but number `BAD`. What it does there is the fault; what must then be true stands beside it.
Nothing of Flazy is imported here, so that every peer can load the functions by name, in any process.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import mmap
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["APART", "BAD", "FAULTS", "SAMPLES", "WORKERS", "Fault", "Misbehaving", "Mixed", "Must"]

SAMPLES = 640
WORKERS = 2
BAD = 37
APART = 25

Run = Callable[[Callable[[int], Any], int], Iterable[Any]]  # runs a function over range(n) in processes


class Must:
    """What must be true: all samples before the bad one are delivered, and what comes of that one."""

    RAISE = "an error with the sample, the stage, the cause and the user's line"
    DIE = "an error with the sample, the stage and how its worker ended"
    REFUSE = "an error with the sample, the stage and what cannot travel"
    END = "an error with the sample, the stage and the worker's stack, within the time limit"
    PASS = "no error: every sample is delivered"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave.

    Parameters
    ----------
    act
        What is done at the bad sample; it is given a way to run a function over some numbers in a pool of the same
        kind as the one it runs in, and what it returns is the result.
    tells
        Words; an error that has none of them hides its cause.
    """

    name: str
    must: str
    act: Callable[[Run], Any]
    tells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Misbehaving:
    """The function itself: picklable, since it is of a module and holds a name and a function of a module."""

    name: str
    run: Run

    def __call__(self, x: int) -> Any:
        return FAULTS[self.name].act(self.run) if x == BAD else x


@dataclass(frozen=True, slots=True)
class Mixed:
    """Some faults in one stream: the first at `BAD`, the others behind it, each `APART` from the last."""

    names: tuple[str, ...]
    run: Run

    def __call__(self, x: int) -> Any:
        index, rest = divmod(x - BAD, APART)
        if rest or not 0 <= index < len(self.names):
            return x
        return FAULTS[self.names[index]].act(self.run)


# Exceptions -------------------------------------------------------------------------------------------


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("this one does not travel")


class Unloadable(Exception):
    def __init__(self, one, two):
        super().__init__(one)


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Deadly(Exception):
    def __reduce__(self):
        os._exit(6)


class Bare(BaseException):
    pass


def raises(make: Callable[[], BaseException]) -> Callable[[Run], Any]:
    def act(run: Run) -> Any:
        raise make()

    return act


# Deaths -----------------------------------------------------------------------------------------------


def killed(run):
    os.kill(os.getpid(), signal.SIGKILL)


def crashes(run):
    ctypes.string_at(0)


def reads_beyond_the_end_of_a_file(run):
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as pages:
            file.truncate(0)
            return pages[0]


# Hangs ------------------------------------------------------------------------------------------------


def sleeps(run):
    time.sleep(3600)


def holds_the_lock_of_the_interpreter(run):
    ctypes.PyDLL(None).sleep(3600)


def matches_for_ever(run):
    re.match("(a+)+$", "a" * 100 + "b")


def ignores_signals_and_sleeps(run):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sleeps(run)


# What does no harm --------------------------------------------------------------------------------------


def starts_a_child(run):
    child = multiprocessing.Process(target=abs, args=(1,))
    child.start()
    child.join()
    return BAD + child.exitcode


def starts_a_program(run):
    return int(subprocess.check_output([sys.executable, "-S", "-E", "-c", f"print({BAD})"]))


def forks(run):
    child = os.fork()
    if not child:
        os._exit(0)
    return BAD + os.waitpid(child, 0)[1]


def starts_threads(run):
    threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    return BAD


def starts_an_executor(run):
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        return pool.submit(abs, -BAD).result()


def starts_its_like(run):
    return sum(run(abs, 4)) + BAD - 6


def writes_a_lot(run):
    for _ in range(5000):
        print("x" * 1000)
    return BAD


def closes_the_standard_streams(run):
    for descriptor in range(3):
        os.close(descriptor)
    return BAD


def changes_folder(run):
    os.chdir("/")
    return BAD


def changes_handlers(run):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    return BAD


def allows_itself_few_files(run):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return BAD


# The table ----------------------------------------------------------------------------------------------

DEATH = ("abrupt", "died", "exit", "signal", "SIG", "terminated")
SPENT = ("timeout", "timed out", "time limit", "took longer")

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("raises ValueError", Must.RAISE, raises(lambda: ValueError("bad")), ("ValueError",)),
        Fault("raises what cannot be pickled", Must.RAISE, raises(Unpicklable), ("Unpicklable",)),
        Fault("raises what cannot be unpickled", Must.RAISE, raises(lambda: Unloadable(1, 2)), ("Unloadable",)),
        Fault("raises what cannot be printed", Must.RAISE, raises(Unprintable), ("Unprintable",)),
        Fault("raises what kills whoever pickles it", Must.DIE, raises(Deadly), ("Deadly", *DEATH)),
        Fault("raises with a text of 10 MB", Must.RAISE, raises(lambda: ValueError("x" * 10_000_000)), ("ValueError",)),
        Fault("sys.exit(1)", Must.RAISE, raises(lambda: SystemExit(1)), ("SystemExit", *DEATH)),
        Fault("raises KeyboardInterrupt", Must.RAISE, raises(KeyboardInterrupt), ("KeyboardInterrupt",)),
        Fault("raises GeneratorExit", Must.RAISE, raises(GeneratorExit), ("GeneratorExit",)),
        Fault("raises StopIteration", Must.RAISE, raises(StopIteration), ("StopIteration",)),
        Fault("raises StopAsyncIteration", Must.RAISE, raises(StopAsyncIteration), ("StopAsyncIteration",)),
        Fault("raises a BaseException", Must.RAISE, raises(Bare), ("Bare",)),
        Fault("os._exit(1)", Must.DIE, lambda run: os._exit(1), DEATH),
        Fault("SIGKILL", Must.DIE, killed, DEATH),
        Fault("segmentation fault", Must.DIE, crashes, DEATH),
        Fault("abort()", Must.DIE, lambda run: os.abort(), DEATH),
        Fault("SIGBUS", Must.DIE, reads_beyond_the_end_of_a_file, DEATH),
        Fault("returns a lock", Must.REFUSE, lambda run: threading.Lock(), ("lock",)),
        Fault("returns a generator", Must.REFUSE, lambda run: (x for x in ()), ("generator",)),
        Fault("sleeps for ever", Must.END, sleeps, SPENT),
        Fault("sleeps for ever, deaf to signals", Must.END, ignores_signals_and_sleeps, SPENT),
        Fault("hangs in C with the interpreter's lock", Must.END, holds_the_lock_of_the_interpreter, SPENT),
        Fault("hangs in a regular expression", Must.END, matches_for_ever, SPENT),
        Fault("starts a multiprocessing.Process", Must.PASS, starts_a_child),
        Fault("starts a program", Must.PASS, starts_a_program),
        Fault("forks", Must.PASS, forks),
        Fault("starts threads", Must.PASS, starts_threads),
        Fault("starts a ProcessPoolExecutor", Must.PASS, starts_an_executor),
        Fault("starts a pool of the same kind", Must.PASS, starts_its_like),
        Fault("writes 5 MB to stdout", Must.PASS, writes_a_lot),
        Fault("closes descriptors 0 to 2", Must.PASS, closes_the_standard_streams),
        Fault("changes the folder", Must.PASS, changes_folder),
        Fault("changes signal handlers", Must.PASS, changes_handlers),
        Fault("allows itself 64 descriptors", Must.PASS, allows_itself_few_files),
    )
}
