"""However a pass ends, nothing of it stays (the leak fixture looks after each test), and no other pass is disturbed."""

import gc
import itertools
import os
import signal
import threading
import weakref

import pytest

import flazy
from flazy import Dataset, Processes, Threads
from flazy.errors import ClosedRun
from flazy.run.session import Session
from flazy.workers import zygote
from tests.parallel import functions as fn
from tests.parallel.scripts import Program, gone, run

pytestmark = pytest.mark.slow

init = Session.__init__
wheres = pytest.mark.parametrize("where", [2, Threads(2)], ids=["processes", "threads"])


def endless(where=2):
    return Dataset(itertools.count).map(lambda x: x + 1, workers=where)


def test_repetition_that_is_over_is_let_go(monkeypatch):
    opened = []
    monkeypatch.setattr(Session, "__init__", lambda self, *args, **kwargs: opened.append(weakref.ref(self)) or init(
        self, *args, **kwargs
    ))
    with Dataset(range(2)).map(lambda x: x, workers=Threads(1)).repeat().open() as run:
        for _ in range(40):
            next(run)
        gc.collect()
        alive = sum(session() is not None for session in opened)
        (stage,) = run.stats().segments

    assert 20 <= len(opened)
    assert alive <= 3  # the open one, and those of which the hub has not heard yet
    assert 40 == stage.samples_out


@wheres
def test_break_ends_it(where):
    for value in endless(where):
        if value == 10:
            break

    assert 10 == value


@wheres
def test_exception_in_the_loop_body_ends_it_although_its_traceback_is_kept(where):
    with pytest.raises(KeyError) as caught:
        for value in endless(where):
            if value == 10:
                raise KeyError(value)

    assert 10 == caught.value.args[0]


@wheres
def test_deleting_the_iterator_ends_it(where):
    iterator = iter(endless(where))
    first = next(iterator)
    del iterator

    assert 1 == first


@wheres
@pytest.mark.parametrize("opened", [True, False])
def test_iterator_in_a_cycle_is_ended_by_the_collector(where, opened):
    ring = [endless(where).open() if opened else iter(endless(where))]
    ring.append(ring)
    first = next(ring[0])
    del ring
    gc.collect()

    assert 1 == first


@wheres
def test_iterator_that_another_thread_collects_is_ended(where):
    held = [iter(endless(where))]
    first = next(held[0])
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join(20)

    assert (1, False) == (first, thread.is_alive())


@wheres
def test_closed_run_gives_nothing_more(where):
    opened = endless(where).open()
    first = next(opened)
    opened.close()
    opened.close()

    assert 1 == first
    with pytest.raises(ClosedRun):
        next(opened)


@wheres
def test_run_that_was_never_asked_for_a_sample(where):
    opened = endless(where).open()
    stats = opened.stats()
    opened.close()

    assert 0 == stats.segments[0].samples_in


@wheres
def test_generator_is_closed_from_another_thread(where):
    generator = iter(endless(where))
    first = next(generator)
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join(20)

    assert (1, []) == (first, list(generator))


@wheres
def test_close_from_another_thread_wakes_who_waits(where):
    let_go = threading.Event()
    waiting = threading.Event()

    def source():
        yield 0
        waiting.set()
        assert let_go.wait(30)
        yield 1

    opened = Dataset(source).map(lambda x: x, workers=where).open()
    raised = []

    def consume():
        try:
            list(opened)
        except ClosedRun as error:
            raised.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    assert waiting.wait(30)
    opened.close()
    thread.join(20)
    let_go.set()

    assert (False, 1) == (thread.is_alive(), len(raised))


def test_two_passes_at_once_do_not_see_each_other():
    ds = Dataset(range(500)).random_map(fn.noisy, seed=1, workers=2)
    expected = [Dataset(range(500)).random_map(fn.noisy, seed=1).epoch(cycle).list() for cycle in (0, 1)]

    assert list(zip(*expected, strict=True)) == list(zip(ds, ds, strict=True))


def test_threads_have_passes_of_their_own():
    ds = Dataset(range(300)).map(lambda x: x * x, workers=1)
    got = {}

    def consume(number):
        got[number] = ds.list()

    threads = [threading.Thread(target=consume, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)

    assert {number: [x * x for x in range(300)] for number in range(4)} == got


def test_ten_pipelines_in_turns():
    def shifted(offset):
        where = Threads(2) if offset % 2 else 1
        return Dataset(range(50)).map(lambda x: x + offset, workers=where)

    rounds = list(zip(*[shifted(offset) for offset in range(10)], strict=True))

    assert [tuple(x + offset for offset in range(10)) for x in range(50)] == rounds


def test_one_stage_behind_another_and_many_repetitions_keep_their_workers():
    ds = Dataset(range(5)).map(lambda x: (x, os.getpid()), workers=1).repeat(30)
    got = ds.list()

    assert [*range(5)] * 30 == [x for x, _pid in got]
    assert 1 == len({pid for _x, pid in got})


@wheres
def test_stages_behind_each_other_and_inside_repetitions_end_with_the_pass(where):
    ds = Dataset(range(3)).map(lambda x: x, workers=where).repeat().prefetch(2).map(lambda x: x + 1, workers=where)

    assert [1, 2, 3, 1, 2, 3, 1] == list(itertools.islice(ds, 7))


@wheres
def test_shutdown_ends_open_passes_and_a_new_one_starts_anew(where):
    opened = endless(where).open()
    next(opened)
    flazy.shutdown()
    with pytest.raises(ClosedRun, match="shutdown"):
        list(itertools.islice(opened, 100_000))

    assert [1, 2, 3] == list(itertools.islice(endless(where), 3))


@wheres
def test_shutdown_wakes_who_waits_for_a_sample_in_another_thread(where):
    let_go = threading.Event()
    waiting = threading.Event()

    def source():
        waiting.set()
        assert let_go.wait(30)
        yield 1

    raised = []

    def consume():
        try:
            Dataset(source).map(lambda x: x, workers=where).list()
        except ClosedRun as error:
            raised.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    assert waiting.wait(30)
    flazy.shutdown()
    let_go.set()
    thread.join(20)

    assert (False, 1) == (thread.is_alive(), len(raised))


@wheres
def test_stage_that_opens_after_the_shutdown_says_so(where):
    opened = Dataset(range(2)).map(lambda x: x, workers=where).repeat().open()
    next(opened)
    flazy.shutdown()

    with pytest.raises(ClosedRun):
        list(itertools.islice(opened, 1000))


def test_shutdown_twice_and_without_anything_open():
    flazy.shutdown()
    flazy.shutdown()


# Whole programs ---------------------------------------------------------------------------------------------------

AT_EXIT = {
    "live iterator": "it = iter(ds); next(it)",
    "live run": "run = ds.open(); next(run)",
    "run that never started": "run = ds.open()",
    "daemon thread that iterates": """
import threading
started = threading.Event()
def consume():
    for _ in ds: started.set()
threading.Thread(target=consume, daemon=True).start()
started.wait(30)
""",
    "thread that iterates": """
import threading
threading.Thread(target=lambda: list(ds.take(1000))).start()
""",
    "shutdown in an exit function": "import atexit, flazy; atexit.register(flazy.shutdown); it = iter(ds); next(it)",
    "iteration in an exit function": "import atexit; atexit.register(lambda: print(list(ds.take(3)))); next(iter(ds))",
}


@pytest.mark.parametrize("where", ["2", "Threads(2)"])
@pytest.mark.parametrize("what", AT_EXIT)
def test_interpreter_ends_well_with_a(what, where, tmp_path):
    head = "import itertools\nfrom flazy import Dataset, Threads\n"
    ds = f"ds = Dataset(itertools.count).map(lambda x: x + 1, workers={where})\n"
    done = run(tmp_path, head + ds + AT_EXIT[what], timeout_s=10)

    assert (0, "") == (done.returncode, done.stderr)
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith("flazy")]


ITERATING = """
    import itertools, time
    from flazy import Dataset
    def work(x):
        time.sleep(0.001)
        return x
    for x in Dataset(itertools.count).map(work, workers=2):
        if x == 20:
            print("ready", flush=True)
"""


def test_interrupt_is_raised_once_and_leaves_nothing(tmp_path):
    with Program(tmp_path, ITERATING) as program:
        ready, workers = program.line(), program.workers()
        code, _out, err, seconds = program.signal(signal.SIGINT)

        assert ("ready", -signal.SIGINT) == (ready, code)
        assert 1 == err.count("Traceback")
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert 2 + zygote.is_supported() == len(workers)
        assert gone(workers, within_s=3)
        assert seconds < 5
        assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith("flazy")]


def test_workers_end_with_a_program_that_is_killed(tmp_path):
    with Program(tmp_path, ITERATING) as program:
        program.line()
        workers = program.workers()
        program.signal(signal.SIGKILL)

        assert 2 + zygote.is_supported() == len(workers)
        assert gone(workers, within_s=3)
        assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith("flazy")]


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_fork_in_the_middle_leaves_the_parent_alone_and_the_child_can_start_anew(tmp_path, end):
    done = run(
        tmp_path,
        f"""
        import itertools, os, sys, warnings
        from flazy import Dataset
        from flazy.errors import ClosedRun
        warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork() beside threads
        it = iter(Dataset(itertools.count).map(lambda x: x, workers=2))
        next(it)
        if (pid := os.fork()) == 0:
            try:
                for _ in range(10**6): next(it)
            except ClosedRun as error:
                print("forked" in str(error), Dataset(range(3)).map(lambda x: -x, workers=1).list(), flush=True)
            {end}
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), [next(it) for _ in range(3)])
        """,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert ["True [0, -1, -2]", "0 [1, 2, 3]"] == done.stdout.splitlines()


def test_dead_hub_is_an_error_and_no_hang(tmp_path):
    source = """
    import itertools, sys, threading
    from flazy import Dataset
    from flazy.run.runtime import runtime
    run = Dataset(itertools.count).map(abs, workers=1).open()
    next(run)
    threading.excepthook = lambda _: None
    runtime()._wait = sys.exit
    runtime().post(bool)
    for _ in run: pass
    """
    done = run(tmp_path, source)

    assert "ClosedRun: Flazy's thread has died" in done.stderr


def test_program_that_never_runs_in_parallel_starts_nothing(tmp_path):
    source = """
    import sys, threading
    from flazy import Dataset
    print(sum(Dataset(range(10)).map(abs)), threading.active_count(), "zmq" in sys.modules)
    """

    assert "45 1 False\n" == run(tmp_path, source).stdout


def test_window_of_processes_is_given_back_with_the_pass():
    for _ in range(5):
        assert [0, 1] == list(itertools.islice(Dataset(itertools.count).map(abs, workers=Processes(1, window=4)), 2))
