"""The pure core: events in, commands out.

Nothing here does IO, reads a clock, starts a thread or draws a random number; standard library only.
``events`` names what happens and what is to be done, ``limits`` bounds, ``dispatch`` decides, ``check`` asserts what
must always hold.
"""
