"""A versioned WebSocket server for tests: a text message with its generation for each that opens, and the end for each
that leaves.

Standard library only, one thread: it starts in some tens of milliseconds and holds a thousand WebSockets, which cost it
nothing while they say nothing. What they send is not read as frames (RFC 6455): its clients have nothing to say.
"""

import base64
import hashlib
import os
import selectors
import socket

NAME = f"{os.environ['FRONTDOOR_VERSION']}#{os.environ['FRONTDOOR_GENERATION']}".encode()
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""

TEXT = 0x81
"""A whole message of text, in one frame (RFC 6455, 5.2)."""


def answer(head: bytes) -> bytes:
    """The answer to an opening handshake (RFC 6455, 4.2.2), and the first message behind it."""
    lines = head.split(b"\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
    opened = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return opened + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + bytes([TEXT, len(NAME)]) + NAME


def main() -> None:
    selector = selectors.DefaultSelector()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen(1024)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listener:
                selector.register(sock.accept()[0], selectors.EVENT_READ)
                continue
            try:
                said = sock.recv(65536)
                if said.startswith(b"GET "):
                    sock.sendall(answer(said))
            except OSError:
                said = b""
            if not said:
                selector.unregister(sock)
                sock.close()


main()
