"""The way of batches to a device, with a stand-in for the copy alone.

There need not be a GPU here.  `LateCopies` does what one may do at worst: nothing is copied before somebody waits for
it.  So a tensor that is used before it arrives holds no numbers of the batch, and one whose source was given back too
early holds those of a later batch.
"""

import ctypes
import gc
import logging
import threading
import typing

import numpy as np
import pytest

from flazy import Dataset, Processes, shutdown
from flazy.errors import InvalidArgument, InvalidType, SampleError

torch = pytest.importorskip("torch")

from flazy.feeds import copies  # noqa: E402 - behind the look whether PyTorch is there
from flazy.run import runtime  # noqa: E402
from flazy.run.pinned import Pinned  # noqa: E402

DEVICE = "meta"  # a device that PyTorch has everywhere, and that Flazy knows nothing of
SIDE = 64  # of an image; 16 KiB, from which batches are made in shared memory
BATCH_BYTES = 8 * SIDE * SIDE * 4
NOTHING = -1


class LateCopies:
    """Copies that are made when they are waited for, in their order; what is asked of it is noted.

    Of a tensor in shared memory it keeps the address alone, as a device does.
    """

    made: typing.ClassVar[list] = []
    hasty = False

    def __init__(self, device):
        self.started, self.targets = [], []
        self.done = self.marks = 0
        self.closed = False
        self.marked = threading.Condition()
        self.made.append(self)

    def start(self, tensor):
        assert tensor.is_contiguous()
        self.targets.append(torch.full_like(tensor, NOTHING))
        self.started.append(tensor.data_ptr() if in_shared_memory(tensor.data_ptr()) else tensor)
        return self.targets[-1]

    def mark(self):
        with self.marked:
            self.marks += 1
            self.marked.notify_all()
        return len(self.started)

    def wait_for(self, marks):
        with self.marked:
            assert self.marked.wait_for(lambda: self.marks >= marks, timeout=30)

    def is_done(self, mark):
        return self.hasty or mark <= self.done

    def arrive(self, mark, tensors):
        assert {*map(id, tensors)} <= {*map(id, self.targets[:mark])}
        self.copy(mark)

    def copy(self, count):
        for place in range(self.done, count):
            source, target = self.started[place], self.targets[place]
            address = source if isinstance(source, int) else source.data_ptr()
            ctypes.memmove(target.data_ptr(), address, target.nbytes)
            self.done += 1

    def close(self):
        self.copy(len(self.started))
        self.closed = True


class HastyCopies(LateCopies):
    """Says that copies are done which are not."""

    hasty = True


@pytest.fixture
def late(monkeypatch):
    monkeypatch.setitem(copies.ENGINES, DEVICE, LateCopies)
    monkeypatch.setattr(LateCopies, "made", [])
    return LateCopies.made


def images(count, side=SIDE):
    """Give batches of 8 images, few of them under way at a time."""

    def image(number):  # not a function of this module, or workers would load PyTorch with it
        return {"image": np.full((side, side), number, np.float32), "number": number}

    return Dataset(range(count)).map(image, workers=Processes(2, window=16)).batch(8)


def is_right(batch):
    return bool((batch["image"] == batch["number"].float()[:, None, None]).all())


def in_shared_memory(address):
    arena = runtime.arena()
    return arena is not None and arena.locate(address) is not None


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", [1, 4])
def test_batches_arrive_as_they_were_made(late, prefetch):
    arrived = list(images(320).torch(DEVICE, prefetch=prefetch))

    assert [list(range(start, start + 8)) for start in range(0, 320, 8)] == [b["number"].tolist() for b in arrived]
    assert all(map(is_right, arrived))
    assert late[0].closed


@pytest.mark.slow
def test_batches_are_copied_ahead_and_not_more_than_asked_for(late):
    marks = []
    for number, _ in enumerate(images(160).torch(DEVICE, prefetch=3), start=1):
        late[0].wait_for(min(number + 3, 20))
        marks.append(late[0].marks - number)

    assert max(marks) <= 3
    assert marks[0] == 3


def arrived_behind(engines):
    """Say of each batch whether it is right, where the thread is always three batches ahead."""
    for number, batch in enumerate(images(800).torch(DEVICE, prefetch=3), start=1):
        engines[-1].wait_for(min(number + 3, 100))
        yield is_right(batch)


@pytest.mark.slow
def test_memory_is_not_given_back_before_its_copy_is_done(late, monkeypatch):
    assert [True] * 100 == list(arrived_behind(late))

    monkeypatch.setitem(copies.ENGINES, DEVICE, HastyCopies)

    assert not all(arrived_behind(late))  # which is how it would show


@pytest.mark.slow
def test_memory_is_given_back_when_its_copy_is_done(late):
    numbers = images(800).torch(DEVICE, prefetch=2)
    most = max(runtime.arena().in_use for _ in numbers)

    assert most < 100 * BATCH_BYTES // 2


@pytest.mark.slow
def test_batch_is_read_from_the_shared_memory_in_which_workers_made_it(late):
    batches = list(images(80).torch(DEVICE))

    assert len(batches) == 10
    # Images alone; and not before it is known how they look.
    assert 5 <= sum(isinstance(source, int) for source in late[0].started) <= 10


@pytest.mark.slow
def test_pass_that_is_left_waits_for_its_copies(late):
    samples = iter(images(400).torch(DEVICE, prefetch=3))
    first = next(samples)
    samples.close()
    (engine,) = late

    assert engine.closed
    assert engine.done == len(engine.started)
    assert first["number"].tolist() == list(range(8))


def test_each_pass_has_copies_of_its_own(late):
    dataset = Dataset(np.arange(6)).batch(2).torch(DEVICE)

    assert [[0, 1], [2, 3], [4, 5]] == [batch.tolist() for batch in dataset] == [batch.tolist() for batch in dataset]
    assert [True, True] == [engine.closed for engine in late]


def test_what_is_no_tensor_stays_and_structures_too(late):
    sample = {"a": (np.arange(3), "text"), "b": [1, np.array(["x"])], "c": torch.arange(2)}
    (made,) = Dataset([sample]).torch(DEVICE)

    assert ([0, 1, 2], "text") == (made["a"][0].tolist(), made["a"][1])
    assert [1, ["x"]] == made["b"]
    assert [0, 1] == made["c"].tolist()
    assert len(late[0].started) == 2


def test_error_in_the_thread_names_the_sample(late):
    dataset = Dataset([np.zeros(1), np.zeros(1, "M8[s]")]).torch(DEVICE)

    with pytest.raises(SampleError, match=r"map\(torch\) failed on sample 1: .*datetime64"):
        list(dataset)
    assert late[0].closed


def test_length_and_epochs_are_those_without_a_device(late):
    shuffled = Dataset(np.arange(10)).shuffle(seed=1)
    dataset = shuffled.torch(DEVICE)
    dataset.set_epoch(4)

    assert len(dataset) == 10
    assert [int(sample) for sample in dataset] == [int(sample) for sample in shuffled.epoch(4)]


# Devices ----------------------------------------------------------------------------------------------------------


def test_device_without_streams_is_copied_to():
    batches = list(Dataset(np.arange(6)).batch(2).torch("meta"))

    assert [("meta", (2,), torch.int64)] * 3 == [(b.device.type, tuple(b.shape), b.dtype) for b in batches]


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_cpu_is_where_tensors_are(device):
    rows = np.arange(6)
    made = list(Dataset([rows]).torch(device))

    assert rows.__array_interface__["data"][0] == made[0].data_ptr()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", 0, torch.device("cuda")])
def test_device_that_is_not_there_is_refused_at_once(device):
    with pytest.raises(InvalidArgument, match=r"of torch\(\): PyTorch finds no cuda"):
        Dataset([1]).torch(device)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", 1.5])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(InvalidType, match=f"device={device!r} of torch"):
        Dataset([1]).torch(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", [None, "cpu"])
def test_locked_memory_without_a_device_that_reads_it_changes_nothing(device, caplog):
    with caplog.at_level("INFO", "flazy"):
        assert [1, 2] == [*Dataset([1, 2]).torch(device, pin_memory=True)]

    assert "pin_memory=True of torch() changes nothing: PyTorch finds no GPU" in caplog.text


@pytest.mark.parametrize("prefetch", [0, -1])
def test_nothing_ahead_is_refused(prefetch):
    with pytest.raises(InvalidArgument, match="prefetch"):
        Dataset([1]).torch(prefetch=prefetch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.slow
def test_batches_arrive_on_a_gpu():
    arrived = list(images(320).torch("cuda"))

    assert all(batch["image"].is_cuda for batch in arrived)
    assert all(is_right(batch) for batch in arrived)


# Shared memory that a driver knows --------------------------------------------------------------------------------


class Driver:
    def __init__(self, wrong=None):
        self.wrong = wrong
        self.calls = []
        self.known = {}

    def register(self, address, size):
        self.calls.append(address)
        if self.wrong is None:
            self.known[address] = size
        return self.wrong

    def unregister(self, address):
        del self.known[address]


def batch_in_shared_memory():
    *_, batch = [batch["image"] for batch in images(80)]
    return batch, batch.__array_interface__["data"][0]


@pytest.mark.slow
def test_segment_is_made_known_once_and_until_it_is_unmapped():
    driver = Driver()
    pinned = Pinned(driver)
    _batch, address = batch_in_shared_memory()
    found = [pinned.holds(address), pinned.holds(address + 4), pinned.holds(np.zeros(9).ctypes.data)]
    ((start, size),) = driver.known.items()
    shutdown()
    del _batch
    gc.collect()

    assert found == [True, True, False]
    assert start <= address < start + size
    assert (driver.calls, driver.known) == ([start], {})


@pytest.mark.slow
def test_driver_that_refuses_is_asked_once_a_segment_and_logged(caplog):
    driver = Driver("out of memory")
    pinned = Pinned(driver)
    _batch, address = batch_in_shared_memory()
    with caplog.at_level(logging.INFO, logger="flazy"):
        found = [pinned.holds(address), pinned.holds(address)]

    assert found == [False, False]
    assert len(driver.calls) == 1
    assert ["out of memory" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.slow
def test_memory_that_grows_later_is_made_known_too():
    driver = Driver()
    pinned = Pinned(driver)
    kept = [batch["image"] for batch in images(80, side=512)]  # 80 MiB
    addresses = [batch.__array_interface__["data"][0] for batch in kept]

    assert [in_shared_memory(address) for address in addresses] == [pinned.holds(address) for address in addresses]
    assert len(driver.known) > 1

