"""Where a stage runs: frozen values, chosen once with ``workers=``.

Nothing starts here.  ``None`` stands for the caller's own process and thread.
"""

from __future__ import annotations

import importlib.util
import operator
import re
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Self

from flazy.errors import InvalidArgument, InvalidType, MissingExtra

__all__ = ["Processes", "Threads", "Where", "where_of"]

FOREIGN = {
    **dict.fromkeys(["num_workers", "workers", "processes", "max_workers", "n_jobs"], "Flazy says n, the first one"),
    **dict.fromkeys(["chunksize", "chunk_size", "batch_size"], "Flazy says chunk="),
    **dict.fromkeys(["prefetch", "prefetch_factor", "buffer_size", "max_buffer"], "Flazy says window="),
    **dict.fromkeys(["timeout_s", "item_timeout", "worker_timeout"], "Flazy says timeout="),
    **dict.fromkeys(["num_threads", "n_threads", "inner_max_num_threads"], "Flazy says threads="),
    **dict.fromkeys(["retries", "max_retries", "on_error"], "that belongs to the stage: map(fn, on_error=…)"),
}
ANSWERS = {
    ("Threads", "timeout"): "nobody can end a thread that hangs; Processes(n, timeout=…) can",
    **dict.fromkeys(
        [("Remote", name) for name in ["n", "num_workers", "workers", "processes", "max_workers", "n_jobs"]],
        "how many is said where they are started, by flazy-worker --processes; local=n has n beside them here",
    ),
    **dict.fromkeys(
        [("Remote", name) for name in ["port", "address", "bind", "url"]],
        "address and port are the first one, e.g. Remote('tcp://0.0.0.0:5555')",
    ),
    ("Threads", "threads"): "numeric libraries have the threads that they have in your process",
    ("Ray", "timeout"): "nobody ends a function that hangs in an actor; Processes(n, timeout=…) can",
    ("Ray", "threads"): "Ray gives numeric libraries as many threads as num_cpus=",
    ("Ray", "concurrency"): "Flazy says n, the first one",
    ("Ray", "max_restarts"): "Flazy replaces what is lost by itself",
    ("Ray", "max_task_retries"): "Flazy sends again what was lost by itself",
}

SIZE = re.compile(
    r"\s*(?P<number>\d+(_\d+)*(\.\d+)?)\s*((?P<unit>[kmgt])(?P<binary>i)?)?b\s*", re.ASCII | re.IGNORECASE
)


class Where:
    """What every kind of workers says of how much is under way; a base of frozen dataclasses with those two fields."""

    __slots__ = ()

    window: int | str | None
    chunk: int | None

    def __new__(cls, *_arguments: Any, **options: Any) -> Self:
        """Answer a keyword that there is not with the one that there is."""
        known = [option.name for option in fields(cls)]  # type: ignore[arg-type]  # every class that is made is one
        for name in options:
            if name not in known:
                answer = ANSWERS.get((cls.__name__, name)) or FOREIGN.get(name)
                raise InvalidType(f"{cls.__name__} has no {name!r}: {answer or 'it has ' + ', '.join(known)}")
        return object.__new__(cls)

    def __repr__(self) -> str:
        """Spell the call that makes it, without what is not set."""
        first, *options = [(option, getattr(self, option.name)) for option in fields(self)]  # type: ignore[arg-type]
        said = [f"{option.name}={value!r}" for option, value in options if value != option.default]
        return f"{type(self).__name__}({', '.join([repr(first[1]), *said])})"

    @property
    def asked(self) -> int:
        """How many workers there are to be; 0 where they come and go as they like."""
        raise NotImplementedError

    @property
    def processes(self) -> int:
        """How many of them are processes of this machine."""
        return 0

    @property
    def samples(self) -> int | None:
        """The window in samples; None where it is given in bytes, or not at all."""
        return None if isinstance(self.window, str) else self.window

    @property
    def nbytes(self) -> int | None:
        """The window in bytes; None where it is given in samples, or not at all."""
        return size_of(self.window, type(self).__name__) if isinstance(self.window, str) else None

    def _check_counts(self, *names: str, least: int = 1) -> None:
        """Check whole numbers that may be None; a size is shown as it was given."""
        for name in names:
            value = getattr(self, name)
            if value is None:
                continue
            is_size = name == "window" and isinstance(value, str)
            number = size_of(value, type(self).__name__) if is_size else self._whole(name, value)
            if number < least:
                raise InvalidArgument(f"{name}={value!r} of {type(self).__name__} must be at least {least}")
            if not is_size:
                object.__setattr__(self, name, number)

    def _check_seconds(self, name: str, *, or_none: str = "") -> None:
        """Check a time; ``or_none`` says what None means, where it is allowed."""
        value = getattr(self, name)
        if value is None and or_none:
            return
        rest = f", or None for {or_none}" if or_none else ""
        said = f"{name}={value!r} of {type(self).__name__} must be seconds, more than 0{rest}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidType(said)
        if not 0 < value < float("inf"):
            raise InvalidArgument(said)

    def _whole(self, name: str, value: Any) -> int:
        try:
            return operator.index(value)
        except TypeError:
            sizes = ', or a size such as "256MB"' if name == "window" else ""
            raise InvalidType(f"{name}={value!r} of {type(self).__name__} must be an int{sizes}") from None


@dataclass(frozen=True, slots=True, repr=False)
class Workers(Where):
    """What workers of a number have.

    Parameters
    ----------
    n
        How many; each parallel stage has that many of its own.
    window
        What may be under way in the stage at a time (read from upstream and not yet taken by the consumer): a number
        of samples, or a size such as ``"256MB"``, ``"1.5 GB"`` or ``"64MiB"``.  A size holds for inputs and results
        together; where they have reached it nothing more is begun, and what was begun before may go beyond it by a
        few chunks.  ``None``: 32 chunks a worker (4 inputs of a flatmap), enough to work through a long step of the
        consumer, within 64 MiB.
    chunk
        Samples that travel together.  ``None``: sized by the time that the function takes, so that a slow
        one goes sample by sample and a fast one is not slowed by messages.  Never changes results.
    """

    n: int
    window: int | str | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        self._whole("n", self.n)
        self._check_counts("n", "window", "chunk")

    @property
    def asked(self) -> int:
        """All of them."""
        return self.n


@dataclass(frozen=True, slots=True, repr=False)
class Processes(Workers):
    """Worker processes on this machine: for functions that hold the GIL.  ``workers=8`` means this.

    Parameters
    ----------
    n, window, chunk
        See above.
    timeout
        Seconds for which a function may work on one sample; a flatmap, for one of its outputs.  A worker that takes
        longer is ended, whatever it does, and the sample raises `SampleTimeout` with the stack of the worker at that
        moment (or is left out, or tried again: see ``on_error=``).  Seen at most a fifth of the limit, or 1 s, too
        late; ``setup=`` is not limited.  ``None``: no limit; every 30 s a warning (`SlowSample`) shows where such a
        function is.
    threads
        How many threads numeric libraries may take in each worker: BLAS and OpenMP (numpy, PyTorch, scikit-learn),
        NumExpr, OpenCV, Polars and others in Rust, TensorFlow.  ``None``: one, since each of them takes all cores by
        itself, and workers times threads should not exceed the cores; but where the caller's environment says how
        many, as by OMP_NUM_THREADS, that holds.  Workers find it in their environment, and so do pipelines inside
        workers.  numpy is loaded there already, with one; more than that needs threadpoolctl
        (``pip install flazy[threads]``).
    """

    timeout: float | None = field(default=None, kw_only=True)
    threads: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check the limit and the threads too."""
        Workers.__post_init__(self)
        self._check_seconds("timeout", or_none="no limit")
        if self.threads is not None:
            object.__setattr__(self, "threads", self._checked_threads(self.threads))

    @property
    def processes(self) -> int:
        """All of them."""
        return self.n

    def _checked_threads(self, given: Any) -> int:
        """Check them, and that numpy can be given them."""
        threads = self._whole("threads", given)
        if threads < 1:
            raise InvalidArgument(f"threads={given!r} of Processes must be at least 1")
        if threads > 1 and importlib.util.find_spec("threadpoolctl") is None:
            raise MissingExtra(
                f"threads={threads} of Processes needs threadpoolctl, which is missing: pip install flazy[threads]"
            )
        return threads

    def __str__(self) -> str:
        """Spell it for plans and messages."""
        return f"{self.n} process" + ("es" if self.n > 1 else "")


@dataclass(frozen=True, slots=True, repr=False)
class Threads(Workers):
    """Threads of the caller's process: for functions that wait or release the GIL.  Samples pass by reference.

    So nothing knows what they weigh: a ``window`` is a number of samples.
    """

    def __post_init__(self) -> None:
        """Refuse a window that could not be kept."""
        Workers.__post_init__(self)
        if self.nbytes is not None:
            raise InvalidArgument(
                f"window={self.window!r} of Threads: samples pass by reference and are not weighed; "
                "give a number of samples, or use Processes"
            )

    def __str__(self) -> str:
        """Spell it for plans and messages."""
        return f"{self.n} thread" + ("s" if self.n > 1 else "")


def size_of(text: str, kind: str) -> int:
    """Read a size: a number and a unit, decimal (``MB`` is a million) or binary (``MiB`` is 2**20).

    A number alone is refused: nobody could tell bytes from samples.

    Raises
    ------
    InvalidArgument
        For anything else.
    """
    found = SIZE.fullmatch(text)
    if found is None:
        raise InvalidArgument(
            f"window={text!r} of {kind} is no size: give a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, "
            'e.g. "256MB", or a number of samples without quotes'
        )
    power = " kmgt".index((found["unit"] or " ").lower())
    return int(Fraction(found["number"]) * (1024 if found["binary"] else 1000) ** power)


def where_of(workers: int | Where | None) -> Where | None:
    """Read a ``workers=`` argument.

    Raises
    ------
    InvalidArgument
        For a negative number.
    InvalidType
        For anything but None, an int, or workers of one of the kinds that there are.
    """
    if workers is None or isinstance(workers, Where):
        return workers
    try:
        n = operator.index(workers)
    except TypeError:
        kinds = "give a number of processes (0 or None: none), Processes(n, …), Threads(n), Remote(…) or Ray(n)"
        answer = f"say Remote({workers!r})" if str(workers).startswith("tcp://") else kinds
        raise InvalidType(f"workers={workers!r}: {answer}") from None
    if isinstance(workers, bool):
        raise InvalidType(f"workers={workers}: give a number of processes, e.g. workers=4")
    if n < 0:
        raise InvalidArgument(f"workers={n} is negative; 0 or None runs the stage in your own process")
    return Processes(n) if n else None
