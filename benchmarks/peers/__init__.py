"""How each peer is driven: a module each. ``pipeline(work, workers=2)`` gives what gives a pass for each ``iter()``.

Each is in the best configuration that was found by hand: chunks, prefetching, where batches are made (in the worker,
wherever that is possible). What is done by hand is the *size* of what travels; outputs are those of the workload, made
by its own functions. A module may have ``big_closure(array, workers)``, and ``FROM_START = True`` where outputs come in
such large blocks that a clock which starts with the first would flatter it, and ``UNORDERED = True`` where a pass gives
each output with its number, in any order.
"""
