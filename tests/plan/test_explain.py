"""Plans as text; nothing runs."""

import numpy as np
import pytest

from flazy import Dataset, Processes, Remote, Threads


def augment(x):
    raise AssertionError("nothing runs for a text")


class Callable:
    """A callable without a name of its own."""

    def __call__(self, x):
        raise AssertionError


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda ds: ds, "Dataset(range(0, 3))"),
        (lambda ds: Dataset([1, 2]), "Dataset(list of 2)"),
        (lambda ds: Dataset(np.zeros((2, 3))), "Dataset(array(2, 3) float64)"),
        (lambda ds: Dataset(a=[1], b=np.int8([1])), "Dataset(a=list of 1, b=array(1,) int8)"),
        (lambda ds: Dataset(augment), "Dataset(augment)"),
        (lambda ds: Dataset.from_indexed([1]), "Dataset(range(0, 1)).from_indexed(list)"),
        (lambda ds: ds.map(augment), "Dataset(range(0, 3)).map(augment)"),
        (lambda ds: ds.map(lambda x: x), "Dataset(range(0, 3)).map(<lambda>)"),
        (lambda ds: ds.map(Callable()), "Dataset(range(0, 3)).map(Callable)"),
        (lambda ds: ds.starmap(augment), "Dataset(range(0, 3)).starmap(augment)"),
        (lambda ds: ds.map(augment, workers=2), "Dataset(range(0, 3)).map(augment, workers=2)"),
        (
            lambda ds: ds.map(augment, workers=Processes(2, chunk=4), ordered=False),
            "Dataset(range(0, 3)).map(augment, workers=Processes(2, chunk=4), ordered=False)",
        ),
        (
            lambda ds: ds.map(augment, workers=Threads(2)),
            "Dataset(range(0, 3)).map(augment, workers=Threads(2))",
        ),
        (lambda ds: ds.select("a", 0), "Dataset(range(0, 3)).select('a', 0)"),
        (lambda ds: ds.select_tuple("a"), "Dataset(range(0, 3)).select_tuple('a')"),
        (lambda ds: ds.batch(2).unbatch(), "Dataset(range(0, 3)).batch(2).unbatch()"),
        (lambda ds: ds.batch(2, drop_remainder=False), "Dataset(range(0, 3)).batch(2, drop_remainder=False)"),
        (lambda ds: ds.batch(2, fn=augment), "Dataset(range(0, 3)).batch(2, fn=augment)"),
        (lambda ds: ds.padded_batch(2), "Dataset(range(0, 3)).padded_batch(2)"),
        (
            lambda ds: ds.padded_batch(2, {"a": -1}, length=5, multiple_of=8),
            "Dataset(range(0, 3)).padded_batch(2, pad={'a': -1}, length=5, multiple_of=8)",
        ),
        (lambda ds: ds.bucket_batch(len, [5], 2), "Dataset(range(0, 3)).bucket_batch(len, [5], 2)"),
        (
            lambda ds: ds.bucket_batch(len, (5, 9), (4, 2, 1), -1, drop_remainder=False),
            "Dataset(range(0, 3)).bucket_batch(len, [5, 9], [4, 2, 1], pad=-1, drop_remainder=False)",
        ),
        (lambda ds: ds.ragged_batch(2).ragged_batch(2, keys="a"),
         "Dataset(range(0, 3)).ragged_batch(2).ragged_batch(2, keys=['a'])"),
        (lambda ds: ds.pack(9, pad=-1), "Dataset(range(0, 3)).pack(9, pad=-1)"),
        (lambda ds: ds.pack(9, split=True), "Dataset(range(0, 3)).pack(9, split=True)"),
        (lambda ds: ds.window(2).window(2, 3), "Dataset(range(0, 3)).window(2).window(2, stride=3)"),
        (lambda ds: ds.shuffle().shuffle(5), "Dataset(range(0, 3)).shuffle().shuffle(5)"),
        (lambda ds: ds.sample(2).repeat().repeat(2), "Dataset(range(0, 3)).sample(2).repeat().repeat(2)"),
        (lambda ds: ds.enumerate().enumerate(3), "Dataset(range(0, 3)).enumerate().enumerate(3)"),
        (lambda ds: ds[1:3:2], "Dataset(range(0, 3)).take(3).skip(1).stride(2)"),
        (lambda ds: ds.transform(augment).cache(), "Dataset(range(0, 3)).transform(augment).cache()"),
        (lambda ds: ds.prefetch(2).progress("x"), "Dataset(range(0, 3)).prefetch(2).progress()"),
        (lambda ds: ds.serial().epoch(3), "Dataset(range(0, 3)).serial().epoch(3)"),
        (lambda ds: (ds + ds).take(1), "Dataset.concat([Dataset(range(0, 3)), Dataset(range(0, 3))]).take(1)"),
        (lambda ds: Dataset.roundrobin([ds, augment]), "Dataset.roundrobin([Dataset(range(0, 3)), Dataset(augment)])"),
        (lambda ds: Dataset.zip(ds, ds), "Dataset.zip(Dataset(range(0, 3)), Dataset(range(0, 3)))"),
        (lambda ds: Dataset.zip(a=ds), "Dataset.zip(a=Dataset(range(0, 3)))"),
    ],
)
def test_repr_shows_the_calls(made, text):
    assert text == repr(made(Dataset(range(3))))


def test_explain_shows_both_plans():
    dataset = (
        Dataset(range(1000))
        .map(augment, workers=2)
        .random_map(augment, seed=7, workers=2)
        .select("a")
        .shuffle(10, seed=8)
        .batch(4)
        .take(3)
    )

    assert (
        """Logical plan
  source(range(0, 1000))  1,000 samples
  map(augment, workers=2)
  random_map(augment, workers=2)  seed=7
  select('a')
  shuffle(10)  seed=8
  batch(4)  an incomplete last batch is dropped
  take(3)
Physical plan (2 worker processes)
  caller: source(range(0, 1000))  1,000 samples
  2 processes: map(augment) > random_map(augment) > select('a')  3 stages in one, in order
  caller: shuffle(10)
  caller: take(12)
  caller: batch(4)"""
        == dataset.explain()
    )


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda ds: ds.map(augment, workers=2).batch(4), "batch(4), made or filled in place by the workers"),
        (lambda ds: ds.map(augment, workers=Threads(2)).batch(4), "batch(4), gathered"),
        (lambda ds: ds.map(augment, workers=2, ordered=False).batch(4), "batch(4), gathered"),
        (lambda ds: ds.filter(augment, workers=2).batch(4), "batch(4), gathered"),
        (lambda ds: ds.map(augment, workers=2).take(9).batch(4), "batch(4), made or filled in place by the workers"),
        (lambda ds: ds.map(augment, workers=2).skip(1).batch(4), "batch(4)"),
        (lambda ds: ds.map(augment).batch(4), "batch(4)"),
        (lambda ds: ds.map(augment, workers=2).batch(4).serial(), "batch(4)"),
        (lambda ds: ds.map(augment, workers=2).batch(4, fn=augment), "batch(4, fn=augment), gathered"),
        (lambda ds: ds.map(augment, workers=2).padded_batch(4), "padded_batch(4), gathered"),
    ],
)
def test_explain_says_who_makes_a_batch(made, expected):
    assert f"  caller: {expected}" == made(Dataset(range(9))).explain().splitlines()[-1]


@pytest.mark.parametrize(
    ("local", "said"), [(0, "workers of other machines"), (1, "1 worker process and workers of other machines")]
)
def test_explain_tells_of_other_machines(local, said):
    dataset = Dataset(range(9)).map(abs, workers=Remote("tcp://0.0.0.0:0", local=local))

    assert f"Physical plan ({said})" in dataset.explain().splitlines()


def test_explain_draws_joins_with_their_branches():
    dataset = Dataset.zip(Dataset([1]).map(augment), Dataset([2]) + augment).map(augment, workers=1, ordered=False)

    assert (
        """Logical plan
  zip
    source(list of 1)  1 samples
    map(augment)
    concat
      source(list of 1)  1 samples
      made when reached(augment)
  map(augment, workers=1, ordered=False)
Physical plan (1 worker process)
  caller: zip
    caller: source(list of 1)  1 samples
    caller: map(augment)
    caller: concat
      caller: source(list of 1)  1 samples
      caller: made when reached(augment)
  1 process: map(augment), as they are ready"""
        == dataset.explain()
    )


def test_explain_shows_a_seed_that_was_drawn():
    dataset = Dataset([1]).shuffle()

    assert f"shuffle()  seed={dataset.node.seed}" in dataset.explain()
    assert dataset.explain() == dataset.explain()


def test_long_label_is_cut():
    assert len(repr(Dataset(range(10**40, 10**40 + 1)))) < 80


def test_plan_of_thousands_of_steps_has_a_text():
    dataset = Dataset(range(3))
    for _ in range(2000):
        dataset = dataset.map(augment).skip(1)

    assert repr(dataset).endswith(".map(augment).skip(1)")
    assert 2000 == dataset.explain().count("caller: map(augment)")
