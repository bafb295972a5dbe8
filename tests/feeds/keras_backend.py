"""``dataset.keras()`` with one back end of Keras, that of KERAS_BACKEND; ``test_keras.py`` runs it once for each."""

import gc
import os

import keras
import numpy as np
import pytest

from flazy import Dataset
from tests.feeds.test_keras import Sized

LENGTH, BATCH = 24, 4


@pytest.fixture(autouse=True, scope="module")
def nothing_kept():
    yield
    keras.backend.clear_session()


def points(source=None, workers=0):
    def augment(x, rng):  # sent to workers whole: they need not import this module, and Keras
        x = np.asarray([x, 1], np.float32) + rng.normal(scale=0.1, size=2).astype(np.float32)
        return x, x.sum(keepdims=True)

    return Dataset(range(LENGTH) if source is None else source).random_map(augment, seed=1, workers=workers)


def batches(source=None, workers=0):
    return points(source, workers).batch(BATCH)


def network(*, built=True):
    dense = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="zeros")
    model = keras.Sequential([keras.Input([2]), dense] if built else [dense])
    model.compile(keras.optimizers.SGD(0.001), "mse")
    return model


def trained_by_hand(arrays):
    model = network()
    for x, y in arrays:
        model.train_on_batch(x, y)
    return model.get_weights()


def close_to(expected, found):
    return all(np.allclose(left, right, rtol=1e-5) for left, right in zip(expected, found, strict=True))


class Counted(keras.callbacks.Callback):
    """Counts the batches of each epoch, and raises or stops behind a number of them."""

    def __init__(self, *, stop_at=None, raise_at=None):
        super().__init__()
        self.epochs = []
        self.stop_at, self.raise_at = stop_at, raise_at

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.epochs[-1] += 1
        if sum(self.epochs) == self.stop_at:
            self.model.stop_training = True
        if sum(self.epochs) == self.raise_at:
            raise KeyError("of a callback")


def test_the_backend_is_the_one_that_is_meant():
    assert os.environ["KERAS_BACKEND"] == keras.backend.backend()


@pytest.mark.parametrize("built", [True, False])
def test_fit_is_training_by_hand_on_the_passes_in_their_order(built):
    source, counted, model = Sized(LENGTH), Counted(), network(built=built)
    model.fit(batches(source).keras(), epochs=2, verbose=0, callbacks=[counted])
    by_hand = [batches().epoch(cycle).list() for cycle in range(2)]

    assert [6, 6] == counted.epochs
    assert close_to(trained_by_hand(by_hand[0] + by_hand[1]), model.get_weights())
    assert not np.array_equal(by_hand[0][0][0], by_hand[1][0][0])
    assert (2, 2) == (source.started, source.left)


def test_epochs_cut_the_passes_of_an_endless_dataset_made_by_workers():
    counted, model = Counted(), network()
    endless = points(workers=2).repeat().batch(BATCH)
    with endless.keras(4) as data:
        model.fit(data, epochs=2, verbose=0, callbacks=[counted])
        model.fit(data, verbose=0, callbacks=[counted])

    assert [4, 4, 4] == counted.epochs
    assert close_to(trained_by_hand(points().repeat().batch(BATCH).take(12).list()), model.get_weights())


def test_evaluation_is_one_whole_pass_each_time():
    source, model = Sized(LENGTH), network()
    x, y = (np.concatenate(part) for part in zip(*Dataset(range(LENGTH)).map(whole).batch(BATCH).list(), strict=True))
    validation = Dataset(source).map(whole).batch(BATCH).keras()
    history = model.fit(batches().keras(), validation_data=validation, epochs=2, verbose=0).history
    evaluated = model.evaluate(validation, verbose=0)

    assert (3, 3) == (source.started, source.left)
    assert np.isclose(evaluated, model.evaluate(x, y, batch_size=BATCH, verbose=0))
    assert np.isclose(evaluated, history["val_loss"][-1])


def whole(x):
    return np.array([x, 1], np.float32), np.array([x], np.float32)


def test_predict_gives_the_outputs_in_order_each_time():
    model = network()
    data = Dataset(range(LENGTH)).map(lambda x: np.array([x, 1], np.float32)).batch(BATCH).keras()
    predicted = [model.predict(data, verbose=0) for _ in range(2)]

    assert np.allclose(np.arange(1, LENGTH + 1)[:, None], predicted)


def test_dicts_are_x_and_a_third_part_weighs():
    x = keras.Input([2], name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1, kernel_initializer="ones")(x))
    model.compile("sgd", "mse")
    rows = Dataset([{"x": np.ones(2, "f"), "y": np.zeros(1, "f"), "w": np.float32(w)} for w in (0, 0, 1, 1)])
    weighed = rows.map(lambda row: ({"x": row["x"]}, row["y"], row["w"]))
    loss = model.evaluate(weighed.batch(2).keras(), verbose=0)

    assert np.isclose(2, loss)  # 4 without weights
    assert (4, 1) == model.predict(rows.select("x").batch(2).keras(), verbose=0).shape


def test_batches_of_the_backend_share_the_memory_of_the_arrays():
    seen = []
    data = Dataset([np.ones((2, 3), "f")]).map(lambda array: seen.append(array) or array).keras()
    batch = data[0]
    [batch] = batch if isinstance(batch, tuple) else [batch]

    assert keras.backend.backend() == "torch" or isinstance(batch, np.ndarray)
    assert np.shares_memory(np.asarray(batch), seen[0])


def test_exception_of_a_callback_leaves_nothing_and_the_next_fit_begins_anew():
    source, model, counted = Sized(LENGTH), network(), Counted(raise_at=3)
    with batches(source, 2).keras() as data:
        with pytest.raises(KeyError):
            model.fit(data, epochs=2, verbose=0, callbacks=[counted])
        first = source.started
        model.fit(data, verbose=0, callbacks=[again := Counted()])

    assert ([3], [6]) == (counted.epochs, again.epochs)
    assert source.started == source.left
    # TensorFlow's thread may ask for one more batch of the first fit as the second begins, which then begins anew.
    assert first + 1 <= source.started <= first + 2


def test_stop_in_an_epoch_closes_with_the_block():
    source, model, counted = Sized(LENGTH), network(), Counted(stop_at=8)
    with batches(source).repeat().keras(6) as data:
        model.fit(data, epochs=5, verbose=0, callbacks=[counted])

    assert [6, 2] == counted.epochs
    assert source.started == source.left


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="Keras keeps what TensorFlow calls for good")
def test_stop_in_an_epoch_closes_with_the_object():
    source, model = Sized(LENGTH), network()
    model.fit(batches(source).keras(), verbose=0, callbacks=[Counted(stop_at=2)])
    gc.collect()

    assert (1, 1) == (source.started, source.left)
