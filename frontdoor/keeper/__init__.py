"""The keeper: the parent process that outlives everything else.

It decides nothing. It holds descriptors that it is given (the vault), starts child processes on request, reaps them
and reports how they ended, passes signals on, and starts the door process again whenever that dies. Single-threaded,
synchronous, standard library only: so simple that it has nothing to crash on.

``link`` is the other end of the wire: it runs in the door process, on trio.
"""
