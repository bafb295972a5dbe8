"""Running a plan.

==========  =============================================================================
stages      one open stage each of the driver: iterate, address, close
kept        stages that keep samples: shuffle, sample, cache
joins       stages with several upstreams
collate     samples -> batch
prefetch    a thread that runs ahead
progress    the progress bar
segment     a parallel stage: feeder, queue of parts, decoding
build       physical plan -> open stages
runs        Run: what ``dataset.open()`` gives
runtime     the one hub thread and the worker processes of this process
stats       frozen snapshots
==========  =============================================================================

Only ``segment`` and ``runtime`` know of threads and workers, and they are loaded when the first parallel
stage opens.
"""
