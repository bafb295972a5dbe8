"""``workers=Ray(n)``: actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flazy.errors import InvalidArgument, InvalidType
from flazy.plan.where import Workers

__all__ = ["Ray"]

OWN_NAMES = {"CPU": "num_cpus", "GPU": "num_gpus"}  # of resources that have a keyword


@dataclass(frozen=True, slots=True, repr=False)
class Ray(Workers):
    """Actors of a Ray cluster: for those who have one.  Needs ``pip install flazy[ray]``, on its nodes too.

    The cluster is the one that the program is connected to; else that of ``address=``, of RAY_ADDRESS, or the one that
    runs on this machine; else one is started here, and ended by `flazy.shutdown` or with the program.  The logger
    "flazy" says which.

    What a function finds there is what Ray gives it: the environment and the modules of the node, or those of
    ``runtime_env=``.  The folder and the search path of the program are taken over as far as they exist there.  Numeric
    libraries get as many threads as there are CPUs for the actor.  Nobody ends a function that hangs; the time limit of
    `Processes` is not to be had here.

    Parameters
    ----------
    n, window, chunk
        As of `Processes`.  Where the cluster has room for fewer actors, those work that there are, and a warning is
        logged.
    num_cpus, num_gpus, resources
        What Ray sets aside for each actor, as long as it lives.
    runtime_env
        What Ray prepares for it: see Ray's manual.
    address
        The cluster, as ``ray.init`` takes it; ``"local"`` starts one here.
    """

    num_cpus: float = field(default=1, kw_only=True)
    num_gpus: float = field(default=0, kw_only=True)
    resources: Mapping[str, float] | None = field(default=None, kw_only=True, hash=False)
    runtime_env: Mapping[str, Any] | None = field(default=None, kw_only=True, hash=False)
    address: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check what can be checked without Ray."""
        Workers.__post_init__(self)
        for name in ("num_cpus", "num_gpus"):
            _check_amount(f"{name}={getattr(self, name)!r}", getattr(self, name))
        for name in ("resources", "runtime_env"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
                raise InvalidType(f"{name}={value!r} of Ray must be a dict with names, or None")
        for name, amount in (self.resources or {}).items():
            if name in OWN_NAMES:
                raise InvalidArgument(f"resources={self.resources!r} of Ray: {name} is {OWN_NAMES[name]}=")
            _check_amount(f"resources={self.resources!r}", amount)
        if self.address is not None and not isinstance(self.address, str):
            raise InvalidType(f"address={self.address!r} of Ray must be text, e.g. 'auto' or '10.0.0.1:6379', or None")
        if self.address is not None and self.address.startswith("ray://"):
            raise InvalidArgument(
                f"address={self.address!r} of Ray: through Ray Client results cannot be streamed; run the program on a "
                "machine of the cluster, e.g. as a Ray job"
            )

    @property
    def options(self) -> dict[str, Any]:
        """What each actor asks of Ray."""
        named = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus}
        held = {"resources": self.resources, "runtime_env": self.runtime_env}
        return {**named, **{name: dict(value) for name, value in held.items() if value is not None}}

    def __str__(self) -> str:
        """Spell it for plans and messages."""
        return f"{self.n} Ray actor" + ("s" if self.n > 1 else "")


def _check_amount(said: str, amount: Any) -> None:
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise InvalidType(f"{said} of Ray must be numbers, or parts of one")
    if not 0 <= amount < float("inf"):
        raise InvalidArgument(f"{said} of Ray must be 0 or more")
