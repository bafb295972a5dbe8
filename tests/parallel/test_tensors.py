"""Functions that give tensors of PyTorch: in workers as without, copied where arrays are."""

import pytest

torch = pytest.importorskip("torch")

from flazy import Dataset, Processes  # noqa: E402 - behind the look whether it is there

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
