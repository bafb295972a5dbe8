"""What every verb stands on: a dataset's plan, and answers to arguments that are wrong."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import numpy as np

from flazy.dtypes import dtype_named
from flazy.errors import InvalidArgument, InvalidType
from flazy.plan.functions import name_of

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from flazy.datasets import Dataset
    from flazy.plan.nodes import Node

__all__ = [
    "Planned",
    "answering",
    "at_least",
    "callable_named",
    "close_matches",
    "dtype_of",
    "seed_of",
    "verb",
    "whole",
]

P = ParamSpec("P")
R = TypeVar("R")

WORKERS = "Flazy says workers=n for processes, workers=Threads(n) for threads"
RANKS = "Flazy says shard(num_shards, index), or shard() alone, which finds the rank"
FOREIGN = {
    **dict.fromkeys(
        ["num_workers", "num_parallel_calls", "num_proc", "concurrency", "n_jobs", "max_workers", "num_processes",
         "num_threads", "processes", "threads", "num_parallel_reads", "parallelism"], WORKERS),
    **dict.fromkeys(["drop_last", "drop_last_batch", "drop_last_if_not_full"],
                    'Flazy says drop_remainder=; of ranks, shard(equal="drop")'),
    "workers": "verbs on single samples have workers; say map(fn, workers=n) before this one",
    "pad": "padded_batch(), bucket_batch() and pack() do that",
    "partial": "Flazy says drop_remainder=, the other way round",
    **dict.fromkeys(["collate_fn", "batch_fn"], "Flazy says .batch(n, fn=…)"),
    **dict.fromkeys(["padding_value", "padding_values", "pad_value"], "Flazy says pad="),
    **dict.fromkeys(["padded_shapes", "max_length", "max_len"], "Flazy says length="),
    **dict.fromkeys(["pad_to_multiple_of", "pad_to_bucket_boundary"], "Flazy says multiple_of="),
    **dict.fromkeys(["bucket_batch_sizes", "batch_sizes"], "Flazy says size, one number or one for each bucket"),
    "bucket_boundaries": "Flazy says boundaries",
    "element_length_func": "Flazy says length_fn",
    "num_packing_bins": "Flazy says open_rows=",
    "shift": "Flazy says stride=",
    "batch_size": "Flazy says batch(size)",
    **dict.fromkeys(["deterministic", "in_order", "preserve_order", "output_order"], "Flazy says ordered="),
    **dict.fromkeys(["worker_init_fn", "initializer", "init_fn"], "Flazy says setup=, called once in each worker"),
    **dict.fromkeys(["generator", "random_state", "rng"], "Flazy says seed="),
    **dict.fromkeys(["reshuffle_each_iteration", "reseed_each_epoch"],
                    "every pass of a Flazy dataset is shuffled anew; dataset.epoch(k) holds one order"),
    **dict.fromkeys(["prefetch_factor", "prefetch_buffer_size", "prefetch_batches"],
                    "Flazy says .prefetch(n), as a stage"),
    **dict.fromkeys(["num_epochs", "epochs"], "Flazy says repeat(times)"),
    **dict.fromkeys(["window_size", "local_shuffle_buffer_size", "buffer"], "Flazy says buffer_size="),
    "chunksize": "Flazy says workers=Processes(n, chunk=…)",
    "shuffle": "Flazy says .shuffle(), as a stage",
    "pin_memory": "that belongs to the feed of your framework",
    "dtype": "Flazy says default_dtype=",
    **dict.fromkeys(["errors", "ignore_errors", "skip_errors", "on_bad_lines", "max_errored_blocks", "handler"],
                    'Flazy says on_error="skip", or on_error=function'),
    **dict.fromkeys(["retries", "max_retries", "retry", "num_retries", "retry_exceptions"],
                    "Flazy says on_error=Retry(n, on=(OSError,))"),
    **dict.fromkeys(["timeout", "timeout_s", "item_timeout", "worker_timeout"],
                    "Flazy says workers=Processes(n, timeout=seconds)"),
    **dict.fromkeys(["world_size", "num_replicas", "rank", "shard_index", "shard_count", "shard_id", "of"], RANKS),
}  # fmt: skip


class Planned(Protocol):
    """A dataset, as its verbs see it."""

    @property
    def node(self) -> Node:
        """The last node of the plan."""

    def _over(self, node: Node) -> Dataset[Any]:
        """Make a dataset of another plan."""


def verb(method: Callable[P, R]) -> Callable[P, R]:
    """Answer a keyword that a method does not have, or a value too many, with what it has."""
    return answering(FOREIGN)(method)


def answering(foreign: Mapping[str, str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Do the same with answers of a function's own."""
    return lambda method: _checked(method, foreign)


def _checked(method: Callable[P, R], foreign: Mapping[str, str]) -> Callable[P, R]:
    given = inspect.signature(method).parameters.values()
    parameters = [one for one in given if one.name not in ("self", "cls")]
    known = [one.name for one in parameters if one.kind is not one.VAR_POSITIONAL]
    placed = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    free = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    most = math.inf if free else len(given) - len(parameters) + len(placed)

    @functools.wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                raise InvalidType(unknown_keyword(method.__name__, name, known, foreign))
        if len(args) > most:
            raise InvalidType(too_many(method.__name__, placed, known))
        return method(*args, **kwargs)

    return checked


def unknown_keyword(call: str, name: str, known: list[str], foreign: Mapping[str, str] = FOREIGN) -> str:
    """Say what to write instead of a keyword that does not exist."""
    text = f"{call}() has no keyword {name!r}"
    if name in foreign:
        ours = re.match(r"Flazy says (\w+)=", foreign[name])
        elsewhere = ours is not None and ours[1] not in known
        return f"{text}: {foreign[name]}{', at other verbs than this one' if elsewhere else ''}"
    near = close_matches(name, known)
    return f"{text}: did you mean {near[0]}=?" if near else f"{text}; it has {', '.join(known) or 'none'}"


def too_many(call: str, placed: list[str], known: list[str]) -> str:
    """Say what goes by position, and what by name."""
    named = ", ".join(f"{name}=" for name in known if name not in placed)
    return f"{call}() takes {', '.join(placed) or 'nothing'} by position" + (f", and {named} by name" if named else "")


def close_matches(name: str, known: Iterable[str]) -> list[str]:
    """Give what may have been meant."""
    found: list[str] = importlib.import_module("difflib").get_close_matches(name, known, 1)
    return found


def whole(value: Any, name: str) -> int:
    """Check a whole number. A bool is none: ``shuffle(True)`` would be a buffer of one sample, and shuffle nothing."""
    wrong = InvalidType(f"{name} must be a whole number, not {value!r}")
    if isinstance(value, bool):
        raise wrong
    try:
        return operator.index(value)
    except TypeError:
        raise wrong from None


def at_least(least: int, value: Any, name: str) -> int:
    """Check a whole number that has a bound."""
    number = whole(value, name)
    if number < least:
        raise InvalidArgument(f"{name} must be at least {least}, not {number}")
    return number


def callable_named(fn: Any, call: str, setup: Any = None) -> str:
    """Check that ``fn`` can be called, and ``setup`` if there is one; give the name of ``fn``."""
    if not callable(fn):
        raise InvalidType(f"{call}() needs a function, not {type(fn).__name__}")
    if setup is not None and not callable(setup):
        raise InvalidType(f"setup= of {call}() needs a function, not {type(setup).__name__}")
    return name_of(fn)


def dtype_of(default_dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """Check what Python numbers shall become; None leaves it to numpy."""
    return None if default_dtype is None else dtype_named(default_dtype, f"default_dtype={default_dtype!r}")


def seed_of(seed: Any) -> int:
    """Take the seed that was given, or draw one that holds for the life of the dataset."""
    return int.from_bytes(os.urandom(4)) if seed is None else at_least(0, seed, "seed")
