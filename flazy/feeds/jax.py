"""``dataset.jax()``: samples as pytrees of ``jax.Array``.

The arrays are made by a stage of the plan (`Put`), so that errors name the sample; the feed itself opens passes.  This
is the one module that imports JAX.

=======================================  ==============================================================
dict, tuple, named tuple, list           the same, part by part
array, numpy scalar of numbers           ``jax.Array`` of its dtype; of 32 bits where JAX has no 64 (x64)
``jax.Array``                            put where it is wanted
arrays of text, dates, objects, fields   as they are
int, float, str, None, other objects     as they are
=======================================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding, SingleDeviceSharding

from flazy.dtypes import family
from flazy.errors import FeedError, InvalidType
from flazy.feeds.passes import Passes, epoch_of

__all__ = ["JaxDataset", "Put"]


class JaxDataset:
    """A dataset as JAX takes it: each iteration is the next pass, a generator that is closed when it is left.

    Parameters
    ----------
    passes
        What it iterates.
    coming
        The dataset's pass counter, of length one.
    length
        Gives the number of samples of a pass, or raises `UnknownLength`.
    """

    def __init__(self, passes: Passes, coming: list[int], length: Callable[[], int]) -> None:
        self._passes = passes
        self._coming = coming
        self._length = length

    def __iter__(self) -> Iterator[Any]:
        """Start the next pass, at the first ``next()``."""
        return self._passes()

    def __len__(self) -> int:
        """Give the number of samples of a pass.

        Raises
        ------
        UnknownLength
            Where only a pass could tell.
        """
        return self._length()

    def set_epoch(self, epoch: int) -> None:
        """Let the coming pass be that of ``epoch``, counted from 0: its order, its augmentations."""
        self._coming[0] = epoch_of(epoch)


class Put:
    """The function of the stage that makes arrays.

    Parameters
    ----------
    sharding
        A device, a sharding, or dicts, tuples and lists of them in the structure of the samples. None: wherever JAX
        puts what it is given.

    Raises
    ------
    InvalidType
        For anything else.
    """

    def __init__(self, sharding: Any) -> None:
        self.sharding = _shardings(sharding)

    def __call__(self, sample: Any) -> Any:
        """Give the sample's arrays as JAX has them.

        Raises
        ------
        FeedError
            For what JAX has no array for, and what cannot be put as the sharding says; with key and sizes.
        """
        return _put(sample, self.sharding, "")

    @property
    def works_ahead(self) -> bool:
        """Whether there is a place to put arrays ahead: elsewhere than in the memory where they are."""
        return self.sharding is not None or jax.default_backend() != "cpu"


def _shardings(spec: Any) -> Any:
    if isinstance(spec, Mapping):
        return {key: _shardings(part) for key, part in spec.items()}
    if isinstance(spec, list | tuple):
        return [_shardings(part) for part in spec]
    if isinstance(spec, jax.Device):
        return SingleDeviceSharding(spec)
    if spec is None or isinstance(spec, Sharding):
        return spec
    hint = f": jax.devices({spec!r})[0] is one" if isinstance(spec, str) else ""
    found = f"{type(spec).__name__}{hint}"
    raise InvalidType(f"sharding= of jax() takes a device, a jax.sharding.Sharding or a structure of them, not {found}")


# Structures ---------------------------------------------------------------------------------------------------------


def _put(sample: Any, sharding: Any, key: str) -> Any:
    structured = isinstance(sharding, dict | list)
    if structured and not _alike(sample, sharding):
        raise FeedError(f"sample{key} is {_kind(sample)}, and sharding= has {_kind(sharding)} for it")
    if isinstance(sample, Mapping):
        wanted = sharding if structured else dict.fromkeys(sample, sharding)
        return {name: _put(part, wanted[name], f"{key}[{name!r}]") for name, part in sample.items()}
    if isinstance(sample, list | tuple):
        wanted = sharding if structured else [sharding] * len(sample)
        parts = [_put(part, wanted[place], f"{key}[{place}]") for place, part in enumerate(sample)]
        return tuple.__new__(type(sample), parts) if isinstance(sample, tuple) else parts
    return _leaf(sample, sharding, key)


def _alike(sample: Any, sharding: Any) -> bool:
    if isinstance(sharding, dict):
        return isinstance(sample, Mapping) and sample.keys() == sharding.keys()
    return isinstance(sample, list | tuple) and len(sample) == len(sharding)


# Arrays -------------------------------------------------------------------------------------------------------------


def _leaf(value: Any, sharding: Sharding | None, key: str) -> Any:
    if isinstance(value, np.ma.MaskedArray):
        raise FeedError(f"sample{key} is a masked array, and JAX has no masks: fill it in a map(), say with .filled(0)")
    if isinstance(value, np.ndarray | np.generic):
        if not family(value.dtype):
            return value
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
    elif not isinstance(value, jax.Array):
        return value
    try:
        return _placed(value, sharding)
    except (TypeError, ValueError, AssertionError, IndexError) as error:  # JAX raises all of them for a bad shape
        raise FeedError(_refused(value, sharding, key, error)) from error


def _placed(array: Any, sharding: Sharding | None) -> Any:
    """Give the ``jax.Array``; on a CPU it is the array's own memory, where that lies at a multiple of 64 bytes."""
    if sharding is None or sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    return jax.make_array_from_process_local_data(sharding, np.asarray(array))  # this process has a part of it


def _refused(value: Any, sharding: Sharding | None, key: str, error: BaseException) -> str:
    what = f"sample{key} of shape {value.shape} and dtype {value.dtype}"
    if sharding is None or sharding.num_devices == 1:
        return f"JAX has no array for {what}: {error}; cast() it, or leave it out with select()"
    reason = str(error).partition(". ")[0] if isinstance(error, ValueError) else "its axes are fewer than those named"
    return (
        f"{what} cannot be divided among {sharding.num_devices} devices as sharding= says: {reason}; give batches of a "
        "size that they divide, or a sharding of its own for this part"
    )


# Words --------------------------------------------------------------------------------------------------------------


def _kind(part: Any) -> str:
    if isinstance(part, Mapping):
        return f"a dict of {', '.join(map(repr, part)) or 'nothing'}"
    return f"a sequence of {len(part)}" if isinstance(part, list | tuple) else f"of type {type(part).__name__}"
