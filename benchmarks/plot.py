"""The picture: one small chart a workload, medians as bars, lowest and highest as whiskers.

Usage: ``python -m benchmarks.plot benchmarks/results/all.jsonl docs/performance.png``
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks import tables
from benchmarks.catalogue import PEERS, WORKLOADS, Measured

mpl.use("Agg")

import matplotlib.pyplot as plt

COLUMNS = 3
OURS, REFERENCE, THEIRS = "#d9480f", "#adb5bd", "#4c6ef5"


def draw(axes: Any, measured: Measured, peers: dict[str, tables.Figures]) -> None:
    """Draw one workload."""
    column = measured.columns[0]
    ranked = sorted(peers, key=lambda peer: peers[peer][column.figure].median, reverse=not measured.higher_is_better)
    spreads = [peers[peer][column.figure] for peer in ranked]
    medians = [found.median for found in spreads]
    whiskers = [[found.median - found.low for found in spreads], [found.high - found.median for found in spreads]]
    colors = [OURS if peer == "flazy" else THEIRS if PEERS[peer].rival else REFERENCE for peer in ranked]
    axes.barh(ranked, medians, xerr=whiskers, color=colors, ecolor="#343a40", error_kw={"lw": 0.8, "capsize": 2})
    if min(medians) > 0 and max(medians) > 50 * min(medians):
        axes.set_xscale("log")
    axes.set_title(measured.name, fontsize=10, loc="left")
    better = "more" if measured.higher_is_better else "less"
    axes.set_xlabel(f"{column.heading}; {better} is better", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def picture(records: list[dict[str, Any]], path: Path) -> None:
    """Draw all workloads that have figures."""
    found = tables.results(records)
    names = [name for name, measured in WORKLOADS.items() if name in found and measured.columns]
    rows = math.ceil(len(names) / COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(12, 2.6 * rows), squeeze=False, layout="constrained")
    for axes, name in zip(grid.flat, names, strict=False):
        draw(axes, WORKLOADS[name], found[name])
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    results, target = map(Path, sys.argv[1:])
    picture(list(map(json.loads, results.read_text().splitlines()[1:])), target)
