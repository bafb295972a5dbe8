"""Flazy: a lazy dataset for machine learning, read, augmented and fed faster than one process can."""

import logging as _logging

from flazy import errors
from flazy.datasets import Dataset
from flazy.errors import BatchError, FlazyError, PoisonSample, SampleError, SourceError, WorkerError
from flazy.plan.where import Processes, Threads
from flazy.run.ending import shutdown

# Silent unless the user configures logging; without a handler Python would print our warnings.
_logging.getLogger("flazy").addHandler(_logging.NullHandler())

__all__ = [
    "BatchError",
    "Dataset",
    "FlazyError",
    "PoisonSample",
    "Processes",
    "SampleError",
    "SourceError",
    "Threads",
    "WorkerError",
    "errors",
    "shutdown",
]
