"""Medians and tables. Pure: from records to text."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.catalogue import PEERS, WORKLOADS, Column, Measured

BEGIN, END = "<!-- results -->", "<!-- end of results -->"


@dataclass(frozen=True, slots=True)
class Spread:
    """What the rounds gave for one figure."""

    median: float
    low: float
    high: float
    runs: int


Figures = dict[str, Spread]
Results = dict[str, dict[str, Figures]]  # by workload, by peer


def spread(values: list[float], factor: float = 1.0) -> Spread:
    scaled = [value * factor for value in values]
    return Spread(statistics.median(scaled), min(scaled), max(scaled), len(scaled))


def results(records: Iterable[Mapping[str, Any]]) -> Results:
    """Gather the figures of all rounds, in the units of the tables."""
    gathered: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for record in records:
        for figure, value in record.get("figures", {}).items():
            gathered[record["workload"], record["peer"], figure].append(value)
    found: Results = defaultdict(lambda: defaultdict(dict))
    for (workload, peer, figure), values in gathered.items():
        factors = {column.figure: column.factor for column in WORKLOADS[workload].columns}
        found[workload][peer][figure] = spread(values, factors.get(figure, 1.0))
    return {workload: dict(peers) for workload, peers in found.items()}


def failures(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Give, by workload and peer, the last error of those that never gave a figure."""
    errors: dict[str, dict[str, str]] = defaultdict(dict)
    good = set()
    for record in records:
        if "figures" in record:
            good.add((record["workload"], record["peer"]))
        else:
            errors[record["workload"]][record["peer"]] = record["error"]
    return {
        workload: {peer: error for peer, error in peers.items() if (workload, peer) not in good}
        for workload, peers in errors.items()
    }


def best_rival(measured: Measured, peers: Mapping[str, Figures]) -> str | None:
    """Name the best peer that works in processes and keeps the order."""
    figure = measured.columns[0].figure
    rivals = [peer for peer in peers if PEERS[peer].rival]
    pick = max if measured.higher_is_better else min
    return pick(rivals, key=lambda peer: peers[peer][figure].median, default=None)


def number(value: float) -> str:
    """Write a number with three digits, or as many as it has before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def shown(column: Column, figures: Figures) -> str:
    """Write a figure with its range; nothing for what only some peers can tell of themselves."""
    value = figures.get(column.figure)
    if value is None:
        return ""
    return f"{number(value.median)} ({number(value.low)} – {number(value.high)})"


def table(measured: Measured, peers: Mapping[str, Figures], missing: Mapping[str, str]) -> list[str]:
    """Write one workload as markdown, the best first."""
    if not measured.columns:
        return limits_table(measured, peers)
    first = measured.columns[0].figure
    rival = best_rival(measured, peers)
    heading = ["peer", *(column.heading for column in measured.columns), "× best peer"]
    lines = [f"### {measured.name}", "", measured.about.rstrip(".") + ".", ""]
    lines += [f"| {' | '.join(heading)} |", f"| --- |{' ---: |' * (len(heading) - 1)}"]
    ranked = sorted(peers, key=lambda peer: peers[peer][first].median, reverse=measured.higher_is_better)
    for peer in ranked:
        ratio = number(peers[peer][first].median / peers[rival][first].median) if rival else ""
        cells = [label(peer), *(shown(column, peers[peer]) for column in measured.columns), ratio]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\nNot measured: {peer} ({reason})." for peer, reason in sorted(missing.items())]
    return [*lines, ""]


def label(peer: str) -> str:
    """Set Flazy apart, and what only stands beside it."""
    if peer in {"flazy", "flazy_remote"}:
        return f"**{peer}**"
    return peer if PEERS[peer].rival else f"*{peer}*"


def limits_table(measured: Measured, peers: Mapping[str, Figures]) -> list[str]:
    """Write the figures of the machine one below the other; they name their units themselves."""
    lines = [f"### {measured.name}", "", measured.about.rstrip(".") + ".", "", "| what | |", "| --- | ---: |"]
    for figures in peers.values():
        lines += [f"| {name} | {shown(Column(name, name), figures)} |" for name in figures]
    return [*lines, ""]


def report(records: list[Mapping[str, Any]], skipped: Mapping[str, str]) -> str:
    """Write all tables; ``skipped`` says of peers why they are not installed."""
    found, failed = results(records), failures(records)
    lines = []
    for name, measured in WORKLOADS.items():
        if name in found:
            absent = {peer: reason for peer, reason in skipped.items() if name in PEERS[peer].workloads}
            lines += table(measured, found[name], absent | failed.get(name, {}))
    return "\n".join(lines)


def put(document: str, text: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """Replace what stands between the marks of a document."""
    begin, end = marks
    before, _, rest = document.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"the document has no {begin} … {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
