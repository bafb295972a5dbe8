"""A function that hangs is found, wherever it hangs; a worker that somebody has stopped is replaced."""

import ctypes
import os
import pathlib
import re
import signal
import threading
import time
import warnings

import psutil
import pytest

import flazy
from flazy import Dataset, Processes, Retry, SampleTimeout
from flazy.errors import SkippedSamples, SlowSample
from flazy.workers import warden, watch, zygote
from tests.parallel.test_faults import seen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not zygote.is_supported(), reason="Linux only"),
    pytest.mark.filterwarnings("ignore::flazy.errors.SkippedSamples"),
]


def sleep_on(x):
    time.sleep(1000)


def hold_the_gil(x):
    re.match(r"(a+)+$", "a" * 64 + "b")


def hang_in_c(x):
    ctypes.CDLL(None).pause()


def be_deaf(x):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000)


def wait_for_a_lock(x):
    threading.Lock().acquire(timeout=1000) and threading.Event().wait(1000)


HANGS = [sleep_on, hold_the_gil, be_deaf, wait_for_a_lock]


def hanging(how, at=37):
    def hang(x):
        if x == at:
            how(x)
        return x

    return hang


@pytest.mark.parametrize("how", HANGS)
def test_hung_function_is_named_with_its_stack_after_everything_before_it(how):
    values, error = seen(Dataset(range(60)).map(hanging(how), workers=Processes(2, timeout=0.4)))

    assert list(range(37)) == values
    assert isinstance(error, SampleTimeout)
    assert isinstance(error, TimeoutError)
    assert ("map(hang)", (37,), 0, 0.4) == (error.stage, error.address, error.cycle, error.seconds)
    assert f"in {how.__name__}" in error.traceback
    assert error.traceback in str(error)
    text = r"map\(hang\) failed on sample 37: it ran for longer than 0\.4 s, in worker process \d+ \(called with 37\)\n"
    assert re.match(text, str(error))


def test_call_of_c_that_the_question_for_its_stack_wakes_is_an_error_all_the_same():
    values, error = seen(Dataset(range(60)).map(hanging(hang_in_c), workers=Processes(2, timeout=0.4)))

    assert list(range(37)) == values
    assert isinstance(error, SampleTimeout)


@pytest.mark.parametrize("options", [{}, {"chunk": 10}, {"window": 1}], ids=str)
def test_hung_sample_is_left_out_and_nothing_else(options):
    where = Processes(2, timeout=0.3, **options)
    values = Dataset(range(60)).map(hanging(sleep_on), workers=where, on_error="skip").list()

    assert [x for x in range(60) if x != 37] == values


def test_hung_output_of_a_flatmap_is_left_out_alone_in_a_chain_of_stages():
    where = Processes(2, timeout=0.3)
    ds = Dataset(range(4)).flatmap(lambda x: range(10 * x, 10 * x + 5), workers=where).map(abs, workers=where)
    with ds.map(hanging(sleep_on, at=23), workers=where, on_error="skip").open() as run:
        values = list(run)
        (skipped,) = run.stats().skips

    assert [10 * x + y for x in range(4) for y in range(5) if 10 * x + y != 23] == values
    assert ("map(hang)", (2, 3)) == (skipped.stage, skipped.address)


def test_flatmap_that_hangs_halfway_keeps_what_it_gave():
    def give(x):
        for offset in range(4):
            if (x, offset) == (2, 2):
                sleep_on(x)
            yield x, offset

    values = Dataset(range(4)).flatmap(give, workers=Processes(2, timeout=0.3), on_error="skip").list()
    rest = [pair for pair in values if pair[0] == 2]

    assert [(x, offset) for x in range(4) if x != 2 for offset in range(4)] == [p for p in values if p[0] != 2]
    assert rest == [(2, offset) for offset in range(len(rest))]
    assert len(rest) <= 2


def test_hung_call_is_made_again_as_often_as_it_says(tmp_path):
    def hang_at_first(x):
        if x == 7:
            tries = len(list(tmp_path.iterdir()))
            (tmp_path / str(tries)).touch()
            if tries < 2:
                sleep_on(x)
        return x

    where = Processes(2, timeout=0.3)

    assert list(range(20)) == Dataset(range(20)).map(hang_at_first, workers=where, on_error=Retry(2, on=OSError)).list()
    assert 3 == len(list(tmp_path.iterdir()))


def test_hung_call_is_not_made_more_often_than_that(tmp_path):
    def hang_always(x):
        if x == 7:
            (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
            sleep_on(x)
        return x

    with pytest.raises(SampleTimeout, match=r"longer than 0.3 s, 2 times"):
        Dataset(range(20)).map(hang_always, workers=Processes(2, timeout=0.3), on_error=Retry(1)).list()

    assert 2 == len(list(tmp_path.iterdir()))


def test_handler_that_hangs_is_found_too():
    def instead(ref, error):
        sleep_on(ref)

    values, error = seen(
        Dataset(range(20)).map(hanging(sleep_on, at=5), workers=Processes(2, timeout=0.3), on_error=instead)
    )

    assert list(range(5)) == values
    assert ((5,), "in instead" in error.traceback) == (error.address, True)


def test_time_of_setup_and_of_what_came_before_does_not_count():
    def setup():
        time.sleep(0.6)

    where = Processes(2, timeout=0.3, chunk=4)

    assert list(range(8)) == Dataset(range(8)).map(lambda x, _: time.sleep(0.1) or x, workers=where, setup=setup).list()


def test_consumer_that_waits_does_not_make_workers_look_hung():
    got = []
    for x in Dataset(range(30)).flatmap(lambda x: [x] * 3, workers=Processes(2, timeout=0.2, window=2)):
        got.append(x)
        if len(got) % 30 == 1:
            time.sleep(0.5)

    assert [x for x in range(30) for _ in range(3)] == got


def test_slow_function_without_a_limit_is_warned_of_with_its_stack(monkeypatch):
    monkeypatch.setattr(watch, "WARN_SECONDS", 0.3)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.1)
    flazy.shutdown()
    woken, said = threading.Event(), []

    def show(message, category, *_rest, **_options):
        said.append((str(message), category))
        woken.set()

    release, held = os.pipe()
    os.set_inheritable(release, True)

    def wait(x):
        if x == 3:
            wait_until_released()
        return x

    def wait_until_released():
        with pathlib.Path(f"/proc/{home}/fd/{release}").open("rb") as pipe:
            pipe.read(1)

    home = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        samples = iter(Dataset(range(6)).map(wait, workers=2))
        first = [next(samples) for _ in range(3)]
        assert woken.wait(30)
        os.write(held, b"x")
        rest = list(samples)
    os.close(release)
    os.close(held)

    assert ([0, 1, 2], [3, 4, 5]) == (first, rest)
    assert SlowSample is said[0][1]
    text = r"map\(wait\) on sample 3 has been running for \d+ s in worker process \d+ \(no timeout="
    assert re.match(text, said[0][0])
    assert "in wait_until_released" in said[0][0]


# Stopped -------------------------------------------------------------------------------------------------------


def workers_of(tree):
    return [worker for child in psutil.Process().children() for worker in (child.children() if tree else [child])]


@pytest.fixture
def soon(monkeypatch):
    """Wait no two seconds for what is stopped; longer than the limits of functions here, all the same."""
    for module in (watch, warden):
        monkeypatch.setattr(module, "STOPPED_SECONDS", 0.6)


def test_worker_that_is_stopped_is_replaced_and_its_samples_come(tmp_path, soon):
    marks = tmp_path / "marks"
    marks.touch()

    def work(x):
        with marks.open("a") as file:
            file.write("x")
        return x

    ds = Dataset(range(200)).map(lambda x: work(x) if x % 20 else time.sleep(0.02) or work(x), workers=2)
    with ds.open() as run:
        got = [next(run)]
        victim = workers_of(tree=True)[0]
        victim.suspend()
        got += run

    assert list(range(200)) == got
    assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE


def test_time_for_which_a_worker_is_stopped_is_not_its_functions(tmp_path, soon):
    """It stands still in a call with a limit; what it is replaced for is that somebody has stopped it."""

    def stop_at_first(x):
        if x == 7 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        return x

    with Dataset(range(20)).map(stop_at_first, workers=Processes(2, timeout=0.3)).open() as run:
        values = list(run)

    assert list(range(20)) == values
    assert 1 == run.stats().segments[0].lost_workers


def test_stopped_zygote_is_replaced(soon):
    Dataset(range(3)).map(abs, workers=1).list()
    zygote_ = psutil.Process().children()[0]
    zygote_.suspend()

    with Dataset(range(50)).map(lambda x: time.sleep(0.1) or (x, os.getpid()), workers=3).open() as run:
        values = list(run)

    assert list(range(50)) == [x for x, _ in values]
    assert 3 == len({pid for _, pid in values})
    assert not zygote_.is_running() or zygote_.status() == psutil.STATUS_ZOMBIE


def test_stopped_zygote_does_not_hold_up_the_end(soon):
    Dataset(range(3)).map(abs, workers=1).list()
    zygote_ = psutil.Process().children()[0]
    zygote_.suspend()
    Dataset(range(3)).map(abs, workers=3).list()
    flazy.shutdown()

    assert not zygote_.is_running() or zygote_.status() == psutil.STATUS_ZOMBIE


def test_limit_is_checked_where_it_is_given():
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(flazy.errors.InvalidArgument, match="timeout="):
            Processes(2, timeout=wrong)
    for wrong in ("1s", True):
        with pytest.raises(flazy.errors.InvalidType, match="timeout="):
            Processes(2, timeout=wrong)
    with pytest.raises(flazy.errors.InvalidType, match=r"Processes\(n, timeout=seconds\)"):
        Dataset(range(3)).map(abs, workers=2, timeout=3)
    assert SkippedSamples.__doc__
