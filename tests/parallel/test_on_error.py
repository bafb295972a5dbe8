"""A sample on which a function fails is raised, left out, replaced or tried again: with workers as without them."""

import collections
import os
import re
import warnings

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import SKIP, Dataset, PoisonSample, Processes, Retry, SampleError, Threads
from flazy.errors import InvalidType, SkippedSamples, UnserializableFunction
from tests.parallel import functions as fn
from tests.parallel.pipelines import FORGIVING_STEPS, RECORD_STEPS, build, outcome

EXAMPLES = int(os.environ.get("FLAZY_EXAMPLES", "12"))

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers, pytest.mark.time_limit(60 + 10 * EXAMPLES)]

WHERES = {"none": None, "processes": 2, "chunks": Processes(2, chunk=4), "threads": Threads(2)}
wheres = pytest.mark.parametrize("where", WHERES.values(), ids=WHERES)

forgiving = st.tuples(st.sampled_from(sorted(FORGIVING_STEPS)), st.just(True))
others = st.tuples(st.sampled_from(["map", "filter", "flatmap", "random map", "map to dict"]), st.booleans())
trees = st.tuples(st.integers(0, 25), st.lists(forgiving | forgiving | others, min_size=1, max_size=3))


def fails_on_seven(x, *_rest):
    if str(x) == "7":
        raise ValueError("seven")
    return x


def paired(x):
    return x, "a"


def run(dataset):
    """Give the samples, and what was left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedSamples)
        with dataset.open() as opened:
            values = list(opened)
        stats = opened.stats()
    assert stats.skipped == len(stats.skips)
    return values, sorted(stats.skips, key=str)


def check(tree, where):
    one, other = build(tree, None), build(tree, where)
    assert outcome(one).same_as(outcome(other))
    assert RECORD_STEPS.keys() > FORGIVING_STEPS.keys()
    values, skips = run(one)
    assert (repr(values), skips) == (repr(run(other)[0]), run(build(tree, where).epoch(1))[1])


@hypothesis.settings(max_examples=6 * EXAMPLES)
@given(tree=trees, n=st.sampled_from([1, 3]), chunk=st.sampled_from([None, 1, 3]))
def test_threads_forgive_as_no_workers_do(tree, n, chunk):
    check(tree, Threads(n, chunk=chunk))


@hypothesis.settings(max_examples=EXAMPLES)
@given(tree=trees, n=st.sampled_from([1, 3]), chunk=st.sampled_from([None, 1, 3]))
def test_processes_forgive_as_no_workers_do(tree, n, chunk):
    check(tree, Processes(n, chunk=chunk))


def fail_threes(x):
    if x % 10 == 3:
        raise fn.OddError(x)
    return x


LEFT = [x for x in range(40) if x % 10 != 3]


@wheres
@pytest.mark.parametrize("ordered", [True, False])
def test_skipped_samples_are_missing_and_nothing_else(where, ordered):
    values, _ = run(Dataset(range(40)).map(fail_threes, workers=where, ordered=ordered, on_error="skip"))

    assert LEFT == sorted(values)
    assert values == LEFT or not ordered


@wheres
def test_one_warning_at_the_end_counts_and_lists_them_at_the_callers_line(where):
    with pytest.warns(SkippedSamples) as caught:
        values = Dataset(range(40)).map(fail_threes, workers=where, on_error="skip").list()
    (warning,) = caught
    first, *lines = str(warning.message).splitlines()

    assert LEFT == values
    assert "4 samples were left out (map(fail_threes): 4)" == first
    assert [f"  map(fail_threes), sample {x}: OddError: odd sample, code {x}" for x in (3, 13, 23, 33)] == lines
    assert __file__ == warning.filename


def test_many_are_counted_and_the_first_are_listed():
    with pytest.warns(SkippedSamples, match=r"1,500 samples were left out(?s:.*) and 1,490 more; the first 1,000 are"):
        Dataset(range(3000)).map(lambda x: 1 / (x % 2), workers=1, on_error="skip").list()


@wheres
def test_broken_off_pass_tells_what_it_left_out_so_far(where):
    samples = iter(Dataset(range(40)).map(fail_threes, workers=where, on_error="skip"))
    assert LEFT[:9] == [next(samples) for _ in range(9)]

    with pytest.warns(SkippedSamples, match=r"map\(fail_threes\), sample 3"):
        samples.close()


@wheres
def test_function_gets_sample_and_error_and_its_result_stands_for_the_functions(where):
    def instead(ref, error):
        return SKIP if ref.sample == 13 else (ref.stage, ref.address, ref.cycle, ref.sample, type(error), error.code)

    values, skips = run(Dataset(range(25)).map(fail_threes, workers=where, on_error=instead))

    assert [*range(3), ("map(fail_threes)", (3,), 0, 3, fn.OddError, 3), *range(4, 13), *range(14, 23)] == values[:22]
    assert [(13,)] == [skip.address for skip in skips]


@wheres
def test_function_that_fails_itself_is_the_error_of_the_sample(where):
    def instead(ref, error):
        raise KeyError("no substitute") from error

    with pytest.raises(SampleError, match="no substitute") as caught:
        Dataset(range(25)).map(fail_threes, workers=where, on_error=instead).list()

    assert isinstance(caught.value, KeyError)
    assert (3,) == caught.value.address
    assert "code 3" in caught.value.traceback


@wheres
def test_function_that_raises_again_raises_the_error_itself(where):
    def instead(_ref, error):
        raise error

    with pytest.raises(fn.OddError) as caught:
        Dataset(range(25)).map(fail_threes, workers=where, on_error=instead).list()

    assert ((3,), 3) == (caught.value.address, caught.value.code)


@wheres
def test_flatmap_keeps_what_it_gave_and_goes_on_with_the_substitutes(where):
    def give(x):
        yield from (x, x)
        if x == 2:
            raise OSError("the file ended")
        yield x

    ds = Dataset(range(4))

    assert [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3] == run(ds.flatmap(give, workers=where, on_error="skip"))[0]
    assert [1, 2, 2, "x", "y", 3] == ds.flatmap(give, workers=where, on_error=lambda *_: "xy").list()[5:11]
    with pytest.raises(InvalidType, match="as an iterable, not int"):
        ds.flatmap(give, workers=where, on_error=lambda *_: 7).list()


@wheres
def test_filter_that_fails_keeps_what_the_function_says(where):
    ds = Dataset(range(25))

    assert [x for x in range(1, 25) if x % 10 != 3] == run(ds.filter(fail_threes, workers=where, on_error="skip"))[0]
    assert list(range(1, 25)) == ds.filter(fail_threes, workers=where, on_error=lambda *_: True).list()


def test_truth_of_what_a_filter_returns_may_fail_too():
    class Unclear:
        def __bool__(self):
            raise ValueError("who knows")

    assert [] == run(Dataset(range(5)).filter(lambda x: Unclear(), on_error="skip"))[0]


class Failing:
    """Fails so often on each sample, as notes on disk say."""

    def __init__(self, folder, times, kind=OSError):
        self.folder, self.times, self.kind = folder, times, kind

    def __call__(self, x, rng=None):
        drawn = rng.random() if rng is not None else x
        tries = len(list(self.folder.glob(f"{x}-*")))
        (self.folder / f"{x}-{tries}").touch()
        if tries < self.times:
            raise self.kind("not yet")
        return drawn

    def counts(self):
        return collections.Counter(int(path.name.split("-")[0]) for path in self.folder.iterdir())


@wheres
def test_retry_calls_again_as_often_as_it_says(where, tmp_path):
    flaky = Failing(tmp_path, 2)

    assert list(range(20)) == Dataset(range(20)).map(flaky, workers=where, on_error=Retry(2, on=OSError)).list()
    assert dict.fromkeys(range(20), 3) == flaky.counts()


@wheres
def test_retry_gives_up_in_the_end(where, tmp_path):
    hopeless = Failing(tmp_path, 99)
    values, skips = run(Dataset(range(4)).map(hopeless, workers=where, on_error=Retry(2, then="skip")))

    assert ([], 4) == (values, len(skips))
    assert dict.fromkeys(range(4), 3) == hopeless.counts()


@wheres
def test_retry_is_for_the_exceptions_that_it_names(where, tmp_path):
    wrong = Failing(tmp_path, 1, ValueError)
    with pytest.raises(ValueError, match="not yet"):
        Dataset(range(4)).map(wrong, workers=where, on_error=Retry(2, on=(OSError, KeyError))).list()

    assert 1 == wrong.counts()[0]


@wheres
def test_random_function_draws_the_same_numbers_in_each_try(where, tmp_path):
    flaky = Failing(tmp_path, 1)
    got = Dataset(range(20)).random_map(flaky, seed=3, workers=where, on_error=Retry(1)).list()

    assert got == Dataset(range(20)).random_map(lambda x, rng: rng.random(), seed=3).list()


@pytest.mark.parametrize("what", ["lambda", "retry"])
def test_handler_that_cannot_travel_is_refused_by_name(what, tmp_path):
    with (tmp_path / "file").open("wb") as file:
        then = lambda ref, error: file
        ds = Dataset(range(3)).map(abs, workers=2, on_error=then if what == "lambda" else Retry(1, then=then))
        with pytest.raises(UnserializableFunction, match=r"on_error of map\(abs\).*'file'"):
            ds.open()


# Deaths --------------------------------------------------------------------------------------------------------


def die_at(*places):
    def run(x):
        if x in places:
            os._exit(5)
        return x

    return run


@pytest.mark.parametrize("options", [{}, {"chunk": 10}, {"window": 1}], ids=str)
@pytest.mark.parametrize("ordered", [True, False])
def test_samples_that_kill_their_workers_are_left_out(options, ordered):
    ds = Dataset(range(60)).map(die_at(7, 23, 24), workers=Processes(2, **options), ordered=ordered, on_error="skip")
    values, skips = run(ds)

    assert [x for x in range(60) if x not in (7, 23, 24)] == sorted(values)
    assert values == sorted(values) or not ordered
    assert [(23,), (24,), (7,)] == [skip.address for skip in skips]
    assert all(re.search(r"PoisonSample: 2 workers died .* exited with code 5", skip.error) for skip in skips)


def test_function_is_told_of_a_sample_that_kills_its_workers():
    def instead(ref, error):
        return type(error), ref.sample, error.exitcode, error.signal

    values = Dataset(range(9)).map(die_at(3), workers=2, on_error=instead).list()

    assert (PoisonSample, 3, 5, None) == values[3]


def test_deadly_output_of_a_flatmap_is_left_out_alone():
    def spread(x):
        return [(x, offset) for offset in range(6)]

    ds = Dataset(range(8)).flatmap(spread, workers=2).map(die_at((2, 3), (2, 5), (4, 0)), workers=2, on_error="skip")
    values, skips = run(ds)

    assert [pair for x in range(8) for pair in spread(x) if pair not in ((2, 3), (2, 5), (4, 0))] == values
    assert [(2, 3), (2, 5), (4, 0)] == [skip.address for skip in skips]


@pytest.mark.parametrize("nested", [False, True])
def test_flatmap_that_dies_halfway_keeps_what_came_of_it(nested):
    def give(x):
        for offset in range(1000):
            if (x, offset) == (3, 700):
                os._exit(1)
            yield x, offset

    ds = Dataset([range(2), range(2, 6)]).flatmap(list, workers=2) if nested else Dataset(range(6))
    values, skips = run(ds.flatmap(give, workers=2, on_error="skip"))
    of_three = [pair for pair in values if pair[0] == 3]

    assert [(x, offset) for x in range(6) if x != 3 for offset in range(1000)] == [p for p in values if p[0] != 3]
    assert [(3, offset) for offset in range(len(of_three))] == of_three
    assert len(of_three) <= 700
    assert [(1, 1) if nested else (3,)] == [skip.address for skip in skips]


class KillsAsItIsPacked:
    def __reduce__(self):
        os._exit(6)


def test_sample_that_kills_as_it_is_packed_is_left_out():
    ds = Dataset(range(20)).map(lambda x: KillsAsItIsPacked() if x == 7 else x, workers=2, on_error="skip")

    assert [x for x in range(20) if x != 7] == run(ds)[0]


@pytest.mark.parametrize("chunk", [1, 7])
def test_output_that_cannot_travel_is_left_out(chunk):
    def spread(x):
        return [(x, None), (x, (y for y in ())), (x, 2)] if x % 3 == 1 else [x]

    ds = Dataset(range(9)).flatmap(spread, workers=Processes(2, chunk=chunk), on_error="skip")
    values, skips = run(ds)

    assert [y for x in range(9) for y in ([(x, None), (x, 2)] if x % 3 == 1 else [x])] == values
    assert [(1, 1), (4, 1), (7, 1)] == [skip.address for skip in skips]
    assert all("UnserializableSample: sample[1]" in skip.error for skip in skips)


def test_sample_that_kills_as_it_is_unpacked_is_poison_whatever_is_asked_for():
    def source():
        yield from range(3)
        yield KillsElsewhere(os.getpid())
        yield 4

    with pytest.raises(PoisonSample):
        Dataset(source).map(lambda x: x, workers=Processes(1, chunk=1), on_error="skip").list()


class KillsElsewhere:
    def __init__(self, home):
        self.home = home

    def __reduce__(self):
        return (die_unless_at, (self.home,))


def die_unless_at(home):
    if os.getpid() != home:
        os._exit(7)


CALLED = {
    "map": lambda ds, where: ds.map(fails_on_seven, workers=where),
    "behind another": lambda ds, where: ds.map(str, workers=where).map(fails_on_seven, workers=where),
    "filter": lambda ds, where: ds.filter(fails_on_seven, workers=where),
    "starmap": lambda ds, where: ds.map(paired, workers=where).starmap(fails_on_seven, workers=where),
    "random map": lambda ds, where: ds.random_map(fails_on_seven, seed=1, workers=where),
    "behind a flatmap": lambda ds, where: ds.flatmap(paired, workers=where).map(fails_on_seven, workers=where),
    "retry": lambda ds, where: ds.map(fails_on_seven, workers=where, on_error=Retry(2)),
}


@wheres
def test_error_tells_what_its_function_was_called_with(where):
    for name, made in CALLED.items():
        with pytest.raises(ValueError, match=r"seven") as caught:
            made(Dataset(range(9)), where).list()
        first = str(caught.value).splitlines()[0]
        value = {"behind another": "'7'", "starmap": "(7, 'a')"}.get(name, "7")

        assert first.endswith(f": ValueError: seven (called with {value})"), (name, first)
