"""What is to be reached, as data, and whether it was: the first table of a report. Pure: from results to text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.catalogue import WORKLOADS
from benchmarks.tables import Figures, Results, best_rival, number

BEST = "best peer"


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: a figure of Flazy's, by itself or beside another.

    Parameters
    ----------
    required, aim
        Where it should be, and where it would be well; None: nothing is said.
    against
        A peer, or `BEST`: the ratio to its figure counts. Nothing: the figure itself.
    beside
        The workload of the other figure, where it is another.
    of
        Whose figure it is, among the peers that are Flazy in one way or another.
    """

    about: str
    workload: str
    figure: str
    required: float | None
    aim: float | None = None
    against: str = ""
    beside: str = ""
    of: str = "flazy"
    higher_is_better: bool = True

    def reaches(self, value: float, wanted: float | None) -> bool:
        """Say whether a value is as good as what is wanted, if anything is."""
        return wanted is None or (value >= wanted if self.higher_is_better else value <= wanted)


def beats(workload: str, required: float, aim: float | None = None) -> Goal:
    """Be so many times as fast as the best peer."""
    return Goal(f"{workload}: × the best peer", workload, "rate", required, aim, BEST)


def stays_below(about: str, workload: str, figure: str, required: float, aim: float | None = None) -> Goal:
    """Take no more than that."""
    return Goal(about, workload, figure, required, aim, higher_is_better=False)


GOALS = (
    beats("tiny", 1.2, 1.5),
    beats("tiny_batch", 1.2, 1.5),
    beats("dict_small", 1.2, 2.0),
    beats("image", 1.8),
    beats("image_batch", 4.0),
    Goal("image_batch: × the plain loop", "image_batch", "rate", 1.0, against="serial"),
    *(
        Goal(f"image_batch: .{feed}() × the bare loop", "image_batch", "rate", required, against="flazy",
             of=f"flazy_{feed}")
        for feed, required in (("torch", 0.95), ("jax", 0.95), ("tensorflow", 0.8))
    ),
    Goal("image_batch: flazy.torch.loader × DataLoader", "image_batch", "rate", 1.0, against="torch",
         of="flazy_loader"),
    Goal("array_in_out: flazy.torch.loader × DataLoader", "array_in_out", "rate", 1.0, against="torch",
         of="flazy_loader"),
    beats("image_batch_copy", 3.5, 4.5),
    Goal("array_in_out: × PyTorch", "array_in_out", "rate", 1.4, against="torch"),
    Goal("array_in_out: × the plain loop", "array_in_out", "rate", None, 2.0, against="serial"),
    beats("cpu", 0.97),
    Goal("cpu: × the plain loop", "cpu", "rate", None, 1.9, against="serial"),
    stays_below("startup: second pass (ms)", "startup", "second_ms", 1.0, 0.3),
    stays_below("startup: another pipeline, warm (ms)", "startup", "warm_ms", 5.0, 1.0),
    stays_below("startup: cold (ms)", "startup", "cold_ms", 180.0, 110.0),
    Goal("startup: cold, 16 workers: × 2 workers", "startup_16", "cold_ms", 1.5, against="flazy", beside="startup",
         higher_is_better=False),
    stays_below("memory: arena in use (batches)", "memory", "arena_batches", 6.0, 4.0),
    stays_below("memory: growth of a worker (MB)", "memory", "growth_mb", 20.0, 10.0),
    stays_below("overlap: × the larger side", "overlap", "ratio", 1.05, 1.02),
    stays_below("big_closure: all processes (MB)", "big_closure", "total_mb", 700.0),
    Goal("chain: time × a hand-written generator", "chain", "ns", 1.3, 1.2, against="serial", higher_is_better=False),
)  # fmt: skip


def table(found: Results) -> list[str]:
    """Write one line for each goal of which anything was measured."""
    rows = [row(goal, found) for goal in GOALS if goal.of in found.get(goal.workload, {})]
    if not rows:
        return []
    heading = ["### What is to be reached", "", "| what | required | aim | measured | against | |"]
    return [*heading, "| --- | ---: | ---: | ---: | --- | --- |", *rows, ""]


def row(goal: Goal, found: Results) -> str:
    """Write one line."""
    other = rival(goal, found)
    value = measured(goal, other, found)
    wanted = ["" if limit is None else number(limit) for limit in (goal.required, goal.aim)]
    shown = "" if value is None else number(value)
    beside = f"{other}, {goal.beside}" if goal.beside else other or ""
    return f"| {' | '.join([goal.about, *wanted, shown, beside, verdict(goal, value)])} |"


def rival(goal: Goal, found: Results) -> str | None:
    """Name the peer whose figure counts; None where the figure stands by itself, or the peer was not measured."""
    peers: Mapping[str, Figures] = found.get(goal.beside or goal.workload, {})
    if goal.against == BEST:
        return best_rival(WORKLOADS[goal.workload], peers)
    return goal.against if goal.against in peers else None


def measured(goal: Goal, other: str | None, found: Results) -> float | None:
    """Give the figure, or its ratio to the other's; None where one of them is missing."""
    mine = found[goal.workload][goal.of].get(goal.figure)
    if mine is None or not goal.against:
        return mine.median if mine else None
    theirs = found[goal.beside or goal.workload].get(other or "", {}).get(goal.figure)
    return mine.median / theirs.median if theirs and theirs.median else None


def verdict(goal: Goal, value: float | None) -> str:
    """Say whether it was reached, in a word or two."""
    if value is None:
        return "not measured"
    if not goal.reaches(value, goal.required):
        return "**miss**"
    if goal.aim is not None and goal.reaches(value, goal.aim):
        return "hit, and the aim"
    return "hit" if goal.required is not None else "not yet"
