"""Read TFRecord files of tf.train.Example: Flazy's reader against tf.data, one reader each, from the page cache.

    python benchmarks/tfrecord.py
    python benchmarks/tfrecord.py --rounds 11 --floats 64000 10 --megabytes 200

Each file holds records of one float list and one label.  Readers take turns, each round starts with another; medians
are printed, and how many times faster than tf.data's record-by-record parsing each one is.

    flazy           read_tfrecord
    flazy, walk     the same without the memory of layouts: what records of ever new shape cost
    tf              TFRecordDataset, map(parse_single_example), iterated without .numpy()
    tf, batches     TFRecordDataset, batch(1000), map(parse_example), by batches: what tf can do for small records
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from flazy.readers.example import decode
from flazy.readers.tfrecord import read_records, read_tfrecord
from flazy.writers.tfrecord import write_tfrecord


def make(path: Path, floats: int, megabytes: int) -> int:
    """Write one file and give its number of records."""
    rng = np.random.default_rng(0)
    records = min(max(1, megabytes * 1_000_000 // (4 * floats + 60)), 50_000)
    pool = [rng.normal(size=floats).astype(np.float32) for _ in range(10)]
    write_tfrecord(({"audio": pool[i % 10], "pitch": i % 100} for i in range(records)), path)
    return records


def count(samples: Iterator[object]) -> int:
    return sum(1 for _ in samples)


def flazy_readers(path: str) -> dict[str, Callable[[], int]]:
    return {
        "flazy": lambda: count(read_tfrecord(path)),
        "flazy, walk": lambda: count(decode(record) for record in read_records(path)),
    }


def tensorflow_readers(path: str, floats: int) -> dict[str, Callable[[], int]]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        tf = importlib.import_module("tensorflow")
    except ImportError as error:
        print(f"tf is left out: {error}")
        return {}
    features = {"audio": tf.io.FixedLenFeature([floats], tf.float32), "pitch": tf.io.FixedLenFeature([1], tf.int64)}
    records = tf.data.TFRecordDataset(path)
    single = records.map(lambda record: tf.io.parse_single_example(record, features))
    readers = {"tf": lambda: count(iter(single))}
    if floats <= 1000:
        batches = records.batch(1000).map(lambda batch: tf.io.parse_example(batch, features))
        readers["tf, batches"] = lambda: sum(len(batch["pitch"]) for batch in batches)
    return readers


def measure(readers: dict[str, Callable[[], int]], rounds: int, records: int) -> dict[str, float]:
    """Give the median of the seconds each reader takes."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    names = list(readers)
    for turn in range(rounds + 1):
        shift = turn % len(names)
        for name in itertools.chain(names[shift:], names[:shift]):
            start = time.perf_counter()
            found = readers[name]()
            seconds[name].append(time.perf_counter() - start)
            if found != records:
                raise SystemExit(f"{name} read {found} of {records} records")
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}  # the first round warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--floats", type=int, nargs="+", default=[64_000, 10], help="sizes of records (64000 10)")
    parser.add_argument("--megabytes", type=int, default=100, help="size of a file, of at most 50,000 records (100)")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds (7)")
    arguments = parser.parse_args()
    for floats in arguments.floats:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.tfrecord"
            records = make(path, floats, arguments.megabytes)
            megabytes = path.stat().st_size / 1e6
            print(f"{records} records of {floats} floats, {megabytes:.0f} MB, median of {arguments.rounds}")
            readers = {**flazy_readers(str(path)), **tensorflow_readers(str(path), floats)}
            medians = measure(readers, arguments.rounds, records)
        for name, seconds in medians.items():
            ratio = f"{medians['tf'] / seconds:6.2f} x tf" if "tf" in medians else ""
            print(f"  {name:12} {records / seconds:10,.0f} records/s {megabytes / seconds:8,.0f} MB/s {ratio}")


if __name__ == "__main__":
    main()
