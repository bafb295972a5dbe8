"""The plan: frozen nodes, rules over them, and the kernel that is shipped to workers.

Pure data and rules; nothing here opens a file, a socket or a thread.

=============  ==========================================================================
nodes          what the user asked for: sources, record nodes, stream nodes, joins
batching       more stream nodes: several samples to one
sources        what ``Dataset(...)`` accepts, checked and made re-iterable
where          in which processes or threads a stage runs
functions      the functions behind ``select``, ``starmap``, ``unbatch`` …
casts          the function behind ``cast``
kernel         a chain of record nodes as one loop
loops          the source of that loop, written out for the chain
shipping       kernels as bytes
ranks          which of several processes this one is
shards         which samples are a rank's, and how many
order          whether all ranks see one order
length         how many samples a plan gives, where that is known
planner        nodes -> physical plan
sections       what of it one thread pulls, and whether that gives batches
explain        both as text
=============  ==========================================================================
"""
