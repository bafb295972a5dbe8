"""Shards: where the planner puts them, how long they are, what is refused and what is shown."""

import math
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset, Threads
from flazy.errors import InvalidArgument, InvalidType
from flazy.plan import nodes
from flazy.plan.length import length_of
from flazy.plan.planner import Chain, plan
from flazy.plan.ranks import Rank, found

TEN = Dataset(range(10))


def same(x):
    return x


def rank_from(monkeypatch, rank, size):
    for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    rank_from(monkeypatch, None, None)


# Where they go ----------------------------------------------------------------------------------------


def drawn(dataset):
    """Spell a physical plan, upstream first; of shards with the size of their blocks."""
    part, spelled = plan(dataset.node), []
    while True:
        if isinstance(part, Chain):
            spelled.append(",".join(op.kind for op in part.ops))
            part = part.upstream
            continue
        block = f" {part.node.block}" if isinstance(part.node, nodes.Shard) else ""
        spelled.append(type(part.node).__name__ + block)
        if not part.upstreams:
            return " ".join(spelled[::-1])
        part = part.upstreams[0]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda ds: ds.map(same).shard(2, 0), "Source Shard 1 map"),
        (lambda ds: ds.random_map(same).select(0).shard(2, 0), "Source Shard 1 random,map"),
        (lambda ds: ds.map(same, workers=2).prefetch(1).progress().shard(2, 0), "Source Shard 1 map Prefetch Progress"),
        (lambda ds: ds.map(same).serial().epoch(1).shard(2, 0), "Source Shard 1 map Epoch"),
        (lambda ds: ds.map(same, on_error="skip").shard(2, 0), "Source map Shard 1"),
        (lambda ds: ds.filter(same).map(same).shard(2, 0), "Source filter Shard 1 map"),
        (lambda ds: ds.flatmap(same).shard(2, 0), "Source flatmap Shard 1"),
        (lambda ds: ds.enumerate().shard(2, 0), "Source Enumerate Shard 1"),
        (lambda ds: ds.skip(1).shard(2, 0), "Source Skip Shard 1"),
        (lambda ds: ds.cache().shard(2, 0), "Source Cache Shard 1"),
        (lambda ds: ds.repeat(2).shard(2, 0), "Source Repeat Shard 1"),
        (lambda ds: ds.map(same).shard(2, 0).repeat(2), "Source Shard 1 map Repeat"),
        (lambda ds: ds.transform(iter).shard(2, 0), "Source Transform Shard 1"),
        (lambda ds: ds.shuffle(seed=1).shard(2, 0), "Source Shuffle Shard 1"),
        (lambda ds: ds.map(same).shard(3, 1).shard(2, 0), "Source Shard 1 Shard 1 map"),
        (lambda ds: ds.map(same).take(9).shard(2, 0), "Source Take Shard 1 map"),
        (lambda ds: ds.map(same).shard(2, 0).take(3), "Source Shard 1 Take map"),
        (lambda ds: ds.map(same).batch(4).shard(2, 0), "Source Shard 4 map Batch"),
        (lambda ds: ds.batch(4).map(same).batch(3).shard(2, 0), "Source Shard 12 Batch map Batch"),
        (lambda ds: ds.batch(4).shard(2, 0, "none"), "Source Shard 4 Batch"),
        (lambda ds: ds.map(same).batch(4).shard(2, 0, "pad"), "Source map Batch Shard 1"),
        (lambda ds: ds.map(same).batch(4).shard(2, 0, "drop"), "Source map Batch Shard 1"),
        (lambda ds: Dataset.from_indexed([1, 2]).shuffle(seed=1).shard(2, 0), "Source Shuffle Shard 1 map"),
        (lambda ds: Dataset.from_indexed([1, 2]).shard(2, 0).shuffle(), "Source Shard 1 Shuffle map"),
    ],
)
def test_shard_moves_upstream_as_far_as_it_commutes(made, expected):
    assert expected == drawn(made(TEN))


def test_batches_behind_a_shard_are_still_made_by_workers():
    assert "made or filled in place" in TEN.map(same, workers=2).batch(4).shard(2, 0).explain().splitlines()[-1]
    assert "made or filled in place" in TEN.shard(2, 0).map(same, workers=2).batch(4).explain().splitlines()[-1]


def test_what_is_sharded_comes_in_order_whatever_was_said():
    """The verb refuses it; a shard that a feed puts over a whole plan must not."""
    unordered = TEN.filter(same, workers=2, ordered=False)
    branches = (unordered + unordered).node
    whole = plan(nodes.Shard(branches, 2, 0, "none"))

    assert [True, True] == [branch.ordered for branch in whole.upstreams[0].upstreams]
    assert [False, False] == [branch.ordered for branch in plan(branches).upstreams]
    assert plan(nodes.Shard(unordered.node, 2, 0, "none")).upstreams[0].ordered


# How long they are ------------------------------------------------------------------------------------


@given(
    length=st.integers(0, 40), size=st.integers(1, 5), block=st.integers(1, 4), equal=st.sampled_from(["drop", "pad"])
)
def test_shards_that_are_made_equal_are_equal(length, size, block, equal):
    lengths = {length_of(nodes.Shard(Dataset(range(length)).node, size, i, equal, block)) for i in range(size)}

    assert 1 == len(lengths)
    whole = length if size == 1 else length // (size * block) * block
    assert lengths <= ({whole} if equal == "drop" else {*range(whole, whole + block + 1)})


@given(length=st.integers(0, 40), size=st.integers(1, 5), block=st.integers(1, 4))
def test_lengths_of_shards_add_up(length, size, block):
    lengths = [length_of(nodes.Shard(Dataset(range(length)).node, size, i, None, block)) for i in range(size)]

    assert length == sum(lengths)
    assert max(lengths) - min(lengths) <= block


def test_length_of_what_has_none():
    assert None is length_of(TEN.filter(same).shard(2, 0).node)
    assert math.inf == length_of(TEN.repeat().shard(2, 0, "pad").node)


# Whose they are ---------------------------------------------------------------------------------------


def test_ranks_are_those_of_the_environment(monkeypatch):
    dataset = TEN.shard()
    rank_from(monkeypatch, "1", "4")

    assert Rank(4, 1, "RANK and WORLD_SIZE") == found()
    assert 3 == len(dataset)
    assert "  shard()  shard 1 of 4, says RANK and WORLD_SIZE" in dataset.explain().splitlines()
    assert "Dataset(range(0, 10)).shard()" == repr(dataset)
    rank_from(monkeypatch, "3", "4")
    assert 2 == len(dataset)


@pytest.mark.parametrize(
    ("rank", "size", "message"),
    [
        ("0", None, "RANK=0 in the environment and no WORLD_SIZE; set both"),
        (None, "2", "WORLD_SIZE=2 in the environment and no RANK; set both"),
        ("2", "2", r"RANK=2, WORLD_SIZE=2 .* no rank of so many; .*shard\(num_shards, index\)"),
        ("-1", "2", "RANK=-1"),
        ("0", "0", "WORLD_SIZE=0"),
        ("0", "two", "WORLD_SIZE=two"),
        ("", "2", "RANK=, WORLD_SIZE=2"),
    ],
)
def test_environment_that_makes_no_sense_is_told(monkeypatch, rank, size, message):
    dataset = TEN.shard()
    rank_from(monkeypatch, rank, size)

    for call in (len, Dataset.open, Dataset.explain):
        with pytest.raises(InvalidArgument, match=message):
            call(dataset)


def test_nobody_that_tells_a_rank_leaves_one_shard(caplog):
    with caplog.at_level("INFO", logger="flazy"):
        assert [*range(10)] == TEN.shard(equal="drop").list()

    assert ["shard() found no ranks, so this is the only one"] == [m.partition(":")[0] for m in caplog.messages]
    assert "  shard(equal='drop')  shard 0 of 1, says nobody" in TEN.shard(equal="drop").explain().splitlines()


def framework(told):
    """Give a module that tells ranks, of which nothing may be asked before it is asked whether it was told any."""
    if not told:
        return SimpleNamespace(is_available=lambda: True, is_initialized=lambda: False)
    return SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_world_size=lambda: 3, get_rank=lambda: 2
    )


@pytest.mark.parametrize(
    ("torch", "jax", "expected"),
    [
        (True, True, Rank(3, 2, "torch.distributed")),
        (False, True, Rank(5, 4, "jax.distributed")),
        (False, False, Rank(2, 1, "RANK and WORLD_SIZE")),
    ],
)
def test_frameworks_that_know_their_rank_come_before_the_environment(monkeypatch, torch, jax, expected):
    rank_from(monkeypatch, "1", "2")
    monkeypatch.setitem(sys.modules, "torch.distributed", framework(torch))
    asked = {"process_count": lambda: 5, "process_index": lambda: 4} if jax else {}
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(distributed=framework(jax), **asked))

    assert expected == found()


# What is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda ds: ds.shuffle(), r"shuffle\(\) without seed= .*say shuffle\(…, seed=0\), or shard before that stage"),
        (lambda ds: ds.shuffle(5).map(same).batch(2), r"shuffle\(5\) without seed="),
        (lambda ds: ds.sample(3), r"sample\(3\) without seed=.*say sample\(…, seed=0\)"),
        (lambda ds: ds.sample(3, 5), r"shuffle\(5\) without seed="),
        (lambda ds: ds + ds.shuffle(), r"shuffle\(\) without seed="),
        (lambda ds: Dataset.zip(Dataset.roundrobin([ds, ds.shuffle().map(same)]), ds), r"shuffle\(\) without"),
        (lambda ds: ds.map(same, workers=2, ordered=False), r"map\(same, .*any order; leave out ordered=False"),
        (lambda ds: ds.filter(same, workers=Threads(2), ordered=False), r"filter\(same, .*ordered=False"),
        (lambda ds: ds.serial().map(same, workers=2, ordered=False), "leave out ordered=False"),
        (lambda ds: ds.random_map(same).filter(same), r"random_map\(same\) .* and what filter\(same\) gives depends"),
        (lambda ds: ds.random_map(same).map(same).flatmap(same), r"what flatmap\(same\) gives.*random_map\(…, seed=0"),
        (lambda ds: ds.random_map(same).transform(same), r"what transform\(same\) gives depends"),
        (lambda ds: ds.random_map(same, on_error="skip"), r"what random_map\(same.*gives depends"),
        (lambda ds: ds.random_map(same).batch(2).unbatch(), r"what unbatch\(\) gives depends"),
        (lambda ds: (ds + ds.random_map(same)).filter(same), r"what filter\(same\) gives depends"),
    ],
)
def test_order_that_differs_between_ranks_is_refused(made, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        made(TEN).shard(2, 0)

    assert "ranks would have some samples twice and miss others" in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        lambda ds: ds.shuffle(seed=1).sample(3, seed=2),
        lambda ds: ds.random_map(same),
        lambda ds: ds.random_map(same).batch(2).take(3).repeat(2),
        lambda ds: ds.random_map(same, seed=1).filter(same),
        lambda ds: ds.filter(same).random_map(same),
        lambda ds: ds.random_map(same) + ds.filter(same),
        lambda ds: ds.map(same, workers=2, ordered=False).serial(),
        lambda ds: (ds.map(same, workers=2, ordered=False) + ds).serial(),
        lambda ds: ds.map(same, ordered=False),
    ],
)
def test_order_that_is_the_same_everywhere_is_taken(made):
    assert nodes.Shard is type(made(TEN).shard(2, 0).node)


def test_shards_may_be_shuffled_without_a_seed():
    assert [1, 3, 5, 7, 9] == sorted(TEN.shard(2, 1).shuffle())


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: TEN.shard(2), InvalidArgument, "num_shards and index, or neither"),
        (lambda: TEN.shard(index=0), InvalidArgument, "num_shards and index, or neither"),
        (lambda: TEN.shard(0, 0), InvalidArgument, "num_shards must be at least 1, not 0"),
        (lambda: TEN.shard(2, -1), InvalidArgument, "index must be at least 0, not -1"),
        (lambda: TEN.shard(2, 2), InvalidArgument, "counted from 0, so it must be below num_shards=2, not 2"),
        (lambda: TEN.shard(2, 1.0), InvalidType, "index must be a whole number, not 1.0"),
        (lambda: TEN.shard(2, 1, "even"), InvalidArgument, "equal='even' .*\"none\", \"drop\" or \"pad\""),
        (lambda: TEN.shard(2, 1, True), InvalidArgument, "equal=True"),
        (lambda: TEN.shard(world_size=2, rank=1), InvalidType, r"'world_size': Flazy says shard\(num_shards, index\)"),
        (lambda: TEN.shard(num_replicas=2, rank=1), InvalidType, "'num_replicas': Flazy says"),
        (lambda: TEN.shard(shard_index=0, shard_count=2), InvalidType, "'shard_index': Flazy says"),
        (lambda: TEN.shard(index=0, of=2), InvalidType, "'of': Flazy says"),
        (lambda: TEN.shard(2, 0, drop_last=True), InvalidType, r"'drop_last': .*shard\(equal=\"drop\"\)"),
    ],
)
def test_wrong_call_is_answered(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# What is shown ----------------------------------------------------------------------------------------


def test_explain_shows_the_shard_where_it_is_and_where_it_went():
    assert (
        """Logical plan
  source(range(0, 10))  10 samples
  map(same)
  batch(4)  an incomplete last batch is dropped
  shard(2, 1)
Physical plan (no worker processes)
  caller: source(range(0, 10))  10 samples
  caller: shard(2, 1), 4 samples at a time
  caller: map(same)
  caller: batch(4)"""
        == TEN.map(same).batch(4).shard(2, 1).explain()
    )
    assert "Dataset(range(0, 10)).shard(3, 0, equal='pad')" == repr(TEN.shard(3, 0, "pad"))
