"""Train one PyTorch model in two processes, each on its part of digits that are distorted on the fly.

The data and its distortions are those of ``train_digits.py``; what is new is ``.shard()``: both ranks shuffle alike,
each takes every second digit of that order, and its own workers distort only those.  Here the ranks are two processes
on the CPU; under torchrun, or with a GPU for each, the pipeline is the same.

    python examples/torch_ddp.py
"""

import argparse
import tempfile
import warnings

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from train_digits import BATCH, SIDE, augment, plain, split, write_digits

RANKS = 2


def distorted(numbered, rng):
    number, sample = numbered
    return {**augment(sample, rng), "number": number}


def batches_of(digits, workers):
    return (
        digits
        .enumerate()  # to show below who had which
        .shuffle(seed=1)  # the same order in both ranks, another in every epoch
        .shard(equal="pad")  # equally many for each: a rank that had fewer batches would leave the other waiting
        .random_map(distorted, seed=2, workers=workers)
        .batch(BATCH // RANKS, None, drop_remainder=False)
        .torch()
    )  # fmt: skip


def network():
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE)),
        nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(10),
    )  # fmt: skip


def learn(model, optimizer, batches):
    """Train for an epoch; give the numbers of the digits that this rank was given, and the mean loss."""
    seen, losses = [], []
    for batch in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"])
        loss.backward()  # the gradients of both ranks become their mean
        optimizer.step()
        seen += batch["number"].tolist()
        losses.append(loss.item())
    return seen, sum(losses) / len(losses)


def report(epoch, seen, loss, total):
    """Gather what both ranks were given; let the first one say it."""
    everybody = [None] * RANKS
    distributed.all_gather_object(everybody, seen)
    if distributed.get_rank() == 0:
        lengths = " and ".join(str(len(one)) for one in everybody)
        print(f"epoch {epoch}: loss {loss:.2f}, ranks with {lengths} digits")
        together = {number for one in everybody for number in one}
        print(f"{len(together)} of {total} digits are in the ranks' parts together", flush=True)


def train(rank, folder, chosen):
    """Be one of the ranks."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=RANKS)
    digits, held_out = split(f"{folder}/digits", chosen.samples)
    total = digits.count()
    batches = batches_of(digits, chosen.workers)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Lazy modules")
        model = network()
    model(torch.zeros(1, SIDE, SIDE))  # the last layer takes its size from what comes
    both = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(both.parameters())
    for epoch in range(1, chosen.epochs + 1):
        seen, loss = learn(both, optimizer, batches)
        report(epoch, seen, loss, total)

    if rank == 0:
        test = next(iter(held_out.map(plain).batch(held_out.count()).torch()))
        with torch.no_grad():
            right = model(test["image"]).argmax(1) == test["label"]
        print(f"{right.float().mean():.1%} of {len(right)} digits that it never saw are told right")
    distributed.destroy_process_group()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--workers", type=int, default=1, help="of each rank")
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(f"{folder}/digits", chosen.samples)
        # Forked, which is quick; with GPUs it has to be "spawn".
        torch.multiprocessing.start_processes(train, (folder, chosen), nprocs=RANKS, start_method="fork")


if __name__ == "__main__":
    main()
