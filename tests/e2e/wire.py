"""HTTP on a bare socket: what was sent and what came, byte for byte, and how it ended.

The backend is tests/apps/raw_http.py, which does what the path of a request says: `path` and `request` write such.
"""

import json
import os
import re
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote_from_bytes

from e2e.harness import Frontdoor, until

APP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "raw_http.py")

OK = b"HTTP/1.1 200 OK\r\n"
Address = tuple[str, int] | str
"""A host and a port; or the path of a Unix socket."""


def raw(*options: str) -> list[str]:
    """The command of tests/apps/raw_http.py."""
    return ["{python}", "-I", "-S", APP, *options]


def http_door(**changes: Any) -> dict[str, Any]:
    """What is different in the config of a door for HTTP, with that backend behind it."""
    tables = {"protocol": "http", "backends": {"*": {"command": raw(), "stop_timeout": "5s"}}}
    return {**tables, **changes}


# -- what the backend is told to do -----------------------------------------------------------------------------------


def say(data: bytes) -> str:
    """A step: send these bytes."""
    return f"say={quote_from_bytes(data, safe='')}"


def drip(data: bytes) -> str:
    """A step: send these bytes, slowly."""
    return f"drip={quote_from_bytes(data, safe='')}"


def sized(body: bytes, fields: bytes = b"") -> bytes:
    """An answer with that body."""
    return OK + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def path(*steps: str) -> bytes:
    return ("/" + "/".join(steps)).encode()


def request(
    method: str, *steps: str, fields: bytes = b"", body: bytes | None = None, minor: int = 1, host: bytes = b"door.test"
) -> bytes:
    """A request whose path has these steps. `fields`: whole lines; `body`: with its length said."""
    start = b"%s %s HTTP/1.%d\r\nHost: %s\r\n" % (method.encode(), path(*steps), minor, host)
    if body is not None:
        fields += b"Content-Length: %d\r\n" % len(body)
    return start + fields + b"\r\n" + (body or b"")


def get(*steps: str, fields: bytes = b"") -> bytes:
    return request("GET", *steps, fields=fields)


def post(*steps: str, body: bytes, fields: bytes = b"") -> bytes:
    return request("POST", *steps, fields=fields, body=body)


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A body in these chunks (RFC 9112 §7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"


# -- what comes back --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One answer, whole."""

    interim: tuple[bytes, ...]
    """The heads of interim answers (1xx) that came before it."""
    head: bytes
    framed: bytes
    """The body as it came: with the framing of chunks, and trailers."""
    body: bytes

    @property
    def all(self) -> bytes:
        """All that came."""
        return b"".join(self.interim) + self.head + self.framed

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    @property
    def fields(self) -> list[tuple[str, str]]:
        """In their order, the names in lower case."""
        return fields_of(self.head)

    def field(self, name: str) -> str:
        """The value of the only field of that name; "": there is none."""
        return field(self.fields, name)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def fields_of(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return [(name.lower(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]


def field(fields: list[tuple[str, str]], name: str) -> str:
    found = [value for known, value in fields if known == name.lower()]
    assert len(found) <= 1, f"{name} is there more than once: {found}"
    return found[0] if found else ""


class Wire:
    """A client, or whoever speaks to a backend alone."""

    def __init__(self, address: Address, *, small_buffers: bool = False, timeout: float = 20) -> None:
        self.sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.sock.settimeout(timeout)
        if small_buffers:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.sock.setsockopt(socket.SOL_SOCKET, option, 4096)
        self.sock.connect(address)
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def say(self, data: bytes) -> Self:
        self.sock.sendall(data)
        return self

    def ask(self, data: bytes) -> Answer:
        """Send a request, and read its answer."""
        return self.say(data).answer(data.split(b" ", 1)[0].decode("latin-1"))

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer to its end, which AssertionError is raised for if it is too early."""
        interim = []
        while (head := self.head())[9:10] == b"1" and head[9:12] != b"101":
            interim.append(head)
        framed, body = self._body(head, method)
        return Answer(tuple(interim), head, framed, body)

    def head(self) -> bytes:
        """Read one head."""
        return self._through(b"\r\n\r\n")

    def _body(self, head: bytes, method: str) -> tuple[bytes, bytes]:
        """As it came, and what is in it (RFC 9112 §6.3)."""
        fields = fields_of(head)
        if method == "HEAD" or head[9:12] in (b"101", b"204", b"304"):
            return b"", b""
        if field(fields, "transfer-encoding") == "chunked":
            return self._chunks()
        length = field(fields, "content-length")
        if length:
            body = self.some(int(length))
            return body, body
        body, end = self.rest()
        assert end == "closed", f"{end} after {head + body!r}"
        return body, body

    def _chunks(self) -> tuple[bytes, bytes]:
        framed, body = b"", b""
        while True:
            line = self._through(b"\r\n")
            size = int(line.split(b";")[0], 16)
            framed += line
            if not size:
                break
            chunk = self.some(size + 2)
            framed += chunk
            body += chunk[:-2]
        while line != b"\r\n":
            line = self._through(b"\r\n")
            framed += line
        return framed, body

    def _through(self, end: bytes) -> bytes:
        while end not in self._came:
            self._more()
        head, _, self._came = self._came.partition(end)
        return head + end

    def some(self, count: int) -> bytes:
        """Read so many bytes."""
        came = bytearray(self._came)
        self._came = b""
        while len(came) < count:
            data = self.sock.recv(1 << 18)
            assert data, f"closed after {len(came)} bytes of {count}"
            came += data
        self._came = bytes(came[count:])
        return bytes(came[:count])

    def _more(self) -> None:
        data = self.sock.recv(65_536)
        assert data, f"closed after {self._came!r}"
        self._came += data

    def rest(self) -> tuple[bytes, str]:
        """All that still comes, to the end: "closed" or "reset"."""
        came, self._came = bytearray(self._came), b""
        while True:
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionError:
                return bytes(came), "reset"
            if not data:
                return bytes(came), "closed"
            came += data

    def finish(self) -> Self:
        """Say that nothing more will be said (half-close)."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


# -- what the backend has seen --------------------------------------------------------------------------------------


class Backend:
    """A backend of a door, spoken to directly."""

    def __init__(self, door: Frontdoor, generation: str = "v1#1", process: int = 0) -> None:
        found = until(lambda: door.generation(generation), f"{generation} is there")
        self._socket = door.path(found["processes"][process]["socket"])

    def wire(self) -> Wire:
        """A connection that does not go by way of the door."""
        return Wire(self._socket)

    def _seen(self) -> dict[str, Any]:
        with self.wire() as wire:
            seen: dict[str, Any] = json.loads(wire.say(b"SEEN").rest()[0])
            return seen

    @property
    def requests(self) -> list[dict[str, Any]]:
        """`head`, the bytes of the `body`, and the number of its `connection`."""
        return list(self._seen()["requests"])

    def request(self, tag: str) -> dict[str, Any]:
        """The only request in whose head that is."""
        (found,) = (each for each in self.requests if tag in each["head"])
        return found

    def heads(self, tag: str) -> list[bytes]:
        """The heads of the requests in which that is."""
        return [each["head"].encode("latin-1") for each in self.requests if tag in each["head"]]

    @property
    def ends(self) -> list[str]:
        """How its connections have ended: "closed", "closed here", "reset", "reset here"; "": open."""
        return [each["end"] for each in self._seen()["connections"]]

    def still_open(self) -> int:
        """Connections that are open now."""
        return self.ends.count("")


def redated(data: bytes) -> bytes:
    """The same, with a date that is always the same."""
    return re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: now", data)
