"""The access log's lines: one JSON object for each request (RFC 8259), in ASCII.

It is written by hand: ``json.dumps`` would take three times as long, and this is done with every request.
"""

import json
import re
import time
from collections.abc import Callable

_odd = re.compile(rb"[^ !#-\[\]-~]").search
"""What may not stand in a JSON string as it is, and what is no ASCII."""

_SECONDS = "%Y-%m-%dT%H:%M:%S"

_LINE = (
    b'{"event":"request","time":"%%b.%%03dZ","client":"%%b","method":"%%b","path":"%%b","query":%%b,"status":%b,'
    b'"bytes":{"up":%%d,"down":%%d},"ms":{"queue":%b,"dial":%b,"first_byte":%b,"total":%%.3f},'
    b'"ended":"%%b",%%b,"request_id":"%%b"}\n'
)
_WHOLE = _LINE % (b"%d", b"%.3f", b"%.3f", b"%.3f")
_KEPT = _LINE % (b"%d", b"%.3f", b"null", b"%.3f")
"""On a connection that was there already: nothing was dialled."""
_LESS = _LINE % (b"%b", b"%b", b"%b", b"%b")
"""Something else did not happen."""

_CLIENTS = 4096
"""So many clients' addresses are known as they are written, before it is begun anew."""


class RequestLog:
    """Writes the lines of one door."""

    def __init__(self, door: str, show: Callable[[object], str]) -> None:
        """``show``: a client's address for people."""
        self._door = door
        self._show = show
        self._clients: dict[object, bytes] = {}
        self._places: dict[tuple[str, str] | None, bytes] = {}
        """Version and generation → what a line says of them."""
        self._second = 0
        self._shown = b""
        """That second, as it is written."""

    def __repr__(self) -> str:
        return f"<RequestLog of {self._door}>"

    def line(
        self,
        epoch: float,
        client: object,
        method: bytes,
        target: bytes,
        status: int,
        up: int,
        down: int,
        began: float,
        seated: float,
        dialled: float,
        first_byte: float,
        over: float,
        ended: str,
        place: tuple[str, str] | None,
        request_id: bytes,
        forwarded_for: bytes = b"",
    ) -> bytes:
        """One request that is over.

        ``epoch``: when the clock that all moments are of began, in seconds since 1970. ``began``: the request's head
        was whole; ``seated``: there was a backend for it; ``dialled``: that was connected to; ``first_byte``: of its
        answer; ``over``: of all of it. 0: that did not happen. ``client``: its address. ``status`` 0: it was told
        nothing. ``up``, ``down``: bytes. ``ended``: why. ``place``: version and generation; None: it had no backend.
        ``forwarded_for``: what a proxy that is believed has said of the client.
        """
        when = epoch + began
        second = int(when)
        if second != self._second:
            self._second, self._shown = second, time.strftime(_SECONDS, time.gmtime(second)).encode()
        path, query = target, b"null"
        if b"?" in target:
            path, _, query = target.partition(b"?")
            query = b'"%b"' % query
        if _odd(target + request_id):
            path, request_id = escaped(path), escaped(request_id)
            query = b'"%b"' % escaped(query[1:-1]) if b"?" in target else query
        where = self._places.get(place) or self._place(place)
        if forwarded_for:
            where += b',"forwarded_for":"%b"' % escaped(forwarded_for)
        who = self._clients.get(client) or self._client(client)
        thousandths = int((when - second) * 1000)
        total = (over - began) * 1000
        if status and dialled and first_byte:
            return _WHOLE % (
                self._shown, thousandths, who, method, path, query, status, up, down,
                (seated - began) * 1000, (dialled - seated) * 1000, (first_byte - began) * 1000, total,
                ended.encode(), where, request_id,
            )  # fmt: skip
        if status and seated and first_byte:
            return _KEPT % (
                self._shown, thousandths, who, method, path, query, status, up, down,
                (seated - began) * 1000, (first_byte - began) * 1000, total, ended.encode(), where, request_id,
            )  # fmt: skip
        told = b"%d" % status if status else b"null"
        return _LESS % (
            self._shown, thousandths, who, method, path, query, told, up, down,
            _lasted(began, seated), _lasted(seated, dialled), _lasted(began, first_byte), total,
            ended.encode(), where, request_id,
        )  # fmt: skip

    def _client(self, client: object) -> bytes:
        if len(self._clients) >= _CLIENTS:
            self._clients.clear()
        shown = self._clients[client] = escaped(self._show(client).encode(errors="replace"))
        return shown

    def _place(self, place: tuple[str, str] | None) -> bytes:
        version, generation = (f'"{name}"' for name in place) if place is not None else ("null", "null")
        said = f'"door":"{self._door}","version":{version},"generation":{generation}'.encode()
        self._places[place] = said
        return said


def escaped(text: bytes) -> bytes:
    r"""As a JSON string can have it, without its quotes; what is no UTF-8 stands there as ``\\xff``."""
    return json.dumps(text.decode(errors="backslashreplace"))[1:-1].encode()


def _lasted(begin: float, end: float) -> bytes:
    """Milliseconds."""
    return b"%.3f" % ((end - begin) * 1000) if begin and end else b"null"
