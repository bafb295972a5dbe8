"""Real pipelines on a clock that goes on only where a test says so: every figure is exact."""

import logging
import threading

import pytest

from flazy import Dataset, Threads
from flazy.feeds.passes import Passes
from flazy.plan.planner import plan
from flazy.run import waits
from flazy.run.runs import Run
from flazy.run.stats import Waited


class Clock:
    """Seconds that pass by `advance` alone; whoever wants to know when the loop waits asks for its next look."""

    def __init__(self):
        self.now = 100.0
        self.loop_waits = threading.Event()
        self.source_waits = threading.Event()
        self.source_waits.set()
        self.armed = False
        self.loop = threading.current_thread()
        self.prefetch_looks = threading.Semaphore(0)

    def __call__(self):
        now = self.now
        if self.armed and threading.current_thread() is self.loop:
            self.armed = False
            self.loop_waits.set()
        if threading.current_thread().name == "flazy-prefetch":
            self.prefetch_looks.release()
        return now

    def advance(self, seconds):
        self.now += seconds

    def taking(self, seconds):
        """Give a function that takes so long."""

        def taken(sample):
            self.advance(seconds)
            return sample

        return taken

    def when_waited_for(self, samples, seconds):
        """Give samples, each of which takes so long once the loop waits for it.

        The loop steps when the next one is asked for, or there is none.
        """
        for sample in samples:
            self.source_waits.set()
            assert self.loop_waits.wait(20)
            self.loop_waits.clear()
            self.source_waits.clear()
            self.advance(seconds)
            yield sample
        self.source_waits.set()


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(waits, "clock", made)
    return made


def looped(dataset, clock, step_s, **kwargs):
    """Run a loop whose step takes so long; give what the run tells."""
    with Run(plan(dataset.node), 0, **kwargs) as run:
        clock.armed = True
        for _ in run:
            assert clock.source_waits.wait(20)
            clock.advance(step_s)
            clock.armed = True
    return run.stats()


def test_batches_are_timed(clock):
    stats = looped(Dataset(range(7)).map(clock.taking(1)).batch(2), clock, 2)

    # The remainder is pulled too, and dropped: 1 s behind the last step.
    assert (3, "batches", Waited(11.0, 5.0, 2.0), 13.0) == (stats.given, stats.unit, stats.wait, stats.seconds)
    assert 5.0 == stats.own_s
    assert stats.slowest.startswith("source(range(0, 7)) > map(")


def test_loop_that_hardly_waits_is_the_slowest(clock):
    stats = looped(Dataset(range(6)).map(clock.taking(1)).batch(2), clock, 100)

    assert (Waited(304.0, 4.0, 2.0), "the loop itself") == (stats.wait, stats.slowest)


def test_wait_that_has_begun_counts(clock):
    seen = []

    def look(sample):
        clock.advance(3)
        seen.append(run.stats().wait)
        return sample

    run = Dataset(range(3)).map(look).batch(1).open()
    list(run)

    assert [None, Waited(3.0, 3.0, 3.0), Waited(6.0, 6.0, 3.0)] == seen


def test_single_samples_are_not_timed(clock):
    stats = looped(Dataset(range(6)).map(clock.taking(1)), clock, 2)

    assert (None, None, None, "samples") == (stats.given, stats.wait, stats.own_s, stats.unit)


def test_single_samples_are_timed_where_that_is_asked_for(clock):
    stats = looped(Dataset(range(6)).map(clock.taking(1)), clock, 2, timed=True)

    assert (6, Waited(17.0, 5.0, 1.0)) == (stats.given, stats.wait)


def test_pass_without_samples_has_no_wait(clock):
    stats = looped(Dataset(range(6)).batch(3).skip(2), clock, 2)

    assert (0, None) == (stats.given, stats.wait)


def test_error_ends_the_wait(clock):
    def fail(sample):
        clock.advance(1)
        return 1 / (2 - sample)

    run = Dataset(range(6)).map(fail).batch(1).open()
    with pytest.raises(ZeroDivisionError):
        list(run)
    clock.advance(50)

    assert (2, Waited(2.0, 2.0, 1.0), 3.0) == (run.stats().given, run.stats().wait, run.stats().seconds)


def test_source_that_takes_its_time_is_blamed(clock):
    source = Dataset(lambda: clock.when_waited_for(range(5), 5))
    stats = looped(source.map(lambda x: x, workers=Threads(1)), clock, 15)
    (stage,) = stats.segments

    assert (5, 5, 5) == (stats.given, stage.samples_in, stage.samples_done)
    assert Waited(4 * 20.0 + 15.0, 4 * 5.0, 5.0) == stats.wait
    assert (20.0, 5.0) == (stage.waited_s, stage.first_s)
    assert stage.feed.pulled.share > 0.8  # the feeder is in the source, which blocks until the loop waits
    assert stats.slowest.startswith("source(")
    assert "in the thread that reads ahead" in str(stats)


def test_repetitions_are_one_stage(clock):
    ds = Dataset(range(4)).map(clock.taking(0), workers=Threads(1)).repeat(3)
    stats = looped(ds.batch(2), clock, 1)
    (stage,) = stats.segments

    assert (12, 12, 12, 6) == (stage.samples_in, stage.samples_done, stage.samples_out, stats.given)
    assert Waited(6.0, 0.0, 0.0) == stats.wait


def test_prefetch_is_waited_for_and_tells_what_its_thread_does(clock):
    ds = Dataset(lambda: clock.when_waited_for(range(4), 5)).prefetch(2)
    stats = looped(ds, clock, 15)
    (stage,) = stats.loop.stops

    assert ("prefetch(2)", Waited(3 * 20.0 + 15.0, 3 * 5.0, 5.0)) == (stage.name, stats.wait)
    assert stage.feed.pulled.share > 0.8
    assert stats.slowest.startswith("source(")


def test_prefetch_without_room_does_not_pull(clock):
    with Dataset(range(9)).prefetch(1).open() as run:
        next(run)
        for _ in range(4):  # it begins, has the first, begins again, and has no room for one more
            assert clock.prefetch_looks.acquire(timeout=20)
        clock.advance(7)
        next(run)
        (stage,) = run.stats().loop.stops

    assert (7.0, 0.0) == (stage.feed.pulled.seconds, stage.feed.pulled.waited_s)


# Bars -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind", "shown"),
    [
        (lambda ds: ds, "batches/s, waiting 25 % for source(range(0, 4)) > map(taken) > batc…]"),
        (lambda ds: ds.map(lambda x: x), "waiting 25 % for source(range(0, 4)) > map(taken) > batc…]"),
    ],
)
def test_last_line_of_a_bar_has_the_share_and_what_for(behind, shown, clock, capsys):
    ds = behind(Dataset(range(4)).map(clock.taking(1)).batch(2).progress())
    stats = looped(ds, clock, 3)

    assert Waited(8.0, 2.0, 2.0) == stats.wait
    assert shown in capsys.readouterr().err


def test_bar_in_the_middle_shows_its_own_wait(clock, capsys):
    ds = Dataset(range(4)).map(clock.taking(1)).batch(2).progress().map(clock.taking(6))
    stats = looped(ds, clock, 0)

    assert 1.0 == stats.waited
    assert "waiting 14 % for source(range(0, 4)) > map(taken) > batc…]" in capsys.readouterr().err  # 2 s of 6 + 2 + 6


def test_bar_over_single_samples_shows_the_wait_for_workers(clock, capsys):
    source = Dataset(lambda: clock.when_waited_for(range(4), 5))
    looped(source.map(lambda x: x, workers=Threads(1)).progress(), clock, 20)

    assert "waiting 16 % for " in capsys.readouterr().err  # 3 times 5 s of 4 times 20 s and that


# What is logged -------------------------------------------------------------------------------------------------------


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, "flazy")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "flazy"]


@pytest.mark.parametrize(("step_s", "level"), [(1, "INFO"), (0.25, "DEBUG")])
def test_end_of_a_pass_is_logged(step_s, level, clock, lines):
    stats = looped(Dataset(range(6)).batch(2), clock, step_s)

    assert [(level, f"pass 0: {stats}")] == lines()


def test_pass_that_is_left_is_logged(clock, lines):
    ds = Dataset(range(6)).batch(2)
    for _ in range(2):
        for number, _batch in enumerate(ds):
            clock.advance(1)
            if number:
                break

    assert ["pass 0: 2 batches in 2.00 s", "pass 1: 2 batches in 2.00 s"] == [
        text.partition(";")[0] for _, text in lines()
    ]


def test_looks_are_not_logged(clock, lines):
    ds = Dataset(range(12)).map(clock.taking(5)).batch(2)

    ds.first(), ds[3], ds.shape(), ds.simulate_step(0)
    with ds.open() as run:
        next(run)
    ds.open().close()

    assert [] == lines()


def test_pass_that_begins_with_a_look_is_logged_as_a_pass(clock, lines):
    ds = Dataset(range(6)).map(clock.taking(5)).batch(2)
    passes = Passes(lambda cycle: Run(plan(ds.node), cycle), [0])
    passes.look()
    passes.close()
    passes.look()
    before = lines()
    clock.advance(1000)  # e.g. a model is compiled
    given = list(passes())

    assert ([], 3) == (before, len(given))
    assert ["pass 0: 3 batches in 30.0 s"] == [text.partition(";")[0] for _, text in lines()]


def test_nothing_is_made_of_the_figures_where_nobody_listens(clock, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "flazy")
    monkeypatch.setattr(waits.Section, "stats", None)

    assert 2 == len(list(Dataset(range(4)).map(clock.taking(5)).batch(2)))
