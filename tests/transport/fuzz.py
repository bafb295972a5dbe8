"""Frames that nobody made, read wherever frames are read: ``python -m tests.transport.fuzz --frames 1000000``.

One in a thousand is a whole stage, of which the workers spoil some messages (``hive.py``).  Each is made from the seed
and its number alone, so ``--first N --frames 1`` makes it again.  What must hold: a value, or `ProtocolError`; nothing
is unpickled where that is not allowed; memory and time are bounded by the size.  The reading runs in a child process,
so that a crash of the interpreter is found, too, and has a number.
"""

from __future__ import annotations

import argparse
import faulthandler
import mmap
import os
import pickle
import resource
import signal
import struct
import sys
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from types import SimpleNamespace

from flazy.errors import ProtocolError
from flazy.run.groups import grouped
from flazy.transport import codec
from flazy.transport.codec import decode, encode
from flazy.transport.layout import Layout
from flazy.transport.parts import opened, rows_checked
from flazy.transport.payload import Encoded
from flazy.transport.reading import sender, unpack, unpack_from_worker
from flazy.transport.wire import Result, pack
from tests.transport import hive
from tests.transport.messages import BATCHED, FROM_DRIVER, FROM_WORKER, PARTS
from tests.transport.mutations import grammatical, mutated
from tests.transport.same import same
from tests.transport.values import ARRAYS, MASKED, PICKLED, PLAIN

LARGEST_SEED = 60_000  # bytes: larger frames are not read otherwise, only longer
TRACED = 64  # one in so many is read with its memory watched, which takes three times as long
MOST_MEMORY = 200  # bytes at the peak for a byte that came; an empty list takes 56, and comes as one byte
SPARE_MEMORY = 2**20
STAGES = 1000  # one in so many is a stage
MOST_SECONDS = 2.0  # of processor time for a frame
BATCH = 4  # samples, for parts that go to a batch


class Executed(BaseException):
    """Something was about to be unpickled where that is not allowed; not an Exception, so that nothing wraps it."""


def _refused_pickle(*_args: object, **_kwargs: object) -> None:
    raise pickle.UnpicklingError("not in here")


def _found_pickle(*_args: object, **_kwargs: object) -> None:
    raise Executed


# Where frames are read ------------------------------------------------------------------------------------


def read_values(frames: list[bytes]) -> None:
    """Read values from where no pickle is allowed, and send on what came."""
    values = decode(frames, pickle=False)
    if sum(map(len, frames)) < 2000 and not same(values, decode(encode(values, pickle=False), pickle=False)):
        raise AssertionError("what was read is not what is read again")


def read_reply(frames: list[bytes]) -> None:
    """Do what the hub does with what a worker sent, as far as it needs nothing else."""
    message = unpack_from_worker(frames)
    assert sender(frames) == message.worker
    if isinstance(message, Result) and message.spec:
        assert Layout.of(message.spec, BATCH).nbytes >= 0


def read_part(frames: list[bytes]) -> None:
    """Do what the consumer does with a payload."""
    payload = Encoded(frames)
    _, stretches = opened(payload, sum_of(frames))
    for stretch in stretches:
        rows_checked(stretch)


def read_groups(frames: list[bytes]) -> None:
    """Do what a consumer does that makes batches."""
    _, stretches = opened(Encoded(frames), sum_of(frames))
    for group in grouped(((stretch, None) for stretch in stretches), BATCH):
        assert 0 < len(group) <= BATCH


def sum_of(frames: list[bytes]) -> int:
    """Give the outputs that a message would have said, were it right."""
    values = decode(frames)
    head, *rest = values or [None]
    skipped = len(head[2]) if isinstance(head, tuple) and len(head) == 3 and isinstance(head[2], list) else 0
    counts = [each[1] for each in rest if isinstance(each, tuple) and len(each) == 3]
    return skipped + sum(count for count in counts if type(count) is int)


READERS = {
    "values": read_values,
    "replies": read_reply,
    "orders": unpack,
    "parts": read_part,
    "groups": read_groups,
}
UNPICKLES = {"orders", "parts", "groups"}
WEIGHTS = (6, 3, 1, 1, 1)


@lru_cache(maxsize=1)
def seeds() -> dict[str, list[list[bytes]]]:
    """Give what encoders made, by where it is read."""
    zoo = [[value] for table in (PLAIN, ARRAYS, MASKED, PICKLED) for value in table.values()]
    values = [frames for frames in map(_encoded, zoo) if sum(map(len, frames)) < LARGEST_SEED]
    replies = [_bytes(pack(message)) for message in FROM_WORKER.values()]
    orders = [_bytes(pack(message)) for message in FROM_DRIVER.values()]
    parts, batched = [[_encoded(part) for part in table] for table in (PARTS, BATCHED)]
    return {"values": values, "replies": replies, "orders": orders, "parts": parts, "groups": batched}


def _encoded(values: list[object]) -> list[bytes]:
    return _bytes(encode(values))


def _bytes(frames: list[codec.Buffer]) -> list[bytes]:
    return [bytes(frame) for frame in frames]


# One frame ------------------------------------------------------------------------------------------------


class Failed(AssertionError):
    """A frame was not read as it should be; the message has all that is needed to read it again."""


@dataclass
class Tally:
    """What came of the frames so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    spoilt: int = 0  # messages of stages
    peak_ratio: float = 0.0
    slowest_s: float = 0.0

    def line(self) -> str:
        """Say it in a line."""
        read, refused = (sum(n for key, n in self.outcomes.items() if key.endswith(end)) for end in ("read", "refused"))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return (
            f"{read + refused:,} frames: {read:,} read, {refused:,} refused, {self.spoilt:,} in stages; at most "
            f"{self.peak_ratio:.0f} bytes a byte, {1e3 * self.slowest_s:.0f} ms a frame; resident {grown:.0f} MiB"
        )


def made(seed: int, number: int) -> tuple[str, list[bytes]]:
    """Make one message, and say where it is read."""
    rng = Random(f"{seed}/{number}")
    (name,) = rng.choices(list(READERS), WEIGHTS)
    if rng.random() < (0.2 if name == "values" else 0.05):
        return name, grammatical(rng)
    table = seeds()[name]
    return name, mutated(rng, rng.choice(table), rng.choice(table))


def read(name: str, frames: list[bytes], tally: Tally) -> None:
    """Read one message.

    Raises
    ------
    Exception
        Anything but what may be.
    """
    loads = _refused_pickle if name in UNPICKLES else _found_pickle
    codec.pickling = SimpleNamespace(loads=loads, PickleBuffer=pickle.PickleBuffer)
    started = time.thread_time()
    try:
        READERS[name](frames)
        tally.outcomes[f"{name} read"] += 1
    except ProtocolError:
        tally.outcomes[f"{name} refused"] += 1
    finally:
        codec.pickling = pickle
    took = time.thread_time() - started
    tally.slowest_s = max(tally.slowest_s, took)
    assert took < MOST_SECONDS, f"it took {took:.1f} s"


def read_traced(name: str, frames: list[bytes], tally: Tally) -> None:
    """Read one message, and see how much memory that takes."""
    tracemalloc.start()
    try:
        read(name, frames, tally)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(map(len, frames))
    if peak > SPARE_MEMORY:
        tally.peak_ratio = max(tally.peak_ratio, peak / size)
    assert peak < MOST_MEMORY * size + SPARE_MEMORY, f"{peak:,} bytes for {size:,}"


def run(seed: int, numbers: range, tally: Tally) -> None:
    """Make and read frames.

    Raises
    ------
    Failed
        One was not read as it should be.
    """
    for number in numbers:
        try:
            if number % STAGES == 0:
                tally.spoilt += hive.play(seed, number).spoilt
                continue
            name, frames = made(seed, number)
            (read if number % TRACED else read_traced)(name, frames, tally)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise Failed(describe(seed, number, f"{type(error).__name__}: {error}")) from error


def describe(seed: int, number: int, what: str) -> str:
    """Say which frame it was, and how to read it again."""
    name, frames = made(seed, number) if number % STAGES else ("a stage", [])
    shown = "\n".join(frame.hex() if len(frame) < 10_000 else f"{frame[:5000].hex()}…" for frame in frames)
    again = f"python -m tests.transport.fuzz --seed {seed} --first {number} --frames 1"
    return f"{what}\nread as {name}:\n{shown}\nagain: {again}"


# The command ----------------------------------------------------------------------------------------------


def in_child(seed: int, numbers: range, step: int) -> int:
    """Read frames in a child process; give its exit status, after saying which frame crashed it."""
    place = mmap.mmap(-1, 8)
    child = os.fork()
    if not child:
        faulthandler.enable()
        tally = Tally()
        try:
            for first in range(numbers.start, numbers.stop, step):
                for number in range(first, min(first + step, numbers.stop)):
                    place[:] = struct.pack("<Q", number)
                    run(seed, range(number, number + 1), tally)
                print(tally.line(), flush=True)
            print(dict(sorted(tally.outcomes.items())), flush=True)
        except Failed as error:
            print(error, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        (number,) = struct.unpack("<Q", place)
        print(describe(seed, number, f"the interpreter died of {signal.Signals(-status).name}"))
    return status


def main() -> int:
    """Read the command line, then frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    seeds()
    started = time.perf_counter()
    status = in_child(seed, range(options.first, options.first + options.frames), max(1, options.frames // 20))
    print(f"{time.perf_counter() - started:.0f} s")
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
