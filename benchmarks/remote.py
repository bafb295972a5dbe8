"""Workers at the other end of TCP: ``make bench-remote``.

    make bench-remote                                # every peer, in about eight minutes
    make bench-remote PEERS=torch_rpc ROUNDS=9       # this one beside Flazy, more often
    make bench-remote FRESH=1 WRITE=1                # anew, and into docs/performance.md

Two workers on this machine, asked over its loopback address: what is measured is what serialising, encrypting, TCP and
each library's own copies cost, not a network. Cells, rounds and checks are those of ``make bench``. A ratio is the
median of the rounds' own ratios: the two cells of a round are seconds apart, so what drifts meets both. Processor time
says what was needed where a rate says what was left: where others compute as well, it is the figure to look at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import run, schedule, tables
from benchmarks.catalogue import PEERS, REMOTE

MARKS = ("<!-- remote results -->", "<!-- end of remote results -->")
OURS = "flazy_remote"
FIGURES = {"rate": "speed", "cpu_ms": "CPU a batch"}
WHAT = [(workload, figure) for workload in REMOTE for figure in FIGURES]
CURVE = ("push_pull_curve", "push_pull")  # with and without it, where there is nothing else


def remote_peers(asked: str) -> list[str]:
    """Give the peers asked for, and Flazy with remote workers; nothing stands for all."""
    known = [peer.name for peer in PEERS.values() if set(REMOTE) & set(peer.workloads)]
    return schedule.chosen(f"{asked},{OURS}" if asked.strip(" ,") else "", known, "peer")


def ratios(records: Iterable[Mapping[str, Any]], what: tuple[str, str], peer: str, other: str) -> list[float]:
    """Give a peer's figure at a workload over the other's, for each round that has both."""
    workload, figure = what
    values: dict[tuple[str, int], float] = {
        (record["peer"], record["turn"]): record["figures"][figure]
        for record in records
        if record["workload"] == workload and figure in record.get("figures", {})
    }
    turns = sorted(turn for name, turn in values if name == peer and (other, turn) in values)
    return [values[peer, turn] / values[other, turn] for turn in turns]


def against(records: list[dict[str, Any]]) -> list[str]:
    """Write Flazy over each peer, and a pipe with CURVE over one without; nothing where one was not measured."""
    pairs = [*((OURS, other) for other in remote_peers("") if other != OURS), CURVE]
    rows = [row for pair in pairs if (row := line(records, *pair))]
    if not rows:
        return []
    columns = [f"{REMOTE[workload]}: {FIGURES[figure]}" for workload, figure in WHAT]
    heading = ["### Ratios, round by round", "", f"| what | {' | '.join(columns)} |"]
    return [*heading, f"| --- |{' ---: |' * len(WHAT)}", *rows, ""]


def line(records: list[dict[str, Any]], peer: str, other: str) -> str:
    """Write one pair."""
    found = [ratios(records, what, peer, other) for what in WHAT]
    if not any(found):
        return ""
    return f"| {' | '.join([f'{peer} / {other}', *map(shown, found)])} |"


def shown(values: list[float]) -> str:
    """Write the median with the range."""
    if not values:
        return ""
    spread = tables.spread(values)
    return f"{spread.median:.2f} ({spread.low:.2f} – {spread.high:.2f})"


def legend(peers: list[str]) -> str:
    """Say what each peer is."""
    return "\n".join(f"- `{peer}`: {PEERS[peer].about.rstrip('.')}." for peer in peers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="names with commas, beside flazy_remote (all)")
    parser.add_argument("--workloads", default="", help=f"names with commas ({','.join(REMOTE)})")
    parser.add_argument("--rounds", default="5", help="how often each cell is measured (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="a cell measures, beyond its start (3)")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has measured")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    given = parser.parse_args()
    peers = remote_peers(given.peers)
    workloads = schedule.chosen(given.workloads, REMOTE, "workload")
    path, records, skipped = run.measured(peers, workloads, int(given.rounds or 5), given.seconds, fresh=given.fresh)
    parts = [run.introduction(path, records) + legend(peers), "", tables.report(records, skipped), *against(records)]
    text = "\n".join(parts)
    print(f"\n{text}")
    if given.write:
        page = run.ROOT / "docs" / "performance.md"
        page.write_text(tables.put(page.read_text(), text, MARKS))
        print(f"written to {page.relative_to(run.ROOT)}")


if __name__ == "__main__":
    main()
