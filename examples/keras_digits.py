"""Train a convolutional network in Keras on digits that are distorted on the fly, by worker processes.

The data and its distortions are those of ``train_digits.py``; what is new is ``.tensorflow()`` at the end.

    python examples/keras_digits.py
"""

import argparse
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # silence its notes about the processor

import tensorflow as tf
from train_digits import BATCH, SIDE, augment, plain, split, write_digits


def network():
    model = tf.keras.Sequential([
        tf.keras.Input([SIDE, SIDE]),
        tf.keras.layers.Reshape([SIDE, SIDE, 1]),
        tf.keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        tf.keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(10),
    ])  # fmt: skip
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(folder, chosen.samples)
        digits, held_out = split(folder, chosen.samples)
        distorted = digits.shuffle().repeat().random_map(augment, workers=chosen.workers)
        training = distorted.select_tuple("image", "label").batch(BATCH).tensorflow()
        test = held_out.map(plain).select_tuple("image", "label").collect()

        model = network()
        steps = digits.count() // BATCH  # an endless dataset has epochs only by agreement
        model.fit(training, steps_per_epoch=steps, epochs=chosen.epochs, shuffle=False, validation_data=test, verbose=2)
        _, accuracy = model.evaluate(*test, verbose=0)
        print(f"{accuracy:.1%} of {held_out.count()} digits that it never saw are told right")


if __name__ == "__main__":
    main()
