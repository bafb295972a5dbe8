"""Batches on their way to a device: copied ahead on a stream of their own, from locked memory.

::

    tensors ─> depart, in the thread of a prefetch ──> Flight … Flight ──> arrive, in the consumer's ──> tensors

`Departures` starts the copies and keeps the memory that they read until they are done: a block of shared memory that
nobody holds is written to again.  `Copies` is what it needs of a device; whatever touches one is in the classes that
implement it.  That for CUDA was written without one: it has been run with stand-ins for the copy alone.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from flazy.errors import InvalidArgument, InvalidType
from flazy.feeds.tensors import moved
from flazy.run.pinned import Pinned

__all__ = ["ENGINES", "Copies", "Departures", "arrive", "depart", "opener"]


log = logging.getLogger("flazy")


class Copies(Protocol):
    """Copies to a device, in the order in which they were started; one object a pass.

    Everything but `arrive` is called from one thread, and none of it but `close` may wait for a copy.
    """

    def start(self, tensor: Any) -> Any:
        """Give the tensor that ``tensor`` is being copied to."""

    def mark(self) -> Any:
        """Give a mark behind all copies that were started."""

    def is_done(self, mark: Any) -> bool:
        """Say whether all copies before a mark are done."""

    def arrive(self, mark: Any, tensors: list[Any]) -> None:
        """Let what the calling thread does with these tensors from now on come after the copies before the mark."""

    def close(self) -> None:
        """Wait until all copies are done; idempotent."""


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A sample whose tensors are being copied."""

    sample: Any
    tensors: list[Any]
    mark: Any
    copies: Copies


class Departures:
    """The copies of one pass, and the samples that they read."""

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._read: deque[tuple[Any, Any]] = deque()

    def depart(self, sample: Any) -> Flight:
        """Start to copy a sample."""
        while self._read and self._copies.is_done(self._read[0][0]):
            self._read.popleft()
        tensors: list[Any] = []

        def placed(tensor: Any) -> Any:
            tensors.append(self._copies.start(tensor))
            return tensors[-1]

        made = moved(sample, placed)
        mark = self._copies.mark()
        self._read.append((mark, sample))
        return Flight(made, tensors, mark, self._copies)

    def close(self) -> None:
        """Wait for the copies, then let go of what they read; idempotent."""
        self._copies.close()
        self._read.clear()


def depart(sample: Any, departures: Departures) -> Flight:
    """Start to copy a sample to the device."""
    return departures.depart(sample)


def arrive(flight: Flight) -> Any:
    """Give the sample on the device, from the thread that uses it."""
    flight.copies.arrive(flight.mark, flight.tensors)
    return flight.sample


# Devices ----------------------------------------------------------------------------------------------------------


class PlainCopies:
    """For devices without streams: a copy is done when it returns, and so is one into locked memory."""

    def __init__(self, copy: Callable[[Any], Any]) -> None:
        self.start = copy

    def mark(self) -> None:
        """Give none."""

    def is_done(self, mark: None) -> bool:
        """Say yes."""
        return True

    def arrive(self, mark: None, tensors: list[Any]) -> None:
        """Do nothing: they have."""

    def close(self) -> None:
        """Do nothing: all are done."""


class StreamCopies:
    """Copies on a stream beside that of the computation, for CUDA and devices that PyTorch treats alike.

    Tensors in shared memory that the driver knows are copied from where they lie, others from locked memory of
    PyTorch's, which sees to it that this is not used again too early.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._module = torch.get_device_module(device)
        self._stream = self._module.Stream(device)

    def start(self, tensor: Any) -> Any:
        """Copy from locked memory, which the call does not wait for."""
        with self._module.stream(self._stream):
            # The stream's device is the current one here, also for what locks memory.
            return _locked(tensor).to(self._device, non_blocking=True)

    def mark(self) -> Any:
        """Give an event of the stream."""
        return self._stream.record_event()

    def is_done(self, mark: Any) -> bool:
        """Ask the event."""
        done: bool = mark.query()
        return done

    def arrive(self, mark: Any, tensors: list[Any]) -> None:
        """Let the current stream wait, not the caller; the memory is used again only behind what that stream does."""
        current = self._module.current_stream(self._device)
        current.wait_event(mark)
        for tensor in tensors:
            tensor.record_stream(current)

    def close(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()


class CudaDriver:
    """The functions of CUDA that lock memory of others."""

    PORTABLE = 1  # for all devices: a process may have several

    def register(self, address: int, size: int) -> str | None:
        """Lock memory."""
        found = torch.cuda.cudart().cudaHostRegister(address, size, self.PORTABLE)
        if int(found) == 0:
            return None
        # CUDA keeps the error for whoever asks next, and PyTorch does so when it starts a kernel: let that be this one.
        with contextlib.suppress(RuntimeError):
            torch.ones(1, device="cuda")
        return f"cudaHostRegister: {found}"

    def unregister(self, address: int) -> None:
        """Undo it; whether that works changes nothing for us."""
        torch.cuda.cudart().cudaHostUnregister(address)


PINNED = Pinned(CudaDriver())


def _locked(tensor: Any) -> Any:
    """Give a tensor in locked memory: itself, where it lies in shared memory that the driver knows."""
    if torch.cuda.is_available() and tensor.layout == torch.strided and PINNED.holds(tensor.data_ptr()):
        return tensor
    return tensor.pin_memory()


def _locked_beside(tensor: Any, device: int) -> Any:
    """Do so in a thread of ours, where another device may be the current one, of which nothing is wanted."""
    with torch.cuda.device(device):
        return _locked(tensor)


def _plain(device: torch.device) -> Copies:
    return PlainCopies(functools.partial(_copied, device=device))


def _copied(tensor: Any, device: torch.device) -> Any:
    return tensor.to(device)


# Kinds of devices whose copies are not plain.
ENGINES: dict[str, Callable[[torch.device], Copies]] = {"cuda": StreamCopies, "xpu": StreamCopies}


# Asked for --------------------------------------------------------------------------------------------------------


def opener(call: str, device: Any, *, pin_memory: bool) -> Callable[[], Departures] | None:
    """Give what opens the copies of a pass; None where nothing has to be copied. ``call`` is who asks, for messages.

    Raises
    ------
    InvalidType
        For what names no device.
    InvalidArgument
        For a device that is not there.
    """
    chosen = None if device is None else _device(call, device)
    if chosen is not None and chosen.type != "cpu":
        return functools.partial(_departures, functools.partial(ENGINES.get(chosen.type, _plain), chosen))
    if not pin_memory:
        return None
    if not torch.cuda.is_available():  # as where the program is tried out before it goes to its GPU
        log.info("pin_memory=True of %s() changes nothing: PyTorch finds no GPU that would read locked memory", call)
        return None
    locked = functools.partial(_locked_beside, device=torch.cuda.current_device())
    return functools.partial(_departures, functools.partial(PlainCopies, locked))


def _departures(copies: Callable[[], Copies]) -> Departures:
    return Departures(copies())


def _device(call: str, device: Any) -> torch.device:
    """Check a device, and give it with its number: another thread may have another current one."""
    try:
        chosen = torch.device("cuda", device) if type(device) is int else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidType(f"device={device!r} of {call}() is no device of PyTorch: {_first_line(error)}") from error
    module: Any = getattr(torch, chosen.type, None)
    count = module.device_count() if hasattr(module, "device_count") else None
    if count is not None and (chosen.index or 0) >= count:
        raise InvalidArgument(f"device={device!r} of {call}(): PyTorch finds {count or 'no'} {chosen.type}")
    if chosen.index is None and hasattr(module, "current_device") and chosen.type in ENGINES:
        return torch.device(chosen.type, module.current_device())
    return chosen


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
