"""Two commits of Flazy at its own rows of the benchmark, taking turns.

    make compare BASE=HEAD~5                          # this tree against a commit, in about twelve minutes
    make compare BASE=v0.1.0 PAIRS=20 ROWS=tiny,cpu   # these rows, more often
    python -m benchmarks.compare HEAD~5 --other=HEAD  # two commits; without --other it is the tree as it is

A is the base, B the other. Each cell is a process of its own; pairs go A B, B A, A B, … so that what drifts meets
both. The benchmark's own code is this tree's for both sides; ``PYTHONPATH`` alone decides which Flazy it measures. A
ratio is B's rate over A's (of times, A's over B's): 1 is equal, above it B is faster. It says more than either rate,
since the two cells of a pair are a second apart. The interval is of order statistics, so nothing is assumed of how
ratios are spread.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import run, schedule
from benchmarks.catalogue import PEERS, WORKLOADS
from benchmarks.environment import ROOT
from benchmarks.tables import number

ENOUGH = 0.95
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one workload."""

    name: str
    workload: str
    figure: str
    heading: str
    higher_is_better: bool = True


def rows() -> dict[str, Row]:
    """Give every figure of speed that Flazy has in the benchmark; of memory there is none here."""
    found = []
    for name in PEERS["flazy"].workloads:
        measured = WORKLOADS[name]
        if "memory" in name or "closure" in name:
            continue
        columns = [column for column in measured.columns if name != "overlap" or column.figure == "total_s"]
        for column in columns:
            row = name if len(columns) == 1 else f"{name}/{column.figure.removesuffix('_ms')}"
            heading = "samples/s" if column.figure == "rate" else column.heading
            found.append(Row(row, name, column.figure, heading, measured.higher_is_better))
    return {row.name: row for row in found}


# Arithmetic -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pairs of one row say."""

    base: float
    other: float
    ratio: float
    low: float
    high: float
    pairs: int

    def word(self) -> str:
        """Say whether B keeps up: the median does, it does not, or the interval holds both."""
        if self.ratio >= ENOUGH:
            return f">= {ENOUGH}"
        return "slower" if self.high < ENOUGH else "inconclusive"


def judged(pairs: list[tuple[float, float]], *, higher_is_better: bool) -> Verdict:
    """Give medians, the median of the ratios as one of rates, and an interval for it."""
    ratios = [other / base if higher_is_better else base / other for base, other in pairs]
    base, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Verdict(base, other, statistics.median(ratios), *interval(ratios), len(ratios))


def interval(values: list[float]) -> tuple[float, float]:
    """Give an interval that holds the median of what is drawn from, at least 95 times of 100.

    Each value is above that median as a coin falls, so how many are below it has a binomial distribution, and two
    values in order bound it [1]_. With fewer than six values no two do: then the interval is all there is.

    .. [1] H. A. David, H. N. Nagaraja, Order Statistics, 3rd edition, 2003, section 7.1.
    """
    ordered, count = sorted(values), len(values)
    tail, rank = 0.0, 0
    while rank < count // 2:
        tail += math.comb(count, rank) / 2**count
        if 2 * tail > 1 - CONFIDENCE:
            break
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else (0.0, math.inf)


def turns(pairs: int) -> Iterator[tuple[int, str]]:
    """Give the order of the sides: A B, B A, A B and so on."""
    for pair in range(pairs):
        for side in ("AB" if pair % 2 == 0 else "BA"):
            yield pair, side


def line(row: Row, verdict: Verdict | None) -> str:
    """Write one row of the table."""
    if verdict is None:
        return f"{row.name:22} failed"
    span = f"{verdict.low:.2f} – {verdict.high:.2f}" if verdict.high < math.inf else "too few pairs"
    sides = f"{number(verdict.base):>12}{number(verdict.other):>12}"
    return f"{row.name:22}{sides}  {verdict.ratio:6.3f}  {span:15} {verdict.word():13} {row.heading}"


HEADING = f"{'row':22}{'A':>12}{'B':>12}  {'B / A':>6}  {'95 % interval':15} {'verdict':13} of"


# Measuring --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check a commit out beside this tree, and take it away again."""
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*arguments: str) -> str:
    """Run git here; what it says goes into the error."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def linked(folder: Path, tree: Path) -> Path:
    """Make a folder of links in which Python finds one tree's Flazy and this tree's benchmark.

    It is compiled and imported once: the first cell is to pay for nothing, and to measure what it is thought to.
    """
    folder.mkdir()
    (folder / "flazy").symlink_to(tree / "flazy", target_is_directory=True)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks", target_is_directory=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder / "flazy")], check=True)
    command = [sys.executable, "-c", "import flazy; print(flazy.__file__)"]
    here = os.environ | {"PYTHONPATH": str(folder)}
    found = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, check=True).stdout.strip()
    if found != str(folder / "flazy" / "__init__.py"):
        raise SystemExit(f"Python finds {found}, not the Flazy of {tree}")
    return folder


Figures = Mapping[tuple[str, int, str], Mapping[str, float]]  # by workload, pair and side


def measure(workloads: list[str], pairs: int, seconds: float, sides: Mapping[str, Path]) -> dict[Any, Any]:
    """Run all cells: in each round every workload has its pair."""
    cells = [(name, pair, side) for pair, side in turns(pairs) for name in workloads]
    cells.sort(key=lambda one: (one[1], workloads.index(one[0])))  # stable: the sides stay in the order of their turn
    found = {}
    with tqdm(cells, unit="cell") as bar:
        for name, pair, side in bar:
            bar.set_description(f"{name} {side}")
            record = run.measure(schedule.Cell("flazy", name, pair), seconds, Path(sys.executable), sides[side])
            if "error" in record:
                bar.write(f"{name} {side}: {record['error']}", file=sys.stderr)
            else:
                found[name, pair, side] = record["figures"]
    return found


def pairs_of(row: Row, found: Figures, pairs: int) -> list[tuple[float, float]]:
    """Give a row's figure from all pairs of which both sides were measured."""
    both = [(found.get((row.workload, pair, "A")), found.get((row.workload, pair, "B"))) for pair in range(pairs)]
    return [(a[row.figure], b[row.figure]) for a, b in both if a and b and row.figure in a and row.figure in b]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="A: a commit")
    parser.add_argument("--other", default="", help="B: another one (this tree as it is)")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="a streaming cell measures, beyond its start (1)")
    parser.add_argument("--rows", default="", help="workloads with commas (all)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and takes the trees away
    wanted = list(dict.fromkeys(row.workload for row in rows().values()))
    workloads = schedule.chosen(given.rows, wanted, "row")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-")))
        trees = {"A": stack.enter_context(checked_out(given.base))}
        trees["B"] = stack.enter_context(checked_out(given.other)) if given.other else ROOT
        sides = {side: linked(folder / side, tree) for side, tree in trees.items()}
        other = git("log", "-1", "--format=%h %s", given.other) if given.other else f"the tree in {ROOT}"
        print(f"A is {git('log', '-1', '--format=%h %s', given.base)}\nB is {other}", flush=True)
        found = measure(workloads, given.pairs, given.seconds, sides)
    print(HEADING)
    for row in rows().values():
        if row.workload in workloads:
            pairs = pairs_of(row, found, given.pairs)
            print(line(row, judged(pairs, higher_is_better=row.higher_is_better) if pairs else None))


if __name__ == "__main__":
    main()
