"""Open stages: addresses and cycles, what is asked of the upstream, and how they close."""

import sys

import pytest

from flazy import Dataset
from flazy.plan.planner import plan
from flazy.run.build import build
from flazy.run.skips import Skips
from flazy.run.waits import Section


class NoRun:
    """A run without parallel stages."""

    def __init__(self):
        self.skips = Skips()
        self.remarks = {}
        self.section = Section()

    def beyond(self, part):
        return self

    def segment(self, chain, upstream):
        raise AssertionError("these plans are serial")


def opened(dataset, cycle=0):
    return build(plan(dataset.node), cycle, NoRun())


def addressed(dataset, cycle=0):
    """Give samples with their addresses and cycles."""
    stage = opened(dataset, cycle)
    return [(value, stage.address, stage.cycle) for value in stage]


def addresses(dataset):
    return {value: address for value, address, _ in addressed(dataset)}


class Counted:
    """A source that notes what was asked of it."""

    def __init__(self, length=10):
        self.asked = []
        self.length = length

    def __call__(self):
        for number in range(self.length):
            self.asked.append(number)
            yield number


LETTERS = Dataset("abcdef", range(6)).map(lambda pair: pair[0])

# Addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda ds: ds, [("a", (0,)), ("b", (1,)), ("c", (2,))]),
        (lambda ds: ds.map(str).enumerate().map(lambda pair: pair[1]), [("a", (0,)), ("b", (1,)), ("c", (2,))]),
        (lambda ds: ds.filter(lambda x: x != "a"), [("b", (1,)), ("c", (2,)), ("d", (3,))]),
        (lambda ds: ds.skip(2), [("c", (2,)), ("d", (3,)), ("e", (4,))]),
        (lambda ds: ds[1::2], [("b", (1,)), ("d", (3,)), ("f", (5,))]),
        (lambda ds: ds.flatmap(lambda x: [x, x + x]), [("a", (0, 0)), ("aa", (0, 1)), ("b", (1, 0))]),
        (
            lambda ds: ds.flatmap(lambda x: [x, x + x]).filter(lambda x: x != "a").flatmap(lambda x: [x, -1]),
            [("aa", (0, 1, 0)), (-1, (0, 1, 1)), ("b", (1, 0, 0))],
        ),
        (lambda ds: ds.skip(1).transform(iter), [("b", (0,)), ("c", (1,)), ("d", (2,))]),
        (lambda ds: ds.skip(1).batch(2).map("".join), [("bc", (0,)), ("de", (1,))]),
        (lambda ds: ds.skip(1).batch(2, fn="".join), [("bc", (0,)), ("de", (1,))]),
        (lambda ds: ds.skip(1).padded_batch(2).map("".join), [("bc", (0,)), ("de", (1,))]),
        (lambda ds: ds.skip(1).ragged_batch(2).map("".join), [("bc", (0,)), ("de", (1,))]),
        (lambda ds: ds.skip(1).window(2).map("".join), [("bc", (0,)), ("cd", (1,))]),
        (lambda ds: ds.skip(1).bucket_batch(ord, [100], 2).map("".join), [("bc", (0,)), ("de", (1,))]),
        (
            lambda ds: ds.skip(1).map(list).pack(2, pad="").map(lambda row: "".join(row["values"])),
            [("bc", (0,)), ("de", (1,)), ("f", (2,))],
        ),
        (lambda ds: ds.batch(2).skip(1).unbatch().map(str), [("c", (1, 0)), ("d", (1, 1)), ("e", (2, 0))]),
        (lambda ds: ds.skip(1).prefetch(2), [("b", (1,)), ("c", (2,)), ("d", (3,))]),
        (lambda ds: ds.skip(1).cache(), [("b", (1,)), ("c", (2,)), ("d", (3,))]),
        (lambda ds: ds.skip(4) + ds, [("e", (0, 4)), ("f", (0, 5)), ("a", (1, 0))]),
        (lambda ds: "x" + ds, [("x", (0, 0)), ("a", (1, 0)), ("b", (1, 1))]),
        (lambda ds: Dataset.roundrobin([ds, ds.skip(3)]), [("a", (0, 0)), ("d", (1, 3)), ("b", (0, 1))]),
        (lambda ds: Dataset.zip(ds.skip(1), ds.skip(1)), [(("b", "b"), (0, 1)), (("c", "c"), (0, 2))]),
        (lambda ds: (ds.take(1) + (lambda: ds.skip(2))).skip(1), [("c", (1, 2)), ("d", (1, 3))]),
        (lambda ds: ds.take(2).repeat(2), [("a", (0,)), ("b", (1,)), ("a", (0,))]),
    ],
)
def test_address_says_where_a_sample_came_from(made, expected):
    found = [(value, address) for value, address, _ in addressed(made(LETTERS))]

    assert expected == found[: len(expected)]


@pytest.mark.parametrize("source", [lambda: "abc", lambda: [*"abc"], lambda: tuple("abc"), lambda: iter("abc")])
def test_every_kind_of_source_counts_alike(source):
    assert [("a", (0,), 0), ("b", (1,), 0), ("c", (2,), 0)] == addressed(Dataset(source))
    assert [("a", (0,), 0), ("b", (1,), 0), ("c", (2,), 0)] == addressed(Dataset(source).map(str))
    assert [("b", (1,), 0)] == addressed(Dataset(source).filter(lambda x: x == "b"))


@pytest.mark.parametrize(
    "verb",
    [
        lambda ds: ds.shuffle(seed=1),
        lambda ds: ds.shuffle(3, seed=1),
        lambda ds: ds.sample(4, seed=1),
        lambda ds: ds.sample(4, 3, seed=1),
        lambda ds: ds.cache().shuffle(seed=1).cache(),
    ],
)
def test_shuffled_samples_keep_their_addresses(verb):
    plain = addresses(LETTERS)
    shuffled = addresses(verb(LETTERS))

    assert len(shuffled) >= 4
    assert shuffled == {value: plain[value] for value in shuffled}


def test_grouping_of_a_sum_changes_no_address():
    a, b, c = Dataset(["a"]), Dataset(["b"]), Dataset(["c"])

    assert addressed((a + b) + c) == addressed(a + (b + c)) == addressed(Dataset.concat([a, b, c]))


# Cycles -----------------------------------------------------------------------------------------------


def cycles(dataset, cycle):
    return [cycle for _, _, cycle in addressed(dataset, cycle)]


ONE = Dataset(["a"])


@pytest.mark.parametrize(
    ("dataset", "at_0", "at_2"),
    [
        (ONE, [0], [2]),
        (ONE.repeat(3), [0, 1, 2], [6, 7, 8]),
        (ONE.repeat(2).repeat(2), [0, 1, 2, 3], [8, 9, 10, 11]),
        (ONE.repeat().take(3), [0, 1, 2], [2 << 32, (2 << 32) + 1, (2 << 32) + 2]),
        (ONE.epoch(5).map(str).shuffle(), [5], [5]),
        (ONE.epoch(5).epoch(6), [5], [5]),
        (ONE.epoch(5) + ONE, [5, 0], [5, 2]),
        ((ONE + ONE.map(str)).epoch(5), [5, 5], [5, 5]),
        (ONE.epoch(5).repeat(2), [5, 5], [5, 5]),
        (ONE.repeat(2).map(str).batch(2), [1], [5]),
        (ONE.repeat(2).shuffle(1).prefetch(1), [0, 1], [4, 5]),
        (ONE.cache(), [0], [2]),
        (ONE.repeat(2).cache(), [0, 1], [2, 3]),
        (ONE + (lambda: ONE.repeat(2)), [0, 0, 1], [2, 4, 5]),
    ],
)
def test_cycle_counts_passes_and_repetitions(dataset, at_0, at_2):
    assert at_0 == cycles(dataset, 0)
    assert at_2 == cycles(dataset, 2)


# What is asked of the upstream ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (lambda ds: ds.take(3), 3),
        (lambda ds: ds.take(0), 0),
        (lambda ds: ds.filter(lambda x: x % 2).take(2), 4),
        (lambda ds: ds.flatmap(lambda x: [x] * 3).take(4), 2),
        (lambda ds: ds.skip(2).take(3), 5),
        (lambda ds: ds[2:5], 5),
        (lambda ds: ds[::4].take(2), 5),
        (lambda ds: ds.batch(3).take(2), 6),
        (lambda ds: ds.batch(3, fn=sum).take(2), 6),
        (lambda ds: ds.padded_batch(3).take(2), 6),
        (lambda ds: ds.ragged_batch(3).take(2), 6),
        (lambda ds: ds.window(3).take(2), 4),
        (lambda ds: ds.window(3, drop_remainder=False).take(2), 4),
        (lambda ds: ds.window(2, 5).take(2), 7),
        (lambda ds: ds.bucket_batch(int, [1], [1, 2]).take(2), 3),
        (lambda ds: ds.map(lambda x: [x]).pack(3).take(2), 6),
        (lambda ds: ds.shuffle(4).take(1), 5),
        (lambda ds: ds.prefetch(3).take(2), 2),
        (lambda ds: ds.enumerate().map(str).take(2), 2),
        (lambda ds: ds.take(2) + ds.take(1), 3),
        (lambda ds: ds.sample(1, 4), 5),
    ],
)
def test_no_more_is_asked_for_than_is_needed(made, asked):
    source = Counted()
    made(Dataset(source)).list()

    assert asked == len(source.asked)


@pytest.mark.parametrize(
    "made",
    [lambda ds: ds[::4], lambda ds: ds.map(str), lambda ds: ds.batch(4), lambda ds: ds.window(4), lambda ds: ds],
)
def test_nothing_is_asked_for_before_it_is_wanted(made):
    source = Counted()
    running = iter(made(Dataset(source)))
    next(running)
    after_first = len(source.asked)
    running.close()

    assert after_first in (1, 4)
    assert after_first == len(source.asked)


@pytest.mark.parametrize("count", [sys.maxsize, sys.maxsize + 1, 2**70])
def test_counts_may_be_larger_than_any_list(count):
    source = Dataset([0, 1, 2])

    assert [0, 1, 2] == source.take(count).list()
    assert [] == source.skip(count).list()
    assert [0, 1] == source.enumerate().map(lambda pair: pair[0]).skip(0).take(count).take(2).list()
    assert [0] == source[::count].list()
    assert 3 == len(source.sample(count).list())
    assert 3 == len(source.shuffle(count).list())
    assert 1 == len(source.batch(count, drop_remainder=False).list())
    assert 1 == len(source.batch(2).take(count).list())
    assert [] == source.batch(count).take(count).take(0).list()


# Repeat ---------------------------------------------------------------------------------------------


def test_repeat_opens_its_upstream_anew():
    source = Counted(2)

    assert [0, 1, 0, 1, 0, 1] == Dataset(source).repeat(3).list()
    assert [] == Dataset(source).repeat(0).list()


def test_endless_repeat_of_nothing_is_an_error():
    with pytest.raises(LookupError, match="would never give one"):
        next(iter(Dataset([1]).filter(lambda x: False).repeat()))


# Batch ------------------------------------------------------------------------------------------------


def test_pass_of_which_batch_dropped_everything_warns():
    with pytest.warns(UserWarning, match=r"batch\(4\) dropped all 3 samples of the pass.*drop_remainder=False"):
        assert [] == Dataset(range(3)).batch(4).list()


@pytest.mark.parametrize(
    "behind", [Dataset.cache, Dataset.progress, lambda ds: ds.map(str), lambda ds: ds.prefetch(1), lambda ds: ds + ds]
)
def test_warning_of_what_was_dropped_is_shown_once_at_the_line_of_the_loop(behind):
    with pytest.warns(UserWarning, match="dropped all 3 samples") as warned:
        assert [] == [*behind(Dataset(range(3)).batch(4))]

    assert [__file__] == [each.filename for each in warned]


def test_ordinary_remainder_is_dropped_silently():
    assert 1 == len(Dataset(range(7)).batch(4).list())
    assert 0 == len(Dataset([]).batch(4).list())
    assert 1 == len(Dataset(range(3)).batch(4, drop_remainder=False).list())


def test_batch_error_names_stage_and_number():
    samples = [{"x": [1]}, {"x": [1]}, {"x": [1]}, {"x": [1, 2]}]

    with pytest.raises(ValueError, match=r"batch\(2\), batch 1: key 'x': .*\(1,\).*\(2,\)"):
        Dataset(samples).batch(2).list()


# Transform --------------------------------------------------------------------------------------------


def test_transform_is_called_once_a_pass():
    calls = []

    def pairs(samples):
        calls.append(samples)
        return zip(samples, samples, strict=True)

    dataset = Dataset(range(4)).transform(pairs)

    assert [(0, 1), (2, 3)] == dataset.list() == dataset.list()
    assert 2 == len(calls)


# Closing ----------------------------------------------------------------------------------------------


def test_close_reaches_every_stage_though_some_fail():
    left = []

    def source(name):
        def samples():
            try:
                yield 1
                yield 2
            finally:
                left.append(name)

        return samples

    class Bad:
        def close(self):
            raise OSError("will not close")

    dataset = Dataset.zip(Dataset(source("a")).map(lambda x, r: x, setup=Bad), Dataset(source("b")))
    run = dataset.open()
    next(run)

    with pytest.raises(OSError, match="will not close"):
        run.close()
    assert ["a", "b"] == sorted(left)
    run.close()


def test_plan_deeper_than_the_stack_closes():
    dataset = Dataset(range(5000))
    for _ in range(2000):
        dataset = dataset.map(lambda x: x).skip(1)

    assert 3000 == len(dataset)
    with dataset.open():
        pass
    with pytest.raises(RecursionError):
        dataset.first()


def test_hundreds_of_stages_run():
    dataset = Dataset(range(1000))
    for _ in range(150):
        dataset = dataset.map(lambda x: x + 1).skip(1)

    assert 300 == dataset.first()


def test_thousands_of_datasets_add_up():
    dataset = Dataset([0])
    for number in range(1, 2000):
        dataset += Dataset([number])

    assert [*range(2000)] == dataset.list()
    assert 2000 == len(dataset)
    assert dataset.explain()
