"""Which cell runs when, and which are left when a run goes on. Pure: nothing is started or read here."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.catalogue import LOCAL, PEERS

ALWAYS = ("serial", "flazy")
TRIES = 2  # of a peer at a workload that only fails


@dataclass(frozen=True, slots=True)
class Cell:
    """A peer at a workload, in one round."""

    peer: str
    workload: str
    turn: int


def chosen(asked: str, known: Iterable[str], what: str) -> list[str]:
    """Read a list of names with commas, in the order of the catalogue; nothing stands for all."""
    names = [name.strip() for name in asked.split(",") if name.strip()]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise SystemExit(f"no {what} is called {name!r}: {hint}")
    return [name for name in known if not names or name in names]


def peers_for(asked: str) -> list[str]:
    """Give the peers asked for, and those that every table has."""
    return chosen(",".join([asked, *ALWAYS]) if asked.strip(" ,") else "", PEERS, "peer")


def plan(peers: list[str], workloads: list[str], rounds: int) -> list[Cell]:
    """Give all cells in order: peers take turns at a workload, and every other round goes backwards."""
    pairs = [(peer, name) for name in workloads for peer in peers if name in PEERS[peer].workloads]
    return [
        Cell(peer, name, turn)
        for turn in range(rounds)
        for peer, name in (pairs[::-1] if turn % 2 else pairs)
        if turn < (PEERS[peer].rounds or rounds)
    ]


def left(planned: list[Cell], records: Iterable[Mapping[str, Any]]) -> list[Cell]:
    """Give the cells that have not been measured, but for those whose peer has only failed."""
    done, failed = set(), Counter[tuple[str, str]]()
    for record in records:
        if "figures" in record:
            done.add(Cell(record["peer"], record["workload"], record["turn"]))
        else:
            failed[record["peer"], record["workload"]] += 1
    hopeless = {pair for pair, count in failed.items() if count >= TRIES}
    return [cell for cell in planned if cell not in done and (cell.peer, cell.workload) not in hopeless]


def name_of(peers: list[str], workloads: list[str]) -> str:
    """Name the file of a run by what it measures, so that a narrow run never mixes with a whole one."""
    parts = []
    for names, known in ((peers, PEERS), (workloads, LOCAL)):
        parts.append("all" if len(names) == len(known) else "+".join(names))
    return "all" if parts == ["all", "all"] else "--".join(parts)
