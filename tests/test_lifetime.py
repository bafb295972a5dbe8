"""How a pass begins and ends, in the caller's process: generators, runs, one-shot sources, caches, threads."""

import gc
import itertools
import threading
import types
import weakref

import pytest

from flazy import Dataset
from flazy.errors import ClosedRun


class Source:
    """Counts how often it is started, how far it is read and how often it is left."""

    def __init__(self, length=5):
        self.length = length
        self.started = self.given = self.left = 0

    def __call__(self):
        self.started += 1
        try:
            for number in range(self.length):
                self.given += 1
                yield number
        finally:
            self.left += 1

    @property
    def counts(self):
        return self.started, self.given, self.left


PIPELINES = pytest.mark.parametrize(
    "made",
    [
        lambda ds: ds,
        lambda ds: ds.map(lambda x: x),
        lambda ds: ds.map(abs).filter(lambda x: True).enumerate().map(lambda pair: pair[1]),
        lambda ds: ds.flatmap(lambda x: [x]),
        lambda ds: ds.transform(lambda samples: (x for x in samples)),
        lambda ds: ds.batch(1).unbatch(),
        lambda ds: ds.take(4).skip(0)[::1],
        lambda ds: ds.shuffle(1),
        lambda ds: ds.repeat(2),
        lambda ds: ds.cache(),
        lambda ds: ds.prefetch(2),
        lambda ds: ds.progress(),
        lambda ds: ds + 1,
        lambda ds: Dataset.roundrobin([ds]),
        lambda ds: Dataset.zip(ds),
        lambda ds: Dataset([]) + (lambda: ds),
        lambda ds: Dataset(lambda: ds),
        lambda ds: Dataset(x=ds, y=ds),
    ],
)


@pytest.fixture
def without_collector():
    """Let nothing be freed by the garbage collector: only by the last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# Generators -------------------------------------------------------------------------------------------


def test_iterator_is_a_real_generator():
    assert type(iter(Dataset([1]))) is types.GeneratorType


def test_generator_that_was_never_started_leaves_nothing():
    source = Source()
    running = iter(Dataset(source).map(abs).prefetch(2))
    running.close()
    iter(Dataset(source))

    assert (0, 0, 0) == source.counts


@PIPELINES
@pytest.mark.usefixtures("without_collector")
def test_finally_of_a_source_runs_on_break(made):
    source = Source()
    for _ in made(Dataset(source)):
        break

    assert source.started == source.left > 0


@PIPELINES
@pytest.mark.usefixtures("without_collector")
def test_finally_of_a_source_runs_when_the_consumer_fails(made):
    source = Source()
    with pytest.raises(KeyError, match="mine"):
        for _ in made(Dataset(source)):
            raise KeyError("mine")

    assert source.started == source.left > 0


@PIPELINES
@pytest.mark.usefixtures("without_collector")
def test_finally_of_a_source_runs_when_the_iterator_is_dropped(made):
    source = Source()
    running = iter(made(Dataset(source)))
    next(running)
    assert 0 == source.left or 5 == source.given
    del running

    assert source.started == source.left > 0


@PIPELINES
@pytest.mark.usefixtures("without_collector")
def test_finally_of_a_source_runs_when_a_function_fails(made):
    source = Source()
    with pytest.raises(ZeroDivisionError):
        made(Dataset(source).map(lambda x: 1 / 0)).list()

    assert source.started == source.left > 0


@PIPELINES
def test_dropped_run_is_closed(made):
    source = Source()
    run = made(Dataset(source)).open()
    next(run)
    del run
    gc.collect()

    assert source.started == source.left > 0


@PIPELINES
def test_pass_leaves_no_garbage(made):
    dataset = made(Dataset(Source()))
    next(iter(dataset))
    gc.collect()
    for _ in dataset:
        pass
    for _ in dataset:
        break

    assert 0 == gc.collect()


def test_generator_of_the_user_is_theirs_to_close():
    samples = (x for x in range(5))
    for _ in Dataset(samples).map(abs):
        break

    assert 1 == next(samples)


def test_samples_are_not_kept_longer_than_needed(without_collector):
    class Sample:
        pass

    dataset = Dataset(lambda: (Sample() for _ in range(3))).map(lambda x: x).shuffle()
    seen = []
    for sample in dataset:
        assert [None] * len(seen) == [ref() for ref in seen[:-1]] + [None] * len(seen[-1:])
        seen.append(weakref.ref(sample))
    del sample

    assert [None] * 3 == [ref() for ref in seen]


def test_generator_closes_in_another_thread():
    source = Source()
    running = iter(Dataset(source).map(abs))
    next(running)
    thread = threading.Thread(target=running.close)
    thread.start()
    thread.join()

    assert (1, 1, 1) == source.counts


def test_passes_at_once_are_independent():
    dataset = Dataset(range(3)).map(lambda x: x)
    one, other = iter(dataset), iter(dataset)

    assert [0, 0, 1, 2, 1, 2] == [next(one), next(other), next(one), next(one), next(other), next(other)]
    assert [(x, y) for x in range(3) for y in range(3)] == [(x, y) for x in dataset for y in dataset]


def test_pass_inside_a_function_of_the_same_dataset():
    dataset = Dataset(range(3))

    assert [3, 4, 5] == dataset.map(lambda x: x + sum(dataset)).list()


def test_recursive_pass_is_pythons_own_error():
    dataset = Dataset(lambda: running)
    running = iter(dataset)

    with pytest.raises(ValueError, match="already executing"):
        next(running)


# Runs -------------------------------------------------------------------------------------------------


def test_run_is_an_iterator():
    run = Dataset(range(3)).open()

    assert iter(run) is run
    assert 0 == next(run)
    assert [1, 2] == [*run]


def test_run_is_closed_by_its_block():
    source = Source()
    with Dataset(source).map(abs).open() as run:
        assert 0 == next(run)

    assert (1, 1, 1) == source.counts
    with pytest.raises(ClosedRun, match="this run is closed") as caught:
        next(run)
    assert isinstance(caught.value, ValueError)


def test_run_closed_before_it_began_starts_nothing():
    source = Source()
    run = Dataset(source).open()
    run.close()

    with pytest.raises(ClosedRun):
        next(run)
    assert (0, 0, 0) == source.counts


def test_run_that_has_ended_goes_on_being_at_its_end():
    run = Dataset([1]).open()

    assert [1] == [*run]
    assert [] == [*run]
    assert next(run, None) is None
    run.close()
    assert [] == [*run]


def test_run_that_has_failed_is_closed():
    source = Source()
    run = Dataset(source).map(lambda x: 1 / (1 - x)).open()
    next(run)
    with pytest.raises(ZeroDivisionError):
        next(run)

    assert 1 == source.left
    with pytest.raises(ClosedRun):
        next(run)


def test_close_is_idempotent():
    source = Source()
    run = Dataset(source).open()
    next(run)
    for _ in range(3):
        run.close()

    assert (1, 1, 1) == source.counts


def test_run_may_be_closed_by_a_function_of_its_own():
    runs = []
    dataset = Dataset(range(3)).map(lambda x: runs[0].close() or x)
    runs.append(dataset.open())

    assert 0 == next(runs[0])
    with pytest.raises(ClosedRun):
        next(runs[0])
    runs.clear()


def test_stats_of_a_serial_run():
    run = Dataset(range(3)).map(abs).open()
    before = run.stats()
    next(run)
    run.close()
    after = run.stats()

    assert () == before.segments == after.segments
    assert 0 <= before.seconds <= after.seconds == run.stats().seconds
    with pytest.raises(AttributeError):
        after.seconds = 0


# Caches -----------------------------------------------------------------------------------------------


def test_cache_goes_with_the_last_dataset_that_holds_it(without_collector):
    class Sample:
        pass

    sample = Sample()
    kept = weakref.ref(sample)
    dataset = Dataset([sample]).cache()
    mapped = dataset.map(lambda x: x)
    dataset.list()
    del sample, dataset

    assert kept() is mapped.first()
    del mapped
    assert kept() is None


def test_cache_is_filled_across_threads_once_each_at_most():
    source = Source(100)
    dataset = Dataset(source).cache()
    found = []
    threads = [threading.Thread(target=lambda: found.append(dataset.list())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [[*range(100)]] * 4 == found
    started = source.started
    assert started <= 4
    assert [*range(100)] == dataset.list()
    assert started == source.started


# Prefetch threads -------------------------------------------------------------------------------------


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name == "flazy-prefetch"]


def test_prefetch_thread_ends_with_the_data():
    Dataset(range(10)).prefetch(3).list()

    assert [] == prefetching()


@pytest.mark.parametrize("rounds", [1, 4])
def test_prefetch_thread_ends_on_break(rounds):
    for _ in itertools.islice(Dataset(itertools.count).prefetch(3), rounds):
        pass

    assert [] == prefetching()


def test_prefetch_thread_ends_with_a_dropped_run():
    run = Dataset(itertools.count).map(abs).repeat().prefetch(3).prefetch(2).open()
    next(run)
    assert 2 == len(prefetching())
    del run

    assert [] == prefetching()


def test_prefetch_thread_ends_on_error():
    with pytest.raises(ZeroDivisionError):
        Dataset(range(5)).map(lambda x: 1 / (3 - x)).prefetch(2).map(abs).list()

    assert [] == prefetching()


def test_prefetch_starts_no_thread_before_the_first_sample():
    run = Dataset(range(5)).prefetch(2).open()

    assert [] == prefetching()
    run.close()


def test_functions_before_prefetch_run_in_its_thread():
    names = Dataset(range(3)).map(lambda x: threading.current_thread().name).prefetch(2).list()

    assert ["flazy-prefetch"] * 3 == names


def test_break_does_not_wait_for_what_was_not_asked_for():
    go_on = threading.Event()

    def samples():
        yield 1
        go_on.wait(30)
        yield 2

    running = iter(Dataset(samples).prefetch(5))
    next(running)
    threading.Timer(0.05, go_on.set).start()
    running.close()

    assert [] == prefetching()
