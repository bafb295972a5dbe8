"""Train a convolutional network with Lightning on digits that are distorted on the fly, by worker processes.

The data and its distortions are those of ``train_digits.py``, the network is that of ``torch_digits.py``; Lightning's
trainer takes ``.torch()`` as it is.

    python examples/lightning_digits.py
"""

import argparse
import logging
import tempfile
import warnings

import lightning
import torch
from torch import nn
from torch_digits import network
from train_digits import BATCH, augment, plain, split, write_digits

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # silence its notes about the machine
warnings.filterwarnings("ignore", ".*does not have many workers")  # Flazy's are not DataLoader's
warnings.filterwarnings("ignore", category=FutureWarning, module="lightning")  # between Lightning and PyTorch


class Digits(lightning.LightningModule):
    """The network, as Lightning trains it."""

    def __init__(self):
        super().__init__()
        self.network = network()
        self.network(torch.zeros(1, 32, 32))  # its last layer takes its size from what it sees first
        self.right = []

    def training_step(self, batch, number):
        return nn.functional.cross_entropy(self.network(batch["image"]), batch["label"])

    def validation_step(self, batch, number):
        self.right += (self.network(batch["image"]).argmax(1) == batch["label"]).tolist()

    def on_validation_epoch_start(self):
        self.right = []

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(folder, chosen.samples)
        digits, held_out = split(folder, chosen.samples)
        training = digits.shuffle().random_map(augment, workers=chosen.workers).batch(BATCH).torch()
        test = held_out.map(plain).batch(BATCH, drop_remainder=False).torch()

        model = Digits()
        trainer = lightning.Trainer(
            max_epochs=chosen.epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(model, training, test)
        accuracy = sum(model.right) / len(model.right)
        print(f"{accuracy:.1%} of {held_out.count()} digits that it never saw are told right")


if __name__ == "__main__":
    main()
