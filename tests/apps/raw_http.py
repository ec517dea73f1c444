"""An HTTP backend for tests that does what the request's path says, byte for byte, however wrong that is.

The path is a list of steps, done one after the other when the head of the request has come:

    body           read the body of the request
    drain          read it, and forget it; one with a length
    say=BYTES      send these (percent-encoded)
    fill=NUMBER    send so many bytes of the noise that `noise` makes
    letters=NUMBER send so many times the letter x
    drip=BYTES     send these, one every 2 ms
    echo           answer with the request as it came: its head, and as much of its body as was read, framing and all
    digest         read the body, and answer with its length and hash, and how often there was something to read
    sleep=SECONDS
    wait=FILE      until that file is there, in the folder that the backend runs in
    silent         until the other side has closed
    tunnel         send back all that comes, to its end
    finish, close   one's own end of the connection, all of it
    reset           all of it, with a part of the body unread: there must be one
    once           go on only if this is not the first request on its connection
    who            answer with the generation

A path with none of them is answered as `who`. After the steps the next request is read, unless the connection was
closed. What it has seen it tells on a connection that begins with `SEEN`: JSON, in which requests are in their order.

Standard library only, a thread for each connection. With `--idle SECONDS` it closes those that say nothing for so long
after an answer.
"""

import itertools
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from urllib.parse import unquote_to_bytes

NAME = f"{os.environ.get('FRONTDOOR_VERSION', '?')}#{os.environ.get('FRONTDOOR_GENERATION', '?')}"
READ = 65_536
PERIOD = 1_000_003
"""Bytes after which the noise repeats itself: a prime, so that no block of a usual size does."""

_noise = b""


def noise(start: int, length: int) -> bytes:
    """A piece of the noise: what is where in it can be told."""
    import hashlib  # slow, and most processes never need it

    global _noise
    if not _noise:
        _noise = hashlib.shake_128(b"noise").digest(PERIOD)
    start %= PERIOD
    piece = _noise[start : start + length]
    while len(piece) < length:
        piece += _noise[: length - len(piece)]
    return piece


class EndedError(Exception):
    """The other side has closed, or we have."""


class Seen:
    """What this process has seen."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: list[dict[str, object]] = []
        self.connections: list[dict[str, object]] = []

    def connection(self) -> dict[str, object]:
        with self.lock:
            self.connections.append({"requests": 0, "end": ""})
            return self.connections[-1]

    def request(self, number: int, head: bytes) -> dict[str, object]:
        with self.lock:
            self.requests.append({"connection": number, "head": head.decode("latin-1"), "body": 0})
            return self.requests[-1]

    def told(self) -> bytes:
        with self.lock:
            return json.dumps({"requests": self.requests, "connections": self.connections}).encode()


SEEN = Seen()
NUMBERS = itertools.count()


class Connection:
    """One connection to this backend."""

    def __init__(self, sock: socket.socket, idle: float | None) -> None:
        self.sock = sock
        self.idle = idle
        self.came = bytearray()
        self.request = b""
        """Head and body of the request under way, as they came."""
        self.reads = 0

    def serve(self) -> None:
        """Answer until it ends."""
        number: int | None = None
        note: dict[str, object] = {}
        try:
            while True:
                self.read_until(b"\r\n\r\n" if not self.came.startswith(b"SEEN") else b"SEEN")
                if self.came.startswith(b"SEEN"):
                    self.sock.sendall(SEEN.told())
                    return
                if number is None:
                    note = SEEN.connection()
                    number = next(NUMBERS)
                head = self.take(self.came.index(b"\r\n\r\n") + 4)
                self.request = head
                seen = SEEN.request(number, head)
                note["requests"] = int(str(note["requests"])) + 1
                self.obey(head, int(str(note["requests"])), seen)
                self.wait_for_next()
        except EndedError as end:
            note["end"] = str(end)
        except ConnectionError:
            note["end"] = "reset"
        finally:
            self.sock.close()

    def wait_for_next(self) -> None:
        if self.idle is not None and not self.came:
            self.sock.settimeout(self.idle)
            try:
                self.more()
            except TimeoutError:
                raise EndedError("closed here") from None
            self.sock.settimeout(None)

    def obey(self, head: bytes, nth: int, seen: dict[str, object]) -> None:
        path = head.split(b" ", 2)[1].partition(b"?")[0].decode("ascii", "replace")
        path = re.sub("^[a-z]+://[^/]*", "", path)
        steps = [step for step in path.split("/") if step]
        done = False
        for step in steps:
            word, _, value = step.partition("=")
            if word == "later":
                if nth == 1:
                    done = False
                    break
                continue
            done = self.step(word, value) or done
            seen["body"] = len(self.request) - len(head)
        if not done:
            self.answer(NAME.encode() + b"\n")

    def step(self, word: str, value: str) -> bool:
        """Do it; whether it is one."""
        do = getattr(self, f"do_{word}", None)
        if do is not None:
            do(value)
        return do is not None

    def do_body(self, value: str) -> None:
        self.body()

    def do_say(self, value: str) -> None:
        self.sock.sendall(unquote_to_bytes(value))

    def do_fill(self, value: str) -> None:
        for start in range(0, int(value), READ):
            self.sock.sendall(noise(start, min(READ, int(value) - start)))

    def do_letters(self, value: str) -> None:
        self.sock.sendall(b"x" * int(value))

    def do_drip(self, value: str) -> None:
        for byte in unquote_to_bytes(value):
            self.sock.sendall(bytes([byte]))
            time.sleep(0.002)

    def do_drain(self, value: str) -> None:
        left = self.length() or 0
        while left:
            if not self.came:
                self.more()
            left -= len(self.take(min(left, len(self.came))))

    def do_echo(self, value: str) -> None:
        self.answer(self.request)

    def do_sleep(self, value: str) -> None:
        time.sleep(float(value))

    def do_wait(self, value: str) -> None:
        while not os.path.exists(value):
            time.sleep(0.005)

    def do_silent(self, value: str) -> None:
        while True:
            self.more()

    def do_tunnel(self, value: str) -> None:
        self.sock.sendall(self.take(len(self.came)))
        while True:
            self.more()
            self.sock.sendall(self.take(len(self.came)))

    def do_finish(self, value: str) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def do_close(self, value: str) -> None:
        raise EndedError("closed here")

    def do_reset(self, value: str) -> None:
        self.sock.recv(1, socket.MSG_PEEK)  # closed with something unread, a Unix socket resets the other side
        raise EndedError("reset here")

    def do_who(self, value: str) -> None:
        self.answer(NAME.encode() + b"\n")

    def do_digest(self, value: str) -> None:
        """Without keeping the body, unless it is chunked: those are short here."""
        import hashlib

        digest = hashlib.sha256()
        left = length = self.length()
        reads = self.reads
        if length is None:
            payload = self.body()
            digest.update(payload)
            length = len(payload)
        while left:
            if not self.came:
                self.more()
            piece = self.take(min(left, len(self.came)))
            digest.update(piece)
            left -= len(piece)
        told = {"length": length, "sha256": digest.hexdigest(), "reads": self.reads - reads}
        self.answer(json.dumps(told).encode())

    def answer(self, body: bytes) -> None:
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    # -- what comes ---------------------------------------------------------------------------------------------------

    def more(self) -> None:
        data = self.sock.recv(READ)
        if not data:
            raise EndedError("closed")
        self.reads += 1
        self.came += data

    def read_until(self, what: bytes) -> None:
        while what not in self.came:
            self.more()
            if self.came.startswith(b"SEEN"):
                return

    def take(self, length: int) -> bytes:
        while len(self.came) < length:
            self.more()
        data = bytes(self.came[:length])
        del self.came[:length]
        return data

    def length(self) -> int | None:
        """Of the request's body; None: it is chunked."""
        if re.search(rb"\r\ntransfer-encoding: *chunked\r\n", self.request, re.IGNORECASE):
            return None
        found = re.search(rb"\r\ncontent-length: *(\d+)\r\n", self.request, re.IGNORECASE)
        return int(found[1]) if found else 0

    def body(self) -> bytes:
        """Read it; what was in it."""
        length = self.length()
        if length is not None:
            payload = self.take(length)
            self.request += payload
            return payload
        payload = b""
        while True:
            size = int(self.line().split(b";")[0], 16)
            if not size:
                break
            chunk = self.take(size + 2)
            self.request += chunk
            payload += chunk[:-2]
        while self.line() != b"\r\n":
            pass
        return payload

    def line(self) -> bytes:
        self.read_until(b"\r\n")
        line = self.take(self.came.index(b"\r\n") + 2)
        self.request += line
        return line


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    if "--wait-for" in sys.argv:
        path = sys.argv[sys.argv.index("--wait-for") + 1]
        while not os.path.exists(path):
            time.sleep(0.005)
    idle = float(sys.argv[sys.argv.index("--idle") + 1]) if "--idle" in sys.argv else None
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen(1024)
    while True:
        sock, _ = listener.accept()
        if "--small-buffers" in sys.argv:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        threading.Thread(target=Connection(sock, idle).serve, daemon=True).start()


if __name__ == "__main__":
    main()
