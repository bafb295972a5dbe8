"""Wrong calls: each gets an error of ours that is the builtin one too, at once, and names the right call."""

import math
import threading

import numpy as np
import pytest

from flazy import Dataset, Processes
from flazy.errors import (
    EmptyDataset,
    EndlessDataset,
    FlazyError,
    InvalidArgument,
    InvalidType,
    OneShotSource,
    OutOfRange,
    UnknownLength,
    UnserializableFunction,
    UsageError,
)

ONE = Dataset([1])
ENDLESS = Dataset([1]).repeat()


def refused(call, kind, builtin, message):
    with pytest.raises(kind, match=message) as caught:
        call()

    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, FlazyError)
    assert isinstance(caught.value, builtin)
    assert caught.value.__cause__ is None or kind is UnserializableFunction


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (Dataset, r"Dataset\(\) needs a source: an iterable, arrays, or a function"),
        (lambda: Dataset([1], x=[1]), "not both"),
        (lambda: Dataset(np.zeros(2), np.zeros(3)), r"equally long, not \{0: 2, 1: 3\}"),
        (lambda: Dataset(a=[1], b=[1, 2]), r"equally long, not \{'a': 1, 'b': 2\}"),
        (lambda: ONE.batch(0), "the batch size must be at least 1, not 0"),
        (lambda: ONE.batch(-1), "the batch size must be at least 1, not -1"),
        (lambda: ONE.padded_batch(0), "the batch size must be at least 1, not 0"),
        (lambda: ONE.padded_batch(2, length=0), "length must be at least 1, not 0"),
        (lambda: ONE.padded_batch(2, multiple_of={"x": -1}), "multiple_of must be at least 1, not -1"),
        (lambda: ONE.ragged_batch(0), "the batch size must be at least 1, not 0"),
        (lambda: ONE.bucket_batch(len, [], 2), r"boundaries must be lengths that rise, at least one, not \[\]"),
        (lambda: ONE.bucket_batch(len, [2, 2], 2), r"boundaries must be lengths that rise, at least one, not \[2, 2\]"),
        (lambda: ONE.bucket_batch(len, [0], 2), "a boundary must be at least 1, not 0"),
        (lambda: ONE.bucket_batch(len, [5], [2]), "2 buckets need 2 sizes, or one for all, not 1"),
        (lambda: ONE.bucket_batch(len, [5], [2, 0]), "the batch size must be at least 1, not 0"),
        (lambda: ONE.pack(0), "the length of a row must be at least 1, not 0"),
        (lambda: ONE.pack(2, open_rows=0), "open_rows must be at least 1, not 0"),
        (lambda: ONE.pack(2, drop_remainder=True), "without split=True there is no remainder"),
        (lambda: ONE.window(0), "the window size must be at least 1, not 0"),
        (lambda: ONE.window(2, 0), "stride must be at least 1, not 0"),
        (lambda: ONE.take(-1), r"take\(count\) must be at least 0, not -1"),
        (lambda: ONE.skip(-1), r"skip\(count\) must be at least 0, not -1"),
        (lambda: ONE.repeat(-2), r"repeat\(-2\): give a number of times, or nothing"),
        (lambda: ONE.repeat(np.int64(-2)), r"must be at least 0, not -2"),
        (lambda: ONE.shuffle(0), "buffer_size must be at least 1, not 0"),
        (lambda: ONE.shuffle(-5), "buffer_size must be at least 1, not -5"),
        (lambda: ONE.shuffle(seed=-1), "seed must be at least 0, not -1"),
        (lambda: ONE.sample(-1), r"sample\(count\) must be at least 0, not -1"),
        (lambda: ONE.sample(1, 0), "buffer_size must be at least 1, not 0"),
        (lambda: ONE.prefetch(0), r"prefetch\(count\) must be at least 1, not 0"),
        (lambda: ONE.epoch(-1), r"epoch\(cycle\) must be at least 0, not -1"),
        (lambda: ENDLESS.epoch(0), r"epoch\(\) of a dataset that repeats.*put it before repeat\(\)"),
        (lambda: (ONE + ONE.repeat(2)).epoch(0), r"epoch\(\) of a dataset that repeats"),
        (lambda: ONE[-1], "an index of a dataset must be at least 0, not -1"),
        (lambda: ONE[-3:], "the start of a slice of a dataset must be at least 0, not -3"),
        (lambda: ONE[:-1], "the stop of a slice of a dataset must be at least 0, not -1"),
        (lambda: ONE[::-1], "the step of a slice of a dataset must be at least 1, not -1"),
        (lambda: ONE[::0], "the step of a slice of a dataset must be at least 1, not 0"),
        (lambda: ONE.select(), r"select\(\) needs at least one key, e.g. select\('image', 'label'\)"),
        (lambda: ONE.select_tuple(), r"select_tuple\(\) needs at least one key"),
        (lambda: ONE.map(abs, workers=-1), "workers=-1 is negative; 0 or None"),
        (lambda: Processes(0), "must be at least 1"),
        (Dataset.zip, r"Dataset\.zip\(a, b\)"),
        (lambda: Dataset.from_indexed([1], setup=dict), "no use for setup="),
        (lambda: Dataset.read.tfrecord(), "needs a path, a glob or a folder"),
    ],
)
def test_wrong_value_is_refused(call, message):
    refused(call, InvalidArgument, ValueError, message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Dataset("abc"), r"Dataset\.read\.<format>\(path\).*Dataset\(\[text\]\)"),
        (lambda: Dataset(b"abc"), r"Dataset\.read\.<format>\(path\)"),
        (lambda: Dataset(bytearray(b"abc")), r"Dataset\.read\.<format>\(path\)"),
        (lambda: Dataset({"a": [1]}), r"Dataset\(\*\*columns\), or Dataset\(d\.items\(\)\)"),
        (lambda: Dataset(5), "iterables, arrays or functions that give them, not int"),
        (lambda: Dataset([1], None), "argument 1: .*not NoneType"),
        (lambda: ONE.map(workers=0, fn=5), r"map\(\) needs a function, not int"),
        (lambda: ONE.map(None), r"map\(\) needs a function, not NoneType"),
        (lambda: ONE.filter([1]), r"filter\(\) needs a function, not list"),
        (lambda: ONE.flatmap(1), r"flatmap\(\) needs a function"),
        (lambda: ONE.starmap(1), r"starmap\(\) needs a function"),
        (lambda: ONE.random_map(1), r"random_map\(\) needs a function"),
        (lambda: ONE.foreach(1), r"foreach\(\) needs a function"),
        (lambda: ONE.transform(1), r"transform\(\) needs a function"),
        (lambda: ONE.reduce(1, 2), r"reduce\(\) needs a function"),
        (lambda: ONE.batch("2"), "the batch size must be a whole number, not '2'"),
        (lambda: ONE.batch(2.0), "the batch size must be a whole number, not 2.0"),
        (lambda: ONE.batch(None), "the batch size must be a whole number, not None"),
        (lambda: ONE.batch(2, fn=5), r"batch\(\) needs a function, not int"),
        (lambda: ONE.padded_batch(2, pad=[0, 1]), "pad must be one value, or a dict or tuple .*, not list"),
        (lambda: ONE.padded_batch(2, pad={"x": np.zeros(2)}), "pad must be one value, .* not ndarray"),
        (lambda: ONE.padded_batch(2, length="9"), "length must be a whole number, not '9'"),
        (lambda: ONE.bucket_batch(5, [5], 2), r"bucket_batch\(\) needs a function, not int"),
        (lambda: ONE.bucket_batch(len, 5, 2), "boundaries must be a list of lengths, not 5"),
        (lambda: ONE.bucket_batch(len, [5.5], 2), "a boundary must be a whole number, not 5.5"),
        (lambda: ONE.window(2, 1.5), "stride must be a whole number, not 1.5"),
        (lambda: ONE.batch(2, default_dtype="nonsense"), "default_dtype='nonsense' is no dtype"),
        (lambda: ONE.collect("nonsense"), "default_dtype='nonsense' is no dtype"),
        (lambda: ONE.take(math.inf), "must be a whole number, not inf"),
        (lambda: ONE.repeat("2"), "must be a whole number, not '2'"),
        (lambda: ONE.repeat(1.5), "must be a whole number, not 1.5"),
        (lambda: ONE.shuffle(True and "10"), "buffer_size must be a whole number, not '10'"),
        (lambda: ONE.shuffle(True), "buffer_size must be a whole number, not True"),
        (lambda: ONE.shuffle(seed=True), "seed must be a whole number, not True"),
        (lambda: ONE.batch(True), "the batch size must be a whole number, not True"),
        (lambda: ONE.repeat(False), r"repeat\(times\) must be a whole number, not False"),
        (lambda: ONE.shuffle(seed="x"), "seed must be a whole number, not 'x'"),
        (lambda: ONE.enumerate("x"), "start must be a whole number, not 'x'"),
        (lambda: ONE["a"], "an index of a dataset must be a whole number, not 'a'"),
        (lambda: ONE[1.0], "must be a whole number, not 1.0"),
        (lambda: ONE["a":], "the start of a slice of a dataset must be a whole number"),
        (lambda: ONE.map(abs, workers="many"), r"workers='many': give a number of processes.*Threads\(n\)"),
        (lambda: ONE.map(abs, workers=True), "give a number of processes, e.g. workers=4"),
        (lambda: Dataset.concat([ONE], ONE), r"not list; wrap it in Dataset"),
        (lambda: Dataset.concat([ONE, [1]]), r"not list; wrap it in Dataset"),
        (lambda: Dataset.zip(ONE, [1]), r"not list; wrap it in Dataset"),
        (lambda: Dataset.from_indexed(iter([1])), "__len__ and __getitem__"),
        (lambda: ONE.map(abs, setup=5), r"setup= of map\(\) needs a function, not int"),
        (lambda: ONE.ragged_batch(2, keys=0), r"keys must be a list of keys, not 0; say keys=\[0\]"),
    ],
)
def test_wrong_type_is_refused(call, message):
    refused(call, InvalidType, TypeError, message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ONE.map(abs, num_workers=2), r"map\(\) has no keyword 'num_workers': .*workers=n"),
        (lambda: ONE.map(abs, num_parallel_calls=2), r"'num_parallel_calls': .*workers=n"),
        (lambda: ONE.filter(abs, concurrency=2), r"filter\(\) has no keyword 'concurrency': .*workers=n"),
        (lambda: ONE.map(abs, deterministic=False), "'deterministic': Flazy says ordered="),
        (lambda: ONE.map(abs, worker_init_fn=dict), "'worker_init_fn': Flazy says setup="),
        (lambda: ONE.map(abs, chunksize=3), r"'chunksize': Flazy says workers=Processes\(n, chunk=…\)"),
        (lambda: ONE.batch(2, drop_last=True), r"batch\(\) has no keyword 'drop_last': Flazy says drop_remainder="),
        (lambda: ONE.batch(2, collate_fn=list), r"'collate_fn': Flazy says .batch\(n, fn=…\)"),
        (lambda: ONE.padded_batch(2, padding_values=0), "'padding_values': Flazy says pad="),
        (lambda: ONE.padded_batch(2, pad_to_multiple_of=8), "'pad_to_multiple_of': Flazy says multiple_of="),
        (lambda: ONE.window(2, shift=1), "'shift': Flazy says stride="),
        (lambda: ONE.batch(batch_size=2), r"'batch_size': Flazy says batch\(size\)"),
        (lambda: ONE.batch(2, partial=True), "'partial': Flazy says drop_remainder=, the other way round"),
        (lambda: ONE.batch(2, dtype=int), "'dtype': Flazy says default_dtype="),
        (lambda: ONE.jax(dtype=int), "'dtype': Flazy says default_dtype=, at other verbs than this one$"),
        (lambda: ONE.batch(2, num_workers=2), "Flazy says workers=n .*, at other verbs than this one$"),
        (lambda: ONE.batch(2, workers=2), r"'workers': verbs on single samples have workers; say map\(fn, workers=n\)"),
        (lambda: ONE.batch(2, pad=0), r"'pad': padded_batch\(\), bucket_batch\(\) and pack\(\) do that$"),
        (lambda: ONE.map(abs, num_workers=2), "Flazy says workers=n for processes, .* for threads$"),
        (lambda: ONE.batch(2, pin_memory=True), "'pin_memory': that belongs to the feed of your framework"),
        (lambda: ONE.shuffle(10, reshuffle_each_iteration=False), r"'reshuffle_each_iteration': .*epoch\(k\)"),
        (lambda: ONE.shuffle(generator=None), "'generator': Flazy says seed="),
        (lambda: ONE.repeat(epochs=3), r"'epochs': Flazy says repeat\(times\)"),
        (lambda: ONE.map(abs, prefetch_factor=3), r"'prefetch_factor': Flazy says \.prefetch\(n\)"),
        (lambda: ONE.shuffle(buffer=3), "'buffer': Flazy says buffer_size="),
        (lambda: ONE.shuffle(bufer_size=3), "did you mean buffer_size="),
        (lambda: ONE.map(function=abs), r"map\(\) has no keyword 'function'"),
        (lambda: ONE.take(n=1), r"take\(\) has no keyword 'n'.*count"),
        (lambda: ONE.cache(where=1), r"cache\(\) has no keyword 'where'; it has none"),
        (lambda: Dataset.concat(datasets=[]), r"^concat\(\) has no keyword 'datasets'; it has none$"),
        (lambda: Dataset.from_indexed([1], num_workers=3), r"from_indexed\(\) has no keyword.*workers=n"),
        (lambda: Dataset.read.tfrecord("x", num_parallel_reads=2), r"tfrecord\(\) has no keyword.*workers=n"),
    ],
)
def test_keyword_of_another_library_is_answered_with_ours(call, message):
    refused(call, InvalidType, TypeError, message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ONE.map(abs, 2), r"^map\(\) takes fn by position, and workers=, ordered=, setup=, on_error= by name$"),
        (lambda: ONE.random_map(abs, 1, True, 2), r"^random_map\(\) takes fn, seed, seed_globals by position, and wor"),
        (lambda: ONE.take(1, 2), r"^take\(\) takes count by position$"),
        (lambda: ONE.cache(1), r"^cache\(\) takes nothing by position$"),
        (lambda: Dataset.from_indexed([1], 2), r"^from_indexed\(\) takes indexed by position, and workers="),
    ],
)
def test_too_many_arguments_by_position_are_told_what_has_a_name(call, message):
    refused(call, InvalidType, TypeError, message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ENDLESS.shuffle(), r"shuffle\(\) needs the end.*shuffle before repeat\(\), or give a buffer_size"),
        (lambda: (ONE + ENDLESS).map(abs).shuffle(), r"shuffle\(\) needs the end"),
        (lambda: ENDLESS.sample(3), r"sample\(\) needs the end.*give a buffer_size"),
        (lambda: ENDLESS.cache(), r"cache\(\) needs the end.*cache before repeat\(\)"),
        (lambda: ENDLESS.list(), r"list\(\) needs the end.*take\(n\) first"),
        (lambda: ENDLESS.collect(), r"collect\(\) needs the end.*take\(n\) first"),
        (lambda: ENDLESS.filter(abs).count(), r"count\(\) needs the end.*take\(n\) first"),
        (lambda: ENDLESS.reduce(max, 0), r"reduce\(\) needs the end.*take\(n\) first"),
        (lambda: ENDLESS.write.tfrecord("x"), r"write\.tfrecord\(\) needs the end.*take\(n\) first"),
    ],
)
def test_what_would_never_end_is_refused(call, message):
    refused(call, EndlessDataset, ValueError, message)


@pytest.mark.parametrize("call", [lambda: ENDLESS.shuffle(10), lambda: ENDLESS.sample(2, 10), lambda: ENDLESS.take(2)])
def test_what_reads_no_further_than_it_must_is_not_refused(call):
    assert 1 == call().first()


def test_empty_and_unknown():
    refused(Dataset([]).first, EmptyDataset, LookupError, r"first\(\) of a dataset without samples")
    refused(Dataset([]).collect, EmptyDataset, LookupError, r"collect\(\) of a dataset without samples")
    refused(lambda: ONE[1], OutOfRange, IndexError, "index 1 is beyond the end")
    refused(lambda: len(ONE.filter(abs)), UnknownLength, TypeError, r"count\(\) makes one")
    refused(lambda: len(ENDLESS), UnknownLength, TypeError, "repeats without end and has no length")


def test_second_pass_over_an_iterator_is_refused():
    dataset = Dataset(iter([1]))
    dataset.list()

    refused(dataset.list, OneShotSource, ValueError, r"Dataset\(lambda: generator\(\)\)")


def test_function_that_cannot_be_pickled_names_the_variable_before_anything_starts():
    lock = threading.Lock()
    calls = []

    def source():
        calls.append(1)
        return [1]

    dataset = Dataset(source).map(lambda x: (lock, x), workers=2)
    threads = threading.active_count()

    refused(dataset.open, UnserializableFunction, TypeError, r"map\(<lambda>\) cannot be sent.*captures 'lock'")
    assert threads == threading.active_count()
    assert [] == calls


@pytest.mark.parametrize(
    ("name", "message"),
    [("tfrecords", r"there is no read\.tfrecords; did you mean read\.tfrecord\?"), ("x", "the formats are tfrecord")],
)
def test_unknown_format_is_answered_with_those_there_are(name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(Dataset.read, name)
    with pytest.raises(AttributeError, match="there is no write"):
        getattr(ONE.write, name)


def test_wrong_call_leaves_the_dataset_as_it_was():
    with pytest.raises(InvalidArgument):
        ONE.batch(0)

    assert [1] == ONE.list()
