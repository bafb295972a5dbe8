"""A chain of functions as other machines get it: by value what they do not have, and the names of all else."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import numpy as np

from flazy.plan.kernel import Op
from flazy.plan.shipping import dump_ops
from flazy.remote import code

__all__ = ["Book", "Parcel", "parcel_of"]

KNOWN = 8  # kernels that a host keeps for another pass, with
KNOWN_BYTES = 2**30  # so many bytes in all, unless one alone is larger
AT_ONCE = 2**20  # bytes that are compared: they stay in the processor's cache

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Parcel:
    """A pickled chain.

    Parameters
    ----------
    number
        Those whose bytes are equal have equal numbers while a host has one: it is not sent again what it has.
    stream, aside
        As in `flazy.plan.shipping.Pickled`; copies, since a host may come later.
    modules
        The fingerprints here of the modules that it refers to by name.
    sent
        The modules that went by value.
    """

    number: int
    stream: bytes
    aside: Sequence[bytes]
    modules: dict[str, str | None]
    sent: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """What it weighs."""
        return len(self.stream) + sum(map(len, self.aside))


def parcel_of(ops: tuple[Op, ...], ship: Sequence[str] = ()) -> Parcel:
    """Pickle a chain for other machines; modules beside the script, and those of ``ship``, go by value.

    Where that gives the bytes of one that a host still has, large arrays are not copied again, only compared.

    Raises
    ------
    UnserializableFunction
        Names the stage and, where it can be found, the variable that cannot be pickled.
    InvalidArgument
        A module of ``ship`` is none.
    """
    sent = code.sent_by_value(ship)
    stream, memory = dump_ops(ops, by_value=sent)
    before = _held.get(stream)
    if before is not None and _is_same(before.aside, memory):
        return replace(before, modules=code.known(stream), sent=sent)
    made = Parcel(next(_numbers), stream, [bytes(each) for each in memory], code.known(stream), sent)
    _held[stream] = made
    return made


def _is_same(before: Sequence[bytes], memory: Sequence[memoryview]) -> bool:
    """Compare arrays with their copies; a hash of them would take five times as long, and be no proof."""
    pairs = list(zip(before, memory, strict=False))
    return len(before) == len(memory) and all(len(old) == new.nbytes for old, new in pairs) and all(
        np.array_equal(np.frombuffer(old, np.uint8)[at : at + AT_ONCE], np.frombuffer(new, np.uint8)[at : at + AT_ONCE])
        for old, new in pairs
        for at in range(0, len(old), AT_ONCE)
    )


_held: WeakValueDictionary[bytes, Parcel] = WeakValueDictionary()  # by stream; the books of hosts hold them


class Book:
    """Which kernels one host has; the trainer keeps it and tells the host what to forget, so that both agree."""

    def __init__(self) -> None:
        self._parcels: OrderedDict[int, Parcel] = OrderedDict()  # by number, the last used at the end

    def has(self, number: int) -> bool:
        """Say whether it has one, and note that it is used again."""
        if number in self._parcels:
            self._parcels.move_to_end(number)
        return number in self._parcels

    def add(self, parcel: Parcel, used: set[int]) -> list[int]:
        """Note one more; give those that it is to forget, of which none is ``used``."""
        self._parcels[parcel.number] = parcel
        dropped = []
        for number in list(self._parcels):
            if len(self._parcels) <= KNOWN and sum(each.nbytes for each in self._parcels.values()) <= KNOWN_BYTES:
                break
            if number not in used and number != parcel.number:
                del self._parcels[number]
                dropped.append(number)
        return dropped
