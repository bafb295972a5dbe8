"""Run the benchmark: ``make bench``.

    make bench                                                # everything, in about half an hour
    make bench PEERS=torch,grain WORKLOADS=image_batch        # these two, beside Flazy and the serial loop
    make bench ROUNDS=9                                       # more rounds; those that are done count

Peers are installed into ``.venv-bench``. Each cell is a process of its own; what it gives is appended to a file in
``benchmarks/results``, so a run that was interrupted goes on where it was (``--fresh`` starts anew). A whole run
writes its tables and a picture into ``docs``; a narrow one prints them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import environment, goals, schedule, tables
from benchmarks.catalogue import LOCAL, PEERS

ROOT = environment.ROOT
RESULTS = ROOT / "benchmarks" / "results"
LIMIT_S = 60.0
BESIDES_S = 1.9  # a cell's start, imports and end, on the average of all peers
CLOSING_S = 1.0  # for a peer to end by itself, once it is measured


def measure(
    cell: schedule.Cell, seconds: float, python: Path = environment.PYTHON, tree: Path = ROOT
) -> dict[str, Any]:
    """Run one cell, with the Flazy and the benchmark of a folder; give its record."""
    command = [str(python), "-m", "benchmarks.cell", cell.peer, cell.workload, f"--seconds={seconds}"]
    record: dict[str, Any] = {"peer": cell.peer, "workload": cell.workload, "turn": cell.turn}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, (Path(folder) / "errors").open("w+") as errors:
        surroundings = os.environ | {"TMPDIR": folder, "PYTHONPATH": str(tree), "RAY_USAGE_STATS_ENABLED": "0"}
        surroundings.pop("PYTHONDONTWRITEBYTECODE", None)  # installed peers have theirs; ours lies in its source tree
        started = time.monotonic()
        with subprocess.Popen(
            command, cwd=tree, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=errors, process_group=0
        ) as process:
            timer = threading.Timer(LIMIT_S, end, [process, 0.0])
            timer.start()
            try:
                found = next((line for line in process.stdout or () if line.startswith('{"figures"')), None)
            finally:
                timer.cancel()
                end(process, CLOSING_S)
        errors.seek(0)
        outcome = json.loads(found) if found else {"error": reason(errors.read())}
        return record | outcome | {"wall_s": round(time.monotonic() - started, 2)}


def end(process: subprocess.Popen[str], patience_s: float) -> None:
    """Let a cell end by itself, then tell it, then end it with everything that it started.

    Python's resource tracker lets the middle step pass, and takes away the shared memory that was left.
    """
    for patience, number in ((patience_s, signal.SIGTERM), (CLOSING_S, signal.SIGKILL)):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            process.poll()
            if not signalled(process.pid, 0):
                return
            time.sleep(0.01)
        signalled(process.pid, number)


def signalled(group: int, number: int) -> bool:
    """Signal all processes of a cell; say whether there are any."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def reason(errors: str) -> str:
    """Give the line that says most of what a failed cell wrote."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or "WrongOutput" in line]
    return (telling or lines or [f"nothing came within {LIMIT_S:.0f} s"])[-1][:200]


def opened(path: Path, settings: dict[str, Any], *, fresh: bool) -> list[dict[str, Any]]:
    """Give the records of a run to go on with; a run elsewhere, or of another Flazy, is put aside."""
    path.parent.mkdir(exist_ok=True)
    if path.exists() and not fresh:
        header, *records = map(json.loads, path.read_text().splitlines())
        if header["settings"] == settings:
            return records
        print("the earlier results are of another machine, version or setting: measuring anew")
    header = {"settings": settings, "date": environment.today(), "load": os.getloadavg()[0]}
    path.write_text(json.dumps(header) + "\n")
    return []


def run(cells: list[schedule.Cell], path: Path, seconds: float, records: list[dict[str, Any]]) -> None:
    """Measure what is left, and write down each cell as it ends."""
    waiting = schedule.left(cells, records)
    minutes = len(waiting) * (seconds + BESIDES_S) / 60
    print(f"{len(waiting)} of {len(cells)} cells to measure, about {minutes:.0f} minutes")
    for count, cell in enumerate(waiting, 1):
        if cell not in schedule.left([cell], records):
            continue
        record = measure(cell, seconds)
        records.append(record)
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{count:4} {cell.turn} {cell.workload:18}{cell.peer:14} {told(record)}", flush=True)


def measured(
    peers: list[str], workloads: list[str], rounds: int, seconds: float, *, fresh: bool
) -> tuple[Path, list[dict[str, Any]], dict[str, str]]:
    """Measure what is left of a run; give its file, its records, and why some peers are not there."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended; the next run goes on from here"))  # and ends its cell
    skipped = environment.ready(peers)
    path = RESULTS / f"{schedule.name_of(peers, workloads)}.jsonl"
    records = opened(path, {"seconds": seconds, **environment.machine()}, fresh=fresh)
    here = [peer for peer in peers if peer not in skipped]
    run(schedule.plan(here, workloads, rounds), path, seconds, records)
    return path, records, skipped


def told(record: dict[str, Any]) -> str:
    """Give one line for a cell while the run goes on."""
    if "error" in record:
        return f"failed: {record['error']}"
    figures = list(record["figures"].items())[:3]
    return "  ".join(f"{name} {tables.number(value)}" for name, value in figures) + f"  ({record['wall_s']:.1f} s)"


def introduction(path: Path, records: list[dict[str, Any]]) -> str:
    """Name the machine, above the tables."""
    header = json.loads(path.read_text().splitlines()[0])
    settings = header["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions().items())
    rounds = 1 + max((record["turn"] for record in records), default=0)
    seen = {record["peer"] for record in records}
    fewer = [f"{name} {PEERS[name].rounds}" for name in PEERS if name in seen and 0 < PEERS[name].rounds < rounds]
    count = f"{rounds} rounds ({', '.join(fewer)})" if fewer else f"{rounds} rounds"
    return (
        f"{header['date']} UTC, {settings['cores']} cores ({settings['processor']}), {settings['memory']}, "
        f"{settings['system']}, Python {settings['python']}; {versions}. {count}; the load of the machine was "
        f"{header['load']:.1f} when they began. Each entry: median (lowest – highest).\n\n"
    )


def write(path: Path, text: str) -> None:
    """Put the tables into the documentation, and draw the picture."""
    page = ROOT / "docs" / "performance.md"
    page.write_text(tables.put(page.read_text(), f"![medians of all workloads](performance.png)\n\n{text}"))
    picture = ROOT / "docs" / "performance.png"
    subprocess.run([str(environment.PYTHON), "-m", "benchmarks.plot", str(path), str(picture)], cwd=ROOT, check=True)
    print(f"written to {page.relative_to(ROOT)} and {picture.relative_to(ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="names with commas, beside flazy and serial (all)")
    parser.add_argument("--workloads", default="", help="names with commas (all)")
    parser.add_argument("--rounds", default="5", help="how often each cell is measured (5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="a streaming cell measures, beyond its start (1.5)")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has measured")
    parser.add_argument("--write", action="store_true", help="write a narrow run into docs as well")
    given = parser.parse_args()
    peers = schedule.peers_for(given.peers)
    workloads = schedule.chosen(given.workloads, LOCAL, "workload")
    path, records, skipped = measured(peers, workloads, int(given.rounds or 5), given.seconds, fresh=given.fresh)
    reached = "\n".join(goals.table(tables.results(records)))
    text = f"{introduction(path, records)}{reached}\n{tables.report(records, skipped)}"
    print(f"\n{text}")
    if given.write or path.stem == "all":
        write(path, text)


if __name__ == "__main__":
    main()
