"""How fast Flazy is, against everything else that could be used: ``make bench``, told in ``docs/performance.md``.

==============  ==============================================================================
catalogue       what is measured: the peers and the workloads, as data
workloads       the workloads themselves: sources, functions, and how an output is checked
peers/          how each peer is driven, one small file each, in its best configuration
cell            what runs in the process of one cell (a peer, a workload, a round)
streaming       … for workloads that stream: samples a second
once            … for those that do not: starting, overlapping, memory
chain           … and without workers, against a generator written by hand
memory          what a process and all below it hold
limits          what this machine can do at best: copying, sockets, shared memory
schedule        which cell runs when, and what an interrupted run has left to do
environment     the peers' own virtual environment, and the name of the machine
goals           what is to be reached, and whether it was
tables, plot    medians, tables, and the picture
run             all of it in order
soak            memory, descriptors and threads over a long time: ``make soak``
map, padded,    smaller measurements, run by themselves: ``python -m benchmarks.map``
tfrecord, on_ray
==============  ==============================================================================
"""
