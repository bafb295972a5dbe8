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
hosts         the trainer's side: sessions, and who works for whom
pool          the workers of one parallel stage, wherever they are
agent         the host's side: processes, and what passes between them and the trainer
cli           the command ``flazy-worker``
options       what it can be asked for
handed        how it is handed its join code
shown         what a person sees of it
============  ============================================================================
"""
