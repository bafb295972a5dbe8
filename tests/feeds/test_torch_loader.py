"""`flazy.torch.loader` beside PyTorch's DataLoader: the same batches."""

import dataclasses
import pickle
import threading

import numpy as np
import pytest

import flazy
from flazy import Processes, Threads
from flazy.errors import InvalidArgument, InvalidType, SampleError, UnserializableFunction

torch = pytest.importorskip("torch")

from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SubsetRandomSampler  # noqa: E402

from flazy.feeds.emptied import Shipped  # noqa: E402 - behind the look whether PyTorch is there
from flazy.run import runtime  # noqa: E402
from flazy.torch import loader  # noqa: E402
from tests.feeds import torch_datasets as datasets  # noqa: E402
from tests.feeds.torch_datasets import TENSORS, Indexed, Random, Sized, Streamed  # noqa: E402


def same(a, b):
    """Say whether two batches are equal: structure, types, dtypes and values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        bits = a.dtype.itemsize == 1 and a.is_floating_point()
        equal = torch.equal(a.view(torch.uint8), b.view(torch.uint8)) if bits else torch.equal(a, b)
        return (a.dtype, a.shape) == (b.dtype, b.shape) and equal
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a):
        return same(vars(a), vars(b))
    return a == b


def listed(made):
    return list(made)


BOTH = {
    "images": lambda load, **kw: load(Indexed(datasets.image), 4, **kw),
    "tensors": lambda load, **kw: load(TENSORS, 5, **kw),
    "every kind": lambda load, **kw: load(Indexed(datasets.mixed), 4, **kw),
    "kinds that differ": lambda load, **kw: load(Indexed(datasets.varied), 4, **kw),
    "beyond numpy": lambda load, **kw: load(Indexed(datasets.beyond_numpy), 4, **kw),
    "alone": lambda load, **kw: load(Indexed(datasets.image), **kw),
    "without the rest": lambda load, **kw: load(Indexed(datasets.image), 4, drop_last=True, **kw),
    "without batches": lambda load, **kw: load(Indexed(datasets.mixed), None, **kw),
    "at once": lambda load, **kw: load(datasets.AtOnce(int), 4, **kw),
    "a list": lambda load, **kw: load(list(range(10)), 4, **kw),
    "own batches": lambda load, **kw: load(Indexed(datasets.image), 4, collate_fn=datasets.packed, **kw),
    "samples as they are": lambda load, **kw: load(Indexed(datasets.mixed), 2, collate_fn=listed, **kw),
    "own conversion": lambda load, **kw: load(Indexed(datasets.mixed), None, collate_fn=listed, **kw),
    "sampler": lambda load, **kw: load(TENSORS, 4, sampler=[3, 1, 1, 7, 20], **kw),
    "sampler, own batches": lambda load, **kw: load(
        Indexed(datasets.image), 2, sampler=[3, 1, 1], drop_last=True, collate_fn=datasets.packed, **kw
    ),
    "sampler, no batches": lambda load, **kw: load(TENSORS, None, sampler=[3, 1], **kw),
    "batch sampler": lambda load, **kw: load(TENSORS, batch_sampler=BatchSampler(range(9), 4, drop_last=False), **kw),
    "iterable": lambda load, **kw: load(Streamed(), 4, **kw),
    "iterable, no batches": lambda load, **kw: load(Sized(), None, **kw),
    "iterable, without the rest": lambda load, **kw: load(Sized(), 4, drop_last=True, **kw),
    "iterable, own batches": lambda load, **kw: load(Streamed(), 4, collate_fn=listed, **kw),
}


@pytest.mark.parametrize("name", BOTH)
def test_batches_and_lengths_are_those_of_dataloader(name):
    theirs, ours = BOTH[name](DataLoader), BOTH[name](loader)

    assert same(list(theirs), list(ours))
    assert lengths(theirs) == lengths(ours)


def lengths(loaded):
    try:
        return len(loaded)
    except TypeError:
        return None


@pytest.mark.slow
@pytest.mark.time_limit(180)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # DataLoader's
def test_batches_from_workers_are_those_of_dataloader():
    theirs = {name: list(both(DataLoader, num_workers=2 * ("iterable" in name))) for name, both in BOTH.items()}
    different = [name for name, both in BOTH.items() if not same(theirs[name], list(both(loader, workers=2)))]

    assert different == []
    assert_random_numbers_do_not_depend_on_workers()
    assert_tensors_of_a_dataset_are_shared()
    assert_batches_come_through_shared_memory()


def assert_batches_come_through_shared_memory():
    shared = []
    for images, labels in loader(Indexed(datasets.image, 160), 4, workers=2):
        shared.append(runtime.arena().locate(images.data_ptr()) is not None)
        images.add_(1)
        assert torch.equal(images[:, 0, 0, 0], labels + 1.0)
    assert shared[-1]  # the first come before it is known how large they are


def assert_random_numbers_do_not_depend_on_workers():
    drawn = [loader(Indexed(datasets.drawn), 4, shuffle=True, seed=3, workers=n) for n in (0, 2)]
    epochs = [[list(loaded) for _ in range(2)] for loaded in drawn]
    numbers = [value for epoch in epochs[0] for batch in epoch for value in batch[1].tolist()]
    streams = [[list(loader(Random(), None, seed=1, workers=2)) for _ in range(2)][1] for _ in range(2)]

    assert same(*epochs)
    assert len({*numbers}) == 2 * datasets.COUNT
    assert same(*streams)
    assert len({value for sample in streams[0] for value in sample}) == 12


def assert_tensors_of_a_dataset_are_shared():
    large = torch.arange(2**18).reshape(2, -1)  # 2 MiB
    loaded = loader(torch.utils.data.TensorDataset(large), 2, workers=2)
    before = [batch[0].sum().item() for batch in loaded]
    large += 1

    assert [large.sum().item() - large.numel()] == before
    assert [large.sum().item()] == [batch[0].sum().item() for batch in loaded]
    assert len(pickle.dumps(Shipped(large), 5, buffer_callback=lambda buffer: False)) < 2**10


# Order ------------------------------------------------------------------------------------------------------------


def test_epochs_are_shuffled_anew_and_can_be_chosen():
    loaded = loader(range(20), 4, shuffle=True, seed=1)
    epochs = [torch.cat(list(loaded)).tolist() for _ in range(2)]
    loaded.set_epoch(1)

    assert [list(range(20))] * 2 == [sorted(epoch) for epoch in epochs]
    assert epochs[0] != epochs[1]
    assert epochs[1] == torch.cat(list(loaded)).tolist()


@pytest.mark.parametrize("sampler", [RandomSampler, SubsetRandomSampler])
def test_sampler_is_iterated_anew_in_each_epoch(sampler):
    drawn = sampler(range(30), generator=torch.Generator().manual_seed(3))
    again = sampler(range(30), generator=torch.Generator().manual_seed(3))
    ours, theirs = loader(range(30), 4, sampler=drawn), DataLoader(range(30), 4, sampler=again)
    epochs = [torch.cat(list(ours)).tolist() for _ in range(2)]

    assert len(ours) == 8
    assert epochs[0] != epochs[1]
    assert [sorted(epoch) for epoch in epochs] == [sorted(torch.cat(list(theirs)).tolist()) for _ in range(2)]


def test_random_numbers_of_the_caller_go_on_undisturbed():
    torch.manual_seed(1)
    expected = torch.rand(2).tolist()
    torch.manual_seed(1)
    found = [torch.rand(1).item() for _ in loader(Indexed(datasets.drawn, 8), 4)]

    assert expected == found


# Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"collate_fn": listed}, {"batch_sampler": [[1, 2], [6, 7]]}, {"sampler": [7]}])
def test_failing_sample_is_named(options):
    with pytest.raises(KeyError, match="no such file") as caught:
        list(loader(Indexed(datasets.failing), **options))

    assert isinstance(caught.value, SampleError)
    assert "loader(Indexed) failed on sample" in str(caught.value)
    assert ["This was dataset[7]."] == caught.value.__cause__.__notes__


def test_samples_that_do_not_stack_are_the_error_of_pytorch():
    with pytest.raises(RuntimeError, match=r"failed on sample 0: .*got \[0\] at entry 0 and \[1\] at entry 1"):
        list(loader(Indexed(torch.zeros), 4))


def test_what_cannot_be_collated_is_the_error_of_pytorch():
    with pytest.raises(TypeError, match=r"default_collate: batch must contain tensors.*NoneType"):
        list(loader(Indexed(lambda index: None), 4))


def test_dataset_that_cannot_travel_is_refused_before_anything_starts():
    loaded = loader(Indexed(threading.Lock().acquire), workers=2)

    with pytest.raises(UnserializableFunction, match=r"loader\(Indexed\).*lock"):
        next(iter(loaded))


ANSWERS = {
    "num_workers": "workers=n",
    "persistent_workers": "leave it out",
    "prefetch_factor": "window=",
    "worker_init_fn": "seed=",
    "multiprocessing_context": "never forked",
    "generator": "seed=",
    "pin_memory_device": "device=",
    "shufle": "did you mean shuffle=",
}


def test_keywords_of_dataloader_are_answered():
    for keyword, answer in ANSWERS.items():
        with pytest.raises(InvalidType, match=answer):
            loader([1], **{keyword: 1})


@pytest.mark.parametrize(
    ("dataset", "options", "said"),
    [
        ([1], {"batch_sampler": [[0]], "shuffle": True}, "batch_sampler= excludes shuffle="),
        ([1], {"batch_sampler": [[0]], "batch_size": 2}, "excludes batch_size="),
        ([1], {"sampler": [0], "shuffle": True}, "sampler= excludes shuffle="),
        ([1], {"batch_size": None, "drop_last": True}, "excludes drop_last="),
        ([1], {"batch_size": 0}, "batch_size of loader"),
        ([1], {"prefetch": 0}, "prefetch= of loader"),
        ([1], {"timeout": 3}, "needs worker processes"),
        (Streamed(), {"shuffle": True}, "iterable style excludes shuffle="),
        (Streamed(), {"sampler": [1]}, "iterable style excludes sampler="),
        (Streamed(), {"workers": Threads(2)}, "needs processes"),
    ],
)
def test_arguments_that_exclude_each_other_are_refused(dataset, options, said):
    with pytest.raises(InvalidArgument, match=said):
        loader(dataset, **options)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (flazy.Dataset([1]), "by dataset.batch"),
        (flazy.Dataset([1]).torch(), "by dataset.batch"),
        (iter([1]), "has no __getitem__"),
        (torch.utils.data.Dataset(), "has no __len__"),
    ],
)
def test_what_is_no_dataset_is_refused(dataset, said):
    with pytest.raises(InvalidType, match=said):
        loader(dataset)


def test_timeout_is_that_of_the_workers():
    loaded = loader([1], workers=Processes(2, window=5), timeout=3)

    assert "Processes(2, window=5, timeout=3)" in repr(loaded._open_at._node.upstream.where)


def test_loader_can_be_pickled_and_given_to_dataloader():
    loaded = loader(TENSORS, 4, shuffle=True, seed=1)
    again = DataLoader(pickle.loads(pickle.dumps(loaded)), batch_size=None)

    assert same(list(loaded), list(again))
    assert len(again) == 6


def test_device_is_that_of_the_batches():
    (batch,) = loader(Indexed(datasets.mixed, 2), 2, device="meta")

    assert {"meta"} == {value.device.type for value in batch.values() if isinstance(value, torch.Tensor)}
    assert ["number 0", "number 1"] == batch["text"]
