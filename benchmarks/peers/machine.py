"""Not a peer: what the machine itself can do, measured in a cell like the rest."""

from __future__ import annotations

from benchmarks.limits import limits

__all__ = ["limits"]
