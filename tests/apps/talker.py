"""A versioned HTTP server for tests: each request is answered with its generation, and one with Upgrade opens an echo.

Standard library only, one thread. Connections are kept; what a request has for a body is read, and no more. A GET of
/slow is answered when the file "go" is there; the bytes behind an upgrade are sent back as they come.
"""

import os
import re
import selectors
import socket

NAME = f"{os.environ['FRONTDOOR_VERSION']}#{os.environ['FRONTDOOR_GENERATION']}".encode()
HEAD = re.compile(rb"(?s:.*?)\r\n\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(NAME), NAME)
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"


class Talker:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._said = b""
        self._echoes = False
        self.waits = False

    def read(self) -> bool:
        """Take what has come; False: it is over."""
        try:
            data = self._sock.recv(65536)
            if self._echoes:
                self._sock.sendall(data)
            else:
                self._said += data
                self._answer_all()
        except OSError:
            return False
        return bool(data)

    def _answer_all(self) -> None:
        """Answer each request that is there as a whole."""
        while head := HEAD.match(self._said):
            length = LENGTH.search(head[0])
            end = head.end() + (int(length[1]) if length else 0)
            if len(self._said) < end:
                return
            self._said = self._said[end:]
            self._sock.sendall(self._answer(head[0]))

    def _answer(self, head: bytes) -> bytes:
        if b"\r\nupgrade:" in head.lower():
            self._echoes = True
            return UPGRADED
        if head.startswith(b"GET /slow") and not os.path.exists("go"):
            self.waits = True
            return b""
        return ANSWER

    def go(self) -> None:
        """What it has waited for is there."""
        self.waits = False
        self._sock.sendall(ANSWER)


def main() -> None:
    selector = selectors.DefaultSelector()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen(1024)
    selector.register(listener, selectors.EVENT_READ)
    waiting: list[Talker] = []
    while True:
        for key, _ in selector.select(0.01 if waiting else None):
            if key.data is None:
                sock, _ = listener.accept()
                selector.register(sock, selectors.EVENT_READ, Talker(sock))
            elif not key.data.read():
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
            elif key.data.waits:
                waiting.append(key.data)
        if waiting and os.path.exists("go"):
            for talker in waiting:
                talker.go()
            waiting.clear()


main()
