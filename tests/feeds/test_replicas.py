"""A dataset in the workers of a DataLoader: together they give what it gives, epoch for epoch."""

import copy
import gc
import logging
import multiprocessing
import os
import pickle
import threading
from multiprocessing import context, resource_tracker

import numpy as np
import pytest

from flazy import Dataset
from flazy.feeds.replicas import MOST_BEGUN, Epochs
from flazy.plan import ranks
from flazy.plan.ranks import Rank

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader  # noqa: E402 - behind the look whether it is there

pytestmark = [
    pytest.mark.time_limit(180),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def distorted(x, rng):
    return np.array([x, rng.integers(10**6)])


def batches(dataset=None):
    """Give nine batches of shuffled, distorted samples, the last smaller; no number of workers divides them."""
    dataset = Dataset(range(33)) if dataset is None else dataset
    return dataset.shuffle(seed=3).random_map(distorted, seed=4).batch(4, None, drop_remainder=False)


def spelled(iterable):
    return [batch.tolist() for batch in iterable]


def expected(dataset, *cycles):
    return [spelled(dataset.epoch(cycle)) for cycle in cycles]


def loading(dataset, workers, persistent=False, context="fork"):
    return DataLoader(
        dataset, batch_size=None, num_workers=workers, persistent_workers=persistent,
        multiprocessing_context=context if workers else None, timeout=150 if workers else 0,
    )  # fmt: skip


def fails_at_ten(x):
    return {10: None}.get(x, 0) + x


# The real loader ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_error_in_a_worker_of_a_loader_is_raised(monkeypatch):
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)  # for which it waits for the worker
    loader = loading(Dataset(range(20)).map(fails_at_ten).torch(), 1)

    with pytest.raises(TypeError, match=r"SampleError in DataLoader worker(.|\n)*failed on sample 10:"):
        list(loader)
    gc.collect()  # the error's frames hold the loader's iterator, and so its worker


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "persistent"), [(0, False), (1, False), (2, False), (3, False), (1, True), (2, True), (3, True)]
)
def test_loader_gives_the_batches_of_the_pipeline_in_its_order(workers, persistent):
    loader = loading(batches().torch(), workers, persistent)

    assert 9 == len(loader)
    assert expected(batches(), 0, 1) == [spelled(loader), spelled(loader)]


@pytest.fixture
def tracker():
    """End the process that multiprocessing starts beside spawned ones, and keeps."""
    yield
    gc.collect()  # the loader and its iterator hold each other, and locks, of which that process is told
    for thread in threading.enumerate():  # those that feed the loader's queues hold some, too
        if thread.name == "QueueFeederThread":
            thread.join(30)
    resource_tracker._resource_tracker._stop()


@pytest.mark.slow
def test_spawned_workers_give_the_same(tracker):
    loader = loading(batches().torch(), 2, True, "spawn")

    assert expected(batches(), 0, 1) == [spelled(loader), spelled(loader)]


def test_spawned_process_is_told_a_rank_that_it_cannot_find(monkeypatch):
    dataset = Dataset(range(10)).shard(equal="drop").torch()
    monkeypatch.setattr(ranks, "_inherited", [])
    monkeypatch.setattr(ranks, "_of_torch", lambda: Rank(3, 1, "torch.distributed"))
    assert None is ranks.rank_for_child()
    context.set_spawning_popen(Spawning())
    try:
        pickled = pickle.dumps(dataset)
    finally:
        context.set_spawning_popen(None)
    monkeypatch.setattr(ranks, "_of_torch", lambda: None)
    there = pickle.loads(pickled)

    assert 3 == len(there)
    assert [1, 4, 7] == [int(x) for x in there]


class Spawning:
    """A process that is being spawned, as far as pickling asks."""

    def duplicate_for_child(self, fd):
        return fd

    def DupFd(self, fd):  # noqa: N802 - as multiprocessing names it
        return Duplicate(os.dup(fd))


class Duplicate:
    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        return self.fd


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_set_epoch_reaches_workers_that_live_on(persistent):
    dataset = batches().torch()
    loader = loading(dataset, 2, persistent)
    dataset.set_epoch(5)
    first = spelled(loader)
    dataset.set_epoch(2)

    assert expected(batches(), 5, 2, 3) == [first, spelled(loader), spelled(loader)]


@pytest.mark.slow
def test_passes_of_every_kind_count_together():
    plain = batches()
    dataset = plain.torch()
    loader = loading(dataset, 2)
    order = [plain, dataset, loader, dataset, loader, plain]

    # The dataset itself knows of the passes in this process alone, and the loader's are none of these.
    assert expected(batches(), 0, 1, 2, 3, 4, 4) == [spelled(each) for each in order]


@pytest.mark.slow
def test_epochs_that_are_seeded_alike_are_not_the_same():
    loader = loading(batches().torch(), 2)
    found = []
    with torch.random.fork_rng():
        for _ in range(2):
            torch.manual_seed(7)
            found.append(spelled(loader))

    assert expected(batches(), 0, 1) == found


def pair(x):
    return [x, -x] if x % 3 else []


@pytest.mark.slow
def test_workers_of_workers_give_the_same_and_end_with_them(tmp_path):
    """Even without order: each worker of the loader must see one and the same."""
    dataset = Dataset(range(40)).flatmap(pair, workers=2, ordered=False).map(np.array)
    loader = loading(dataset.torch(), 2, True)
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger("flazy").addHandler(handler)
    try:
        found = [spelled(loader)]
        for batch in loader:  # it is left with its workers at work
            found.append(batch.tolist())
            break
    finally:
        logging.getLogger("flazy").removeHandler(handler)
        handler.close()

    assert [[y for x in range(40) for y in pair(x)], 1] == found
    said = (tmp_path / "log").read_text().splitlines()
    assert ["each worker of the DataLoader starts 2 worker processes of the pipeline's workers="] == [
        line.partition(";")[0] for line in said
    ]
    assert "num_workers=0 is enough" in said[0]


def passes(dataset, workers, results):
    """Be a rank: give two passes over its part."""
    torch.manual_seed(0)  # as programs do: then the loaders of all ranks draw one base seed
    loader = loading(dataset, workers) if workers else dataset
    results.put([spelled(loader) for _ in range(2)])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_that_were_given_the_dataset_count_their_passes_each_for_itself(workers):
    dataset = batches().torch()
    spelled(dataset)
    results = multiprocessing.get_context("fork").SimpleQueue()
    ranks = [multiprocessing.get_context("fork").Process(target=passes, args=(dataset, workers, results)) for _ in "ab"]
    for rank in ranks:
        rank.start()
    found = [results.get() for _ in ranks]
    for rank in ranks:
        rank.join()
    results.close()

    assert [expected(batches(), 1, 2)] * 2 == found
    assert expected(batches(), 1) == [spelled(dataset)]


# How they agree -----------------------------------------------------------------------------------------


def replica(epochs, seen=0):
    """Give what another process has of the same table."""
    return Epochs([seen], os.dup(epochs._fd))


def test_each_loader_has_passes_of_its_own():
    here = Epochs([2])
    one, there = replica(here, seen=2), replica(here, seen=2)

    assert [2, 2] == [one.join(11, 2, 0, 4711), there.join(11, 2, 0, 4712)]
    assert [2, 3] == [there.join(11, 2, 1, 4711), there.join(12, 2, 0, 4712)]
    assert 2 == here.take()


def test_workers_of_one_iteration_join_the_same_pass():
    here = Epochs([0])
    workers = [replica(here) for _ in range(3)]

    assert [0, 0, 0] == [worker.join(11, 3, i) for i, worker in enumerate(workers)]
    assert [1, 1, 1] == [worker.join(12, 3, i) for i, worker in reversed([*enumerate(workers)])]
    assert 2 == here.take()


def test_workers_that_live_on_come_with_the_same_seed_again():
    here = Epochs([0])
    ahead, behind = replica(here), replica(here)

    assert [0, 1, 2] == [ahead.join(11, 2, 0) for _ in range(3)]
    assert [0, 1, 2] == [behind.join(11, 2, 1) for _ in range(3)]


def test_loaders_of_different_size_with_one_seed_do_not_meet():
    here = Epochs([0])

    assert [0, 0, 1, 1, 1] == [here.join(11, n, i) for n, i in [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]]


def test_coming_pass_can_be_set_for_all():
    here = Epochs([0])
    there = replica(here, seen=9)  # it was forked after nine passes
    here.set(4)

    assert [4, 5] == [there.join(1, 1, 0), there.join(2, 1, 0)]
    here.set(0)
    assert [0, 1] == [there.join(3, 1, 0), here.take()]


def test_passes_over_the_dataset_itself_are_not_given_again():
    coming = [0]
    here = Epochs(coming)
    there = replica(here)
    coming[0] += 3

    assert [3, 4, 5] == [here.take(), there.join(1, 1, 0), here.take()]
    assert [6] == coming


def test_table_stays_small():
    here = Epochs([0])
    for seed in range(3 * MOST_BEGUN):
        assert seed == here.join(2**62 + seed, 200, 199)

    assert os.fstat(here._fd).st_size < 128 * MOST_BEGUN


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda epochs: pickle.loads(pickle.dumps(epochs))])
def test_copy_counts_for_itself(copied):
    here = Epochs([2])
    there = copied(here)

    assert [2, 3, 2] == [here.take(), here.take(), there.take()]
