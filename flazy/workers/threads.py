"""How many threads numeric libraries take in a worker: one, unless the caller says otherwise.

Each of them takes all cores by itself, so that 8 workers on 8 cores would run 64 threads.  What tells them so is the
environment, which they read when they are loaded.  numpy is loaded in the zygote, with one thread, since a process with
threads must not be forked; it is told in the worker.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping

__all__ = ["ONE_EACH", "VARIABLES", "limited", "tell_loaded"]

# What reads OMP_NUM_THREADS where its own variable is not set: OpenBLAS, MKL, NumExpr and BLIS, say their manuals.
FOLLOWERS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "BLIS_NUM_THREADS")

# OpenMP is also that of PyTorch and scikit-learn; Rayon that of tokenizers and of other libraries in Rust.  Not
# NUMEXPR_MAX_THREADS: NumExpr refuses to be loaded where NUMEXPR_NUM_THREADS is larger.
VARIABLES = (
    "OMP_NUM_THREADS",
    *FOLLOWERS,
    "VECLIB_MAXIMUM_THREADS",  # Accelerate
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)

ONE_EACH = dict.fromkeys(VARIABLES, "1")


def limited(environment: Mapping[str, str], threads: int | None = None) -> dict[str, str]:
    """Give the environment that a worker gets: ``threads`` for every library; None: what it says already, else one."""
    if threads is not None:
        return {**environment, **dict.fromkeys(VARIABLES, str(threads))}
    follow = FOLLOWERS if "OMP_NUM_THREADS" in environment else ()
    return {**{name: "1" for name in VARIABLES if name not in follow}, **environment}


def tell_loaded(environment: Mapping[str, str]) -> None:
    """Give libraries that were loaded with one thread what the environment says; by threadpoolctl, if it is there."""
    said = {environment.get(name) for name in ("OMP_NUM_THREADS", *FOLLOWERS)}
    if said <= {"1", None} or importlib.util.find_spec("threadpoolctl") is None:
        return
    for library in importlib.import_module("threadpoolctl").ThreadpoolController().lib_controllers:
        own = environment.get(f"{library.internal_api.upper()}_NUM_THREADS")
        number = own or environment.get("OMP_NUM_THREADS", "")
        if number.isdigit() and int(number) > 0:
            library.set_num_threads(int(number))
