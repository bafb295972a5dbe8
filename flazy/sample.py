"""Which sample is it, and what is random about it.

A sample's *address* is its position in the source, followed by an offset at every flatmap; joins put
the branch in front.  The *cycle* counts passes and repetitions.  Everything random is a function of
seed, stage, cycle and address, never of arrival order or worker, so a stream is the same for any number
of workers.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from flazy.ragged import Ragged

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ATOMS", "Address", "Origin", "SeededGlobals", "fresh", "key_of", "rng_for"]

Address = tuple[int, ...]

# What nobody can write into. Whoever has many values asks this first, since a call costs more than the answer.
ATOMS = frozenset({int, float, str, bytes, bool, type(None)})

_MASK = 2**64 - 1


def key_of(*numbers: int) -> int:
    """Mix integers into 64 bits, order and count included.

    Notes
    -----
    Each step is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
    generators, OOPSLA 2014) on the running value; it is a bijection of 64 bits, so two addresses that differ in
    one number never collide.
    """
    key = len(numbers)
    for number in numbers:
        key = (key ^ (number & _MASK)) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15 & _MASK
        key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        key = (key ^ (key >> 27)) * 0x94D049BB133111EB & _MASK
        key ^= key >> 31
    return key


def rng_for(seed: int, stage: int, cycle: int, address: Address) -> np.random.Generator:
    """Make the generator of one sample at one stage.

    Parameters
    ----------
    seed
        Any integer; its lower 64 bits count.
    stage
        The ordinal of the stage among the random stages of the plan.
    cycle, address
        Which sample, in which pass.

    Notes
    -----
    Philox is counter-based: key and counter name the stream and nothing has to be run to reach it.  The
    lowest counter word is left to the draws of this sample (2**66 numbers).
    """
    counter = np.array([0, 0, cycle & _MASK, key_of(*address)], dtype=np.uint64)
    key = np.array([seed & _MASK, stage & _MASK], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class SeededGlobals:
    """Seed ``random``, ``numpy.random`` and torch (where it is loaded) for one call, then put them back.

    So code that draws from the global generators gives the same numbers in any process; the caller's own
    global streams are not disturbed, nor those of GPUs, which are not seeded.  Threads take turns: the generators are
    one for all of them.
    """

    __slots__ = ("_key", "_numpy", "_python", "_torch", "_torch_state")

    def __init__(self, key: int) -> None:
        self._key = key

    def __enter__(self) -> None:
        """Remember the states and seed from the key."""
        _turns.acquire()
        try:
            self._seed()
        except BaseException:
            _turns.release()
            raise

    def _seed(self) -> None:
        # Its generator on the CPU alone: torch.manual_seed() also seeds those of every GPU, which nobody would put
        # back, and takes longer than most functions.
        self._torch = getattr(sys.modules.get("torch"), "default_generator", None)
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 - the legacy global state is the point
        self._torch_state = self._torch.get_state() if self._torch is not None else None
        random.seed(self._key)
        np.random.seed([self._key & 0xFFFFFFFF, self._key >> 32])  # noqa: NPY002 - takes 32 bits at a time
        if self._torch is not None:
            self._torch.manual_seed(self._key & 0x7FFFFFFFFFFFFFFF)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the states back."""
        try:
            random.setstate(self._python)
            np.random.set_state(self._numpy)  # noqa: NPY002
            if self._torch is not None:
                self._torch.set_state(self._torch_state)
        finally:
            _turns.release()


_turns = threading.RLock()


def _forget_turns() -> None:
    """Start anew in a forked child: the thread whose turn it was is not there."""
    global _turns  # noqa: PLW0603 - one a process is the point
    _turns = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_turns)


def _copy(array: Any) -> Any:
    return array.copy(order="K")


def _cloned(value: Any) -> Any:
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    # What needs gradients is a parameter, or hangs in a graph that no copy would be part of.
    return value.clone() if tensor is not None and isinstance(value, tensor) and not value.requires_grad else value


def fresh(value: Any, copy: Callable[[Any], Any] = _copy, other: Callable[[Any], Any] = _cloned) -> Any:
    """Copy plain containers, arrays and tensors, which whoever made them may write into again; all else is shared.

    ``copy`` copies an array; ``other`` gives what stands for everything that is neither that nor plain.
    """
    try:
        return _fresh(value, copy, other)
    except RecursionError:
        return _deeply_fresh(value, copy, other)


def _fresh(value: Any, copy: Callable[[Any], Any], other: Callable[[Any], Any]) -> Any:
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is dict:
        return {key: part if type(part) in ATOMS else _fresh(part, copy, other) for key, part in value.items()}
    if kind is list or kind is tuple:
        return kind([part if type(part) in ATOMS else _fresh(part, copy, other) for part in value])
    if isinstance(value, tuple) and hasattr(kind, "_fields"):  # a named tuple, past what its class does when it is made
        return tuple.__new__(kind, [_fresh(part, copy, other) for part in value])
    return _fresh_leaf(value, copy, other)


def _fresh_leaf(value: Any, copy: Callable[[Any], Any], other: Callable[[Any], Any]) -> Any:
    kind = type(value)
    if isinstance(value, np.ndarray):
        return copy(value)
    if kind is Ragged:
        return Ragged(_copy(value.values), _copy(value.offsets))
    return value.copy() if kind is bytearray or kind is np.void else other(value)


def _deeply_fresh(value: Any, copy: Callable[[Any], Any], other: Callable[[Any], Any]) -> Any:
    """Do the same with what holds itself, or is nested deeper than Python's stack."""
    made: dict[int, Any] = {}
    filled: list[Any] = []
    todo = [value]
    while todo:
        one = todo[-1]
        kind = type(one)
        if id(one) in made:
            todo.pop()
        elif kind is list or kind is dict:  # can be made before its parts are, so that these may hold it
            made[id(one)] = kind()
            filled.append(todo.pop())
            todo.extend(part for part in _parts(one) if id(part) not in made)
        elif kind is tuple or (isinstance(one, tuple) and hasattr(kind, "_fields")):
            missing = [part for part in one if id(part) not in made]
            todo.extend(missing)
            if not missing:
                made[id(todo.pop())] = tuple.__new__(kind, [made[id(part)] for part in one])
        else:
            made[id(todo.pop())] = _fresh_leaf(one, copy, other)
    for one in filled:
        if type(one) is list:
            made[id(one)].extend(made[id(part)] for part in one)
        else:
            made[id(one)].update((key, made[id(part)]) for key, part in one.items())
    return made[id(value)]


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value


class Origin:
    """The addresses of samples that travel together, and their cycle.

    Parameters
    ----------
    cycle
        Of all of them.
    first
        The address of the first.
    listed
        All addresses, where they are not consecutive in their last number.
    """

    __slots__ = ("cycle", "first", "listed")

    def __init__(self, cycle: int, first: Address, listed: list[Address] | None = None) -> None:
        self.cycle = cycle
        self.first = first
        self.listed = listed

    def address(self, index: int) -> Address:
        """Give the address of the sample at ``index``."""
        return self.listed[index] if self.listed is not None else (*self.first[:-1], self.first[-1] + index)
