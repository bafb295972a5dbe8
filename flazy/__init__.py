"""Flazy: a lazy dataset for machine learning, read, augmented and fed faster than one process can."""

import importlib as _importlib
import logging as _logging
import typing as _typing

from flazy.run.ending import shutdown  # at once, since it also sees to the end of the program

if _typing.TYPE_CHECKING:
    from flazy import errors
    from flazy.datasets import Dataset
    from flazy.errors import BatchError, FlazyError, PoisonSample, SampleError, SampleTimeout, SourceError, WorkerError
    from flazy.plan.policy import SKIP, Retry, SampleRef
    from flazy.plan.ray import Ray
    from flazy.plan.remote import Remote
    from flazy.plan.where import Processes, Threads
    from flazy.ragged import Ragged

# Silent unless the user configures logging; without a handler Python would print our warnings.
_logging.getLogger("flazy").addHandler(_logging.NullHandler())

__all__ = [  # noqa: RUF022 - in the order of sorted()
    "BatchError",
    "Dataset",
    "FlazyError",
    "PoisonSample",
    "Processes",
    "Ragged",
    "Ray",
    "Remote",
    "Retry",
    "SKIP",
    "SampleError",
    "SampleRef",
    "SampleTimeout",
    "SourceError",
    "Threads",
    "WorkerError",
    "errors",
    "shutdown",
]

_PLACES = {
    "Dataset": "datasets",
    "Ragged": "ragged",
    "Ray": "plan.ray",
    "Remote": "plan.remote",
    **dict.fromkeys(["Processes", "Threads"], "plan.where"),
    **dict.fromkeys(["SKIP", "Retry", "SampleRef"], "plan.policy"),
}


def __getattr__(name: str) -> _typing.Any:
    """Load a name when it is first asked for: worker processes need a part of this package, and start sooner so."""
    if name == "torch":  # a module, which no star import shall load
        return _importlib.import_module("flazy.torch")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _importlib.import_module(f"flazy.{_PLACES.get(name, 'errors')}")
    value = globals()[name] = module if name == "errors" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "torch"})
