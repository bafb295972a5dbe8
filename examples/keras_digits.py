"""Train a convolutional network in Keras on digits that are distorted on the fly, by worker processes.

The data and its distortions are those of ``train_digits.py``; what is new is ``.keras()`` at the end, which is the same
for every back end of Keras.

    python examples/keras_digits.py
    python examples/keras_digits.py --backend torch
"""

import argparse
import os
import tempfile

from train_digits import BATCH, SIDE, augment, plain, split, write_digits


def network(keras):
    model = keras.Sequential([
        keras.Input([SIDE, SIDE]),
        keras.layers.Reshape([SIDE, SIDE, 1]),
        keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ])  # fmt: skip
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--backend", choices=["tensorflow", "torch", "jax"], default="tensorflow")
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    chosen = options.parse_args()

    os.environ["KERAS_BACKEND"] = chosen.backend  # Keras reads it once, when it is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # silence TensorFlow's notes about the processor
    import keras

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(folder, chosen.samples)
        digits, held_out = split(folder, chosen.samples)
        distorted = digits.shuffle().repeat().random_map(augment, workers=chosen.workers)
        batches = distorted.select_tuple("image", "label").batch(BATCH)
        test = held_out.map(plain).select_tuple("image", "label").collect()

        model = network(keras)
        steps = digits.count() // BATCH  # an endless dataset has epochs only by agreement
        # With TensorFlow, batches.tensorflow() is the other way: a tf.data.Dataset, for tf.data's own verbs behind it;
        # then fit() is told of steps_per_epoch=steps.
        with batches.keras(steps) as training:
            model.fit(training, epochs=chosen.epochs, validation_data=test, verbose=2)
        _, accuracy = model.evaluate(*test, verbose=0)
        print(f"{accuracy:.1%} of {held_out.count()} digits that it never saw are told right")


if __name__ == "__main__":
    main()
