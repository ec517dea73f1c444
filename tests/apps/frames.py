"""A WebSocket server for tests that says frames of all sizes, and prints what its clients have said.

The path says what becomes of a connection, behind a first message with the generation:

    /stream   messages without end: the nth has the size and the bytes that `message` gives it
    /half     the head of a long frame and its first bytes, and never more
    /leave    a Close frame of its own
    /listen   nothing

It answers a Close frame with one, and closes. What was heard of a client is printed as one line of JSON when he has
gone: his messages, the code of his Close frame, and how it ended. Standard library only, two threads a connection.
"""

import base64
import hashlib
import json
import os
import socket
import threading
from typing import BinaryIO

NAME = f"{os.environ.get('FRONTDOOR_VERSION', '?')}#{os.environ.get('FRONTDOOR_GENERATION', '?')}".encode()
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""

TEXT, BINARY, CLOSE = 1, 2, 8
SIZES = (0, 1, 125, 126, 127, 4000, 65_535, 65_536, 3, 200_000, 12, 4096, 700, 31)


def message(number: int) -> bytes:
    """What the nth message of a stream is."""
    size = SIZES[number % len(SIZES)]
    return (b"%08d " % number * (size // 9 + 1))[:size]


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame, as a server sends it (RFC 6455, 5.2)."""
    return head(opcode, len(payload)) + payload


def head(opcode: int, size: int) -> bytes:
    first = bytes([0x80 | opcode])
    if size < 126:
        return first + bytes([size])
    if size < 1 << 16:
        return first + bytes([126]) + size.to_bytes(2, "big")
    return first + bytes([127]) + size.to_bytes(8, "big")


def opened(stream: BinaryIO) -> tuple[str, bytes]:
    """The path that a client asks for, and the answer (RFC 6455, 4.2.2). Raises ValueError when he has gone."""
    first = stream.readline().split()
    if len(first) != 3:
        raise ValueError("no request")
    fields = {}
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
    lines = (b"HTTP/1.1 101 Switching Protocols", b"Upgrade: WebSocket", b"Connection: Upgrade")
    return first[1].decode(), b"\r\n".join((*lines, b"Sec-WebSocket-Accept: " + accept, b"", b""))


def said(stream: BinaryIO) -> tuple[int, bytes]:
    """The next frame of a client: opcode and payload; (0, b"") at the end. Raises OSError as a read does."""
    first = stream.read(2)
    if len(first) < 2:
        return 0, b""
    size = first[1] & 0x7F
    if size >= 126:
        size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
    mask = stream.read(4)
    return first[0] & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(stream.read(size)))


def talk(sock: socket.socket, path: str) -> None:
    """Say what the path asks for, as long as somebody takes it."""
    try:
        if path == "/half":
            sock.sendall(head(BINARY, 100_000) + b"x" * 1000)
        elif path == "/leave":
            sock.sendall(frame(CLOSE, (1001).to_bytes(2, "big")))
        number = 0
        while path == "/stream":
            sock.sendall(frame(BINARY, message(number)))
            number += 1
    except OSError:
        pass


def serve(sock: socket.socket) -> None:
    heard: list[str] = []
    code, end = None, "end"
    with sock, sock.makefile("rb") as stream:
        try:
            path, answer = opened(stream)
            sock.sendall(answer + frame(TEXT, NAME))  # in one piece: the first frame comes with the head
            threading.Thread(target=talk, args=(sock, path), daemon=True).start()
            while True:
                opcode, payload = said(stream)
                if opcode == 0:
                    break
                if opcode != CLOSE:
                    heard.append(payload.decode())
                    continue
                code = int.from_bytes(payload[:2], "big")
                if path != "/leave":
                    sock.sendall(frame(CLOSE, payload))
                break
        except OSError as error:
            end = type(error).__name__
        except ValueError:
            return  # a probe
        print(json.dumps({"heard": heard, "code": code, "end": end}), flush=True)
        try:
            sock.shutdown(socket.SHUT_RDWR)  # the other thread may be in the middle of something
        except OSError:
            pass


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen(1024)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
