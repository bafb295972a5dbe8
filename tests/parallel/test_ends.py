"""The ends of passes that are used in odd ways: dropped, shared, held by a traceback, opened where nobody stays."""

import gc
import itertools
import sys
import threading
import time

import pytest

import flazy
from flazy import Dataset, Processes, Threads
from flazy.errors import ClosedRun
from flazy.run.runtime import runtime
from tests.parallel import functions as fn
from tests.parallel.scripts import END_SECONDS, cases, remains, run

pytestmark = pytest.mark.slow

wheres = pytest.mark.parametrize("where", [2, Threads(2)], ids=["processes", "threads"])


def endless(where=2):
    return Dataset(itertools.count).map(fn.same, workers=where)


def in_thread(act):
    """Run a function in a thread of its own, to its end; give what it gave or raised."""
    found = []

    def body():
        try:
            found.append(act())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(30)
    return found[0] if found else "it did not end"


BEHIND = {
    "prefetch": lambda ds: ds.prefetch(2),
    "another parallel stage": lambda ds: ds.flatmap(lambda x: [x]).map(fn.same, workers=Threads(1)),
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_close_does_not_wait_for_a_slow_function_of_a_stage_before(monkeypatch, behind):
    for module in ("prefetch", "feeder"):
        monkeypatch.setattr(f"flazy.run.{module}.CLOSE_SECONDS", 50)
    let_go = threading.Event()

    def slow(x):
        if x:
            let_go.wait(50)
        return x

    opened = behind(Dataset(itertools.count).map(slow, workers=Threads(2, chunk=1))).open()
    next(opened)
    started = time.monotonic()
    opened.close()
    seconds = time.monotonic() - started
    let_go.set()

    assert seconds < 25


# Who drops it, and where ------------------------------------------------------------------------------------


def in_the_hub(act):
    done = threading.Event()
    runtime().post(lambda: (act(), done.set()))
    return done.wait(30)


def in_a_feeder(act):
    def source():
        act()
        yield 1

    return [1] == Dataset(source).map(fn.same, workers=Threads(1)).list()


COLLECTORS = {"another thread": lambda act: in_thread(act) >= 0, "the hub": in_the_hub, "a feeder": in_a_feeder}


@pytest.mark.parametrize("collect", COLLECTORS.values(), ids=COLLECTORS)
@pytest.mark.parametrize(
    ("where", "behind"),
    [(2, lambda ds: ds), (Threads(2), BEHIND["prefetch"]), (Threads(2), BEHIND["another parallel stage"])],
    ids=["alone", *BEHIND],
)
def test_iterator_in_a_cycle_is_ended_whoever_collects_it(where, collect, behind):
    gc.collect()
    gc.disable()
    try:
        ring = [behind(endless(where)).open(), iter(behind(endless(where)))]
        firsts = [next(ring[0]), next(ring[1])]
        ring.append(ring)
        del ring
        collected = collect(gc.collect)
    finally:
        gc.enable()

    assert ([0, 0], True) == (firsts, collected)


@wheres
def test_generator_that_was_never_started(where):
    iterator = iter(endless(where))

    assert 0 == next(iter(endless(where)))
    del iterator


@wheres
def test_traceback_that_the_interpreter_holds(where, monkeypatch):
    """As after an error in an interactive session; the next cell goes on with another pass."""
    try:
        for value in endless(where):
            if value == 3:
                raise KeyError(value)
    except KeyError as error:
        monkeypatch.setattr(sys, "last_traceback", error.__traceback__, raising=False)
        monkeypatch.setattr(sys, "last_value", error, raising=False)

    assert [0, 1, 2] == list(itertools.islice(endless(where), 3))
    flazy.shutdown()
    monkeypatch.undo()


# Threads ----------------------------------------------------------------------------------------------------


@wheres
def test_pass_that_was_opened_in_a_thread_that_has_ended(where):
    """What a system does to the children of a thread that ends (PDEATHSIG) must not happen to workers."""
    opened = in_thread(lambda: endless(where).open())
    first = in_thread(lambda: next(opened))
    with opened:
        rest = list(itertools.islice(opened, 5000))
        lost = opened.stats().segments[0].lost_workers

    assert (0, [*range(1, 5001)], 0) == (first, rest, lost)


def test_twenty_pipelines_at_once():
    def shifted(offset):
        where = Threads(2) if offset % 4 == 0 else 1
        return Dataset(range(300)).map(lambda x: x + offset, workers=where).filter(lambda x: x % 3, workers=where)

    got = {}
    threads = [threading.Thread(target=lambda n=n: got.update({n: shifted(n).list()})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)

    assert {n: [x for x in range(n, 300 + n) if x % 3] for n in range(20)} == got


@wheres
@pytest.mark.parametrize("take", [lambda ds: ds.open(), iter], ids=["run", "generator"])
def test_iterator_that_two_threads_share_gives_each_sample_once_or_an_error(where, take):
    shared = take(Dataset(range(20_000)).map(fn.same, workers=where))
    begin = threading.Barrier(3)
    got, raised = [[], [], []], []

    def consume(mine):
        begin.wait(30)
        try:
            for value in shared:
                mine.append(value)
        except (ValueError, ClosedRun) as error:
            raised.append(str(error))

    threads = [threading.Thread(target=consume, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    shared.close()
    values = sorted(itertools.chain(*got))

    assert [False] * 3 == [thread.is_alive() for thread in threads]
    assert values == [*range(20_000)] or (raised and len(values) == len({*values}))
    assert all(mine == sorted(mine) for mine in got)
    assert all("already executing" in text or "closed" in text for text in raised)


@wheres
def test_shutdown_from_another_thread_in_the_midst(where):
    seen = threading.Event()
    thread = threading.Thread(target=lambda: (seen.wait(30), flazy.shutdown()))
    thread.start()
    with pytest.raises(ClosedRun, match="shutdown"):
        for value in endless(where):
            if value == 1000:
                seen.set()
    thread.join(30)

    assert [0, 1] == list(itertools.islice(endless(where), 2))


@wheres
def test_pass_that_is_opened_while_the_runtime_ends_starts_nothing(where):
    held = endless(where).open()
    next(held)
    hub, opened = runtime(), []
    hub.post(lambda: (hub._stop("it ends"), opened.append(endless(where).open())))
    hub.thread.join(20)

    assert not hub.thread.is_alive()
    for each in (held, *opened):
        with pytest.raises(ClosedRun, match="it ends"):
            list(itertools.islice(each, 100_000))
    assert 1 == len(opened)


def test_shutdowns_and_passes_of_many_threads_at_once():
    """Each pass is right or is told that it was ended; nothing hangs."""
    wrong = []

    def consume(number):
        for _ in range(6):
            try:
                got = Dataset(range(200)).map(lambda x: x + number, workers=Processes(1)).list()
                if [*range(number, 200 + number)] != got:
                    wrong.append(got)
            except ClosedRun:
                flazy.shutdown()

    threads = [threading.Thread(target=consume, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        flazy.shutdown()
        threads[0].join(0.2)

    assert [] == wrong


# Ends of programs -------------------------------------------------------------------------------------------

HEAD = """
import itertools, os, sys, threading, time
from flazy import Dataset, Threads
ds = Dataset(itertools.count).map(lambda x: x + 1, workers=WHERE)
"""

# What it does, its exit code, how many tracebacks it shows.
ENDS = {
    "sys.exit in the loop": ("for x in ds: sys.exit(5)", 5, 0),
    "os._exit in the loop": ("for x in ds: os._exit(6)", 6, 0),
    "error in the loop": ("for x in ds: 1 / 0", 1, 1),
    "error in a function": ("for x in ds.map(lambda x: 1 / 0, workers=1): pass", 1, None),
    "error with the iterator held": ("it = iter(ds); next(it); run = ds.open(); next(run); 1 / 0", 1, 1),
    "sys.exit at the exit": ("import atexit; it = iter(ds); next(it); atexit.register(sys.exit, 7)", 0, None),
    "daemon thread": (
        """
class Tell:
    def find_spec(self, name, path, target=None):
        if name == "flazy.run.segment":
            begun.set()
begun = threading.Event()
sys.meta_path.insert(0, Tell())
threading.Thread(target=lambda: list(ds), daemon=True).start()
begun.wait(30)
""",
        0,
        0,
    ),
    "thread that goes on": ("threading.Thread(target=lambda: print(sum(ds.take(3000)))).start()", 0, 0),
    "thread that opens after the end": (
        """
def late():
    threading.main_thread().join()
    print(sum(ds.take(30)))
threading.Thread(target=late).start()
""",
        0,
        0,
    ),
}


OFTEN = ["os._exit in the loop", "error with the iterator held", "daemon thread", "thread that opens after the end"]


@pytest.mark.parametrize("where", cases(["2", "Threads(2)"], ["2"]))
@pytest.mark.parametrize("what", cases(ENDS, OFTEN))
def test_program_ends_in_time_with_its_own_code_and_words(tmp_path, what, where):
    act, code, tracebacks = ENDS[what]
    started = time.monotonic()
    done = run(tmp_path, HEAD.replace("WHERE", where) + act)
    seconds = time.monotonic() - started

    assert code == done.returncode, done.stderr
    assert tracebacks in (done.stderr.count("Traceback"), None), done.stderr
    assert tracebacks != 0 or done.stderr == ""
    assert seconds < 5 + END_SECONDS  # with its start
    if "os._exit" not in act or where == "2":  # without a process of ours, nobody but the next start can see to files
        assert [] == remains(tmp_path)
