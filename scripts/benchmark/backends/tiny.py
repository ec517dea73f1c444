"""A backend that is there in some thirty milliseconds, for measurements that swap.

    FRONTDOOR_SOCKET=/tmp/tiny.sock FRONTDOOR_VERSION=v1 python -I -S scripts/benchmark/backends/tiny.py

A connection that begins with `GET ` speaks HTTP and is kept alive: each answer's body is who gave it, `v1#7`. After
`GET /lines/1000` the process prints a thousand lines a second, for as long as that connection is open. Any other
connection gets back what it sends.

One thread, and raw sockets: it must cost less than the proxy in front of it. Its clients are ours, and small: a
request comes in one piece, and what is sent always fits into the socket's buffer.
"""

import os
import select
import socket
import time

WHO = f"{os.environ.get('FRONTDOOR_VERSION', 'v0')}#{os.environ.get('FRONTDOOR_GENERATION', '0')}".encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(WHO), WHO)
LINES = b"GET /lines/"
READ = 65_536  # bytes at once
LINE = b"a line that an app prints for each request, with a time, a path and a status: 200 GET /basket 12 ms\n"


class Printer:
    """Prints so many lines a second, in step with the clock, while it is asked to."""

    def __init__(self) -> None:
        self.asked_by = -1  # the descriptor of the connection
        self._period = 0.0
        self._due = 0.0

    def begin(self, descriptor: int, rate: int) -> None:
        """Print `rate` lines a second until that connection is closed."""
        self.asked_by, self._period, self._due = descriptor, 1 / rate, time.monotonic()

    def print(self) -> None:
        """Print what is due, each line by a write of its own, as an app that does not buffer does."""
        now = time.monotonic()
        while self._due <= now:
            self._due += self._period
            try:
                os.write(1, LINE)
            except BlockingIOError:
                pass  # nobody reads: whoever echoes must not wait for that


def serve(path: str) -> None:
    """Listen on the Unix socket `path`, and answer until killed."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(path)
    listener.listen(4096)
    os.set_blocking(1, False)
    epoll, open_ones, printer = select.epoll(), dict[int, socket.socket](), Printer()
    epoll.register(listener, select.EPOLLIN)
    while True:
        for descriptor, _ in epoll.poll(0.001 if printer.asked_by >= 0 else None, 256):
            client = open_ones.get(descriptor)
            if client is None:
                client, _ = listener.accept()
                client.setblocking(False)
                open_ones[client.fileno()] = client
                epoll.register(client, select.EPOLLIN)
            elif not answer(client, printer):
                del open_ones[descriptor]
                client.close()  # that takes it out of the epoll set, too
        if printer.asked_by >= 0:
            printer.print()


def answer(client: socket.socket, printer: Printer) -> bool:
    """Answer what has come. False: the connection has ended."""
    try:
        data = client.recv(READ)
        if data.startswith(LINES):
            printer.begin(client.fileno(), int(data[len(LINES) :].split(maxsplit=1)[0]))
        if data:
            client.send(ANSWER if data.startswith(b"GET ") else data)
    except OSError:
        data = b""
    if not data and printer.asked_by == client.fileno():
        printer.asked_by = -1
    return bool(data)


if __name__ == "__main__":
    serve(os.environ["FRONTDOOR_SOCKET"])
