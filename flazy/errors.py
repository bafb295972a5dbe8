"""Every error that Flazy raises, in one tree.

::

    FlazyError
    ├── UsageError                      the call itself is wrong; nothing has started
    │   ├── InvalidArgument             + ValueError
    │   ├── InvalidType                 + TypeError      (also: an unknown keyword)
    │   ├── UnknownLength               + TypeError      (what ``len`` must raise)
    │   ├── EndlessDataset              + ValueError
    │   ├── EmptyDataset                + LookupError
    │   ├── OutOfRange                  + IndexError
    │   ├── OneShotSource               + ValueError
    │   ├── ImmutableDataset            + AttributeError
    │   ├── UnserializableFunction      + TypeError
    │   ├── ClosedRun                   + ValueError
    │   └── MissingExtra                + ImportError
    ├── SampleError                     + the class of the user's exception
    │   ├── PoisonSample                a sample that kills its workers
    │   ├── SampleTimeout               + TimeoutError   (a sample that takes longer than it may)
    │   └── UnserializableSample        + TypeError
    ├── SourceError                     + the class of the source's exception
    ├── LengthMismatch                  + ValueError   (columns, or datasets of a zip)
    ├── BatchError                      + ValueError
    ├── FeedError                       + ValueError
    ├── ReadError
    │   ├── MissingFile                 + FileNotFoundError
    │   ├── CorruptRecord               + ValueError
    │   └── MissingKey                  + KeyError
    ├── WriteError                      + ValueError
    ├── WorkerError                     + RuntimeError
    │   ├── WorkerPoolBroken
    │   └── NoWorkers                   nobody has come from another machine
    ├── SecurityError
    │   └── AuthenticationError
    ├── VersionMismatch                 this machine and a worker's
    │   └── CodeMismatch
    ├── ResourceError                   + OSError
    └── ProtocolError                   + ValueError

    UserWarning
    ├── SkippedSamples                  what a pass left out
    ├── SlowSample                      a function that may hang
    └── UnevenShards                    ranks that have more samples than others

A message says what happened, at which stage and sample, and what to do.  All of them can be pickled.
Nothing here knows of plans, workers or sockets; how a located error is *made* from a user's exception
is in ``located.py``.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "BatchError",
    "ClosedRun",
    "CodeMismatch",
    "CorruptRecord",
    "EmptyDataset",
    "EndlessDataset",
    "FeedError",
    "FlazyError",
    "ImmutableDataset",
    "InvalidArgument",
    "InvalidType",
    "LengthMismatch",
    "MissingExtra",
    "MissingFile",
    "MissingKey",
    "NoWorkers",
    "OneShotSource",
    "OutOfRange",
    "PoisonSample",
    "ProtocolError",
    "ReadError",
    "ResourceError",
    "SampleError",
    "SampleTimeout",
    "SecurityError",
    "SkippedSamples",
    "SlowSample",
    "SourceError",
    "UnevenShards",
    "UnknownLength",
    "UnserializableFunction",
    "UnserializableSample",
    "UsageError",
    "VersionMismatch",
    "WorkerError",
    "WorkerPoolBroken",
    "WriteError",
]


class FlazyError(Exception):
    """Root of every error that Flazy raises on its own account."""


class UsageError(FlazyError):
    """The call is wrong; nothing was started and nothing has changed."""


class InvalidArgument(UsageError, ValueError):
    """An argument has a value that makes no sense here."""


class InvalidType(UsageError, TypeError):
    """An argument has the wrong type, or a keyword is not one of ours."""


class UnknownLength(UsageError, TypeError):
    """``len()`` of a dataset whose length only a full pass could tell.

    A ``TypeError``, because ``list(dataset)`` asks for a length first and goes on without one only then.
    """


class EndlessDataset(UsageError, ValueError):
    """An operation that needs the end of a dataset that has none."""


class EmptyDataset(UsageError, LookupError):
    """A first sample was asked of a dataset that has none."""


class OutOfRange(UsageError, IndexError):
    """``dataset[i]`` beyond the end."""


class OneShotSource(UsageError, ValueError):
    """A source that can be iterated only once is iterated again."""


class ImmutableDataset(UsageError, AttributeError):
    """An attribute of a dataset is set."""


class UnserializableFunction(UsageError, TypeError):
    """A function for worker processes cannot be pickled; the message names what it captures."""


class ClosedRun(UsageError, ValueError):
    """A run, or the runtime beneath it, was closed before this call."""


class MissingExtra(UsageError, ImportError):
    """An optional package is needed and not installed; the message says which extra holds it."""


class SampleError(FlazyError):
    """A user's function failed on one sample.

    The error that is raised also derives from the class of the user's exception where that is safe,
    so that ``except FileNotFoundError`` goes on working; ``__cause__`` is that exception where it
    could be carried here. The message says what the function was called with, in at most 80 characters: paths, text and
    numbers as they are, arrays by dtype and shape; nothing of other objects, and nothing of what a flatmap was given.

    Attributes
    ----------
    stage : str
        The stage as ``repr(dataset)`` shows it, e.g. ``map(augment)``.
    address : tuple of int
        Which sample: the position in the source, then the offset at each flatmap or unbatch.
    cycle : int
        Which pass or repetition it was.
    worker : str or None
        Where it ran, e.g. ``process 4711``; None in the caller's own process.
    traceback : str
        The traceback as text, with the user's files and lines.
    """

    stage: str = ""
    address: tuple[int, ...] = ()
    cycle: int = 0
    worker: str | None = None
    traceback: str = ""


class PoisonSample(SampleError):
    """A sample whose worker died again and again while it ran.

    Attributes are those of `SampleError`; ``worker`` is the last that died, and ``traceback`` its stack where it could
    still be written.

    Attributes
    ----------
    signal : int or None
        The signal that ended the last of them.
    exitcode : int or None
        Its exit code, if it was no signal.
    """

    signal: int | None = None
    exitcode: int | None = None


class SampleTimeout(SampleError, TimeoutError):
    """A sample on which a function worked for longer than ``Processes(n, timeout=…)`` allows; its worker was ended.

    Attributes are those of `SampleError`; ``traceback`` is the stack of the worker at that moment.

    Attributes
    ----------
    seconds : float
        The limit.
    """

    seconds: float = 0.0


class UnserializableSample(SampleError, TypeError):
    """A sample holds something that cannot travel to or from a worker; the message gives the path to it."""


class SourceError(FlazyError):
    """The source itself raised; every sample before it was delivered.

    Attributes are those of `SampleError`; ``address`` is the position of the sample that was asked for.
    """

    stage: str = ""
    address: tuple[int, ...] = ()
    cycle: int = 0
    worker: str | None = None
    traceback: str = ""


class LengthMismatch(FlazyError, ValueError):
    """Columns or datasets that go together are not equally long; the samples before were delivered."""


class BatchError(FlazyError, ValueError):
    """Samples do not fit into one batch; the message names the key and both sides."""


class FeedError(FlazyError, ValueError):
    """A sample is not what the feed's signature says; the message names the key and both sides."""


class ReadError(FlazyError):
    """A file could not be read as what it is said to be."""


class MissingFile(ReadError, FileNotFoundError):
    """A path, glob or folder that names no file."""


class CorruptRecord(ReadError, ValueError):
    """A truncated or damaged record; the message gives file, record number and byte offset."""


class MissingKey(ReadError, KeyError):
    """A key that was asked for is not in the record."""

    def __str__(self) -> str:
        """Give the message itself; ``KeyError`` would show its repr."""
        return str(self.args[0]) if self.args else ""


class WriteError(FlazyError, ValueError):
    """A sample that the format cannot hold; the files under their final names are untouched."""


class WorkerError(FlazyError, RuntimeError):
    """The workers of a stage failed, not the user's function."""


class WorkerPoolBroken(WorkerError):
    """Workers died too often, or could not start; the message gives their exits and last words."""


class NoWorkers(WorkerError):
    """No worker of another machine has been there for ``join_timeout``; the message says how to start one."""


class SecurityError(FlazyError):
    """Something that would let strangers in: a port without keys, a key file that others can read, a guard that fails.

    Nothing listens after it.
    """


class AuthenticationError(SecurityError):
    """The other side does not hold the key that it should, or does not accept ours."""


class VersionMismatch(FlazyError):
    """A worker's machine has other versions than this one; the message lists both sides, and no function was sent."""


class CodeMismatch(VersionMismatch):
    """A module that functions refer to is missing on a worker's machine, or another one there."""


class ResourceError(FlazyError, OSError):
    """The system has no more of what workers need: descriptors, processes, memory, space; the message names the limit.

    ``errno`` is that of the system, where there is one.
    """


class ProtocolError(FlazyError, ValueError):
    """Bytes from a worker that are not what the protocol allows."""


class SkippedSamples(UserWarning):
    """Samples were left out, as ``on_error=`` asked for; given once, at the end of a pass, with a list."""


class SlowSample(UserWarning):
    """A function works on one sample for so long that it may hang; given every 30 s, with the stack of its worker."""


class UnevenShards(UserWarning):
    """``shard()`` gave some ranks more samples than others, and nobody has said that this is as wanted."""
