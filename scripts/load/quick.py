"""A backend that starts in some fifty milliseconds: for loads that swap a thousand times.

    FRONTDOOR_SOCKET=/tmp/quick.sock python -I -S scripts/load/quick.py

It has the routes of the sample apps that clients of a load need, and says who it is as they do (`X-Served-By`):
`GET /whoami` JSON {version, generation, pid}, `GET /healthz`, `POST /mirror` the body that came, `POST /upload` its
length and hash, `/echo` a WebSocket that sends back what it gets. A query is sent back in `X-Query`.

The standard library alone, and of that what is quickly imported; one thread. What the protocols leave open is left out:
frontdoor does not look into what it moves, and the clients are ours.
"""

import os
import selectors
import signal
import socket
from types import FrameType

VERSION, GENERATION = os.environ.get("FRONTDOOR_VERSION", "v0"), os.environ.get("FRONTDOOR_GENERATION", "0")
READ = 65_536  # bytes at once
ENOUGH = 262_144  # bytes that wait to be sent: a client that does not read is not read from
CLOSE, PING, PONG = 8, 9, 10  # opcodes of control frames (RFC 6455, 5.2)


class Connection:
    """One client: what it has sent and nobody has understood yet, and what it has not taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.came = bytearray()
        self.waiting = bytearray()
        self.is_websocket = False
        self.is_ending = False  # it is closed when all has been sent

    def understand(self) -> None:
        """Answer what has come as a whole."""
        while not self.is_ending and (self._frame() if self.is_websocket else self._request()):
            pass

    # -- HTTP -------------------------------------------------------------------------------------------------------

    def _request(self) -> bool:
        end = self.came.find(b"\r\n\r\n")
        if end < 0:
            return False
        start, *lines = self.came[:end].decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(fields.get("content-length", "0"))
        if len(self.came) < end + 4 + length:
            return False
        body = bytes(self.came[end + 4 : end + 4 + length])
        del self.came[: end + 4 + length]
        method, target, _ = start.split(" ")
        path, _, query = target.partition("?")
        if path == "/echo" and fields.get("upgrade", "").lower() == "websocket":
            self._upgrade(fields["sec-websocket-key"])
        else:
            self.is_ending = fields.get("connection", "").lower() == "close"
            self._answer(method, path, query, body)
        return True

    def _answer(self, method: str, path: str, query: str, body: bytes) -> None:
        status, answer = "200 OK", b""
        match method, path:
            case "GET", "/whoami":
                answer = _whoami()
            case "GET", "/healthz":
                answer = b"ok\n"
            case "POST", "/mirror":
                answer = body
            case "POST", "/upload":
                import hashlib  # slow, and most processes never need it

                answer = f'{{"length": {len(body)}, "sha256": "{hashlib.sha256(body).hexdigest()}"}}'.encode()
            case _:
                status = "404 Not Found"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\nX-Served-By: {VERSION}#{GENERATION}\r\n"
        self.waiting += f"{head}X-Query: {query}\r\n\r\n".encode("latin-1") + answer

    # -- WebSocket --------------------------------------------------------------------------------------------------

    def _upgrade(self, key: str) -> None:
        import base64
        import hashlib

        # RFC 6455, 4.2.2
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
        accept = base64.b64encode(digest).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.waiting += f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        self.is_websocket = True
        self._send(0x81, _whoami())

    def _frame(self) -> bool:
        came = self.came
        if len(came) < 2:
            return False
        first, length, start = came[0], came[1] & 0x7F, 2
        if length > 125:
            start += 2 if length == 126 else 8
            length = int.from_bytes(came[2:start], "big")
        end = start + 4 + length
        if len(came) < end:  # of a length that has not come as a whole there is no more than that either
            return False
        mask, masked = came[start : start + 4], came[start + 4 : end]
        mask *= length // 4 + 1
        data = (int.from_bytes(masked, "big") ^ int.from_bytes(mask[:length], "big")).to_bytes(length, "big")
        del came[:end]
        opcode = first & 0x0F
        if opcode == PING:
            first = 0x80 | PONG
        if opcode != PONG:
            self._send(first, data)
        self.is_ending = opcode == CLOSE
        return True

    def _send(self, first: int, data: bytes) -> None:
        length = len(data)
        if length < 126:
            head = bytes((first, length))
        elif length < 65_536:
            head = bytes((first, 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((first, 127)) + length.to_bytes(8, "big")
        self.waiting += head + data


def _whoami() -> bytes:
    # A version's name needs no escaping.
    return f'{{"version": "{VERSION}", "generation": {GENERATION}, "pid": {os.getpid()}}}'.encode()


class Server:
    """All connections, and who can go on."""

    def __init__(self, path: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.setblocking(False)
        self._listener.bind(path)
        self._listener.listen(1024)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.open = 0

    def left_open(self) -> int:
        """How many connections the other side has not closed: of some that it has, we may not have heard yet."""
        keys = [key for key in self._selector.get_map().values() if key.data is not None]
        return sum(not _has_ended(key.data.sock) for key in keys)

    def run(self) -> None:
        """Serve until a signal ends the process."""
        while True:
            for key, events in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._go_on(key.data, events)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        self.open += 1
        self._selector.register(sock, selectors.EVENT_READ, Connection(sock))

    def _go_on(self, connection: Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = connection.sock.recv(READ)
                connection.is_ending = connection.is_ending or not data
                connection.came += data
                connection.understand()
            if connection.waiting:
                del connection.waiting[: connection.sock.send(connection.waiting)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            connection.waiting.clear()
            connection.is_ending = True
        self._wait_for(connection)

    def _wait_for(self, connection: Connection) -> None:
        events = selectors.EVENT_WRITE if connection.waiting else 0
        if not connection.is_ending and len(connection.waiting) < ENOUGH:
            events |= selectors.EVENT_READ
        if not events:
            self._selector.unregister(connection.sock)
            connection.sock.close()
            self.open -= 1
        elif events != self._selector.get_key(connection.sock).events:
            self._selector.modify(connection.sock, events, connection)


def _has_ended(sock: socket.socket) -> bool:
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def main() -> None:
    """Serve on the socket that frontdoor has named."""
    server = Server(os.environ["FRONTDOOR_SOCKET"])

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        left = server.left_open()
        if left:
            # Frontdoor sends its stop signal after the last stream: that this is printed is a failure.
            print(f"stop signal with {left} streams open", flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, on_sigterm)
    server.run()


if __name__ == "__main__":
    main()
