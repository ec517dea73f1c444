"""What is said to the control API byte by byte: curl, a browser, and whoever means no good."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2e.doors import tcp
from e2e.harness import Frontdoor


@dataclass(frozen=True)
class Got:
    """An answer; the names of its headers in small letters. `status` 0: there was none."""

    status: int = 0
    headers: Mapping[str, str] = ()  # type: ignore[assignment]
    body: bytes = b""

    @property
    def json(self) -> dict[str, Any]:
        """The object, or of lines the last one."""
        found: dict[str, Any] = json.loads(self.body.strip().splitlines()[-1])
        return found


def connect(address: str, timeout: float = 20) -> socket.socket:
    """A connection to an address as the status shows it, or to the path of a Unix socket."""
    if not address.startswith("/"):
        return socket.create_connection(tcp(address), timeout)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(address)
    return sock


def request(method: str, path: str, headers: Mapping[str, str], body: object = None) -> bytes:
    """What is sent. There is no Host but one that is among the headers."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", "Connection: close", "", ""]).encode("latin-1") + data


def ask(address: str, method: str, path: str, body: object = None, /, **headers: str) -> Got:
    """Ask, and hear the answer to its end. Headers in Python's spelling, ``sec_fetch_site="none"``."""
    named = {name.replace("_", "-"): value for name, value in {"host": "localhost", **headers}.items()}
    with connect(address) as sock:
        sock.sendall(request(method, path, named, body))
        return hear(sock)


def hear(sock: socket.socket) -> Got:
    """An answer, after which the connection ends."""
    heard = b""
    try:
        while data := sock.recv(65536):
            heard += data
    except ConnectionResetError:
        pass  # behind what was heard
    head, _, body = heard.partition(b"\r\n\r\n")
    if not head:
        return Got()
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if fields.get("transfer-encoding") == "chunked":
        body = _whole(body)
    return Got(int(first.split()[1]), fields, body)


def _whole(chunked: bytes) -> bytes:
    whole = b""
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        length = int(size, 16)
        whole += chunked[:length]
        chunked = chunked[length + 2 :]
    return whole


def admin(door: Frontdoor) -> str:
    """Where it has `[frontdoor] admin`."""
    return str(door.control.ask("/v1/status")["admin"])


def bearer(door: Frontdoor) -> str:
    """The header's value for whoever may read the token."""
    with open(door.path("run/admin.token")) as file:
        return f"Bearer {file.read().strip()}"
