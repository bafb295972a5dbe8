"""Train a small network in JAX on digits that are distorted on the fly, by worker processes.

The data and its distortions are those of ``train_digits.py``. Images travel as uint8, a quarter of the bytes of floats,
and become floats inside the compiled step. The network and Adam are plain JAX.

    python examples/jax_digits.py
"""

import argparse
import itertools
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from train_digits import BATCH, SIDE, augment, plain, split, write_digits


def in_bytes(sample):
    return {**sample, "image": sample["image"] * 255}


def network(*sizes, seed=0):
    """Draw the weights of dense layers (He et al., 2015)."""
    rng = np.random.default_rng(seed)
    draws = [rng.normal(0, (2 / inner) ** 0.5, (inner, outer)) for inner, outer in itertools.pairwise(sizes)]
    return [(draw.astype(np.float32), np.zeros(draw.shape[1], np.float32)) for draw in draws]


def outputs(weights, images):
    """Give what the network says of each digit: the larger, the likelier."""
    values = images.reshape(len(images), -1) / 255  # floats from here on
    for number, (weight, bias) in enumerate(weights):
        values = (jax.nn.relu(values) if number else values) @ weight + bias
    return values


def loss_of(weights, batch):
    chances = jax.nn.log_softmax(outputs(weights, batch["image"]))
    return -jnp.take_along_axis(chances, batch["label"][:, None], axis=1).mean()


@jax.jit
def step(state, batch, rate=1e-3):
    """Take one step down the slope of the cross-entropy, by Adam's rule (Kingma and Ba, 2015)."""
    weights, means, squares, number = state
    loss, slopes = jax.value_and_grad(loss_of)(weights, batch)
    number = number + 1
    means = jax.tree.map(lambda mean, slope: mean + 0.1 * (slope - mean), means, slopes)
    squares = jax.tree.map(lambda square, slope: square + 0.001 * (slope**2 - square), squares, slopes)
    rate = rate * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
    weights = jax.tree.map(lambda w, mean, square: w - rate * mean / (jnp.sqrt(square) + 1e-8), weights, means, squares)
    return (weights, means, squares, number), loss


@jax.jit
def accuracy_of(weights, batch):
    return (outputs(weights, batch["image"]).argmax(axis=1) == batch["label"]).mean()


def train(dataset, epochs):
    weights = network(SIDE * SIDE, 128, 64, 10)
    zeros = jax.tree.map(np.zeros_like, weights)
    state = (weights, zeros, zeros, 0)
    for epoch in range(epochs):  # every pass over the dataset has another order and other distortions
        for batch in dataset:
            state, loss = step(state, batch)
        print(f"epoch {epoch + 1}: the loss of the last batch is {loss:.2f}")
    return state[0]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(folder, chosen.samples)
        digits, held_out = split(folder, chosen.samples)
        dtypes = {"image": "uint8", "label": "int32"}  # JAX has no int64 unless it is told to
        distorted = digits.shuffle(seed=1).random_map(augment, seed=2, workers=chosen.workers)
        training = distorted.map(in_bytes, workers=chosen.workers).cast(dtypes).batch(BATCH)
        (test,) = held_out.map(plain).map(in_bytes).cast(dtypes).batch(held_out.count()).jax()

        weights = train(training.jax(), chosen.epochs)
        print(f"{accuracy_of(weights, test):.1%} of {held_out.count()} digits that it never saw are told right")


if __name__ == "__main__":
    main()
