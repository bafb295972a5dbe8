"""Every kind of value comes through workers as what it is, in both directions, and belongs to whoever gets it."""

import dataclasses

import numpy as np
import pytest

from flazy import Dataset, Processes, Threads
from tests.transport import values
from tests.transport.same import same

TABLES = {"plain": values.PLAIN, "arrays": values.ARRAYS, "masked": values.MASKED, "pickled": values.PICKLED}
# Once its fill value has been looked at, numpy pickles it as another type of text; the codec's own tests hold it.
TABLES["pickled"] = {name: value for name, value in values.PICKLED.items() if name != "masked objects"}
EVERYTHING = {f"{table}: {name}": value for table, rows in TABLES.items() for name, value in rows.items()}

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]

WHERES = {"processes": 2, "chunks": Processes(2, chunk=10), "threads": Threads(2)}
wheres = pytest.mark.parametrize("where", WHERES.values(), ids=WHERES)


def values_of(at):
    """Look it up; named, so that a worker imports this module instead of getting a pickled copy of the tables."""
    table, name = at
    return TABLES[table][name]


def differs(sample):
    table, name, value = sample
    return not same(value, values_of((table, name)))


@wheres
def test_every_value_comes_back_as_what_it_is(where):
    back = Dataset(list(EVERYTHING.values())).map(lambda x: x, workers=where).list()

    assert [] == [name for (name, value), got in zip(EVERYTHING.items(), back, strict=True) if not same(value, got)]


@wheres
def test_every_value_arrives_in_the_worker_as_what_it_is(where):
    samples = [(table, name, value) for table, rows in TABLES.items() for name, value in rows.items()]
    wrong = Dataset(samples).filter(differs, workers=where).list()

    assert [] == [(table, name) for table, name, _value in wrong]


@wheres
def test_every_value_that_a_worker_makes_arrives_as_what_it_is(where):
    names = [(table, name) for table, rows in TABLES.items() for name in rows]
    made = Dataset(names).map(values_of, workers=where).list()

    assert [] == [at for at, got in zip(names, made, strict=True) if not same(values_of(at), got)]


@pytest.mark.parametrize("verb", ["flatmap", "filter"])
def test_every_value_passes_through_other_verbs(verb):
    ds = Dataset(list(EVERYTHING.values()))
    ds = ds.flatmap(lambda x: [x], workers=2) if verb == "flatmap" else ds.filter(lambda x: True, workers=2)

    assert [] == [name for (name, value), got in zip(EVERYTHING.items(), ds, strict=True) if not same(value, got)]


def test_value_of_a_class_that_is_defined_in_a_function():
    @dataclasses.dataclass
    class Local:
        number: int

    (back,) = Dataset([Local(3)]).map(lambda x: dataclasses.replace(x, number=x.number + 1), workers=1)

    assert Local(4) == back


def arrays_in(value):
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from arrays_in(part)


@wheres
def test_received_arrays_are_writable_in_the_worker_and_behind_it(where):
    def scribble(x):
        for array in arrays_in(x):
            array[...] = array
        return x

    samples = [{"small": np.zeros(3), "large": (np.zeros(10_000), [np.ones((4, 5000), "i2")])}] * 5
    back = Dataset(samples).map(scribble, workers=where).list()

    assert all(array.flags.writeable for array in arrays_in(back))


@wheres
@pytest.mark.parametrize("size", [3, 10_000])
def test_what_is_written_into_one_sample_shows_in_no_other(where, size):
    back = []
    for sample in Dataset(lambda: (np.full(size, i) for i in range(20))).map(lambda x: x, workers=where):
        back.append(sample.copy())
        sample[...] = -1

    assert list(range(20)) == [int(sample[0]) for sample in back]
    assert all((sample == sample[0]).all() for sample in back)


def refilled(size, around):
    buffer = np.zeros(size)
    sample = around(buffer)
    for number in range(60):
        buffer[...] = number
        yield sample


AROUND = {
    "array": (lambda array: array, lambda sample: sample),
    "dict": (lambda array: {"x": [array]}, lambda sample: sample["x"][0]),
    "view": (lambda array: (array[1:],), lambda sample: sample[0]),
}


@wheres
@pytest.mark.parametrize("size", [3, 10_000])
@pytest.mark.parametrize("around", ["array", "dict", "view"])
def test_source_may_refill_one_buffer(where, size, around):
    wrap, unwrap = AROUND[around]
    got = Dataset(lambda: refilled(size, wrap)).map(lambda x: float(unwrap(x).max() + unwrap(x).min()), workers=where)

    assert [2.0 * number for number in range(60)] == got.list()


@wheres
@pytest.mark.parametrize("size", [3, 10_000])
@pytest.mark.parametrize("verb", ["map", "flatmap"])
def test_function_may_return_the_same_buffer_each_time(where, size, verb):
    buffer = np.zeros(size)

    def fill(x):
        buffer[...] = x
        return {"x": buffer}

    def fill_more(x):
        for offset in range(3):
            yield fill(3 * x + offset)

    ds = Dataset(range(60))
    one_each = where if not isinstance(where, Threads) else Threads(1)  # the buffer is one for all threads
    made = ds.map(fill, workers=one_each) if verb == "map" else ds.flatmap(fill_more, workers=one_each)
    got = [(float(sample["x"].min()), float(sample["x"].max())) for sample in made.list()]

    assert [(float(x), float(x)) for x in range(60 if verb == "map" else 180)] == got


def test_exceptions_are_data_like_any_other():
    samples = [ValueError("a"), StopIteration(), KeyError("k"), None, GeneratorExit()]

    assert list(map(repr, samples)) == list(map(repr, Dataset(samples).map(lambda x: x, workers=2)))
