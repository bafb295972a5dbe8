"""The processor time of a process and of everything below it, as Linux tells it.

On a machine that others use as well, a rate says how much was left; this says how much was needed.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.memory import below


def cpu_s() -> float:
    """Give the seconds that this process and all below it have computed, those that ended and were waited for too."""
    return sum(map(computed_s, [os.getpid(), *below(os.getpid())]))


def computed_s(pid: int) -> float:
    """Give one process's seconds: its own, the system's for it, and both of its children that are gone [1]_.

    .. [1] proc_pid_stat(5): fields 14 to 17; the name in field 2 may have spaces and brackets in it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
