"""Running a plan.

==========  =============================================================================
stages      one open stage each of the driver: iterate, address, close
batches     stages that put samples together
packs       the stage that lays sequences end to end
kept        stages that keep samples: shuffle, sample, cache
joins       stages with several upstreams
shards      a stage that keeps one part of the stream
prefetch    a thread that runs ahead
progress    the progress bar
segment     a parallel stage: queue of parts, decoding
feeder      the thread that reads its upstream
groups      what makes a batch, as it came from workers
build       physical plan -> open stages
runs        Run: what ``dataset.open()`` gives
runtime     the one hub thread and the worker processes of this process
waits       how long whoever takes samples waited, and for whom
timed       the stage behind the last one, where samples are timed
stats       frozen snapshots, and what follows from them: which stage is the slowest
==========  =============================================================================

Only ``segment`` and ``runtime`` know of threads and workers, and they are loaded when the first parallel
stage opens.
"""
