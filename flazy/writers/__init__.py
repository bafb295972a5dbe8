"""Writers: functions that put samples into files, complete or not at all.

Here is only the registry; each format lives in its own module, which is loaded when the format is first
asked for.  A writer knows nothing of datasets, plans or workers.
"""

from __future__ import annotations

WRITERS = {
    "tfrecord": "flazy.writers.tfrecord:write_tfrecord",
}
"""Name of a format, as in ``dataset.write.<name>``, to ``module:function``."""
