"""Kill a program at random moments of its life, many times; nothing of it may be left within three seconds.

``python -m tests.chaos.killed_trainer --times 200 --seed 1`` prints its seed; ``--seed N --only K`` replays one round.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

from flazy.workers import folder, room
from tests.parallel.scripts import Program, alive, remains

WITHIN_SECONDS = 3.0

# It says where it is.  Its functions start what outlives them, or a pipeline that does, or make large results, or are
# slow, so that workers are busy when they are to end.
LIFE = """
print("importing", flush=True)
import itertools, multiprocessing, os, subprocess, sys, threading, time
from multiprocessing.shared_memory import SharedMemory
import flazy
from flazy import Dataset, Processes

kept = []

def parent(x):
    if not kept:
        kept.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        kept.append(SharedMemory(f"flazy-chaos-{os.getpid()}", create=True, size=100))  # a resource tracker removes it
        kept.append(multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)))
        kept[-1].start()
        kept.append(threading.Thread(target=time.sleep, args=(600,), daemon=True))
        kept[-1].start()
    return x

def inner(x):
    return sum(Dataset(range(3)).map(parent, workers=1))

def large(x):
    return bytearray(300_000)

def nap(x):
    time.sleep(0.1)
    return x

for turn in itertools.count():
    for function in (parent, inner, large, nap):
        print("starting", flush=True)
        run = Dataset(itertools.count).map(function, workers=2).open()
        print("waiting", flush=True)
        next(run)
        print("streaming", flush=True)
        until = time.monotonic() + 0.1
        for x in run:
            if time.monotonic() > until: break
        print("closing", flush=True)
        run.close()
        print("idle", flush=True)
        time.sleep(0.05)
    print("ending", flush=True)
    flazy.shutdown()
"""


def main() -> int:
    """Run; the exit code says whether anything was left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", type=int, help="replay this round alone")
    given = parser.parse_args()
    rounds = range(given.times) if given.only is None else [given.only]
    print(f"seed {given.seed}, {len(rounds)} times", flush=True)
    places, seconds, swept, failures = collections.Counter[str](), [0.0], 0, 0
    for number in rounds:
        where, took, left, files = killed(random.Random(f"{given.seed} {number}"))
        places[where] += 1
        seconds.append(took)
        swept += files
        for one in left:
            failures += 1
            print(f"\nround {number} ({where}): {one}", flush=True)
        print(f"\r{number + 1} killed, {failures} left, slowest {max(seconds):.2f} s", end="", flush=True)
    where_killed = ", ".join(f"{count} {place}" for place, count in places.most_common())
    print(f"\n{where_killed}; {swept} folders left to the next start; {failures} things left")
    return failures > 0


def killed(chance: random.Random) -> tuple[str, float, list[str], int]:
    """Run a program and kill it: where it was, seconds until nothing ran, what was left, folders that were swept."""
    own = Path(tempfile.mkdtemp(prefix="chaos-"))
    delay = chance.choice([1.0, 2.0, 4.0]) * chance.random()
    try:
        with Program(own, LIFE) as program:
            threading.Event().wait(delay)
            started = time.monotonic()
            _code, out, _err, _seconds = program.signal(signal.SIGKILL)
            left = [one for one in remains(own, WITHIN_SECONDS) if not one.startswith(room.PREFIX)]
            took = time.monotonic() - started
        before = names(own, room.PREFIX)
        with mock.patch.dict(os.environ, TMPDIR=str(own)):
            folder.sweep()
        left += names(own, room.PREFIX)
        left += names(Path("/dev/shm"), "flazy-chaos")
        return (out.split() or ["not there"])[-1], took, left, len(before)
    finally:
        for path in Path("/dev/shm").glob("flazy-chaos-*"):
            path.unlink()
        for process in alive(own):
            process.kill()
        shutil.rmtree(own, ignore_errors=True)


def names(place: Path, prefix: str = "") -> list[str]:
    """List a folder."""
    return [path.name for path in place.iterdir() if path.name.startswith(prefix)]


if __name__ == "__main__":
    sys.exit(main())
