"""What shards give: together the whole, each its part, with the names that samples have without shards."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flazy import Dataset
from flazy.errors import UnevenShards
from flazy.plan import nodes
from flazy.plan.planner import plan
from flazy.run.build import build
from tests.run.test_stages import NoRun

LENGTHS, SIZES, BLOCKS = st.integers(0, 40), st.integers(1, 5), st.integers(1, 4)
SOURCES = {
    "list": lambda length: Dataset([*range(length)]),
    "generator": lambda length: Dataset(lambda: iter([*range(length)][:])).filter(lambda x: True),
    "prefetched": lambda length: Dataset(range(length)).transform(iter).prefetch(2),
}


def named(node, cycle=0):
    """Give samples with their addresses and cycles."""
    stage = build(plan(node), cycle, NoRun())
    found = [(value, stage.address, stage.cycle) for value in stage]
    stage.close()
    return found


def expected(length, size, index, block, equal):
    """Say it again, in the words of the specification."""
    if size == 1:
        return [*range(length)]
    rounds = [[*range(start, min(start + size * block, length))] for start in range(0, length, size * block)]
    parts = [r[index * block : (index + 1) * block] for r in rounds]
    if rounds and len(rounds[-1]) < size * block and equal != "none":
        last = parts.pop()
        if equal == "pad":
            own = [x for part in [*parts, last] for x in part]
            parts.append(last + [own[0] if own else 0] * (min(block, len(rounds[-1])) - len(last)))
    return [x for part in parts for x in part]


@given(
    length=LENGTHS, size=SIZES, block=BLOCKS, equal=st.sampled_from(["none", "drop", "pad"]),
    source=st.sampled_from(sorted(SOURCES)),
)  # fmt: skip
def test_shards_are_what_is_said_of_them(length, size, block, equal, source):
    whole = {value: (value, address, cycle) for value, address, cycle in named(SOURCES[source](length).node, cycle=3)}
    for index in range(size):
        shard = nodes.Shard(SOURCES[source](length).node, size, index, equal, block)
        values = expected(length, size, index, block, equal)

        assert [whole[value] for value in values] == named(shard, cycle=3)
        assert len(values) == len(named(nodes.Shard(Dataset(range(length)).node, size, index, equal, block)))


@given(length=LENGTHS, size=SIZES, equal=st.sampled_from(["none", "drop", "pad"]))
def test_union_overlap_and_lengths(length, size, equal):
    shards = [Dataset(range(length)).map(lambda x: x).shard(size, index, equal).list() for index in range(size)]
    together = [x for shard in shards for x in shard]
    lengths = [len(shard) for shard in shards]

    assert lengths == [len(Dataset(range(length)).shard(size, index, equal)) for index in range(size)]
    assert max(lengths) - min(lengths) <= (equal == "none")
    assert sorted({*together}) == [*range(length - length % size * (equal == "drop"))]
    assert len(together) - len({*together}) == (-length % size if equal == "pad" else 0)


# Moved upstream -----------------------------------------------------------------------------------------

STEPS = {
    "map": lambda ds, n: ds.map(lambda x: f"{x}-{n}"),
    "random_map": lambda ds, n: ds.random_map(lambda x, rng: f"{x} {rng.integers(1000)}", seed=n),
    "filter": lambda ds, n: ds.filter(lambda x: len(x) % 5 != n),
    "full batch": lambda ds, n: ds.batch(n + 1, None).map(str),
    "batch": lambda ds, n: ds.batch(n + 1, None, drop_remainder=False).map(str),
    "window": lambda ds, n: ds.window(n + 1, 2, drop_remainder=False).map(str),
    "ragged batch": lambda ds, n: ds.map(list).ragged_batch(n + 1, drop_remainder=False).unbatch().map(str),
    "bucket batch": lambda ds, n: ds.bucket_batch(len, [4, 9], n + 1, drop_remainder=False).map(str),
    "pack": lambda ds, n: ds.map(list).pack(9 + n, pad="", split=True).map(str),
    "take": lambda ds, n: ds.take(3 * n),
    "skip": lambda ds, n: ds.skip(n),
    "repeat": lambda ds, n: ds.repeat(n),
    "prefetch": lambda ds, n: ds.prefetch(n + 1),
    "shuffle": lambda ds, n: ds.shuffle(seed=n),
    "enumerate": lambda ds, n: ds.enumerate(n).map(str),
    "shard": lambda ds, n: ds.shard(2, n % 2),
    "concat": lambda ds, n: ds + Dataset(range(n)).map(str),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:batch.* dropped all")
@settings(max_examples=20)
@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3)), max_size=5), size=st.integers(2, 4),
    equal=st.sampled_from(["none", "drop", "pad"]),
)  # fmt: skip
def test_shard_of_any_plan_is_the_shard_of_what_it_gives(steps, size, equal):
    """Values, their names and the numbers drawn for them, wherever the shard went."""
    dataset = Dataset(range(23)).random_map(lambda x, rng: f"{x} {rng.integers(9)}", seed=5)
    for name, number in steps:
        dataset = STEPS[name](dataset, number)
    whole = named(dataset.node, cycle=2)
    for index in range(size):
        rows = expected(len(whole), size, index, 1, equal)

        assert [whole[row] for row in rows] == named(nodes.Shard(dataset.node, size, index, equal), cycle=2)


def test_batches_keep_their_numbers_and_with_them_what_is_drawn_for_them():
    batches = Dataset(range(24)).batch(2).random_map(lambda batch, rng: (batch.tolist(), rng.integers(10**9)), seed=1)
    rows = batches.list()

    assert [rows[i::3] for i in range(3)] == [batches.shard(3, i).list() for i in range(3)]
    assert [(1,), (4,), (7,), (10,)] == [address for _, address, _ in named(batches.shard(3, 1).node)]


def test_batches_of_a_part_of_a_part_keep_their_numbers():
    batches = Dataset(range(24)).batch(2).shard(2, 1).shard(3, 1).shard(2, 1)

    assert [([18.0, 19.0], (9,))] == [(batch.tolist(), address) for batch, address, _ in named(batches.node)]


def test_rank_makes_its_own_samples_only():
    made = []
    dataset = Dataset(range(12)).map(lambda x: made.append(x) or x).batch(2)

    assert [[2, 3], [8, 9]] == [batch.tolist() for batch in dataset.shard(3, 1)]
    assert [2, 3, 8, 9] == made


def test_rank_whose_only_batch_is_incomplete_has_none_and_nothing_to_warn_of():
    assert [] == Dataset(range(5)).batch(4).shard(2, 1).list()


@pytest.mark.slow
def test_batches_of_a_shard_are_filled_by_workers():
    def image(x):
        return {"x": np.full((80, 80), x, np.float32), "y": x}

    batches = Dataset(range(70)).map(image, workers=2).batch(8, None, drop_remainder=False)
    labels = [[(b["y"].tolist(), b["x"][:, 3, 3].tolist()) for b in batches.shard(2, index)] for index in (0, 1)]

    rows = [[*range(start, min(start + 8, 70))] for start in range(0, 70, 8)]
    assert [[(row, row) for row in rows[index::2]] for index in (0, 1)] == labels


# What is held, and asked for ----------------------------------------------------------------------------


def test_drop_holds_no_sample_of_a_round_that_is_whole():
    source = []
    dataset = Dataset(lambda: (source.append(i) or i for i in range(10))).shard(4, 1, "drop")
    with dataset.open() as run:
        assert 1 == next(run)
        assert [0, 1, 2, 3] == source
        assert 5 == next(run)
        assert [*range(8)] == source
        assert [] == [*run]


def test_none_and_pad_ask_for_nothing_behind_their_sample():
    for equal in ("none", "pad"):
        source = []
        with Dataset(lambda made=source: (made.append(i) or i for i in range(10))).shard(4, 1, equal).open() as run:
            assert [1, 5] == [next(run), next(run)]
            assert [*range(6)] == source


def test_sample_that_is_given_again_is_as_it_was():
    found = []
    for array in Dataset(np.arange(3.0).reshape(3, 1)).map(lambda row: row + 1).transform(iter).shard(2, 1, "pad"):
        found.append(array.tolist())
        array[:] = -1

    assert [[2.0], [2.0]] == found


def test_padding_of_batches_given_twice_shares_nothing():
    first, again = Dataset(range(3)).batch(1).shard(2, 1, "pad").list()

    assert [1.0] == first.tolist() == again.tolist()
    assert not np.shares_memory(first, again)


def test_endless_stream_has_endless_shards():
    for equal in ("none", "drop", "pad"):
        assert [1, 4, 2, 0, 3] == [*itertools.islice(Dataset(range(5)).repeat().shard(3, 1, equal), 5)]


# Uneven -------------------------------------------------------------------------------------------------


def remarks(dataset):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        deque = [*dataset]
        del deque
    return [warning for warning in caught if warning.category is UnevenShards]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Dataset(range(6)).shard(), False),
        (lambda: Dataset(range(7)).shard(), True),
        (lambda: Dataset(range(8)).shard(), True),
        (lambda: Dataset([]).shard(), False),
        (lambda: Dataset(range(7)).map(str).shard().map(str), True),
        (lambda: Dataset(range(7)).shard().repeat(3), True),
        (lambda: Dataset(range(7)).shard(equal="none"), False),
        (lambda: Dataset(range(7)).shard(equal="pad"), False),
        (lambda: Dataset(range(7)).shard(equal="drop"), False),
        (lambda: Dataset(range(7)).shard(3, 1), False),
        (lambda: Dataset(range(7)).shard().take(1), False),
        (lambda: Dataset(range(13)).batch(4).shard(), False),  # three batches and a remainder
        (lambda: Dataset(range(17)).batch(4).shard(), True),
        (lambda: Dataset(range(12)).batch(4, drop_remainder=False).shard(), False),
        (lambda: Dataset(range(9)).batch(4, drop_remainder=False).shard(), False),
        (lambda: Dataset(range(8)).batch(4, drop_remainder=False).shard(), True),
        (lambda: Dataset(range(13)).batch(4, drop_remainder=False).shard(), True),
        (lambda: Dataset(range(14)).batch(2).batch(2, drop_remainder=False).shard(), True),
        (lambda: Dataset(range(11)).batch(2).batch(2, drop_remainder=False).shard(), False),
        (lambda: Dataset(range(9)).batch(2).batch(2, drop_remainder=False).shard(), True),
    ],
)
@pytest.mark.parametrize("rank", ["0", "2"])
def test_uneven_ranks_are_told_once_at_the_end_of_a_pass(monkeypatch, made, told, rank):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "3")
    found = remarks(made())

    assert int(told) == len(found)
    if told:
        assert 'say shard(equal="pad") or shard(equal="drop")' in str(found[0].message)
        assert "some of the 3 ranks" in str(found[0].message)
        assert __file__ == found[0].filename


def test_pass_that_is_left_tells_nothing(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")

    with Dataset(range(7)).shard().open() as run:
        assert 0 == next(run)


# Passes -------------------------------------------------------------------------------------------------


def test_ranks_shuffle_every_pass_alike():
    whole = Dataset(range(20)).shuffle(seed=3).random_map(lambda x, rng: (x, rng.integers(1000)), seed=4)
    passes = [whole.list() for _ in range(3)]
    ranks = [whole.shard(3, index) for index in range(3)]
    given = [[rank.list() for _ in range(3)] for rank in ranks]

    assert passes[0] != passes[1] != passes[2]
    assert [[one[index::3] for one in passes] for index in range(3)] == given
    assert [passes[1][2::3]] * 2 == [whole.epoch(1).shard(3, 2).list(), whole.shard(3, 2).epoch(1).list()]


def test_progress_of_a_shard_counts_the_shard(capsys):
    Dataset(range(10)).progress("reading").shard(4, 0, "pad").list()

    assert "3/3" in capsys.readouterr().err
