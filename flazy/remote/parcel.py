"""A chain of functions as other machines get it: by value what they do not have, and the names of all else."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from flazy.plan.kernel import Op
from flazy.plan.shipping import dump_ops
from flazy.remote import code

__all__ = ["Book", "Parcel", "parcel_of"]

KNOWN = 8  # kernels that a host keeps for another pass, with
KNOWN_BYTES = 2**30  # so many bytes in all, unless one alone is larger


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A pickled chain.

    Parameters
    ----------
    number
        Made of its bytes: equal ones have equal numbers, so hosts are not sent again what they have.
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

    Raises
    ------
    UnserializableFunction
        Names the stage and, where it can be found, the variable that cannot be pickled.
    InvalidArgument
        A module of ``ship`` is none.
    """
    sent = code.sent_by_value(ship)
    stream, memory = dump_ops(ops, by_value=sent)
    aside = [bytes(each) for each in memory]
    digest = hashlib.blake2b(stream, digest_size=8)
    for each in aside:
        digest.update(each)
    return Parcel(int.from_bytes(digest.digest()), stream, aside, code.known(stream), sent)


class Book:
    """Which kernels one host has; the trainer keeps it and tells the host what to forget, so that both agree."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[int, int] = OrderedDict()  # by number, the last used at the end

    def has(self, number: int) -> bool:
        """Say whether it has one, and note that it is used again."""
        if number in self._sizes:
            self._sizes.move_to_end(number)
        return number in self._sizes

    def add(self, parcel: Parcel, used: set[int]) -> list[int]:
        """Note one more; give those that it is to forget, of which none is ``used``."""
        self._sizes[parcel.number] = parcel.nbytes
        dropped = []
        for number in list(self._sizes):
            if len(self._sizes) <= KNOWN and sum(self._sizes.values()) <= KNOWN_BYTES:
                break
            if number not in used and number != parcel.number:
                del self._sizes[number]
                dropped.append(number)
        return dropped
