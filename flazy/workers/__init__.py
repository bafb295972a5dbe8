"""Workers: the body that every one of them runs, and how they are started and watched.

=========  ==============================================================================
task       one task under way in a worker: outputs, parts, what failed
collected  what a part is made of as it comes
loop       what a worker does with messages; the same in a process and in a thread
process    the entry of a worker process: surroundings, output, death pipe
launch     one worker process: start it, watch it, end it
allocator  how C's allocator treats large blocks, in those processes
zygote     the clean process that forks workers, seen from the driver
forker     the same process, from inside
contract   what the driver and those processes agree on
kernels    pickled kernels in the driver, and which worker has them
shelf      the same in a worker, and the memory of arrays that were captured
room       whether the system has what the runtime takes, and which limit is in the way
threads    how many threads numeric libraries take in a worker
freshness  whether what a worker has imported has changed
mailbox    how other threads reach the hub, or the relay
relay      what workers print and log, brought to the caller
fleet      the worker processes of this process: who works for whom
passing    what is told of workers, passed on to their stage
lending    which place in shared memory a task gets
owned      whether what a function returned is nobody else's
pool       what a parallel stage needs of its workers, for processes and for threads
=========  ==============================================================================
"""
