"""Train a convolutional network in PyTorch on digits that are distorted on the fly, by worker processes.

The data and its distortions are those of ``train_digits.py``; what is new is ``.torch()`` at the end.

    python examples/torch_digits.py
    python examples/torch_digits.py --device cuda
"""

import argparse
import tempfile

import torch
from torch import nn
from train_digits import BATCH, augment, plain, split, write_digits


def network():
    return nn.Sequential(
        nn.Unflatten(1, (1, -1)),
        nn.Conv2d(1, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(10),
    )


def train(model, batches, epochs):
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(epochs):
        losses = []
        for batch in batches:
            loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        print(f"epoch {epoch + 1}: loss {torch.stack(losses).mean():.3f}")


def right(model, batches):
    """Give the share of digits that are told right."""
    with torch.no_grad():
        found = [model(batch["image"]).argmax(1) == batch["label"] for batch in batches]
    return torch.cat(found).float().mean().item()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    options.add_argument("--device", default="cpu")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(folder, chosen.samples)
        digits, held_out = split(folder, chosen.samples)
        batches = digits.shuffle().random_map(augment, workers=chosen.workers).batch(BATCH).torch(chosen.device)
        test = held_out.map(plain).batch(BATCH, drop_remainder=False).torch(chosen.device)

        model = network().to(chosen.device)
        model(next(iter(test))["image"])  # its last layer takes its size from what it sees first
        train(model, batches, chosen.epochs)
        print(f"{right(model, test):.1%} of {held_out.count()} digits that it never saw are told right")


if __name__ == "__main__":
    main()
