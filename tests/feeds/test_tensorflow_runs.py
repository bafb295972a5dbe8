"""``dataset.tensorflow()`` with the real TensorFlow and Keras: its passes, how they end, and ``model.fit``."""

import gc
import os
import subprocess
import sys
import weakref

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from flazy import Dataset
from flazy.errors import EmptyDataset, MissingExtra
from tests.feeds.test_passes import Source

tf = pytest.importorskip("tensorflow")

FIRST_USE_S = 180  # Keras and the tracing of a first model take their time on a busy machine


def iterated(dataset):
    return [element.numpy().item() for element in dataset]


# Passes -----------------------------------------------------------------------------------------------------------


def test_first_sample_is_run_once():
    calls = []
    dataset = Dataset(range(5)).map(lambda x: calls.append(x) or x).tensorflow()
    looked = list(calls)

    assert looked == [0]
    assert iterated(dataset) == [0, 1, 2, 3, 4]
    assert calls == [0, 1, 2, 3, 4]


def test_each_iteration_is_the_next_pass():
    shuffled = Dataset(range(20)).shuffle(seed=3)
    dataset = shuffled.tensorflow()

    assert [iterated(dataset) for _ in range(3)] == [shuffled.epoch(cycle).list() for cycle in range(3)]


def test_two_iterators_at_once():
    dataset = Dataset(range(3)).tensorflow()

    assert [(int(a), int(b)) for a, b in zip(dataset, dataset, strict=True)] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.slow
def test_parallel_stages_stay_and_give_the_same():
    made = Dataset(range(40)).random_map(lambda x, rng: x + rng.random(), seed=1, workers=2).shuffle(8, seed=2).batch(8)
    expected = made.serial().epoch(0).list()

    assert np.array_equal(list(made.tensorflow().as_numpy_iterator()), expected)


def test_data_behind_a_dataset_that_is_gone_is_released():
    source = Source()
    gone = weakref.ref(source)
    dataset = Dataset(source).tensorflow()
    assert iterated(dataset) == [0, 1, 2, 3, 4]
    del source, dataset
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize(
    "made",
    [
        lambda ds: ds.map(lambda x: x).prefetch(1),
        lambda ds: tf.data.Dataset.range(1).flat_map(lambda _: ds),
        lambda ds: tf.data.Dataset.zip((ds, ds)).map(lambda a, _: a),
    ],
)
def test_dataset_lives_in_what_is_made_from_it(made):
    dataset = made(Dataset(range(3)).tensorflow())
    gc.collect()

    assert iterated(dataset) == [0, 1, 2]


# Memory -----------------------------------------------------------------------------------------------------------


def pictures(number):
    """Make batches in shared memory; with a lambda, since for a function workers import its module, and TensorFlow."""
    return Dataset(range(number)).map(lambda i: np.full((32, 32, 8), i, np.float32), workers=2).batch(4)


class Noted:
    """A map that knows the arrays it saw, weakly, and where they lie."""

    def __init__(self):
        self.seen = []

    def __call__(self, array):
        self.seen.append((weakref.ref(array), array.ctypes.data))
        return array

    def alive(self):
        gc.collect()
        return sum(known() is not None for known, _ in self.seen)


def address_of(tensor):
    return np.asarray(memoryview(tensor)).ctypes.data


@pytest.mark.slow
def test_batches_in_shared_memory_cross_without_a_copy_and_are_not_written_to_while_a_tensor_lives():
    noted = Noted()
    dataset = pictures(80).map(noted).tensorflow()
    tensors = list(dataset)
    for _ in range(2):  # passes that would write where the first one lies
        for _tensor in dataset:
            pass
    del _tensor
    crossed = [place == address_of(tensor) for (_, place), tensor in zip(noted.seen, tensors, strict=False)]

    assert [[4 * number + row for row in range(4)] for number in range(20)] == [
        tensor[:, -1, -1, -1].numpy().tolist() for tensor in tensors
    ]
    assert [place % 64 == 0 for _, place in noted.seen[:20]] == crossed
    assert sum(crossed) >= 15  # the first ones may be made before workers know what batches look like
    assert noted.alive() == 20
    del tensors
    assert noted.alive() == 0


# Closing ----------------------------------------------------------------------------------------------------------


def test_dataset_that_is_never_iterated_closes_the_run_of_the_look():
    source = Source()
    dataset = Dataset(source).tensorflow()
    assert (source.started, source.left) == (1, 0)
    del dataset
    gc.collect()

    assert source.left == 1


def test_break_closes_the_run():
    source = Source(1000)
    dataset = Dataset(source).tensorflow()
    for element in dataset:
        if int(element) == 2:
            break

    assert (source.started, source.left) == (1, 1)


@pytest.mark.slow
def test_break_leaves_no_worker_of_a_parallel_stage():
    dataset = Dataset(range(10_000)).map(lambda x: x, workers=2).tensorflow()
    for element in dataset:
        if int(element) == 2:
            break

    assert iterated(dataset.take(2)) == [0, 1]


def test_iterators_in_a_loop_of_tensorflows_own_close_the_run():
    source = Source(1000)
    dataset = Dataset(source).tensorflow(tf.TensorSpec([], tf.int64))

    @tf.function
    def total():
        found = tf.constant(0, tf.int64)
        for number in dataset.take(5):
            found += number
        return found

    assert [int(total()), int(total())] == [10, 10]
    assert (source.started, source.left) == (2, 2)


def test_exhaustion_closes_the_run():
    source = Source()
    dataset = Dataset(source).tensorflow()
    iterator = iter(dataset)
    for _ in iterator:
        pass

    assert source.left == 1


def test_error_of_a_stage_is_raised_with_its_text_and_closes_the_run():
    source = Source()

    def load(number):
        if number == 3:
            raise FileNotFoundError("no-3.png")
        return number

    seen = []
    with pytest.raises(tf.errors.OpError) as raised:
        seen.extend(map(int, Dataset(source).map(load).tensorflow()))

    assert seen == [0, 1, 2]
    assert "SampleError: map(load) failed on sample 3: FileNotFoundError: no-3.png" in str(raised.value)
    del raised
    gc.collect()
    assert source.left == 1


@pytest.mark.slow
def test_error_in_a_worker_is_raised_with_its_text():
    def load(number):
        return 1 // (number - 3)

    with pytest.raises(tf.errors.OpError) as raised:
        list(Dataset(range(9)).map(load, workers=2).tensorflow())

    assert "SampleError: map(load) failed on sample 3: ZeroDivisionError" in str(raised.value)
    assert "return 1 // (number - 3)" in str(raised.value)


def test_error_in_the_look_is_raised_as_it_is():
    def load(number):
        raise FileNotFoundError("no-0.png")

    with pytest.raises(FileNotFoundError, match=r"map\(load\) failed on sample 0"):
        Dataset(range(3)).map(load).tensorflow()


def test_empty_dataset_is_refused():
    with pytest.raises(EmptyDataset):
        Dataset([]).tensorflow()


# Keras ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    made = tf.keras.Sequential([tf.keras.Input([2]), tf.keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    yield made
    tf.keras.backend.clear_session()


def points(number=128):
    x = np.random.default_rng(0).random((number, 2), np.float32)
    return Dataset(x, x.sum(axis=1))


@pytest.mark.slow
@pytest.mark.time_limit(FIRST_USE_S)
def test_fit_takes_a_tensorflow_dataset(model):
    passes = []
    dataset = points().map(lambda xy: passes.append(1) or xy).batch(32).tensorflow()
    history = model.fit(dataset, epochs=3, verbose=0)

    assert len(history.history["loss"]) == 3
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(passes) == 3 * 128


@pytest.mark.slow
@pytest.mark.time_limit(FIRST_USE_S)
def test_fit_takes_an_incomplete_last_batch_and_validation_data(model):
    dataset = points(100).shuffle().batch(32, drop_remainder=False).tensorflow()
    history = model.fit(dataset, epochs=2, validation_data=points(40).batch(32).tensorflow(), verbose=0)

    assert len(history.history["val_loss"]) == 2


@pytest.mark.slow
@pytest.mark.time_limit(FIRST_USE_S)
@pytest.mark.parametrize("workers", [0, 2])
def test_fit_takes_the_generator_of_an_endless_dataset(model, workers):
    dataset = points().map(lambda xy: xy, workers=workers).repeat().batch(32)
    generator = iter(dataset)
    history = model.fit(generator, steps_per_epoch=4, epochs=2, verbose=0)
    generator.close()

    assert len(history.history["loss"]) == 2


@pytest.mark.slow
@pytest.mark.time_limit(FIRST_USE_S)
def test_fit_takes_a_parallel_endless_tensorflow_dataset(model):
    dataset = points().map(lambda xy: xy, workers=2).repeat().batch(32).tensorflow()
    history = model.fit(dataset, steps_per_epoch=4, epochs=2, verbose=0)

    assert len(history.history["loss"]) == 2


# Without TensorFlow -----------------------------------------------------------------------------------------------

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

sys.meta_path.insert(0, Blocked())
from flazy import Dataset
from flazy.errors import MissingExtra

calls = []
for _ in range(2):
    try:
        Dataset(range(3)).map(calls.append).tensorflow()
    except MissingExtra as error:
        print(error)
print(calls)
"""


@pytest.mark.slow
def test_missing_tensorflow_is_an_error_that_names_the_extra():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False, timeout=60)

    assert issubclass(MissingExtra, ImportError)
    assert done.stderr == ""
    said = "tensorflow() needs TensorFlow, which is missing: pip install flazy[tensorflow]"
    assert done.stdout.splitlines() == [said, said, "[]"]
