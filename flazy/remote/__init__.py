"""Workers on other machines.

The *trainer* is the user's program.  A *host* is one ``flazy-worker`` on another machine, with processes of its own;
it only connects out.  A *session* is one pair of connections between them.  Where there is any doubt about a connection
its session ends, and a new one begins with new numbers for the workers, so nothing late is taken for anything new.

============  ============================================================================
messages      what trainer and hosts say to each other
join          join codes: where the trainer is, and the keys to it
keyfiles      keys that last longer than a run, in files
versions      what must be equal on both sides
code          the modules that functions refer to, here and there
fingerprints  what code lies under a module's name
parcel        a chain of functions as other machines get it

entrance      the trainer's side: where hosts come in, and how people are told of it
register      who is there, and who works on what
hosts         what hosts say, believed as little as possible
host          one session, and what a run is to it
pool          the workers of one parallel stage, wherever they are

agent         the host's side: its loop
settings      what a host is told at its start, and what it tells of itself
trainer       the trainer as a host sees it: a pair of connections
relayed       what the trainer says, passed on to the processes
reports       what the processes tell, passed on to the trainer

cli           the command ``flazy-worker``
options       what it can be asked for
handed        how it is handed its join code
shown         what a person sees of it
============  ============================================================================
"""
