"""The arena: blocks are recycled, never while someone looks at them, and the budget is kept."""

import gc
import itertools
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from flazy.errors import ProtocolError
from flazy.transport.arena import Arena, Block, Window, is_supported, size_class

pytestmark = pytest.mark.skipif(not is_supported(), reason="no anonymous memory files on this system")

MIB = 2**20


@pytest.fixture
def arena():
    made = Arena(budget=256 * MIB)
    yield made
    made.close()


@pytest.mark.parametrize("nbytes", [1, 4096, 4097, 600_000, 19_267_584, 2**31 + 1])
def test_a_size_class_wastes_less_than_a_third_of_what_is_asked_beyond_small_sizes(nbytes):
    size = size_class(nbytes)

    assert nbytes <= size
    assert size <= max(nbytes * 4 / 3, 4096 * 2)
    assert size == size_class(size)


def test_a_worker_writes_what_the_driver_sees(arena):
    lease = arena.lease(1000)

    Window(arena.file).bytes_of(lease.block)[:5] = b"hello"

    assert b"hello" == bytes(lease.memory[:5])


def test_blocks_in_use_do_not_overlap(arena):
    blocks = [arena.allocate(size) for size in (1, 5000, MIB, 3 * MIB, 70 * MIB, 100)]

    spans = sorted((block.offset, block.offset + block.size) for block in blocks)

    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(spans))


def test_a_released_block_is_used_again(arena):
    block = arena.allocate(MIB)
    arena.release(block)

    assert block == arena.allocate(MIB)


def test_a_viewed_block_comes_back_with_its_last_array_and_not_before(arena):
    lease = arena.lease(MIB)
    block = lease.block
    part = lease.memory.view(np.float32)[::2].reshape(-1, 2)
    del lease
    gc.collect()
    kept = arena.allocate(MIB)

    assert block != kept
    del part
    gc.collect()
    assert block == arena.allocate(MIB)


def test_a_buffer_is_found_where_it_lies_and_nowhere_else(arena):
    lease, far = arena.lease(MIB), arena.lease(80 * MIB)

    assert (lease.block.offset + 64, *lease.block.of) == arena.find(lease.memory[64:128].data)
    assert (far.block.offset, *far.block.of) == arena.find(far.memory.data)
    assert arena.find(np.zeros(MIB, np.uint8).data) is None


def test_views_are_writable_and_outlive_the_arena():
    arena = Arena(budget=8 * MIB)
    array = arena.lease(4096).memory
    arena.close()
    array[:] = 7

    assert 7 * 4096 == array.sum()


def test_beyond_the_budget_there_is_none_and_later_there_is_again():
    arena = Arena(budget=4 * MIB)
    held = [arena.allocate(MIB) for _ in range(4)]

    assert arena.allocate(MIB) is None
    arena.release(held[0])
    assert held[0] == arena.allocate(MIB)
    arena.close()


def test_small_blocks_make_a_large_one_when_the_budget_is_spent():
    arena = Arena(budget=8 * MIB)
    held = [arena.allocate(MIB) for _ in range(8)]
    for number in (0, 2, 3, 4, 7):
        arena.release(held[number])

    large = arena.allocate(3 * MIB)
    none = arena.allocate(2 * MIB)

    assert (held[2].offset, 3 * MIB, None) == (large.offset, large.size, none)
    assert {held[0], held[7]} == {arena.allocate(MIB), arena.allocate(MIB)}
    arena.close()


def test_what_is_left_of_a_large_block_is_used_too():
    arena = Arena(budget=8 * MIB)
    arena.release(arena.allocate(8 * MIB))
    parts = [arena.allocate(MIB) for _ in range(7)]  # the last one takes what is left, of twice its size

    assert 7 == len({part.offset for part in parts})
    assert 8 * MIB == sum(part.size for part in parts)
    arena.close()


def test_a_small_request_does_not_take_a_large_block(arena):
    large = arena.allocate(10 * MIB)
    arena.release(large)

    assert large != arena.allocate(4096)


def test_memory_in_use_is_counted(arena):
    block = arena.allocate(MIB)
    during = arena.in_use
    arena.release(block)
    arena.allocate(1)

    assert (MIB, 4096) == (during, arena.in_use)


@pytest.mark.parametrize(
    "block",
    [Block(2**40, 4096, 2**40, 4096), Block(0, 2 * MIB, 0, MIB), Block(4096, MIB, 0, MIB), Block(-4096, 1, 0, MIB)],
)
def test_a_worker_refuses_a_range_outside_the_file(arena, block):
    with pytest.raises(ProtocolError):
        Window(arena.file).bytes_of(block)


def test_nothing_has_a_name_anywhere(arena):
    before = set(pathlib.Path("/dev/shm").glob("*"))
    arena.allocate(MIB)

    assert before == set(pathlib.Path("/dev/shm").glob("*"))


SMALL_SHM = """
import numpy as np
from flazy.transport.arena import Arena
arena = Arena(budget=2**28)
view = arena.lease(2**26).memory
view[:] = 1
print(int(view.sum()))
"""


@pytest.mark.slow
def test_a_tiny_shared_memory_mount_does_not_matter():
    mount = "mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "
    unshare = ["unshare", "-m", "sh", "-c", mount + '"$0" -c "$1"', sys.executable, SMALL_SHM]
    done = subprocess.run(unshare, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no private mount namespace here: {done.stderr.strip()}")

    assert "67108864" == done.stdout.strip()
