"""Concatenation, round robin, zip, and plans that are made when they are reached."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy import Dataset
from flazy.errors import LengthMismatch, SampleError, SourceError
from flazy.plan import nodes
from flazy.plan.planner import plan
from flazy.run.build import build
from tests.run.test_stages import NoRun

LISTS = st.lists(st.lists(st.integers(), max_size=5), max_size=5)


def broken(*before):
    def samples():
        yield from before
        raise OSError("gone")

    return Dataset(samples)


def closing(log, name, samples):
    def source():
        try:
            yield from samples
        finally:
            log.append(name)

    return Dataset(source)


@given(LISTS)
def test_concat_gives_one_after_the_other(lists):
    assert [*itertools.chain(*lists)] == Dataset.concat(map(Dataset, lists)).list()


@given(LISTS)
def test_round_robin_takes_turns(lists):
    gap = object()
    expected = [x for turn in itertools.zip_longest(*lists, fillvalue=gap) for x in turn if x is not gap]

    assert expected == Dataset.roundrobin(map(Dataset, lists)).list()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_zip_is_strict(lengths):
    zipped = Dataset.zip(*[Dataset(range(length)) for length in lengths])

    if len({*lengths}) == 1:
        assert [*zip(*map(range, lengths), strict=True)] == zipped.list()
    else:
        with pytest.raises(LengthMismatch, match=f"ended after {min(lengths)} samples"):
            zipped.list()


def test_zip_by_name_gives_dicts():
    assert [{"a": 0, "b": 5}] == Dataset.zip(a=Dataset([0]), b=Dataset([5])).list()


@pytest.mark.parametrize(
    ("zipped", "which"),
    [
        (Dataset.zip(Dataset(range(3)), Dataset(range(2)), Dataset(range(3))), "1"),
        (Dataset.zip(Dataset(range(2)), Dataset(range(2)), Dataset(range(3))), "0, 1"),
        (Dataset.zip(a=Dataset(range(3)), b=Dataset(range(2)).filter(lambda x: True)), "'b'"),
        (Dataset.zip(a=Dataset(range(2)), b=Dataset(range(3)).repeat()), "'a'"),
    ],
)
def test_shorter_dataset_of_a_zip_is_named(zipped, which):
    running = iter(zipped)
    next(running), next(running)

    with pytest.raises(LengthMismatch, match=f"dataset {which} ended after 2 samples") as caught:
        next(running)
    assert isinstance(caught.value, ValueError)


def test_endless_datasets_zip():
    endless = Dataset(range(2)).repeat()

    assert [(0, 0), (1, 1), (0, 0)] == Dataset.zip(endless, endless).take(3).list()


@pytest.mark.parametrize(
    ("joined", "before"),
    [
        (Dataset([1, 2]) + broken(3) + Dataset([4]), [1, 2, 3]),
        (Dataset.roundrobin([Dataset([1, 2, 3]), broken(9)]), [1, 9, 2]),
        (Dataset.zip(Dataset([1, 2]), broken(9)), [(1, 9)]),
    ],
)
def test_error_of_a_branch_comes_at_its_place(joined, before):
    seen = []
    with pytest.raises(SourceError, match="gone") as caught:
        for sample in joined:
            seen.append(sample)  # noqa: PERF402 - what came before the error counts

    assert before == seen
    assert isinstance(caught.value, OSError)


def test_error_behind_a_join_names_the_branch():
    joined = (Dataset([1, 2]) + Dataset([0])).map(lambda x: 1 / x)

    with pytest.raises(SampleError, match=r"sample \(1, 0\)") as caught:
        joined.list()
    assert (1, 0) == caught.value.address


def test_concat_opens_a_branch_in_its_turn_and_closes_it():
    log = []

    def made(name):
        log.append(f"make {name}")
        return closing(log, f"close {name}", [name])

    joined = Dataset.concat([lambda: made("a"), lambda: made("b")])
    running = iter(joined)

    assert [] == log
    assert "a" == next(running)
    assert ["make a"] == log
    assert "b" == next(running)
    assert ["make a", "close a", "make b"] == log
    running.close()
    assert ["make a", "close a", "make b", "close b"] == log


@pytest.mark.parametrize("join", [Dataset.roundrobin, lambda parts: Dataset.zip(*parts)])
def test_all_branches_are_closed_on_break(join):
    log = []
    running = iter(join([closing(log, "a", [1, 2]), closing(log, "b", [1, 2])]))
    next(running), next(running)
    running.close()

    assert ["a", "b"] == sorted(log) or log == ["a"]


def test_function_that_gives_no_dataset_is_named():
    def number():
        return 5

    with pytest.raises(TypeError, match=r"number\(\) must give a Dataset, not int"):
        (Dataset([1]) + number).list()


def test_error_of_the_function_that_makes_a_branch_passes():
    with pytest.raises(ZeroDivisionError):
        (Dataset([1]) + (lambda: Dataset([1 // 0]))).list()


def test_branch_is_made_anew_in_every_pass():
    lengths = itertools.count(1)
    joined = Dataset.concat([lambda: Dataset(range(next(lengths)))])

    assert [[0], [0, 1], [0, 1, 2]] == [joined.list() for _ in range(3)]


def test_recursion_may_be_endless():
    def count(start):
        return start + Dataset.concat([lambda: count(start + 1)])

    assert [*range(5, 55)] == count(5).take(50).list()


@pytest.mark.parametrize("joined", [Dataset.concat([]), Dataset.roundrobin([])])
def test_join_of_nothing_is_empty(joined):
    assert [] == joined.list()
    assert 0 == len(joined)


def test_one_dataset_may_be_joined_with_itself():
    dataset = Dataset([1, 2]).map(lambda x: x * 2)

    assert [2, 4, 2, 4] == (dataset + dataset).list()
    assert [2, 2, 4, 4] == Dataset.roundrobin([dataset] * 2).list()
    assert [(2, 2), (4, 4)] == Dataset.zip(dataset, dataset).list()


class Noting(NoRun):
    """A run that notes how its parallel stages were to run."""

    def __init__(self):
        super().__init__()
        self.ordered = []

    def segment(self, chain, upstream):
        self.ordered.append(chain.ordered)
        return upstream


def test_what_is_asked_of_a_plan_is_asked_of_its_parts_that_are_made_later():
    unordered = Dataset(range(3)).filter(str, workers=2, ordered=False)
    lazy = Dataset.concat([Dataset.concat([lambda: unordered])])
    noted = []
    for node in (lazy.node, nodes.Shard(lazy.node, 1, 0, "none"), lazy.serial().node):
        run = Noting()
        noted.append([*build(plan(node), 0, run)] and run.ordered)

    assert [[False], [True], []] == noted
