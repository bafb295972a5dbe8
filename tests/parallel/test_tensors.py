"""Functions that give tensors of PyTorch: in workers as without, copied where arrays are."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flazy import Dataset, Processes  # noqa: E402 - behind the look whether it is there
from tests.parallel.pipelines import outcome  # noqa: E402
from tests.test_arraylikes import Knows  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.shares_workers]

BUFFER = torch.zeros(2)


def refilled(number):
    return BUFFER.fill_(number)


def test_tensor_that_its_function_writes_again_was_copied():
    tensors = Dataset(range(4)).map(refilled, workers=Processes(1, chunk=4))

    assert [0, 1, 2, 3] == [int(tensor[0]) for tensor in tensors]


def test_cached_tensor_does_not_change_with_what_is_done_to_it():
    changed = Dataset(range(3)).map(lambda number: {"x": torch.tensor([number])}).cache().map(lambda s: s["x"].add_(1))

    assert [[1, 2, 3]] * 3 == [[int(tensor) for tensor in changed] for _ in range(3)]


def test_tensor_with_gradients_is_shared():
    weight = torch.nn.Parameter(torch.zeros(1))

    assert all(found is weight for found in Dataset([weight]).cache().repeat(2))


def small(number):
    return torch.full((3,), number), {"y": torch.tensor(number), "z": Knows(number), "n": None}


def large(number):
    return {"x": torch.full((3, 80, 80), number, dtype=torch.uint8), "y": torch.tensor(number), "name": "a"}


def reused(number):
    return BUFFER.fill_(number), number


def now_and_then(number):
    return large(number) | ({"x": np.full((3, 80, 80), number, np.uint8)} if number % 3 else {})


def odd(number):
    return large(number) | ({"x": torch.zeros(3, 80, 80, dtype=torch.bfloat16)} if number == 13 else {})


def other(number):
    return large(number) | ({"y": None} if number == 13 else {})


@pytest.mark.parametrize(("made", "count"), [(small, 5), (large, 5), (now_and_then, 5), (odd, 3), (other, 5)])
@pytest.mark.parametrize("chunk", [1, 3, 40])
def test_batches_are_those_without_workers(made, count, chunk):
    batches = Dataset(range(20)).map(made, workers=Processes(1, chunk=chunk)).batch(4)
    expected, actual = outcome(batches.serial()), outcome(batches)

    assert expected.same_as(actual), (expected, actual)
    assert (count, count < 5) == (len(actual.values), actual.error is not None)


def test_tensors_fill_the_rows_of_a_batch_in_shared_memory():
    *_, last = Dataset(range(40)).map(large, workers=Processes(1, chunk=2)).batch(4)
    memory = last["x"]
    while isinstance(memory, np.ndarray):
        memory = memory.base

    assert memory is not None  # that of an array of our own is its own


def test_what_a_function_writes_again_is_not_in_its_batch():
    tensors, numbers = Dataset(range(8)).map(reused, workers=Processes(1, chunk=8)).batch(8).first()

    assert numbers.tolist() == tensors[:, 0].tolist()
