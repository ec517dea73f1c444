"""The backend for all that is not many small requests: raw_server.py, which says what it answers."""

import contextlib
import os
import sys
from collections.abc import Iterator

from benchmark.backends import Backend
from benchmark.process import free_ports, running

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw_server.py")


@contextlib.contextmanager
def serving(folder: str) -> Iterator[Backend]:
    """Run it, with all its files in the folder. Raises StartError."""
    (port,) = free_ports(1)
    path = os.path.join(folder, "raw.sock")
    command = [sys.executable, "-I", "-S", PROGRAM, path, str(port)]
    with running(command, os.path.join(folder, "raw.log"), [port]):
        yield Backend(path, port)
