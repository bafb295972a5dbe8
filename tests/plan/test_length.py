"""What is known of a length without running, held against what comes out."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset
from flazy.errors import UnknownLength
from flazy.plan.length import length_of


def same(x):
    return x


TEN = Dataset(range(10))
UNKNOWN = Dataset(lambda: iter(range(10)))


@pytest.mark.parametrize(
    ("dataset", "length"),
    [
        (TEN, 10),
        (Dataset(range(3), [1, 2, 3]), 3),
        (Dataset(lambda: [1], [1]), 1),
        (UNKNOWN, None),
        (Dataset(iter([1])), None),
        (TEN.map(same).random_map(same).starmap(same).select(0), 10),
        (TEN.filter(same), None),
        (TEN.flatmap(same), None),
        (TEN.batch(2).unbatch(), None),
        (TEN.transform(same), None),
        (TEN.shuffle().cache().prefetch(2).progress().serial().epoch(1).enumerate(), 10),
        (TEN.sample(3), 3),
        (TEN.sample(30), 10),
        (TEN.batch(4), 2),
        (TEN.batch(4, drop_remainder=False), 3),
        (TEN.batch(4, fn=same), 2),
        (TEN.padded_batch(4), 2),
        (TEN.ragged_batch(4, drop_remainder=False), 3),
        (TEN.window(3), 8),
        (TEN.window(3, 4, drop_remainder=False), 3),
        (TEN.repeat().window(3), math.inf),
        (UNKNOWN.window(3), None),
        (TEN.bucket_batch(same, [5], 2), None),
        (TEN.pack(3), None),
        (TEN.repeat().bucket_batch(same, [5], 2).pack(3), math.inf),
        (TEN.take(3), 3),
        (TEN.take(30), 10),
        (UNKNOWN.take(3), None),
        (TEN.skip(3), 7),
        (TEN.skip(30), 0),
        (TEN[2:8:4], 2),
        (TEN[::3], 4),
        (TEN.repeat(3), 30),
        (TEN.repeat(0), 0),
        (UNKNOWN.repeat(0), 0),
        (UNKNOWN.repeat(3), None),
        (TEN.repeat(), math.inf),
        (UNKNOWN.repeat(), math.inf),
        (Dataset([]).repeat(), 0),
        (TEN.repeat().map(same).filter(same).flatmap(same).batch(3).skip(3), math.inf),
        (TEN.repeat()[3::2], math.inf),
        (TEN.repeat().take(4), 4),
        (TEN.repeat().transform(same), None),
        (TEN + TEN, 20),
        (TEN + UNKNOWN, None),
        (TEN + (lambda: TEN), None),
        (TEN + UNKNOWN + TEN.repeat(), math.inf),
        (Dataset.concat([]), 0),
        (Dataset.roundrobin([TEN, TEN.take(3)]), 13),
        (Dataset.roundrobin([TEN, TEN.repeat()]), math.inf),
        (Dataset.zip(TEN, UNKNOWN), 10),
        (Dataset.zip(UNKNOWN, UNKNOWN), None),
        (Dataset.zip(TEN.repeat(), TEN.repeat()), math.inf),
        (Dataset.from_indexed([1, 2]), 2),
        (Dataset(TEN), 10),
        (Dataset(TEN.filter(same)), None),
    ],
)
def test_length_of(dataset, length):
    assert length == length_of(dataset.node)
    if length is None or length == math.inf:
        with pytest.raises(UnknownLength, match=r"count\(\)" if length is None else "without end") as caught:
            len(dataset)
        assert isinstance(caught.value, TypeError)
    else:
        assert length == len(dataset)


STEPS = {
    "map": lambda ds, n: ds.map(same),
    "batch": lambda ds, n: ds.batch(n + 1, drop_remainder=False).map(lambda batch: 0),
    "full batch": lambda ds, n: ds.batch(n + 1).map(lambda batch: 0),
    "padded batch": lambda ds, n: ds.padded_batch(n + 1).map(lambda batch: 0),
    "window": lambda ds, n: ds.window(3, n + 1, drop_remainder=False).map(lambda window: 0),
    "full window": lambda ds, n: ds.window(n + 1, 3).map(lambda window: 0),
    "shard": lambda ds, n: ds.shard(n + 1, n // 2),
    "full shard": lambda ds, n: ds.shard(n + 1, n, equal="drop"),
    "padded shard": lambda ds, n: ds.shard(n + 1, n, equal="pad"),
    "take": lambda ds, n: ds.take(n),
    "skip": lambda ds, n: ds.skip(n),
    "stride": lambda ds, n: ds[:: n + 1],
    "repeat": lambda ds, n: ds.repeat(n),
    "sample": lambda ds, n: ds.sample(n, seed=1),
    "shuffle": lambda ds, n: ds.shuffle(n + 1, seed=1),
    "concat": lambda ds, n: ds + ds.map(same),
    "roundrobin": lambda ds, n: Dataset.roundrobin([ds, Dataset(range(n))]),
    "zip": lambda ds, n: Dataset.zip(ds, ds).map(lambda pair: pair[0]),
}


@pytest.mark.filterwarnings("ignore:.* dropped all")
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 5)), max_size=5))
def test_known_length_is_the_number_of_samples(steps):
    dataset = TEN
    for name, number in steps:
        dataset = STEPS[name](dataset, number)

    assert len(dataset) == sum(1 for _ in dataset)


def test_list_of_an_endless_dataset_is_asked_for_no_length():
    endless = iter(TEN.repeat())

    assert [*range(10), 0] == [*itertools.islice(endless, 11)]
