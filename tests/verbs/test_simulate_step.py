"""A pipeline against a loop that only takes time."""

import pytest

from flazy import Dataset
from flazy.errors import EndlessDataset, InvalidArgument, InvalidType
from flazy.run.stats import Stats


def test_every_batch_takes_its_step():
    tried = Dataset(range(12)).batch(2).simulate_step(4)

    assert isinstance(tried, Stats)
    assert (6, "batches") == (tried.given, tried.unit)
    assert tried.wait.seconds - tried.waited_s >= 0.02
    assert str(tried).startswith("6 batches in ")


def test_single_samples_are_timed():
    tried = Dataset(range(5)).map(lambda x: x).simulate_step(0)

    assert (5, "samples") == (tried.given, tried.unit)
    assert tried.waited is not None
    assert tried.own_s is not None


def test_so_many_steps_and_no_more():
    pulled = []
    tried = Dataset(range(100)).map(pulled.append).batch(2).simulate_step(0, steps=3)

    assert (3, 6) == (tried.given, len(pulled))


def test_pass_is_not_used_up():
    ds, same = (Dataset(range(20)).shuffle(seed=1).batch(4) for _ in range(2))
    ds.simulate_step(0, steps=2)

    assert [batch.tolist() for batch in same] == [batch.tolist() for batch in ds]


def test_endless_dataset_needs_a_number_of_steps():
    ds = Dataset(range(4)).repeat().batch(2)

    assert 5 == ds.simulate_step(0, steps=5).given
    with pytest.raises(EndlessDataset, match="steps="):
        ds.simulate_step(0)


def test_verbose_shows_a_bar(capsys):
    Dataset(range(6)).batch(2).simulate_step(1, verbose=True)

    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((-1,), InvalidArgument), ((float("nan"),), InvalidArgument), (("20",), InvalidType), ((True,), InvalidType),
     ((1, 0), InvalidArgument)],
)  # fmt: skip
def test_times_and_steps_are_checked(arguments, error):
    with pytest.raises(error):
        Dataset(range(6)).simulate_step(*arguments)


@pytest.mark.slow
def test_workers_are_told_of():
    tried = Dataset(range(64)).map(float, workers=1).batch(4).simulate_step(0)
    (stage,) = tried.segments

    assert (16, "map(float)", 1, 64) == (tried.given, stage.name, stage.workers_asked, stage.samples_done)
    assert 0 < stage.capacity
    assert 0 <= stage.waited_s <= tried.waited_s <= tried.wait.seconds
    assert tried.own_s == pytest.approx(tried.waited_s - stage.waited_s)
