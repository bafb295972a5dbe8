"""The facts of the specification and the examples of its text, one test each."""

import itertools
import random
import types

import numpy as np
import pytest

from flazy import Dataset


def same(expected, actual):
    """Compare structures with arrays in them: types, dtypes, shapes and values."""
    assert type(expected) is type(actual)
    if isinstance(expected, dict):
        assert list(expected) == list(actual)
        for key in expected:
            same(expected[key], actual[key])
    elif isinstance(expected, tuple | list):
        assert len(expected) == len(actual)
        for left, right in zip(expected, actual, strict=True):
            same(left, right)
    elif isinstance(expected, np.ndarray):
        assert (expected.dtype, expected.shape) == (actual.dtype, actual.shape)
        np.testing.assert_array_equal(expected, actual)
    else:
        assert expected == actual


# The examples of its text ------------------------------------------------------------------------------


def test_foreach_prints_each_sample(capsys):
    Dataset(range(10)).foreach(print)

    assert "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n" == capsys.readouterr().out


def test_filter_keeps_what_is_true():
    assert [1, 3, 5, 7, 9] == Dataset(range(10)).filter(lambda x: x % 2 == 1).list()


def test_dataset_is_an_iterable():
    assert sum(Dataset(range(10)).map(lambda x: x + 1)) == 55


def test_several_sources_give_tuples():
    assert [(0, 10), (1, 11)] == Dataset(range(2), range(10, 12)).list()


def test_named_sources_give_dicts():
    assert [{"a": 0, "b": 10}, {"a": 1, "b": 11}] == Dataset(a=range(2), b=range(10, 12)).list()


def test_arrays_split_along_their_first_dimension():
    samples = Dataset(np.arange(6).reshape(2, 3), np.array([7, 8])).list()

    same([(np.array([0, 1, 2]), np.int64(7)), (np.array([3, 4, 5]), np.int64(8))], samples)


def test_callable_source_is_called_for_every_iteration():
    calls = itertools.count()
    dataset = Dataset(lambda: [next(calls)])

    assert [[0], [1], [2]] == [dataset.list() for _ in range(3)]


def test_iterating_twice_gives_the_data_twice():
    dataset = Dataset(range(3)).map(str)

    assert ["0", "1", "2", "0", "1", "2"] == [*dataset, *dataset]


def test_tfrecord_gives_dicts_of_the_keys_asked_for(tmp_path):
    path = tmp_path / "nsynth-test.tfrecord"
    sample = {"audio": np.linspace(0, 1, 5, dtype=np.float32), "pitch": 100, "note": "a"}
    Dataset([sample]).write.tfrecord(path, compression="gzip")

    first = Dataset.read.tfrecord(str(path), keys=["audio", "pitch"], compression="gzip").first()

    same({"audio": sample["audio"], "pitch": np.array([100])}, first)


def test_batches_are_float32_and_the_rest_is_dropped():
    batches = Dataset(a=range(10), b=range(10, 20)).batch(4).list()

    same(
        [
            {"a": np.float32([0, 1, 2, 3]), "b": np.float32([10, 11, 12, 13])},
            {"a": np.float32([4, 5, 6, 7]), "b": np.float32([14, 15, 16, 17])},
        ],
        batches,
    )


def test_remainder_is_kept_when_asked_for():
    batches = Dataset(range(10)).batch(4, drop_remainder=False).list()

    same([np.float32([0, 1, 2, 3]), np.float32([4, 5, 6, 7]), np.float32([8, 9])], batches)


def test_arrays_keep_their_dtype_and_get_a_batch_dimension_in_front():
    batch = Dataset(np.arange(12, dtype=np.int16).reshape(2, 2, 3)).batch(2).first()

    same(np.arange(12, dtype=np.int16).reshape(2, 2, 3), batch)


def test_nested_mixtures_batch_by_structure():
    samples = [{"x": (i, np.int8([i, i])), "y": {"z": float(i)}} for i in range(2)]

    batch = Dataset(samples).batch(2).first()

    same({"x": (np.float32([0, 1]), np.int8([[0, 0], [1, 1]])), "y": {"z": np.float32([0, 1])}}, batch)


def test_collect_gives_one_object_and_integers_stay_integers():
    same({"a": np.array([0, 1, 2]), "b": np.array([0.5, 1.5, 2.5])}, Dataset(a=range(3), b=[0.5, 1.5, 2.5]).collect())
    same((np.array([0, 1]), np.array(["a", "b"])), Dataset(range(2), ["a", "b"]).collect())


def test_repeat_is_endless_and_its_iterator_is_what_keras_takes():
    data = iter(Dataset(range(2)).repeat())

    assert isinstance(data, types.GeneratorType)
    assert [0, 1, 0, 1, 0] == [*itertools.islice(data, 5)]


@pytest.mark.parametrize(
    "spelling",
    [
        lambda ds, prime, rest: Dataset([prime]) + Dataset(rest),
        lambda ds, prime, rest: prime + Dataset(rest),
        lambda ds, prime, rest: Dataset([prime]) + rest,
        lambda ds, prime, rest: ds.take(1) + rest,
        lambda ds, prime, rest: Dataset.concat([Dataset([prime]), rest]),
    ],
)
def test_sieve_of_eratosthenes_gives_the_first_hundred_primes(spelling):
    def sieve(ds):
        prime = ds.first()
        return spelling(ds, prime, lambda: sieve(ds.skip(1).filter(lambda x: x % prime != 0)))

    def is_prime(n):
        return all(n % divisor for divisor in range(2, n))

    primes = sieve(Dataset(lambda: itertools.count(2))).take(100).list()

    assert [*itertools.islice(filter(is_prime, itertools.count(2)), 100)] == primes


# The mistakes of the first version ---------------------------------------------------------------------


def test_take_zero_takes_nothing():
    assert [] == Dataset(range(10)).take(0).list()


def test_item_i_is_item_i():
    dataset = Dataset("abc", range(3))

    assert [("a", 0), ("b", 1), ("c", 2)] == [dataset[0], dataset[1], dataset[2]]


def test_none_in_the_data_is_data():
    dataset = Dataset([None, 1, None]).map(lambda x: x)

    assert [None, 1, None] == dataset.list()
    assert [None, 1, None] == dataset.prefetch(1).list()
    assert [None, 1, None] == dataset.transform(iter).cache().list()
    assert [(None, None), (1, 1), (None, None)] == Dataset.zip(dataset, dataset).list()
    assert [None, None, 1, 1, None, None] == Dataset.roundrobin([dataset, dataset]).list()


def test_shuffled_none_does_not_vanish():
    for size in (None, 1, 2, 3, 10):
        assert 3 == Dataset([None, 1, None, 2, None]).shuffle(size, seed=0).list().count(None)


def test_round_robin_skips_no_item():
    datasets = [Dataset(["a"]), Dataset([]), Dataset(["b", "c", "d"]), Dataset(["e", "f"])]

    assert ["a", "b", "e", "c", "f", "d"] == Dataset.roundrobin(datasets).list()


# Promises of the text ----------------------------------------------------------------------------------


def test_map_and_take_call_the_function_exactly_four_times():
    calls = []

    assert [0, 1, 2, 3] == Dataset(range(100)).map(lambda x: calls.append(x) or x).take(4).list()
    assert [0, 1, 2, 3] == calls


def test_nothing_runs_before_iteration():
    calls = []

    def called(*args):
        calls.append(args)
        return args

    dataset = (
        Dataset(called)
        .map(called)
        .filter(called)
        .flatmap(called)
        .random_map(called)
        .transform(called)
        .batch(2)
        .unbatch()
        .shuffle()
        .cache()
        .repeat()
        .prefetch(2)
        .take(2)
    )
    dataset = Dataset.concat([dataset, called]) + called
    repr(dataset), dataset.explain(), bool(dataset), iter(dataset)
    dataset.open().close()

    assert [] == calls


def test_dataset_is_immutable():
    dataset = Dataset([1])

    with pytest.raises(AttributeError, match="immutable"):
        dataset.node = None
    with pytest.raises(AttributeError, match="immutable"):
        dataset.anything = 1


def test_dataset_is_true_whatever_it_gives():
    assert bool(Dataset([]))
    assert bool(Dataset([1]).filter(None.__ne__))


def test_random_of_the_caller_is_left_alone():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    Dataset(range(3)).shuffle().random_map(lambda x, rng: random.random()).list()

    assert expected == random.random()
