"""The picture: one row a workload, one dot a peer, by how much it is better or worse than the best peer.

Usage: ``python -m benchmarks.plot benchmarks/results/all.jsonl docs/performance.png``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks import tables
from benchmarks.catalogue import PEERS, START, WORKLOADS, Column, Measured
from benchmarks.goals import BEST, GOALS
from benchmarks.tables import Results, Spread

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

OURS, THEIRS, LOOP, OTHERS, WANTED = "#d9480f", "#4c6ef5", "#212529", "#adb5bd", "#2b8a3e"
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MARKS = {"flazy": ("D", OURS, 95), "serial": ("o", "white", 44)}  # the others are small dots


def ratios(measured: Measured, column: Column, found: Results) -> tuple[str, dict[str, Spread]] | None:
    """Name the best peer at one figure, and give all peers by how many times they are better than it."""
    peers = {peer: figures for peer, figures in found[measured.name].items() if column.figure in figures}
    rivals = {peer: figures[column.figure].median for peer, figures in peers.items() if PEERS[peer].rival}
    if not rivals:
        return None
    pick = max if measured.higher_is_better else min
    best = pick(rivals, key=lambda peer: rivals[peer])
    return best, {peer: against(figures[column.figure], rivals[best], measured) for peer, figures in peers.items()}


def against(spread: Spread, best: float, measured: Measured) -> Spread:
    """Give how many times as good a figure is as the best peer's."""
    values = [max(value, 1e-9) for value in (spread.median, spread.low, spread.high)]
    median, low, high = [value / best if measured.higher_is_better else best / value for value in values]
    return Spread(median, min(low, high), max(low, high), spread.runs)


def rows(found: Results) -> list[tuple[str, str, dict[str, Spread]]]:
    """Give (what, best peer, peers) for each line of the picture, in the order of the catalogue."""
    made = []
    for name, measured in WORKLOADS.items():
        if name not in found or not measured.columns:
            continue
        for column in measured.columns if measured.columns is START else measured.columns[:1]:
            label = f"{name}, {column.heading.removesuffix(' (ms)')}" if measured.columns is START else name
            if (line := ratios(measured, column, found)) is not None:
                made.append((label, *line))
    return made


def draw(axes: Any, height: int, label: str, best: str, peers: dict[str, Spread]) -> None:
    """Draw one row: the others small, the loop hollow, Flazy last and large, with its ratio."""
    for peer, spread in sorted(peers.items(), key=lambda item: item[0] == "flazy"):
        marker, color, size = MARKS.get(peer, ("o", THEIRS if PEERS[peer].rival else OTHERS, 26))
        edge = LOOP if peer == "serial" else "white"
        axes.scatter(spread.median, height, size, color, marker=marker, edgecolors=edge, linewidths=0.9, zorder=3)
    if (ours := peers.get("flazy")) is not None:
        axes.plot([ours.low, ours.high], [height, height], color=OURS, lw=2.2, alpha=0.45, zorder=2)
        axes.annotate(
            f"{tables.number(ours.median)} ×", (ours.median, height), (0, 8), textcoords="offset points",
            ha="center", fontsize=9, fontweight="bold", color=OURS,
        )  # fmt: skip
    axes.annotate(best, (1, height), (0, -14), textcoords="offset points", ha="center", fontsize=7.5, color=THEIRS)
    for goal in GOALS:
        if goal.workload == label and goal.against == BEST and goal.required:
            axes.plot(goal.required, height, "|", color=WANTED, ms=17, mew=2, zorder=1)


def picture(records: list[dict[str, Any]], path: Path) -> None:
    """Draw all workloads at which there is a peer to be compared with."""
    lines = rows(tables.results(records))
    figure, axes = plt.subplots(figsize=(10.5, 1.6 + 0.56 * len(lines)), layout="constrained")
    axes.set_xscale("log")
    axes.axvline(1, color=THEIRS, lw=1, alpha=0.6, zorder=0)
    for height, line in enumerate(lines):
        draw(axes, height, *line)
    axes.set_yticks(range(len(lines)), [label for label, _, _ in lines], fontsize=10)
    axes.set_ylim(len(lines) - 0.4, -0.7)
    low, high = axes.get_xlim()
    axes.set_xticks(shown := [tick for tick in TICKS if low <= tick <= high], [f"{tick:g} ×" for tick in shown])
    axes.minorticks_off()
    axes.grid(axis="x", color="#e9ecef", zorder=0)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("How many times as good as the best other library that works in processes", loc="left", fontsize=12)
    axes.set_xlabel("further to the right is better; speed, or the inverse of time and memory", fontsize=9)
    axes.legend(handles=legend(), loc="upper center", bbox_to_anchor=(0.45, -0.09 * 17 / (len(lines) + 4)), ncols=5,
                frameon=False, fontsize=9)  # fmt: skip
    figure.savefig(path, dpi=110)


def legend() -> list[Line2D]:
    """Say what the marks are."""

    def mark(label: str, marker: str, color: str, **more: Any) -> Line2D:
        return Line2D([], [], ls="", marker=marker, color=color, label=label, **more)

    return [
        mark("Flazy (line: lowest to highest)", "D", OURS, ms=8),
        mark("peers in processes", "o", THEIRS, ms=5),
        mark("other peers", "o", OTHERS, ms=5),
        mark("a plain loop", "o", LOOP, ms=6, mfc="white"),
        mark("what Flazy is to reach", "|", WANTED, ms=12, mew=2),
    ]


if __name__ == "__main__":
    results, target = map(Path, sys.argv[1:])
    picture(list(map(json.loads, results.read_text().splitlines()[1:])), target)
