"""The peers' own virtual environment, and the name of the machine.

A file ``.venv-bench/has-*`` stands for what is installed; what fails to install is tried again the next time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks.catalogue import PEERS

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv-bench"
PYTHON = VENV / "bin" / "python"
OURS = ("-e", str(ROOT), "matplotlib>=3.9")
INSTALL_S = 900


def ready(peers: list[str]) -> dict[str, str]:
    """Install what is missing; give, for each peer that cannot be had, why."""
    if not (VENV / "made").exists():
        print("setting up .venv-bench (some minutes the first time) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        (VENV / "made").touch()
    trouble = install("ours", OURS)
    if trouble:
        raise SystemExit(f"Flazy itself cannot be installed in .venv-bench: {trouble}")
    skipped = {peer: install(peer, PEERS[peer].packages) for peer in peers if PEERS[peer].packages}
    return {peer: trouble for peer, trouble in skipped.items() if trouble}


def install(name: str, packages: tuple[str, ...]) -> str:
    """Install packages unless they are there; give what went wrong, or nothing."""
    mark = VENV / f"has-{name}"
    wanted = " ".join(packages)
    if mark.exists() and mark.read_text() == wanted:
        return ""
    print(f"installing {wanted} ...", flush=True)
    command = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"not installed within {INSTALL_S} s"
    if made.returncode == 0:
        mark.write_text(wanted)
        return ""
    errors = [line for line in made.stderr.splitlines() if line.startswith("ERROR")]
    return (errors or ["pip failed without a word"])[-1].removeprefix("ERROR: ")


def machine() -> dict[str, str]:
    """Name what all figures depend on; a run goes on only where it is the same."""
    return {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "flazy": digest(),
    }


def processor() -> str:
    """Give the processor's name, and its family where the name says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name", platform.machine())
    return f"{name}, family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"


def digest() -> str:
    """Give a short hash of Flazy's sources: what was measured, committed or not."""
    sources = sorted((ROOT / "flazy").rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Give the versions of the peers' packages, as they are installed."""
    command = [str(PYTHON), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    names = {package.split("=")[0].split("[")[0] for peer in PEERS.values() for package in peer.packages}
    return {entry["name"]: entry["version"] for entry in listed if entry["name"].lower() in names | {"numpy"}}


def today() -> str:
    return dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d %H:%M")
