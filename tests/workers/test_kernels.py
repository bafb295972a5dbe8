"""Kernels are sent once, arrays that they captured are written once, and both sides agree on what is kept."""

import gc
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flazy.plan.kernel import Op
from flazy.plan.shipping import LARGE, dump_ops
from flazy.transport import arena
from flazy.workers import kernels
from flazy.workers.kernels import Kept, Kernels, Known
from flazy.workers.shelf import Shelf

needs_arena = pytest.mark.skipif(not arena.is_supported(), reason="no memory files here")

FLOATS = LARGE // 8


def ops_over(*captured):
    return (Op("map", "map(fn)", lambda i: [array[i] for array in captured]),)


class Side:
    """A driver's book and a worker's shelf, with an arena in between."""

    def __init__(self, budget=2**26):
        self.arena = arena.Arena(budget)
        self.posted = []
        self.kernels = Kernels(self.arena, self.posted.append)
        self.known = Known()
        self.shelf = Shelf(self.arena.file)

    def load(self, kept):
        shipment = self.known.shipment(kept)
        return self.shelf.kernel(self.shelf.take(shipment), shipment.spans)

    def in_use(self):
        self.arena.release(self.arena.allocate(1))
        block = self.arena.allocate(1)
        self.arena.release(block)
        return self.arena.in_use - block.size


@pytest.fixture
def side():
    made = Side()
    yield made
    made.kernels.close()


def first(kernel):
    return kernel.ops[0].fn(0)


# Equal kernels ----------------------------------------------------------------------------------------


@needs_arena
def test_equal_kernel_is_kept_once(side):
    array = np.arange(2 * FLOATS)
    ops = ops_over(array)
    one, two = side.kernels.keep(ops), side.kernels.keep(ops)

    assert one is two
    assert (array.nbytes, len(one.stream) < LARGE) == (one.spans[0][1], True)


@needs_arena
@pytest.mark.parametrize("place", [0, FLOATS, -1])
def test_changed_array_makes_another(side, place):
    array = np.zeros(2 * FLOATS + 1)
    ops = ops_over(array)
    one = side.kernels.keep(ops)
    array[place] = 1
    two = side.kernels.keep(ops)

    assert one is not two
    assert (0, 1) == (side.load(one).ops[0].fn(place)[0], side.load(two).ops[0].fn(place)[0])


@needs_arena
def test_outdated_array_gives_its_block_to_the_next(side):
    array = np.zeros(2 * FLOATS)
    ops = ops_over(array)
    offsets = set()
    for value in range(5):
        array[:] = value
        kept = side.kernels.keep(ops)
        offsets.add(kept.block.offset)
        side.kernels.release(kept)

    assert 1 == len(offsets)


@needs_arena
def test_several_arrays_come_right_whatever_their_layout(side):
    frozen = np.arange(FLOATS)
    frozen.flags.writeable = False
    captured = [
        np.arange(3 * FLOATS, dtype=np.int8),
        np.asfortranarray(np.arange(4.0 * FLOATS).reshape(4, -1)),
        np.arange(4 * FLOATS)[::2],
        np.arange(3),
        frozen,
    ]
    kernel = side.load(side.kernels.keep((Op("map", "map(fn)", lambda: captured),)))
    got = kernel.ops[0].fn()

    assert [array.tolist() for array in captured] == [array.tolist() for array in got]
    assert [array.flags.writeable for array in captured] == [array.flags.writeable for array in got]
    assert captured[1].flags.f_contiguous == got[1].flags.f_contiguous


# Blocks -----------------------------------------------------------------------------------------------


@needs_arena
def test_block_is_free_when_nobody_uses_it_and_no_worker_is_left(side):
    before = side.in_use()
    kept = side.kernels.keep(ops_over(np.ones(FLOATS)))
    side.kernels.hold(kept)
    side.kernels.let_go(kept)
    side.posted.pop()()
    side.kernels.forget()
    held = side.in_use()
    side.kernels.release(kept)
    idle = side.in_use()
    side.kernels.forget()

    assert (LARGE, LARGE, before) == (held, idle, side.in_use())


@needs_arena
def test_idle_kernels_are_bounded_by_number_and_by_bytes(side):
    for value in range(2 * kernels.IDLE):
        side.kernels.release(side.kernels.keep(ops_over(np.full(value % 3, value))))
    many = len(side.kernels._table)
    for value in range(20):
        side.kernels.release(side.kernels.keep(ops_over(np.full(2 * FLOATS, value))))

    assert kernels.IDLE == many
    assert side.in_use() <= side.arena.budget / kernels.IDLE_PART


@needs_arena
def test_without_room_arrays_are_part_of_the_stream():
    side = Side(budget=2**16)
    array = np.arange(FLOATS)
    ops = ops_over(array)
    kept = side.kernels.keep(ops)

    assert (True, (), kept) == (len(kept.stream) > LARGE, kept.spans, side.kernels.keep(ops))
    assert [0] == first(side.load(kept))
    side.kernels.close()


@needs_arena
def test_arena_is_closed_only_when_nobody_writes_there():
    side = Side()
    array = np.arange(FLOATS)
    allocate = side.arena.allocate

    def close_then_allocate(nbytes):
        side.kernels.close()
        return allocate(nbytes)

    side.arena.allocate = close_then_allocate
    kept = side.kernels.keep(ops_over(array))
    after = side.kernels.keep(ops_over(array))

    assert (True, ()) == (kept.block is not None, after.spans)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(side.arena.file)


# In the worker ----------------------------------------------------------------------------------------


@needs_arena
def test_what_a_run_writes_is_seen_by_no_other(side):
    array = np.zeros(FLOATS)
    kept = side.kernels.keep((Op("map", "map(fn)", lambda: array),))
    one, two = side.load(kept), side.load(kept)
    one.ops[0].fn()[0] = 1

    assert [1, 0, 0] == [each.ops[0].fn()[0] for each in (one, two, side.load(kept))]


@needs_arena
def test_closed_kernel_leaves_no_mapping(side):
    def mapped():
        return pathlib.Path("/proc/self/maps").read_text().count("flazy-arena")

    array = np.zeros(FLOATS)
    kept = side.kernels.keep((Op("map", "map(fn)", lambda: array),))
    before = mapped()
    kernel = side.load(kept)
    during = mapped()
    kernel.close()

    assert (before, True) == (mapped(), during > before)


@needs_arena
def test_array_that_outlives_its_run_does_not_change_with_the_block(side):
    array = np.ones(FLOATS)
    kept = side.kernels.keep((Op("map", "map(fn)", lambda: array),))
    kernel = side.load(kept)
    stays = kernel.ops[0].fn()
    kernel.close()
    os.pwrite(side.arena.file, bytes(array.nbytes), kept.block.offset)

    assert (stays == 1).all()
    del stays
    gc.collect()


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([1, 100, 3000, 6000, 11000])), max_size=200))
def test_both_sides_agree_on_what_the_worker_has(uses):
    known, shelf = Known(), Shelf(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "KNOWN", 8)
        patch.setattr(kernels, "KNOWN_BYTES", 10_000)
        for name, size in uses:
            number = name * 100_000 + size
            stream = number.to_bytes(4) * (size // 4 + 1)
            got = shelf.take(known.shipment(Kept(number, stream, None, ())))

            assert stream == got
            assert set(known._sizes) == set(shelf._streams)
            assert len(shelf._streams) <= 8
            assert sum(map(len, shelf._streams.values())) <= 10_000


def test_stream_is_equal_when_what_it_captured_is():
    captured = {"a": [1, 2, {3}], "b": np.arange(5)}
    ops = (Op("map", "map(fn)", lambda x: captured["a"]),)

    assert dump_ops(ops) == dump_ops(ops)
