"""Batches behind workers are those of a plain loop: with large arrays in shared memory, without it, and without room.

``FLAZY_EXAMPLES`` says how many random pipelines are run with each of these.  Tables stand in loops inside the tests,
since to start workers for each line would take most of the time.
"""

import itertools
import os

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import flazy
from flazy import Dataset, Processes
from flazy.errors import BatchError
from flazy.transport import arena
from tests.parallel import rows
from tests.parallel.functions import OddError
from tests.parallel.pipelines import outcome
from tests.transport.same import same

EXAMPLES = int(os.environ.get("FLAZY_EXAMPLES", "12"))

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers, pytest.mark.time_limit(60 + 10 * EXAMPLES)]

ARENAS = {
    "arena": arena.Arena,
    "room for some": lambda: arena.Arena(budget=2**20),
    "room for none": lambda: arena.Arena(budget=2**12),
    "no arena": lambda: None,
}


@pytest.fixture(scope="module")
def memory(request):
    """Have workers write into shared memory, or too little of it, or none; tests with the same one share them."""
    if not arena.is_supported():
        pytest.skip("no memory files here")
    flazy.shutdown()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flazy.workers.fleet.Arena", ARENAS[request.param])
        yield
        flazy.shutdown()


def memories(*names):
    return pytest.mark.parametrize("memory", names, indirect=True)


in_all_memories = memories(*ARENAS)
with_and_without = memories("arena", "room for none", "no arena")


@st.composite
def makers(draw, numbers):
    """Give a function that makes rows; one in three has rows that differ, one in six fails."""
    shape = draw(st.sampled_from(sorted(rows.SHAPES)))
    leaves = draw(st.lists(st.sampled_from(sorted(rows.LEAVES)), min_size=1, max_size=3))
    odd = fails_at = None
    if draw(st.integers(0, 2)) == 0:
        first = draw(st.integers(0, numbers))
        odd = first, first + draw(st.sampled_from([1, 3, numbers])), draw(st.sampled_from(sorted(rows.ODD)))
    if draw(st.integers(0, 5)) == 0:
        fails_at = draw(st.integers(0, numbers))
    return rows.Rows(shape, tuple(leaves), odd, fails_at)


batchings = st.fixed_dictionaries(
    {
        "size": st.sampled_from([1, 3, 7, 32, 100]),
        "drop_remainder": st.booleans(),
        "default_dtype": st.sampled_from([None, "float32", "float64"]),
    }
)
wheres = st.builds(
    Processes,
    st.sampled_from([1, 3]),
    chunk=st.sampled_from([None, 1, 2, 5, 50]),
    window=st.sampled_from([None, 1, 9, 64, "300kB", "100MB"]),
)
NUMBERS = 45
costly = hypothesis.settings(
    max_examples=2 * EXAMPLES, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)


@in_all_memories
@costly
@hypothesis.given(made=makers(NUMBERS), batching=batchings, where=wheres)
def test_batches_are_those_of_a_plain_loop(memory, made, batching, where):
    def build(workers):
        return Dataset(range(NUMBERS)).map(made, workers=workers).batch(**batching)

    expected, actual = outcome(build(None)), outcome(build(where))

    assert expected.same_as(actual), (expected, actual)


BEHIND = {
    "batch": lambda ds: ds.batch(2),
    "batch with rest": lambda ds: ds.batch(2, drop_remainder=False),
    "unbatch": lambda ds: ds.unbatch(),
    "unbatch and batch": lambda ds: ds.unbatch().batch(5, drop_remainder=False),
    "map in workers": lambda ds: ds.map(len, workers=2),
    "map here": lambda ds: ds.map(rows.print_of),
    "take": lambda ds: ds.take(2),
    "skip": lambda ds: ds.skip(1),
    "repeat": lambda ds: ds.repeat(2),
    "shuffle": lambda ds: ds.shuffle(3, seed=1),
    "cache and repeat": lambda ds: ds.cache().repeat(2),
    "prefetch": lambda ds: ds.prefetch(2),
}
BEFORE = {
    "nothing": lambda ds, where: ds,
    "filter": lambda ds, where: ds.filter(rows.not_fourth, workers=where),
    "filter here": lambda ds, where: ds.filter(rows.not_fourth),
    "shuffle": lambda ds, where: ds.shuffle(seed=2),
    "map in other workers": lambda ds, where: ds.map(abs, workers=2),
    "enough": lambda ds, where: ds.take(20),
    "twice": lambda ds, where: ds.repeat(2),
}


@in_all_memories
@costly
@hypothesis.given(
    before=st.sampled_from(sorted(BEFORE)), behind=st.sampled_from(sorted(BEHIND)), batching=batchings, where=wheres
)
def test_what_stands_around_a_batch_changes_nothing(memory, before, behind, batching, where):
    made = rows.Rows("tuple", ("float32", "int"))

    def build(workers):
        ds = BEFORE[before](Dataset(range(NUMBERS)), workers).map(made, workers=workers)
        return BEHIND[behind](ds.batch(**batching))

    expected, actual = outcome(build(None)), outcome(build(where))

    assert expected.same_as(actual), (expected, actual)


@with_and_without
def test_batch_behind_a_flatmap_and_another_stage(memory):
    def build(size, one, other):
        ds = Dataset(range(60)).flatmap(rows.several, workers=one).map(rows.twice, workers=other)
        return ds.batch(size, drop_remainder=False)

    for chunk, size in itertools.product([None, 1, 4], [1, 7, 32]):
        expected = outcome(build(size, None, None))
        actual = outcome(build(size, Processes(2, chunk=chunk), Processes(3, chunk=chunk)))

        assert None is expected.error
        assert expected.same_as(actual), (chunk, size)


@with_and_without
def test_batches_without_order_hold_the_same_rows(memory):
    for chunk, leaves in itertools.product([None, 1, 4], [["float32"], ["uint8", "int"], ["bool", "str", "float32"]]):
        made = rows.Rows("tuple", tuple(leaves))
        ds = Dataset(range(100)).map(made, workers=Processes(3, chunk=chunk), ordered=False)
        batches = ds.batch(7, default_dtype=None, drop_remainder=False).list()
        expected = Dataset(range(100)).map(made).batch(100, default_dtype=None).first()
        actual = sorted(rows.print_of(row) for batch in batches for row in rows.rows_of(batch))

        assert [7] * 14 + [2] == [len(batch[0]) for batch in batches]
        assert sorted(map(rows.print_of, rows.rows_of(expected))) == actual, (chunk, leaves)


@with_and_without
def test_row_that_does_not_stack_is_told_as_without_workers(memory):
    odds = ["shape", "dimensions", "text", "None", "str", "int", "not there", "dict"]
    for odd, at in itertools.product(odds, [0, 20, 63]):
        made = rows.Rows("dict", ("float32", "int"), odd=(at, at + 1, odd))
        ds = Dataset(range(64))
        expected = outcome(ds.map(made).batch(16))
        actual = outcome(ds.map(made, workers=Processes(2, chunk=3)).batch(16))

        assert f"batch(16), batch {at // 16}: " in str(expected.error)
        assert at // 16 == len(actual.values)
        assert expected.same_as(actual), (odd, at, expected.error, actual.error)


@with_and_without
def test_number_that_does_not_fit_is_told_as_without_workers(memory):
    for default_dtype, odd in [("float32", "large int"), ("float32", "huge float"), ("int8", "large int")]:
        made = rows.Rows("tuple", ("int", "float32"), odd=(40, 41, odd))
        ds = Dataset(range(64))
        expected = outcome(ds.map(made).batch(16, default_dtype))
        actual = outcome(ds.map(made, workers=Processes(2, chunk=5)).batch(16, default_dtype))

        assert f"does not fit into default_dtype={default_dtype}" in str(expected.error)
        assert expected.same_as(actual), (default_dtype, odd)


@with_and_without
def test_function_that_fails_in_the_middle_of_a_batch(memory):
    good, bad = rows.Rows("bare", ("float32",)), rows.Rows("bare", ("float32",), fails_at=40)
    for chunk, size in itertools.product([1, 5, 16, None], [16, 32]):
        ds = Dataset(range(64)).map(bad, workers=Processes(2, chunk=chunk)).batch(size, drop_remainder=False)
        got = []
        with pytest.raises(OddError) as caught, ds.open() as run:
            got.extend(run)

        assert (40,) == caught.value.address
        assert same(Dataset(range(40)).map(good).batch(size).list(), got), (chunk, size)


@with_and_without
def test_pass_goes_on_in_the_next_after_one_that_failed(memory):
    """What an aborted batch was written to is used again."""
    for at in (3, 17, 40):
        with pytest.raises(OddError):
            Dataset(range(64)).map(rows.Rows("bare", ("float32",), fails_at=at), workers=2).batch(16).list()
    good = rows.Rows("bare", ("float32",))

    assert same(Dataset(range(64)).map(good).batch(16).list(), Dataset(range(64)).map(good, workers=2).batch(16).list())


# Functions that do with memory what they like ---------------------------------------------------------------

CHUNKS = (1, 6, None)


@with_and_without
def test_function_that_returns_the_same_array_each_time(memory):
    for wrap, chunk, size in itertools.product(["bare", "dict", "tuple"], CHUNKS, [1, 7]):
        expected = Dataset(range(50)).map(rows.Rows(wrap, ("float32", "float32"))).batch(size).list()
        actual = Dataset(range(50)).map(rows.Refilled(wrap), workers=Processes(2, chunk=chunk)).batch(size).list()

        assert same(expected, actual), (wrap, size, chunk)


@memories("arena")
@pytest.mark.parametrize("wrap", ["named", "nested"])
def test_function_that_returns_the_same_array_each_time_in_a_named_tuple(wrap, memory):
    expected = Dataset(range(48)).map(rows.Rows(wrap, ("float32", "float32"))).list()

    assert same(expected, Dataset(range(48)).map(rows.Refilled(wrap), workers=Processes(2, chunk=6)).list())


@with_and_without
def test_function_that_goes_on_writing_into_what_it_returned(memory):
    for chunk in CHUNKS:
        batches = Dataset(range(80)).map(rows.Scribbling(), workers=Processes(2, chunk=chunk)).batch(8).list()

        for i, row in enumerate(row for batch in batches for row in rows.rows_of(batch)):
            assert (rows.filled(i, rows.LARGE) == row["x"]).all(), (chunk, i)
            assert (rows.filled(i, rows.LARGE)[3:5, ::-1] == row["part"]).all(), (chunk, i)


@with_and_without
def test_function_that_changes_its_input_in_place(memory):
    source = [rows.filled(i, rows.LARGE) for i in range(40)]
    expected = np.stack([rows.shouted(array.copy()) for array in source])
    for chunk in CHUNKS:
        batches = Dataset(source).map(rows.shouted, workers=Processes(2, chunk=chunk)).batch(8).list()

        assert (expected == np.concatenate(batches)).all()
        assert all((rows.filled(i, rows.LARGE) == array).all() for i, array in enumerate(source))


@with_and_without
def test_batch_that_is_changed_by_its_owner_changes_nothing_else(memory):
    expected = Dataset(range(96)).map(rows.Rows("dict", ("float32", "uint8"))).batch(8).list()
    kept = []
    for number, batch in enumerate(Dataset(range(96)).map(rows.Rows("dict", ("float32", "uint8")), workers=2).batch(8)):
        if number % 2:
            kept.append((number, batch))
        for array in batch.values() if number % 2 == 0 else ():
            array[:] = 77

    assert all(same(expected[number], batch) for number, batch in kept)


@with_and_without
def test_what_a_batch_gives_is_writable_and_owned_by_nobody_else(memory):
    for batch in Dataset(range(64)).map(rows.Rows("dict", ("read-only", "broadcast", "Fortran")), workers=2).batch(16):
        assert all(array.flags.writeable for array in batch.values())


@with_and_without
def test_mapping_that_is_no_dict_comes_as_one(memory):
    expected = Dataset(range(20)).map(rows.ordered_pair).batch(4).list()

    assert same(expected, Dataset(range(20)).map(rows.ordered_pair, workers=2).batch(4).list())


@with_and_without
def test_batch_error_has_no_rows_of_another_batch(memory):
    """The batches before it are whole, and the workers are of use for the next pass."""
    made = rows.Rows("bare", ("float32",), odd=(30, 31, "shape"))
    expected = Dataset(range(24)).map(made).batch(8).list()
    for _ in range(3):
        seen = []
        with pytest.raises(BatchError, match=r"batch\(8\), batch 3: arrays of different shapes"):
            seen.extend(Dataset(range(64)).map(made, workers=2).batch(8))

        assert same(expected, seen)
