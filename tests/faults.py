"""One row of the table of docs/reliability.md; the rows are in ``reliability.py`` and in ``remote/rows.py``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LATER", "Row"]

LATER = "no test yet"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: what is true then, and the tests that show it, or why there is none."""

    number: int
    fault: str
    truth: str
    tests: tuple[str, ...] = ()
    left_out: str = ""
