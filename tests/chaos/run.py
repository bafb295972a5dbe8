"""Every kind of chaos, each compared with the run without workers; about ten minutes.

    make chaos                                                    # all of it
    make chaos SEED=7
    python -m tests.chaos.run --seed 7 --only images --seconds 60

Each kind has a seed of its own, from which pipelines and faults follow; a kind that fails says with which command it
is run again.  The parts that are programs of their own are run last; the longest of them only if one is asked for.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import flazy
from tests.chaos.machines import MACHINES
from tests.chaos.scenarios import SCENARIOS as HERE
from tests.chaos.scenarios import Fire

COLUMNS = (
    "samples", "pipelines", "kill", "stop", "stop_long", "kill_zygote", "stop_zygote", "lost", "sent again", "dropped",
    "left out",
)  # fmt: skip
HEADS = (
    "samples", "pipelines", "kills", "short stops", "long stops", "zygotes killed", "zygotes stopped", "workers lost",
    "sent again", "dropped", "left out",
)  # fmt: skip
SCENARIOS = HERE | MACHINES
SHARES = {"random": 6.0, "machines": 2.0, "deadly": 1.5, "deadly flatmap": 1.5}  # of the time; 1 where nothing is said
ROOT = Path(__file__).parent.parent.parent
SECONDS = 180.0  # of all scenarios together
POINTS = "all fault points"
PROGRAMS: dict[str, list[str]] = {
    POINTS: ["pytest", "-q", "-p", "no:cacheprovider", "tests/chaos/test_points.py"],
    "throughput under fire": ["tests.chaos.throughput", "--seconds", "20"],
    "growth": ["tests.chaos.growth", "--seconds", "45"],
    "trainer killed": ["tests.chaos.killed_trainer", "--times", "200", "--seed", "{seed}"],
    "resources tiny": ["tests.chaos.resources", "tiny"],
    "resources cycles": ["tests.chaos.resources", "cycles", "2000"],
    "frames": ["tests.transport.fuzz", "--frames", "1000000", "--seed", "{seed}"],
}


LONG: dict[str, list[str]] = {  # only if it is asked for
    "resources cycles, all": ["tests.chaos.resources", "cycles"],
    "resources large": ["tests.chaos.resources", "large"],
    "throughput under fire, long": ["tests.chaos.throughput"],
}


@dataclass
class Row:
    """A line of the table."""

    name: str
    seed: int
    seconds: float = 0.0
    figures: Counter[str] = field(default_factory=Counter)
    failure: str = ""


def scenario(name: str, seed: int, seconds: float) -> Row:
    """Run one kind, here."""
    row = Row(name, seed)
    function, mix = SCENARIOS[name]
    started = time.monotonic()
    try:
        with Fire(seed, mix, seconds) as fire:
            function(fire)
    except Exception:
        row.failure = traceback.format_exc()
    finally:
        flazy.shutdown()
    row.figures.update(fire.figures)
    row.seconds = time.monotonic() - started
    return row


def program(name: str, seed: int) -> Row:
    """Run one part that is a program, which shows what it does itself."""
    row = Row(name, seed)
    arguments = [argument.format(seed=seed) for argument in (PROGRAMS | LONG)[name]]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *arguments], check=False, env=os.environ | {"FLAZY_CHAOS": "all"}, cwd=ROOT
    )
    row.seconds = time.monotonic() - started
    row.failure = f"it ended with {done.returncode}" if done.returncode else ""
    return row


def again(row: Row) -> str:
    """Spell the command that runs a row again."""
    return f"python -m tests.chaos.run --seed {row.seed} --only {row.name!r}"


def table(rows: list[Row]) -> str:
    """Set the figures of all that ran in columns."""
    cells = [["", "seconds", *HEADS, "seed", ""]]
    for row in rows:
        figures = [f"{row.figures[column]:,}" if column in row.figures else "" for column in COLUMNS]
        cells.append([row.name, f"{row.seconds:.0f}", *figures, str(row.seed), "FAILED" if row.failure else "exact"])
    total = sum((row.figures for row in rows), Counter())
    cells.append(["all", f"{sum(row.seconds for row in rows):.0f}", *(f"{total[name]:,}" for name in COLUMNS), "", ""])
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="drawn anew unless told")
    parser.add_argument("--only", choices=[*SCENARIOS, *PROGRAMS, *LONG], help="one kind")
    parser.add_argument("--seconds", type=float, help=f"of all scenarios together ({SECONDS:.0f} unless told)")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    names = [given.only] if given.only else [*SCENARIOS, *PROGRAMS]
    shares = {name: SHARES.get(name, 1.0) for name in names if name in SCENARIOS}
    logging.getLogger("flazy").setLevel(logging.ERROR)  # that workers die is no news here
    warnings.simplefilter("ignore", flazy.errors.SkippedSamples)
    rows: list[Row] = []
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}, seed {seed} ...", end="", flush=True)
        if name in SCENARIOS:
            rows.append(scenario(name, seed, (given.seconds or SECONDS) * shares[name] / sum(shares.values())))
        else:
            print()
            rows.append(program(name, seed))
        row = rows[-1]
        print(f" {'FAILED' if row.failure else 'exact'} after {row.seconds:.0f} s", flush=True)
        if row.failure:
            print(f"{row.failure}\nto run it again: {again(row)}", flush=True)
    print(f"\n{table(rows)}")
    failed = [row for row in rows if row.failure]
    print("\n".join(f"failed: {row.name}; to run it again: {again(row)}" for row in failed) or "all of it exact")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
