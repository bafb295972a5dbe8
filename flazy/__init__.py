"""Flazy: a lazy dataset for machine learning, read, augmented and fed faster than one process can."""

from flazy import errors
from flazy.datasets import Dataset
from flazy.errors import BatchError, FlazyError, PoisonSample, SampleError, SourceError, WorkerError
from flazy.plan.where import Processes, Threads
from flazy.run.ending import shutdown

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
