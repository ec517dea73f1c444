"""A release that is ready like any other, and shows what it is worth only under load: the argument says what.

It greets like greeter.py, with its generation and pid. What it does wrong, it prints when it first does so, with the
time of the monotonic clock, which is one for the whole machine.
"""

import os
import select
import signal
import socket
import sys
import time
from collections import deque
from types import FrameType

SOCKET = os.environ["FRONTDOOR_SOCKET"]
GREETING = f"{os.environ['FRONTDOOR_VERSION']}#{os.environ['FRONTDOOR_GENERATION']} {os.getpid()}\n".encode()

CRASHES_AFTER = 3.0  # seconds from its first client on
LATE = 0.4  # seconds from a client to its greeting, of one that is slow
STALL = 0.25  # seconds in which such a one does nothing at all, in each second
FEW = 8  # clients that wait in the backlog of such a one


def say(text: str) -> None:
    print(text, flush=True)


def fails_now() -> None:
    say(f"failed at {time.monotonic()}")


def listen(backlog: int = 1024) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(SOCKET)
    listener.listen(backlog)
    return listener


def notify() -> None:
    if "NOTIFY_SOCKET" in os.environ:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


def serve(listener: socket.socket, late: float = 0.0, stall: float = 0.0) -> None:
    """Greet each client, and wait until it leaves."""
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    owed: deque[tuple[float, socket.socket]] = deque()  # greetings, and when they are due
    stalls = time.monotonic() + 1.0
    while True:
        if stall and time.monotonic() >= stalls:
            time.sleep(stall)
            stalls += 1.0
        now = time.monotonic()
        while owed and owed[0][0] <= now:
            greet(owed.popleft()[1])
        for fd, _ in poll.poll(max(0.0, owed[0][0] - now) if owed else None):
            if fd == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client.fileno(), select.EPOLLIN)
                owed.append((now + late, client))
            else:
                poll.unregister(fd)
                clients.pop(fd).close()


def greet(client: socket.socket) -> None:
    try:
        client.send(GREETING)
    except OSError:
        pass  # it has gone, and perhaps we have closed it already


def good() -> None:
    listener = listen()
    notify()
    serve(listener)


def crashes() -> None:
    def crash(number: int, frame: FrameType | None) -> None:
        fails_now()
        os._exit(3)

    signal.signal(signal.SIGALRM, crash)
    listener = listen()
    notify()
    select.select([listener], [], [])
    signal.setitimer(signal.ITIMER_REAL, CRASHES_AFTER)
    serve(listener)


def hangs_up() -> None:
    listener = listen()
    listener.setblocking(True)
    notify()
    client, _ = listener.accept()
    fails_now()
    while True:
        client.close()
        client, _ = listener.accept()


def is_deaf_in_part() -> None:
    if os.environ["FRONTDOOR_PROCESS"] != "1":
        good()
    is_deaf()


def is_deaf() -> None:
    notify()
    while True:
        signal.pause()


def is_slow() -> None:
    listener = listen(FEW)
    notify()
    serve(listener, LATE, STALL)


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")]()
