"""Values of PyTorch on their way between processes: arrays beside, and a stream of bytes that holds the rest.

So the arrays travel like any other, in shared memory where they are large, and everything else is what it was:
numbers, names, named tuples, objects.  In the place of each array the stream has a number and the dtype of
the tensor that was there, or None for an array that was one.

Not here: what becomes of a tensor that numpy cannot hold (sparse, quantised, on a device, with a gradient).  It stays
in the stream, as PyTorch pickles it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any

import cloudpickle
import numpy as np
import torch

from flazy.feeds.tensors import BITS, tensor_of

__all__ = ["Shipped", "emptied", "restored"]

# Tensors of these dtypes are arrays as they are; those of BITS by a view of their bits.
DTYPES = {
    torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32,
    torch.int64, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128,
}  # fmt: skip
BIT_DTYPES = {getattr(torch, name): torch.int16 if bits is np.int16 else torch.int8 for name, bits in BITS.items()}
ARRAYS = "?bBhHiIlLqefdFD"  # dtypes of numpy, by their letters, that PyTorch takes

Place = tuple[int, torch.dtype | None]  # which array; of which dtype the tensor is


def emptied(value: Any) -> tuple[Any, ...]:
    """Give the stream, then the arrays, which share memory with what is in ``value``."""
    arrays: list[Any] = []
    stream = io.BytesIO()
    try:
        _Emptying(stream, arrays).dump(value)
    except Exception:  # noqa: BLE001 - a class of the user's program, say: pickled by value, or the error comes again
        arrays.clear()
        stream = io.BytesIO()
        _EmptyingAnything(stream, arrays).dump(value)
    return stream.getvalue(), *arrays


def restored(parts: Sequence[Any]) -> Any:
    """Give the value of which these are the stream and the arrays."""
    stream, *arrays = parts

    filling = pickle.Unpickler(io.BytesIO(stream))  # noqa: S301 - from our own workers
    filling.persistent_load = lambda place: _filled(arrays, place)  # type: ignore[method-assign]  # what it is for
    return filling.load()


def _filled(arrays: list[Any], place: Place) -> Any:
    number, dtype = place
    return arrays[number] if dtype is None else _tensor(arrays[number], dtype)


def _tensor(array: Any, dtype: torch.dtype) -> Any:
    tensor = tensor_of(array)
    return tensor.view(dtype) if dtype in BIT_DTYPES else tensor


def _place(value: Any, arrays: list[Any]) -> Place | None:
    """Put an array, or that of a tensor, to the others; None for anything else."""
    if type(value) is np.ndarray:
        if value.dtype.char not in ARRAYS or not value.dtype.isnative:
            return None
        arrays.append(value)
        return len(arrays) - 1, None
    if type(value) is not torch.Tensor or not _is_plain(value):
        return None
    arrays.append(array_of(value))
    return len(arrays) - 1, value.dtype


def _is_plain(tensor: Any) -> bool:
    return bool(
        (tensor.dtype in DTYPES or tensor.dtype in BIT_DTYPES)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.requires_grad or tensor.is_conj() or tensor.is_neg())
    )


def array_of(tensor: Any) -> Any:
    """Give the array over a plain tensor's memory, of its bits where numpy has no such dtype."""
    return (tensor.view(BIT_DTYPES[tensor.dtype]) if tensor.dtype in BIT_DTYPES else tensor).numpy()


class _Emptying(pickle.Pickler):
    """Pickles all but arrays and tensors, which it collects."""

    def __init__(self, stream: io.BytesIO, arrays: list[Any]) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self._arrays = arrays

    def persistent_id(self, value: Any) -> Place | None:
        """Give the place of an array."""
        return _place(value, self._arrays)


class _EmptyingAnything(cloudpickle.Pickler):  # type: ignore[misc]  # it comes without types
    """Does the same with functions and classes that cannot be imported."""

    def __init__(self, stream: io.BytesIO, arrays: list[Any]) -> None:
        super().__init__(stream, pickle.HIGHEST_PROTOCOL)
        self._arrays = arrays

    def persistent_id(self, value: Any) -> Place | None:
        """Give the place of an array."""
        return _place(value, self._arrays)


# Datasets ---------------------------------------------------------------------------------------------------------

LARGE = 2**20  # bytes from which an array of a dataset is handed on without being copied into a stream


class Shipped:
    """What is pickled with its tensors as arrays: PyTorch would copy them into the stream, at each pass.

    Whoever pickles for worker processes keeps large arrays once for all of them, and unchanged ones over passes.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle into a stream of its own, with large arrays beside it."""
        aside: list[pickle.PickleBuffer] = []

        def stays(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes < LARGE:
                return True
            aside.append(buffer)
            return False

        stream = io.BytesIO()
        _Shipping(stream, pickle.HIGHEST_PROTOCOL, buffer_callback=stays).dump(self.value)
        return _received, (stream.getvalue(), aside)


class _Shipping(cloudpickle.Pickler):  # type: ignore[misc]  # it comes without types
    def reducer_override(self, value: Any) -> Any:
        """Pickle plain tensors as arrays."""
        if type(value) is torch.Tensor and _is_plain(value):
            return _tensor, (array_of(value), value.dtype)
        return super().reducer_override(value)


def _received(stream: bytes, aside: Sequence[Any]) -> Shipped:
    return Shipped(pickle.loads(stream, buffers=aside))  # noqa: S301 - the caller's own functions come this way
