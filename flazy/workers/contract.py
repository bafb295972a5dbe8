"""What the driver and the processes that it starts agree on; loads nothing, for both load it first."""

import signal

__all__ = [
    "ASKED_AT", "DUMP", "GROUP_SECONDS", "MESSAGE_BYTES", "NO_MEMORY", "NO_PROCESS", "ORPHAN", "ORPHAN_SECONDS",
    "RECORD_BYTES", "STACK_AT", "STACK_BYTES", "STALE",
]  # fmt: skip

# The memory file in which a worker notes what it runs, and into which its stack is written when it crashes, or when the
# driver asks for it: by a byte that a thread of the worker looks at, or by a signal, one that nobody else uses where
# there are such.
RECORD_BYTES = 512
ASKED_AT = 1024
STACK_AT = 4096
STACK_BYTES = 256 * 1024  # to be read at most
DUMP = getattr(signal, "SIGRTMAX", signal.SIGUSR2)
MESSAGE_BYTES = 64 * 1024  # of a message to or from the zygote, at most
ORPHAN = 3  # exit code of a worker whose driver is gone
GROUP_SECONDS = 0.5  # from SIGTERM to SIGKILL, for what a worker leaves behind
ORPHAN_SECONDS = 1.0  # for which a worker whose driver is gone waits for the zygote to end it
STALE = 4  # exit code of a worker that has loaded what has changed since
NO_PROCESS = 5  # exit code of a worker that could not begin for want of processes or threads
NO_MEMORY = 6  # … of memory
