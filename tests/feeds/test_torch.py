"""``dataset.torch()`` with the real PyTorch: its passes, how they end, and who takes it."""

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import InvalidArgument, InvalidType, SampleError
from tests.feeds.test_passes import Source

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, IterableDataset  # noqa: E402 - behind the look whether it is there


def numbers(dataset):
    return [int(sample) for sample in dataset]


# Passes -----------------------------------------------------------------------------------------------------------


def test_each_iteration_is_the_next_pass():
    shuffled = Dataset(np.arange(20)).shuffle(seed=3)
    dataset = shuffled.torch()

    assert isinstance(dataset, IterableDataset)
    assert [numbers(dataset) for _ in range(3)] == [numbers(shuffled.epoch(cycle)) for cycle in range(3)]
    assert numbers(shuffled) == numbers(shuffled.epoch(3))


def test_set_epoch_chooses_the_coming_pass():
    shuffled = Dataset(np.arange(20)).shuffle(seed=3)
    dataset = shuffled.torch()
    dataset.set_epoch(5)

    assert [numbers(dataset), numbers(dataset)] == [numbers(shuffled.epoch(5)), numbers(shuffled.epoch(6))]
    with pytest.raises(InvalidArgument, match="counts from 0"):
        dataset.set_epoch(-1)
    with pytest.raises(InvalidType, match=r"set_epoch\(\) takes the number of a pass, not 1\.5"):
        dataset.set_epoch(1.5)


def test_nothing_runs_before_it_is_iterated_and_a_break_ends_the_pass():
    source = Source()
    dataset = Dataset(source).torch()
    samples = iter(dataset)
    started = source.started
    for _ in samples:
        break
    samples.close()

    assert (started, source.started, source.given, source.left) == (0, 1, 1, 1)


@pytest.mark.parametrize("loaded", [lambda dataset: dataset, lambda dataset: DataLoader(dataset, batch_size=None)])
def test_iterator_that_is_dropped_ends_its_pass(loaded):
    source = Source()
    dataset = loaded(Dataset(source).torch())
    for _ in dataset:
        break
    gc.collect()

    assert (source.started, source.left) == (1, 1)
    assert list(dataset) == [0, 1, 2, 3, 4]


def test_length_is_that_of_the_plan_or_a_type_error():
    known, unknown = Dataset(range(10)).batch(4, drop_remainder=False), Dataset(range(10)).filter(bool)

    assert (3, 3) == (len(known.torch()), len(DataLoader(known.torch(), batch_size=None)))
    for dataset in (unknown, Dataset([1]).repeat()):
        with pytest.raises(TypeError, match="length"):
            len(DataLoader(dataset.torch(), batch_size=None))
    assert numbers(DataLoader(unknown.torch(), batch_size=None)) == list(range(1, 10))


def test_error_names_stage_sample_and_key():
    dates = Dataset([1, 2]).map(lambda day: {"when": np.array([day], "M8[D]")}).torch()
    samples = iter(dates)

    with pytest.raises(SampleError, match=r"map\(torch\) failed on sample 0: .*key 'when': .*datetime64\[D\]"):
        next(samples)


def test_pickled_copy_goes_on_by_itself():
    offset = 1
    shuffled = Dataset(x=np.arange(20)).map(lambda sample: sample["x"] + offset).shuffle(seed=3)
    dataset = shuffled.torch()
    dataset.set_epoch(2)
    copy = pickle.loads(pickle.dumps(dataset))

    assert len(copy) == 20
    assert numbers(copy) == numbers(dataset) == numbers(shuffled.epoch(2))
    assert numbers(copy) == numbers(shuffled.epoch(3))


@pytest.mark.slow
def test_without_pytorch_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from flazy import Dataset, errors\n"
        "try:\n    Dataset([1]).torch()\n"
        "except errors.MissingExtra as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install flazy[torch]" in done.stdout


# Who takes it -----------------------------------------------------------------------------------------------------


def test_accelerate_takes_it():
    accelerate = pytest.importorskip("accelerate")
    shuffled = Dataset(np.arange(20)).shuffle(seed=3).batch(4)
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(shuffled.torch(), batch_size=None))
    epochs = [[batch.tolist() for batch in loader] for _ in range(2)]

    assert epochs == [[batch.tolist() for batch in shuffled.epoch(cycle)] for cycle in range(2)]
