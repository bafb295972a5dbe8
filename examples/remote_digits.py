"""Train on digits that are distorted by workers of other machines, one of which is killed while another one joins.

The data, its distortions and the network are those of ``train_digits.py``; what is new is ``workers=Remote(…)``.  The
other machines are played by ``flazy-worker`` processes on this one, each in a folder of its own, where it does not find
``train_digits.py``: the functions are sent to it.  In the middle of the training the first one is killed, and a third
one joins.  Then the same pipeline runs without workers, and every batch is compared.

    python examples/remote_digits.py
    python examples/remote_digits.py --undisturbed --processes 2
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy's own threads take the cores from the workers

from train_digits import BATCH, SIDE, Network, augmented, plain, split, write_digits

import flazy
from flazy import Remote


class Machine:
    """Another machine, on which ``flazy-worker`` runs."""

    def __init__(self, name, join_file, processes):
        self.name = name
        self.folder = tempfile.TemporaryDirectory(prefix=f"flazy-{name}-")
        self.log = Path(self.folder.name) / "log"
        options = ["--join-file", join_file, "--processes", str(processes), "--name", name]
        with self.log.open("w") as log:
            self.worker = subprocess.Popen(  # noqa: S603 - it is what the command flazy-worker runs
                [sys.executable, "-m", "flazy.remote.cli", *options], cwd=self.folder.name, stderr=log
            )

    def end(self):
        """Wait for the worker to end, as it does with its trainer; say how."""
        try:
            code = self.worker.wait(timeout=15)
        except subprocess.TimeoutExpired:  # it has never found the trainer, if that failed early
            self.worker.kill()
            code = self.worker.wait()
        said = self.log.read_text().strip().splitlines() or ["nothing"]
        self.folder.cleanup()
        return f"the {self.name} worker ended with {code}; it said last: {said[-1]}"


def checksum(batch):
    return zlib.crc32(batch["label"].tobytes(), zlib.crc32(batch["image"].tobytes()))


def train(batches, after_two):
    """Train on the batches; give the network, and a checksum of each batch."""
    network, sums = Network(SIDE * SIDE, 128, 64, 10), []
    for batch in batches:
        network.learn(batch["image"], batch["label"])
        sums.append(checksum(batch))
        if len(sums) == 2:
            after_two()
    return network, sums


def train_with_machines(pipeline, join_file, chosen):
    """Train while machines come and go."""
    machines = [Machine(name, join_file, chosen.processes) for name in ("first", "second")]  # they wait for the file

    def disturb():
        if not chosen.undisturbed:
            machines[0].worker.kill()
            machines.append(Machine("third", join_file, chosen.processes))
            print("after two batches the first worker is killed, and a third one joins")

    # On a real network it is tcp://0.0.0.0:5555.  The window is small, so that there is work left after two batches.
    batches = pipeline(Remote("tcp://127.0.0.1:0", join_file=join_file, window=2 * BATCH))
    print(batches.explain(), end="\n\n")
    try:
        return train(batches, disturb)
    finally:
        flazy.shutdown()  # as at the end of the program
        for machine in machines:
            print(machine.end())


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--samples", type=int, default=1797, help="how many of the digits to use, at least 100")
    options.add_argument("--processes", type=int, default=1, help="of each worker")
    options.add_argument("--undisturbed", action="store_true", help="kill nobody")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-digits-") as folder:
        write_digits(f"{folder}/digits", chosen.samples)
        digits, held_out = split(f"{folder}/digits", chosen.samples)

        def pipeline(workers):
            return augmented(digits, chosen.epochs, workers)

        network, sums = train_with_machines(pipeline, f"{folder}/join", chosen)
        serial = [checksum(batch) for batch in pipeline(0)]
        test = held_out.map(plain).collect()

    same = sum(map(int.__eq__, sums, serial))
    print(f"{same} of {len(serial)} batches are the same as without workers")
    print(f"{network.accuracy(test):.1%} of {len(test['label'])} digits that it never saw are told right")
    if sums != serial:
        sys.exit("the stream differs from the one that is made without workers")


if __name__ == "__main__":
    main()
