"""From nodes to steps and chains."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset, Processes, Threads
from flazy.plan import nodes
from flazy.plan.planner import Chain, Step, plan, processes_of


def parts(dataset):
    """Spell a physical plan without joins, upstream first: node names, and chains as tuples of op kinds."""
    part, found = plan(dataset.node), []
    while True:
        found.append(tuple(op.kind for op in part.ops) if isinstance(part, Chain) else type(part.node).__name__)
        below = (part.upstream,) if isinstance(part, Chain) else part.upstreams
        if not below:
            return found[::-1]
        (part,) = below


def chains(dataset):
    """Give where the chains of a plan run, upstream first."""
    part, found = plan(dataset.node), []
    while isinstance(part, Chain) or part.upstreams:
        if isinstance(part, Chain):
            found.append((str(part.where), part.ordered, len(part.ops)))
        part = part.upstream if isinstance(part, Chain) else part.upstreams[0]
    return found[::-1]


SOURCE = Dataset(range(10))


def identity(x):
    return x


# Fusion -----------------------------------------------------------------------------------------------


def test_neighbours_in_the_same_place_are_one_chain():
    dataset = SOURCE.map(identity).filter(identity).flatmap(identity).random_map(identity).starmap(identity)

    assert ["Source", ("map", "filter", "flatmap", "random", "map")] == parts(dataset)


def test_stream_stage_parts_chains():
    dataset = SOURCE.map(identity).enumerate().map(identity)

    assert ["Source", ("map",), "Enumerate", ("map",)] == parts(dataset)


@pytest.mark.parametrize(
    ("second", "fused"),
    [
        ({"workers": 2}, True),
        ({"workers": Processes(2)}, True),
        ({"workers": 3}, False),
        ({"workers": 0}, False),
        ({"workers": Threads(2)}, False),
        ({"workers": Processes(2, chunk=3)}, False),
        ({"workers": 2, "ordered": False}, False),
    ],
)
def test_parallel_stages_fuse_only_if_workers_and_order_are_equal(second, fused):
    assert fused == (1 == len(chains(SOURCE.map(identity, workers=2).map(identity, **second))))


def test_order_means_nothing_without_workers():
    dataset = SOURCE.map(identity, ordered=False).map(identity).map(identity, ordered=False)

    assert [("None", True, 3)] == chains(dataset)


def test_select_joins_whatever_stands_before_it():
    dataset = SOURCE.map(identity, workers=2, ordered=False).select("a").map(identity, workers=2, ordered=False)

    assert [("2 processes", False, 3)] == chains(dataset)


def test_select_alone_runs_in_the_caller():
    assert [("None", True, 1)] == chains(SOURCE.select("a"))


def test_serial_takes_the_workers_from_everything_before_it():
    dataset = SOURCE.map(identity, workers=2).enumerate().map(identity, workers=Threads(3)).serial()

    assert [("None", True, 1), ("None", True, 1)] == chains(dataset)
    assert 0 == processes_of(plan(dataset.node))


def test_serial_leaves_what_stands_behind_it():
    dataset = SOURCE.map(identity, workers=2).serial().map(identity, workers=2)

    assert [("None", True, 1), ("2 processes", True, 1)] == chains(dataset)


def test_serial_reaches_the_branches_of_joins():
    branch = SOURCE.map(identity, workers=2)

    assert 4 == processes_of(plan((branch + branch).node))
    assert 0 == processes_of(plan((branch + branch).serial().node))
    assert 2 == processes_of(plan((branch.serial() + branch).node))


def test_threads_are_no_processes():
    assert 0 == processes_of(plan(SOURCE.map(identity, workers=Threads(4)).node))


def test_more_flatmaps_than_python_nests_blocks_are_several_chains():
    dataset = SOURCE
    for _ in range(40):
        dataset = dataset.flatmap(lambda x: [x])

    assert [16, 16, 8] == [size for _, _, size in chains(dataset)]
    assert [*range(10)] == dataset.list()


# Pushing take -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "order"),
    [
        (lambda ds: ds.map(identity).take(4), ["Source", "Take 4", ("map",)]),
        (lambda ds: ds.enumerate().take(4), ["Source", "Take 4", "Enumerate"]),
        (lambda ds: ds.prefetch(3).take(4), ["Source", "Take 4", "Prefetch"]),
        (lambda ds: ds.skip(3).take(4), ["Source", "Take 7", "Skip"]),
        (lambda ds: ds[3:7], ["Source", "Take 7", "Skip"]),
        (lambda ds: ds.batch(3).take(4), ["Source", "Take 12", "Batch"]),
        (lambda ds: ds.batch(3, fn=list).take(4), ["Source", "Take 12", "Batch"]),
        (lambda ds: ds.padded_batch(3).take(4), ["Source", "Take 12", "Batch"]),
        (lambda ds: ds.window(3, 2).take(4), ["Source", "Take 9", "Window"]),
        (lambda ds: ds.window(3, 2).take(0), ["Source", "Take 0", "Window"]),
        (lambda ds: ds.window(3, 2, drop_remainder=False).take(4), ["Source", "Window", "Take 4"]),
        (lambda ds: ds.bucket_batch(identity, [5], 2).take(4), ["Source", "BucketBatch", "Take 4"]),
        (lambda ds: ds.pack(5).take(4), ["Source", "Pack", "Take 4"]),
        (lambda ds: ds[::3].take(4), ["Source", "Take 10", "Stride"]),
        (lambda ds: ds[::3].take(0), ["Source", "Take 0", "Stride"]),
        (lambda ds: ds.map(identity).batch(2).skip(1).take(1), ["Source", "Take 4", ("map",), "Batch", "Skip"]),
        (lambda ds: ds.filter(identity).take(4), ["Source", ("filter",), "Take 4"]),
        (lambda ds: ds.filter(identity).map(identity).take(4), ["Source", ("filter",), "Take 4", ("map",)]),
        (lambda ds: ds.flatmap(identity).take(4), ["Source", ("flatmap",), "Take 4"]),
        (lambda ds: ds.shuffle().take(4), ["Source", "Shuffle", "Take 4"]),
        (lambda ds: ds.repeat().take(4), ["Source", "Repeat", "Take 4"]),
        (lambda ds: ds.cache().take(4), ["Source", "Cache", "Take 4"]),
        (lambda ds: ds.transform(iter).take(4), ["Source", "Transform", "Take 4"]),
        (lambda ds: ds.take(9).take(4), ["Source", "Take 9", "Take 4"]),
    ],
)
def test_take_moves_upstream_as_far_as_it_commutes(made, order):
    part, found = plan(made(SOURCE).node), []
    while True:
        if isinstance(part, Chain):
            found.append(tuple(op.kind for op in part.ops))
            part = part.upstream
            continue
        count = f" {part.node.count}" if isinstance(part.node, nodes.Take) else ""
        found.append(type(part.node).__name__ + count)
        if not part.upstreams:
            break
        (part,) = part.upstreams

    assert order == found[::-1]


VERBS = {
    "map": (lambda ds, n: ds.map(lambda x: (x, n)), lambda xs, n: [(x, n) for x in xs]),
    "filter": (lambda ds, n: ds.filter(lambda x: hash(x) % 3 != n), lambda xs, n: [x for x in xs if hash(x) % 3 != n]),
    "flatmap": (lambda ds, n: ds.flatmap(lambda x: [x] * n), lambda xs, n: [x for x in xs for _ in range(n)]),
    "enumerate": (lambda ds, n: ds.enumerate(n), lambda xs, n: [*enumerate(xs, n)]),
    "take": (lambda ds, n: ds.take(n), lambda xs, n: xs[:n]),
    "skip": (lambda ds, n: ds.skip(n), lambda xs, n: xs[n:]),
    "stride": (lambda ds, n: ds[:: n + 1], lambda xs, n: xs[:: n + 1]),
    "slice": (lambda ds, n: ds[1 : n + 1], lambda xs, n: xs[1 : n + 1]),
    "repeat": (lambda ds, n: ds.repeat(n), lambda xs, n: xs * n),
    "cache": (lambda ds, n: ds.cache(), lambda xs, n: xs),
    "epoch": (lambda ds, n: ds.transform(iter), lambda xs, n: xs),
    "serial": (lambda ds, n: ds.serial(), lambda xs, n: xs),
    "+": (lambda ds, n: ds + Dataset([n]), lambda xs, n: [*xs, n]),
    "roundrobin": (lambda ds, n: Dataset.roundrobin([ds, ds]), lambda xs, n: [x for x in xs for _ in range(2)]),
}

STEPS = st.lists(st.tuples(st.sampled_from(sorted(VERBS)), st.integers(0, 4)), max_size=6)


@given(steps=STEPS, count=st.integers(0, 12))
def test_planned_pipelines_give_what_lists_give(steps, count):
    dataset, expected = SOURCE, [*range(10)]
    for name, number in steps:
        on_dataset, on_list = VERBS[name]
        dataset, expected = on_dataset(dataset, number), on_list(expected, number)
    dataset, expected = dataset.take(count), expected[:count]

    assert expected == dataset.list()
    assert expected == dataset.list()
    assert len(expected) == dataset.count()


# Shuffled indices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [lambda ds: ds.shuffle(), lambda ds: ds.sample(3)])
def test_full_shuffle_right_behind_an_indexed_source_draws_indices(verb):
    dataset = verb(Dataset.from_indexed([5, 6, 7]))

    assert ["Source", type(dataset.node).__name__, ("map",)] == parts(dataset)
    assert [5, 6, 7] == sorted(dataset)


def test_buffered_shuffle_draws_items():
    assert ["Source", ("map",), "Shuffle"] == parts(Dataset.from_indexed([5, 6]).shuffle(3))


def test_sampling_an_indexed_source_fetches_no_more_than_the_sample():
    fetched = []

    class Indexed(list):
        def __getitem__(self, index):
            fetched.append(index)
            return super().__getitem__(index)

    sampled = Dataset.from_indexed(Indexed(range(100))).sample(5, seed=1).list()

    assert sampled == fetched
    assert 5 == len({*fetched})


# Numbering --------------------------------------------------------------------------------------------


def ordinals(dataset):
    found, todo = [], [plan(dataset.node)]
    while todo:
        part = todo.pop()
        if isinstance(part, Chain):
            found += [op.stage for op in part.ops if op.kind == "random"]
            todo.append(part.upstream)
        else:
            found += [part.ordinal] if isinstance(part.node, nodes.Shuffle | nodes.Sample | nodes.Lazy) else []
            todo += part.upstreams
    return sorted(found)


def test_random_stages_are_numbered_across_the_plan():
    branch = SOURCE.shuffle().random_map(identity)

    assert [0, 1, 2, 3, 4, 5] == ordinals((branch + (lambda: branch) + branch).sample(2))


def test_stages_that_draw_nothing_have_no_number():
    plain = SOURCE.shuffle().random_map(identity)

    assert ordinals(plain) == ordinals(SOURCE.map(identity).filter(identity).shuffle().take(3).random_map(identity))


def test_plan_holds_no_serial_step():
    part = plan(SOURCE.serial().node)

    assert isinstance(part, Step)
    assert isinstance(part.node, nodes.Source)


def test_node_cannot_be_changed():
    node = nodes.Skip(nodes.Source(list, "list"), 3)

    with pytest.raises(FrozenInstanceError, match="'count'"):
        node.count = 4
    with pytest.raises(FrozenInstanceError, match="'count'"):
        del node.count
    with pytest.raises(AttributeError):
        node.other = 1


@pytest.mark.parametrize("again", [copy.copy, replace, lambda node: pickle.loads(pickle.dumps(node))])
def test_copy_of_a_node_is_another_with_the_same_fields(again):
    node = nodes.Skip(nodes.Source(list, "list"), 3)
    other = again(node)

    assert node != other
    assert (3, "list") == (other.count, other.upstream.label)
