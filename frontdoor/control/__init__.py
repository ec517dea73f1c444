"""Control: the HTTP API on a Unix socket, the events, and the client that the command line is made of.

This module imports nothing: the client's side (:mod:`.dial`, :mod:`.client`, :mod:`.wording`) is standard
library only, and the server's side brings trio, Starlette and Hypercorn.
"""
