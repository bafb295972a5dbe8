"""PyTorch's global generator inside ``random_map``: reproducible there, undisturbed outside."""

import pytest

from flazy import Dataset
from flazy.sample import SeededGlobals

torch = pytest.importorskip("torch")


def drawing(sample, rng):
    return torch.rand(1).item()


def test_global_generator_is_reproducible_inside_random_map():
    dataset = Dataset(range(20)).random_map(drawing, seed=5)
    passes = [dataset.list() for _ in range(2)]
    torch.manual_seed(0)

    assert passes == [dataset.epoch(cycle).list() for cycle in range(2)]
    assert 40 == len({drawn for samples in passes for drawn in samples})


def test_global_generator_of_the_caller_goes_on_undisturbed():
    torch.manual_seed(1)
    expected = torch.rand(3).tolist()
    torch.manual_seed(1)
    found = [torch.rand(1).item() for _ in Dataset(range(3)).random_map(drawing, seed=5)]

    assert expected == found


def test_generators_of_gpus_are_left_alone():
    torch.manual_seed(1)
    seeded = torch.cuda._lazy_seed_tracker.get_calls()  # what GPUs will be seeded with when the first is used
    with SeededGlobals(5):
        pass

    assert seeded == torch.cuda._lazy_seed_tracker.get_calls()
