"""What the driver and the processes that it starts agree on; loads nothing, for both load it first."""

__all__ = ["MESSAGE_BYTES", "ORPHAN", "RECORD_BYTES", "STALE"]

RECORD_BYTES = 64  # of the memory file in which a worker notes what it runs
MESSAGE_BYTES = 64 * 1024  # of a message to or from the zygote, at most
ORPHAN = 3  # exit code of a worker whose driver is gone
STALE = 4  # exit code of a worker that has loaded what has changed since
