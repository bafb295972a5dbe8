"""What a stage with workers promises where something goes wrong: more checks, as in ``conformance``."""

from __future__ import annotations

import itertools
import traceback
import warnings
from typing import Any

import pytest

from flazy import Dataset, PoisonSample, Retry, SampleError, SampleTimeout, SourceError
from flazy.errors import SkippedSamples, UnserializableFunction, UnserializableSample
from tests.parallel import functions as fn
from tests.parallel.pipelines import FORGIVING_STEPS, build, outcome
from tests.pools import work
from tests.pools.conformance import as_without, needs

RAISED = {
    "ValueError": lambda: ValueError("bad"),
    "FileNotFoundError": lambda: FileNotFoundError(2, "gone", "/x"),
    "StopIteration": StopIteration,
    "GeneratorExit": GeneratorExit,
    "SystemExit": lambda: SystemExit(3),
    "Awkward": work.Awkward,
    "OddError": lambda: fn.OddError(7),
}


def raising(make, at):
    def fail(x):
        if x == at:
            raise make()
        return x

    return fail


def seen(dataset: Dataset[Any]) -> tuple[list[Any], BaseException | None]:
    """Give the samples, and the error that ended them."""
    values: list[Any] = []
    try:
        values.extend(dataset)
    except BaseException as error:
        return values, error
    return values, None


def kept(dataset: Dataset[Any]) -> list[Any]:
    """Give the samples where some are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedSamples)
        return dataset.list()


def check_error(where, name, make):
    values, error = seen(Dataset(range(50)).map(raising(make, 37), workers=where()))

    assert list(range(37)) == values, name
    assert isinstance(error, SampleError), name
    assert ("map(fail)", (37,), 0) == (error.stage, error.address, error.cycle), name
    told = "".join(traceback.format_exception(error))
    assert f'File "{__file__}", line ' in told, name
    assert "raise make()" in told, name
    assert name in str(error).splitlines()[0]


@needs()
def errors_come_at_their_place_with_the_users_line(where):
    for name, make in RAISED.items():
        check_error(where, name, make)


@needs("interrupts")
def keyboard_interrupt_of_a_function_is_an_error_like_others(where):
    check_error(where, "KeyboardInterrupt", KeyboardInterrupt)


@needs("own exceptions")
def errors_are_of_the_users_class(where):
    as_without(Dataset(range(30)).map(fn.fail_odd, workers=where()))
    as_without(Dataset(range(30)).map(fn.stops, workers=where()))
    with pytest.raises(fn.OddError) as caught:
        Dataset(range(30)).map(fn.fail_odd, workers=where()).list()

    assert 5 == caught.value.code


@needs()
def errors_behind_a_flatmap_name_the_offset(where):
    fail = raising(lambda: KeyError("k"), 7)
    values, error = seen(Dataset([5, 9]).flatmap(range, workers=where()).map(fail, workers=where()))

    assert [*range(5), *range(7)] == values
    assert (1, 7) == error.address


@needs()
def errors_in_a_flatmap_follow_what_it_gave(where):
    values, error = seen(Dataset([0, 3, 1]).flatmap(fn.breaks_off, workers=where()))

    assert [0, 0, 1, 2, 3, 0] == values
    assert (2,) == error.address[:1]


@needs()
def errors_of_a_setup_say_so(where):
    def setup():
        raise OSError("no such device")

    _values, error = seen(Dataset(range(9)).map(lambda x, _: x, setup=setup, workers=where()))

    assert "setup of map(<lambda>)" == error.stage
    assert "no such device" in str(error)


@needs()
def errors_of_the_source_follow_its_samples(where):
    def source():
        yield from range(20)
        raise OSError("gone")

    values, error = seen(Dataset(source).map(fn.number, workers=where()))

    assert [3 * x + 1 for x in range(20)] == values
    assert isinstance(error, SourceError)


@needs()
def an_error_ends_one_pass_and_no_other(where):
    ds = Dataset(range(50)).map(fn.number, workers=where())
    with ds.open() as run:
        first = list(itertools.islice(run, 5))
        _values, error = seen(Dataset(range(9)).map(raising(ValueError, 3), workers=where()))
        rest = list(run)

    assert isinstance(error, ValueError | SampleError)
    assert [3 * x + 1 for x in range(50)] == first + rest


@needs()
def on_error_leaves_out_replaces_and_tries_again(where):
    for name in FORGIVING_STEPS:
        tree = 25, [(name, True)]

        assert outcome(build(tree, None)).same_as(outcome(build(tree, where()))), name


@needs()
def what_is_left_out_is_told_once_at_the_end(where):
    with pytest.warns(SkippedSamples) as caught:
        values = Dataset(range(30)).map(fn.fail_odd, workers=where(), on_error="skip").list()

    assert [x for x in range(30) if x % 11 != 5] == values
    assert 1 == len(caught)
    assert str(caught[0].message).startswith("3 samples were left out (map(fail_odd): 3)")


@needs("bytes")
def results_that_cannot_travel_are_errors_with_the_reason(where):
    values, error = seen(Dataset(range(20)).map(work.lock, workers=where()))

    assert list(range(7)) == values
    assert isinstance(error, UnserializableSample), error
    assert ("map(lock)", (7,)) == (error.stage, error.address)
    assert "lock" in str(error)


@needs("bytes")
def functions_that_cannot_travel_are_refused_by_the_name_of_the_variable(where):
    mutex = work.lock(7)
    with pytest.raises(UnserializableFunction, match="mutex"):
        Dataset(range(3)).map(lambda x: (x, mutex), workers=where()).list()


@needs("deaths")
def sample_that_ends_its_worker_is_named(where):
    values, error = seen(Dataset(range(20)).map(work.leave, workers=where()))

    assert list(range(7)) == values
    assert isinstance(error, PoisonSample), error
    assert ("map(leave)", (7,)) == (error.stage, error.address)
    assert "exited with code 3" in str(error)


@needs("deaths")
def sample_that_ends_its_worker_may_be_left_out(where):
    assert [*range(7), *range(8, 20)] == kept(Dataset(range(20)).map(work.leave, workers=where(), on_error="skip"))


@needs("timeouts")
def function_that_hangs_is_an_error_with_its_line(where):
    values, error = seen(Dataset(range(20)).map(work.sleep_on, workers=where(timeout=0.3)))

    assert list(range(7)) == values
    assert isinstance(error, SampleTimeout), error
    assert ("map(sleep_on)", (7,)) == (error.stage, error.address)
    assert "in sleep_on" in str(error)


@needs("timeouts")
def function_that_hangs_may_be_tried_again(where):
    ds = Dataset(range(20)).map(work.sleep_on, workers=where(timeout=0.2), on_error=Retry(1, then="skip"))

    assert [*range(7), *range(8, 20)] == kept(ds)
