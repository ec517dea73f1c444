"""A program that the bench starts: a proxy or a backend, with its output in a file, until its listeners answer."""

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence

PATIENCE = 20  # seconds for a start, and for an end that was asked for
PORTS = range(20000, 32000)  # below those that the kernel gives to clients, who would take one at any time


class StartError(Exception):
    """A program did not start; its last words are in the text."""


@contextlib.contextmanager
def running(command: Sequence[str], log: str, ports: Iterable[int], env: dict[str, str] | None = None) -> Iterator[int]:
    """Run it, from when all its TCP ports answer; its pid. On leaving it is stopped. Raises StartError."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            start_new_session=True,  # a Ctrl-C is for the bench: it stops the others when its load is gone
        )
    try:
        for port in ports:
            _wait(process, command[0], port, log)
        yield process.pid
    finally:
        _stop(process)


def _wait(process: subprocess.Popen[bytes], program: str, port: int, log: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    with open(log, errors="replace") as file:
        words = "".join(file.readlines()[-10:])
    raise StartError(f"{program} does not listen on port {port}:\n{words}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it: politely, then by the second signal that means "at once", then by force."""
    for ask in (process.terminate, process.terminate, process.kill):
        ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE / 4)
            return


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                if port not in found:
                    found.append(port)
    return found
