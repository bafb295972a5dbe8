"""Readers: functions from a file's path to an iterator of its samples.

Here is only the registry; each format lives in its own module, which is loaded when the format is first
asked for, so that ``import flazy`` loads no reader.  A reader knows nothing of datasets, plans or workers.
"""

from __future__ import annotations

READERS = {
    "tfrecord": "flazy.readers.tfrecord:read_tfrecord",
}
"""Name of a format, as in ``Dataset.read.<name>``, to ``module:function``."""
