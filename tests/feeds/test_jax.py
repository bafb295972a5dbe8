"""``dataset.jax()`` with the real JAX on one CPU device: its arrays, their memory, its passes and how they end."""

import gc
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from flazy import Dataset, Processes
from flazy.errors import FeedError, InvalidArgument, InvalidType, SampleError, UnknownLength
from flazy.run import runtime
from flazy.transport import arena
from tests.feeds.test_passes import Source
from tests.transport.same import same

jax = pytest.importorskip("jax")
ml_dtypes = pytest.importorskip("ml_dtypes")

CPU = jax.devices("cpu")[0]
SIDE = 96  # pixels: 27 KB, more than from where batches are filled in place


class Point(NamedTuple):
    x: Any
    y: Any


def at_multiple_of(alignment, length, dtype=np.float32, offset=0):
    """Make an array that begins so many bytes after a multiple of so many."""
    memory = np.zeros(length * np.dtype(dtype).itemsize + alignment + offset, np.uint8)
    start = -memory.ctypes.data % alignment + offset
    return memory[start:][: length * np.dtype(dtype).itemsize].view(dtype)


def image(number):
    return np.full((SIDE, SIDE, 3), number % 251, np.uint8)


def in_rows(sample):
    """Turn all arrays into numpy's own, in C order and the machine's order of bytes."""
    return jax.tree.map(lambda part: np.array(part, part.dtype.newbyteorder("="), order="C"), sample)


# Arrays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sample",
    [
        {"a": np.arange(3, dtype="int32"), "b": {"c": np.ones((2, 2), "float32")}},
        (np.arange(3, dtype="uint8"), [np.float16(1.5), np.bool_(True)]),
        Point(np.zeros((0, 2), "int8"), np.array(1 + 2j, "complex64")),
        [np.asfortranarray(np.arange(6, dtype="int32").reshape(2, 3)), np.arange(9, dtype="int16")[::-2]],
        np.arange(3, dtype=">i2"),
        {"z": np.uint32(2**32 - 1), "b": np.int32(1), "a": np.int32(2)},
    ],
    ids=repr,
)
def test_samples_keep_structure_values_and_dtypes(sample):
    (made,) = Dataset([sample]).jax()

    assert all(isinstance(part, jax.Array) for part in jax.tree.leaves(made))
    assert type(made) is type(sample) or isinstance(made, jax.Array)
    assert same(in_rows(sample), in_rows(made))


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2"])
def test_dtypes_of_ml_dtypes_are_those_of_jax(name):
    (made,) = Dataset([np.resize([0, 1], 7).astype(name)]).jax()

    assert np.dtype(name) == made.dtype
    assert same(np.resize([0, 1], 7).astype(name), np.asarray(made))


def test_without_x64_there_are_32_bits_and_no_warning():
    dataset = Dataset(i=np.array([-(2**31)]), f=np.array([0.1]), u=np.array([2**32 - 1], "uint64"), c=np.ones(1, "D"))
    (made,) = dataset.jax()

    assert {"i": "int32", "f": "float32", "u": "uint32", "c": "complex64"} == {k: str(v.dtype) for k, v in made.items()}
    assert (-(2**31), 2**32 - 1) == (made["i"].item(), made["u"].item())


def test_text_objects_and_numbers_of_python_stay():
    sample = {"t": "a", "n": None, "i": 3, "s": np.array(["a"]), "o": np.array([None]), "d": np.datetime64("2024")}
    (made,) = Dataset([{**sample, "x": np.ones(2, "float32")}]).jax()

    assert same(sample, {key: made[key] for key in sample})
    assert isinstance(made["x"], jax.Array)
    with pytest.raises(TypeError, match="abstract array"):
        jax.jit(lambda batch: batch)(made)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.ma.masked_array([1], [True]), r"sample\['x'\]\[1\] is a masked array"),
        (np.ones(2, "g"), r"JAX has no array for sample\['x'\]\[1\] of shape \(2,\) and dtype float128.*cast"),
    ],
)
def test_what_has_no_array_is_an_error_with_sample_and_key(value, text):
    samples = iter(Dataset([{"x": (1, np.ones(1))}, {"x": (1, value)}]).jax())
    next(samples)

    with pytest.raises(SampleError, match=rf"map\(jax\) failed on sample 1: FeedError: {text}") as caught:
        next(samples)

    assert isinstance(caught.value, FeedError)


# Memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bfloat16", "float8_e4m3fn", "bool", "complex64"])
def test_memory_at_64_bytes_is_shared(dtype):
    array = at_multiple_of(64, 1000, dtype)
    array.flags.writeable = False
    (made,) = Dataset([{"x": array}]).jax()

    assert array.ctypes.data == made["x"].unsafe_buffer_pointer()


def test_memory_elsewhere_is_copied():
    array = at_multiple_of(64, 1000, offset=16)
    array[:] = np.arange(1000)
    (made,) = Dataset([array]).jax()

    assert array.ctypes.data != made.unsafe_buffer_pointer()
    assert np.arange(1000, dtype="float32").tolist() == made.tolist()


@pytest.mark.slow
@pytest.mark.skipif(not arena.is_supported(), reason="no memory files here")
def test_batches_of_workers_stay_in_shared_memory_as_long_as_jax_may_read_it():
    """Computations are dispatched and not waited for, while further batches come into blocks that are used again."""
    images = Dataset(range(640)).map(image, workers=Processes(2, window="1MB")).batch(4)
    total = jax.jit(lambda batch: jax.lax.fori_loop(0, 50, lambda _, x: x * 3 + 1, batch.astype("uint32")).sum())
    totals, kept, most = [], [], 0
    for number, batch in enumerate(images.jax()):
        totals.append(total(batch))
        if number % 20 == 10:
            kept.append((number, batch))
        memory = runtime.runtime().fleet.arena
        most = max(most, memory.in_use)
        in_place = memory.find(np.asarray(batch)) is not None
        del batch
    expected = [np.stack([image(4 * number + row) for row in range(4)]) for number in range(160)]

    assert [int(total(batch)) for batch in expected] == [int(found) for found in totals]
    assert all(np.array_equal(expected[number], batch) for number, batch in kept)
    assert in_place  # as all are but the first ones, from which it is learnt what samples look like
    assert most < 9 * 2**20  # of the 17 MB that went through it


def test_donated_arrays_leave_the_samples_alone():
    array = at_multiple_of(64, 1000)
    (made,) = Dataset([array]).jax()
    jax.jit(lambda x: x + 1, donate_argnums=0)(made).block_until_ready()

    assert np.zeros(1000).tolist() == array.tolist()


# Passes -----------------------------------------------------------------------------------------------------------


def numbers(dataset):
    return [int(sample) for sample in dataset]


def test_each_iteration_is_the_next_pass_and_set_epoch_chooses_it():
    shuffled = Dataset(np.arange(20, dtype="int32")).shuffle(seed=3)
    dataset = shuffled.jax()
    passes = [numbers(dataset) for _ in range(2)]
    dataset.set_epoch(7)
    passes += [numbers(dataset), numbers(shuffled)]

    assert [numbers(shuffled.epoch(cycle)) for cycle in (0, 1, 7, 8)] == passes
    with pytest.raises(InvalidArgument, match="counts from 0"):
        dataset.set_epoch(-1)
    with pytest.raises(InvalidType, match=r"set_epoch\(\) takes the number of a pass, not 1\.5"):
        dataset.set_epoch(1.5)


@pytest.mark.parametrize("sharding", [None, CPU])
def test_nothing_runs_before_it_is_iterated_and_a_break_ends_the_pass(sharding):
    source = Source()
    dataset = Dataset(source).map(np.int32).jax(sharding)
    samples = iter(dataset)
    started = source.started
    for _ in samples:
        break
    samples.close()

    assert (0, 1, 1) == (started, source.started, source.left)
    assert [0, 1, 2, 3, 4] == numbers(dataset)


def test_iterator_that_is_dropped_ends_its_pass():
    source = Source()
    for _ in Dataset(source).jax():
        break
    gc.collect()

    assert (1, 1) == (source.started, source.left)


def test_length_is_that_of_the_plan():
    assert 3 == len(Dataset(range(10)).batch(4, drop_remainder=False).jax())
    for dataset in Dataset(range(10)).filter(bool), Dataset([1]).repeat():
        with pytest.raises(UnknownLength):
            len(dataset.jax())


@pytest.mark.slow
def test_parallel_stages_stay_and_give_the_same():
    made = Dataset(range(40)).random_map(lambda x, rng: {"x": x + rng.random(3), "y": x}, seed=1, workers=2).batch(8)
    expected = [{"x": batch["x"].astype("float32"), "y": batch["y"]} for batch in made.serial().epoch(0)]

    assert same(expected, [jax.tree.map(np.asarray, batch) for batch in made.jax(CPU)])


# Ahead ------------------------------------------------------------------------------------------------------------


def ahead_of_first(dataset):
    """Take the first sample; say how many threads that took."""
    before = threading.active_count()
    samples = iter(dataset)
    next(samples)
    threads = threading.active_count() - before
    samples.close()
    return threads


def test_a_thread_puts_ahead_where_there_is_a_place_to_put_to():
    dataset = Dataset(np.zeros((9, 2), "float32"))

    assert 0 == ahead_of_first(dataset.jax())
    assert 1 == ahead_of_first(dataset.jax(CPU))
    assert 1 == ahead_of_first(dataset.jax(jax.sharding.SingleDeviceSharding(CPU)))


def test_so_many_samples_are_put_ahead():
    asked, reached = [], threading.Semaphore(0)

    def note(number):
        asked.append(number)
        reached.release()
        return np.int32(number)

    samples = iter(Dataset(range(9)).map(note).jax(CPU, prefetch=3))
    first = next(samples)
    for _ in range(4):
        assert reached.acquire(timeout=30)
    samples.close()

    assert (0, [0, 1, 2, 3]) == (int(first), asked)
    with pytest.raises(InvalidArgument, match="prefetch= of jax"):
        Dataset([1]).jax(prefetch=0)


def test_sharding_by_structure():
    sample = {"x": np.ones(2, "float32"), "y": (np.int32(1), [np.ones(3, "float32")])}
    one = jax.sharding.SingleDeviceSharding(CPU)
    (made,) = Dataset([sample]).jax({"x": CPU, "y": (None, [one])})

    assert same(sample, jax.tree.map(lambda part: np.asarray(part)[()], made))


@pytest.mark.parametrize(
    ("sharding", "text"),
    [
        ({"x": CPU, "z": None}, "sample is a dict of 'x', 'y', and sharding= has a dict of 'x', 'z' for it"),
        ((CPU, CPU), "sample is a dict of 'x', 'y', and sharding= has a sequence of 2 for it"),
        ({"x": {"a": CPU}, "y": None}, r"sample\['x'\] is of type ndarray, and sharding= has a dict of 'a' for it"),
        ({"x": CPU, "y": (None,)}, r"sample\['y'\] is a sequence of 2, and sharding= has a sequence of 1 for it"),
    ],
)
def test_sharding_of_another_structure_is_an_error_that_names_both(sharding, text):
    with pytest.raises(FeedError, match=text):
        list(Dataset([{"x": np.ones(2), "y": (1, 2)}]).jax(sharding))


@pytest.mark.parametrize(
    ("sharding", "hint"),
    [
        ("cpu", r"not str: jax\.devices\('cpu'\)\[0\] is one$"),
        ({"x": 0}, "not int$"),
        (jax.sharding.PartitionSpec("data"), ""),
    ],
)
def test_what_is_no_sharding_is_refused(sharding, hint):
    with pytest.raises(InvalidType, match=rf"sharding= of jax\(\) takes a device.*{hint}"):
        Dataset([1]).jax(sharding)


@pytest.mark.slow
def test_without_jax_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from flazy import Dataset, errors\n"
        "try:\n    Dataset([1]).jax()\n"
        "except errors.MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install flazy[jax]" in done.stdout
