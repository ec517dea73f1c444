"""A versioned HTTP server for tests, a thread a connection: answers, and WebSockets, that go on when a test says so.

Standard library only. Connections are kept. What waits does so until the file "go" is there:

- GET /half sends the head and a half of its answer, and then waits;
- GET /wait says nothing before, and with Upgrade neither; an upgraded connection is an echo;
- POST sends back how many bytes came; GET /big?N answers with N bytes; all others with its generation's name.
"""

import contextlib
import os
import socket
import threading
import time
from typing import BinaryIO

NAME = f"{os.environ['FRONTDOOR_VERSION']}#{os.environ['FRONTDOOR_GENERATION']}".encode()
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
HALF = 1000


def wait() -> None:
    while not os.path.exists("go"):
        time.sleep(0.005)


def serve(sock: socket.socket) -> None:
    with contextlib.suppress(OSError), sock, sock.makefile("rb") as stream:
        while _answer(sock, stream):
            pass


def _answer(sock: socket.socket, stream: BinaryIO) -> bool:
    first = stream.readline()
    fields = {}
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    if not first:
        return False
    method, target, _ = first.split()
    if target.startswith(b"/wait"):
        wait()
    if b"upgrade" in fields:
        sock.sendall(UPGRADED)
        while data := stream.read1():  # type: ignore[attr-defined]
            sock.sendall(data)
        return False
    body = NAME
    if method == b"POST":
        body = b"%d" % len(stream.read(int(fields[b"content-length"])))
    elif target.startswith(b"/big"):
        body = b"x" * int(target.partition(b"?")[2])
    elif target.startswith(b"/half"):
        body = b"a" * HALF + b"b" * HALF
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nVersion: %b\r\n\r\n" % (len(body), NAME)
    if target.startswith(b"/half"):
        sock.sendall(head + body[:HALF])
        wait()
        sock.sendall(body[HALF:])
    else:
        sock.sendall(head + body)
    return True


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen(1024)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


main()
