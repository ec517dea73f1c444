"""What the inputs begin with: the tables of tests/http, where each line is a trick that somebody has tried."""

import os
import runpy
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = os.path.join(ROOT, "tests", "http")

LONGEST = 4096
"""Bytes of a seed: what is longer is a trick of length, and slows the rest down."""

REQUESTS = [
    b"GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nX-Y:  z\t \r\nEmpty:\r\nText: \xe4\r\n\r\n",
    b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nCookie: b=c\r\n\r\n",
    b"PUT * HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nTE: trailers\r\nTrailer: X\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    b"GET http://b.example:1/c?d HTTP/1.1\r\nHost: a\r\nVia: 1.1 b\r\n\r\n",
    b"OPTIONS https://b.example HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nUpgrade: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X, Cookie, x-forwarded-for\r\nX: b\r\nCookie: d\r\nTE: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: b\r\nx-forwarded-for: c\r\nX-Forwarded-Proto: https\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: d\r\nForwarded: for=e\r\nX-Real-IP: f\r\nX-Request-Id: g\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, X-User\r\nTE: trailers, x\r\nX-User: b\r\nForwarded: for=c\r\n\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=c;proto="d\\"e", f=g\r\n\r\n',
    b'GET / HTTP/1.0\r\nX-Forwarded-User: a\r\nExpect: 100-continue\r\nForwarded: for="b\r\n\r\n',
    b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: b\r\nx_request-id: c\r\nProxy-Connection: close\r\n\r\n",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nConnection: close, X-Own\r\nX-Own: a\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: a\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: a\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.7 999 \xe4\r\nConnection: Content-Length, Transfer-Encoding\r\nContent-Length: 1\r\n\r\n",
]
BODIES = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"000\r\n\r\nGET / HTTP/1.1",
    b"A\r\n0123456789\r\n3;a\r\n\r\n\r\r\n0\r\n\r\n",
    b'5;a;b=c;d="e \\" f"\r\nhello\r\n0;last\r\n\r\n',
    b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nOther:\r\n\r\n",
]
FRAMES = [
    b"\x81\x05hello\x89\x00\x88\x02\x03\xe8",
    b"\x01\x83abcdxyz\x8a\x81abcdx\x80\x80abcd",
    b"\x82\x7e\x00\x80" + b"a" * 128 + b"\x81\x00",
    b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x02abcdxy\x88\x80abcd",
    b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\x08\x00",
    b"\x88\x7e\x00\x7e",
]


def seeds(target: str) -> list[bytes]:
    """Of one target, in an order that is always the same."""
    if target == "head":
        found = REQUESTS + [raw for raw, _ in _table("test_head.py", "REFUSED")]
    elif target == "answer":
        found = ANSWERS + _table("test_answer_head.py", "BROKEN")
    elif target == "body":
        found = [b"\x03" + data for data in BODIES + _table("test_framing.py", "BROKEN")]
    else:
        found = [b"\x03" + data for data in FRAMES]
    return [data for data in found if len(data) <= LONGEST]


def _table(file: str, name: str) -> list[Any]:
    return list(runpy.run_path(os.path.join(TESTS, file))[name].values())
