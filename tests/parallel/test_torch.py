"""PyTorch's DataLoader with its forked workers, around a live pass; `test_forks` has the same without PyTorch."""

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, IterableDataset, default_collate  # noqa: E402 - behind the look whether it is there

from flazy import Dataset  # noqa: E402
from tests.parallel.test_forks import ROWS, Around, batches, right, samples  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


@pytest.fixture(params=[samples, batches])
def around(request):
    made = Around(6, request.param())
    yield made
    made.close()


def test_loader_forks_around_a_live_pass(around):
    for more in (10, 20):
        found = [
            (row.tolist(), around.parent_is_right(more))
            for row in DataLoader(around, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=40)
        ]
        count = len(found)

        assert [([True] * 4, True)] * count == found
        assert count >= 6


class Passes(IterableDataset):
    """A pass of its own in each worker of the loader."""

    def __iter__(self):
        for number, batch in zip(range(10), batches(), strict=False):
            assert right(number, batch)
            yield batch


def test_loader_whose_workers_have_passes_of_their_own_beside_one_of_the_parent(around):
    loader = DataLoader(Passes(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=40)
    firsts = [int(batch["y"][0]) for batch in loader if (batch["x"] == batch["y"][:, None, None]).all()]

    assert sorted([ROWS * number for number in range(10)] * 2) == sorted(firsts)
    assert around.parent_is_right(more=10)


def test_tensors_over_a_batch_keep_it():
    """A tensor shares the memory of its array, and outlives it."""
    tensors = [torch.from_numpy(batch["x"])[1:] for batch, _ in zip(batches(), range(40), strict=False)]

    assert all((tensor[0] == ROWS * number + 1).all() for number, tensor in enumerate(tensors))


def test_default_collate_makes_the_batch():
    samples = Dataset(x=range(4), name=["a", "b", "c", "d"])

    for batch, loaded in zip(samples.batch(2, fn=default_collate), DataLoader(samples.list(), 2), strict=True):
        assert loaded["x"].tolist() == batch["x"].tolist()
        assert (loaded["x"].dtype, loaded["name"]) == (batch["x"].dtype, batch["name"])
