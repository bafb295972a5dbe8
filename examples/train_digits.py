"""Train a small network on handwritten digits that are distorted on the fly, by worker processes.

Real digits (scikit-learn's, 8 x 8 pixels) are written to TFRecord shards, read back, shuffled, enlarged and distorted
differently in every epoch, batched and learnt by a network of 50 lines of numpy.  Then the same pipeline is timed with
and without workers.

    python examples/train_digits.py
    python examples/train_digits.py --epochs 20 --workers 4
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy's own threads take the cores from the workers

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from tqdm.auto import tqdm

from flazy import Dataset

SIDE = 32  # pixels of what the network sees
FINE = 3  # digits are distorted at so many times that size, so that no steps show
BATCH = 32


# The pipeline -------------------------------------------------------------------------------------------------------


def write_digits(folder, count):
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    some = Dataset(image=images, label=digits.target).shuffle(seed=0).take(count)
    some.write.tfrecord(f"{folder}/digits.tfrecord", shards=4)


def split(folder, count):
    """Give the digits to train on, and a fifth that is held out."""
    digits = Dataset.read.tfrecord(folder, keys=["image", "label"])
    return digits.skip(count // 5), digits.take(count // 5)


def augmented(digits, epochs, workers):
    return (
        digits
        .shuffle(seed=1)  # another order in every epoch
        .repeat(epochs)  # before the workers, so that they never wait for an epoch to end
        .random_map(augment, seed=2, workers=workers)  # other distortions in every epoch
        .batch(BATCH)
    )  # fmt: skip


def augment(sample, rng):
    """Rotate, shift and distort a digit, and add noise."""
    image = enlarged(sample["image"])
    image = ndimage.rotate(image, rng.uniform(-20, 20), reshape=False)
    image = ndimage.shift(image, rng.uniform(-8, 8, size=2))
    waves = [100 * ndimage.gaussian_filter(rng.normal(size=image.shape), 12) for _ in range(2)]
    image = ndimage.map_coordinates(image, np.indices(image.shape) + waves)
    image = reduced(image) + rng.normal(0, 0.1, size=(SIDE, SIDE))
    return {"image": image.clip(0, 1).astype(np.float32), "label": sample["label"][0]}


def plain(sample):
    image = reduced(enlarged(sample["image"]))
    return {"image": image.clip(0, 1).astype(np.float32), "label": sample["label"][0]}


def enlarged(pixels):
    return ndimage.zoom(pixels.reshape(8, 8), FINE * SIDE / 8)


def reduced(image):
    return image.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))


# The network --------------------------------------------------------------------------------------------------------


class Network:
    """Layers of weights with ReLU between them, learnt with Adam (Kingma and Ba, 2015)."""

    def __init__(self, *sizes, seed=0):
        rng = np.random.default_rng(seed)
        shapes = list(itertools.pairwise(sizes))
        self.weights = [rng.normal(0, (2 / shape[0]) ** 0.5, shape).astype(np.float32) for shape in shapes]
        self.biases = [np.zeros(size, np.float32) for size in sizes[1:]]
        self.moments = [(np.zeros_like(part), np.zeros_like(part)) for part in (*self.weights, *self.biases)]
        self.steps = 0

    def outputs(self, images):
        """Give what goes into each layer, and what comes out of the last."""
        values = [images.reshape(len(images), -1)]
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inner = np.maximum(values[-1], 0) if number else values[-1]
            values.append(inner @ weight + bias)
        return values

    def learn(self, images, labels):
        """Take one step down the slope of the cross-entropy; give the loss before it."""
        values = self.outputs(images)
        odds = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
        chances = odds / odds.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        loss = -np.log(chances[rows, labels] + 1e-9).mean()

        slope = chances
        slope[rows, labels] -= 1
        slope /= len(labels)
        slopes = []
        for number in reversed(range(len(self.weights))):
            inner = np.maximum(values[number], 0) if number else values[number]
            slopes.append((inner.T @ slope, slope.sum(axis=0)))
            slope = (slope @ self.weights[number].T) * (values[number] > 0)
        weights, biases = zip(*reversed(slopes), strict=True)
        self.step([*weights, *biases])
        return loss

    def step(self, slopes, rate=1e-3):
        """Move all weights against their slopes, by Adam's rule."""
        self.steps += 1
        for part, slope, (mean, square) in zip((*self.weights, *self.biases), slopes, self.moments, strict=True):
            mean += 0.1 * (slope - mean)  # noqa: PLW2901 - in place, like the other two
            square += 0.001 * (slope**2 - square)  # noqa: PLW2901
            steady = np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8
            part -= rate / (1 - 0.9**self.steps) * mean / steady  # noqa: PLW2901

    def accuracy(self, batch):
        """Give the share of a batch whose labels it tells right."""
        return (self.outputs(batch["image"])[-1].argmax(axis=1) == batch["label"]).mean()


def train(batches, total, test):
    network = Network(SIDE * SIDE, 128, 64, 10)
    with tqdm(batches, total=total, desc="training", unit=" batches", mininterval=0.5) as bar:
        for batch in bar:
            loss = network.learn(batch["image"], batch["label"])
            bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
    return network.accuracy(test)


# What it shows ------------------------------------------------------------------------------------------------------


def show(images):
    """Draw images side by side, as text."""
    for row in range(0, SIDE, 2):  # a character is twice as high as it is wide
        print("  ".join("".join(" .:-=+*#%@"[int(9.9 * pixel)] for pixel in image[row]) for image in images))


def speeds(digits, workers, rounds=3, batches=20):
    """Time the pipeline without and with workers, in turn, each from its first batch on: samples per second of both."""
    found = {0: [], workers: []}
    for _ in range(rounds):
        for number, measured in found.items():
            with augmented(digits, 1, number).open() as run:
                next(run)
                begun = time.perf_counter()
                taken = sum(1 for _ in itertools.islice(run, batches))
            measured.append(taken * BATCH / (time.perf_counter() - begun))
    return [statistics.median(measured) for measured in found.values()]


def compare(digits, workers):
    without, with_workers = speeds(digits, workers)
    print(f"{without:6.0f} samples/s without workers")
    print(f"{with_workers:6.0f} samples/s with {workers}, which is {with_workers / without:.2f} times")
    if workers > 1 and with_workers < 1.5 * without:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        print(f"That is less than 1.5 times. This process may use {cores} cores, and just now {workers} processes that")
        print(f"only count get {ceiling(workers):.2f} times as far on this machine as one does.")


def ceiling(processes):
    """Measure what more processes can bring at best, whatever they are used for."""
    count = "import time; end = time.time() + 0.5; n = 0\nwhile time.time() < end: n += 1\nprint(n)"

    def counted(number):
        command = [sys.executable, "-c", count]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(number)]  # noqa: S603 - our own
        return sum(int(process.communicate()[0]) for process in started)

    return counted(processes) / counted(1)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(folder, chosen.samples)
        digits, held_out = split(folder, chosen.samples)
        batches = augmented(digits, chosen.epochs, chosen.workers)
        print(batches.explain(), end="\n\n")
        show(batches.first()["image"][:4])

        test = held_out.map(plain).collect()
        accuracy = train(batches, digits.count() * chosen.epochs // BATCH, test)
        print(f"{accuracy:.1%} of {held_out.count()} digits that it never saw are told right")
        if chosen.workers:
            compare(digits, chosen.workers)


if __name__ == "__main__":
    main()
