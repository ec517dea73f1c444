"""How an input is changed: as libFuzzer does, or by somebody who knows what lines, chunks and frames are made of."""

from collections.abc import Callable, Sequence
from random import Random

Mutate = Callable[[bytes, int], bytes]
"""libFuzzer's own: an input, and how long it may become."""

BREAKS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\r\n ",
    b"\0",
    b" ",
    b"\t",
    b",",
    b";",
    b":",
    b"=",
    b'"',
    b"\x0b",
    b"\x7f",
]
NAMES = [
    b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"TE", b"Trailer", b"Keep-Alive",
    b"Proxy-Connection", b"Expect", b"Cookie", b"Authorization", b"X-Forwarded-For", b"X-Forwarded-Host",
    b"X-Forwarded-Proto", b"x_forwarded_for", b"X-Forwarded-Port", b"Forwarded", b"X-Real-IP", b"X-Request-Id", b"X",
    b"X-Forwarded-User", b"Proxy-Authorization", b"Set-Cookie", b"Content-Type", b"HTTP2-Settings", b"Via", b"Server",
    b"Date",
]  # fmt: skip
VALUES = [
    b"", b"a", b"0", b"5", b"007", b"5, 5", b"+5", b"99999999999999999999", b"chunked", b"Chunked", b"gzip, chunked",
    b"close", b"keep-alive", b"upgrade", b"Upgrade, close", b"websocket", b"h2c", b"trailers", b"100-continue", b",",
    b"Host", b"content-length, transfer-encoding", b"connection", b"X-Forwarded-For, cookie, X", b"[::1]:80", b"a:80",
    b"192.0.2.1", b'for="[::1]";proto=https', b'"', b"a, b", b", ,",
    b"TE", b"TE, close", b"X-User", b'for="', b'for="a\\";b=c', b"\xc3\xa4", b"\xff", b" a ",
]  # fmt: skip
STARTS = [
    b"GET / HTTP/1.1\r\n", b"HEAD /a HTTP/1.0\r\n", b"POST http://b/c HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n",
    b"OPTIONS http://b HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n",
    b"PUT HTTPS://b?d HTTP/1.9\r\n",
]  # fmt: skip
STATUS_LINES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"HTTP/1.1 204 \r\n",
    b"HTTP/1.1 426 Upgrade Required\r\n", b"HTTP/1.1 304 Not Modified\r\n", b"HTTP/1.1 100 Continue\r\n",
    b"HTTP/1.5 599 \xe4\r\n",
]  # fmt: skip
CHUNKS = [
    b"0\r\n\r\n", b"0\r\n", b"1\r\na\r\n", b"5\r\nhello\r\n", b"A;a=b\r\n0123456789\r\n", b'2;a="\\"";b\r\n\r\n\r\n',
    b";a", b'="b"', b"fffffffffffffff", b"0x", b"00", b"X: y\r\n", b"Cookie: a\r\n", b"x-forwarded_a: b\r\n",
    b"\\", b'"', b"1000\r\n", b"ff\r\n" + b"a" * 255 + b"\r\n",
]  # fmt: skip
FRAMES = [
    b"\x81\x00", b"\x01\x01a", b"\x80\x01b", b"\x82\x85abcdhello", b"\x89\x00", b"\x8a\x80abcd", b"\x88\x02\x03\xe8",
    b"\x88\x00", b"\x82\x7e\x00\x7e" + b"a" * 126, b"\x82\x7e\x00\x01a", b"\x82\xfe\x00\x00abcd",
    b"\x82\x7f" + b"\0" * 8, b"\x82\x7f" + b"\0" * 7 + b"\x03abc", b"\x82\x7f\x80" + b"\0" * 7, b"\x7f",
    b"\x80", b"\x09\x00",
]  # fmt: skip


class Mutation:
    """Of one target's inputs."""

    def __init__(self, target: str, own: Mutate) -> None:
        self._own = own
        self._lines = target in ("head", "answer")
        self._starts = STARTS if target == "head" else STATUS_LINES
        self._tokens = FRAMES if target == "frames" else BREAKS + (NAMES + VALUES if self._lines else CHUNKS * 3)

    def __call__(self, data: bytes, longest: int, seed: int) -> bytes:
        """Another input: always the same of the same three."""
        rng = Random(seed)
        if rng.random() < 0.4:
            return self._own(data, longest)
        for _ in range(rng.choice((1, 1, 2, 3))):
            data = self._changed_line(data, rng) if self._lines and rng.random() < 0.6 else self._changed(data, rng)
        return data[:longest]

    def _changed_line(self, data: bytes, rng: Random) -> bytes:
        """A line more, or less, or at another place, or another first one."""
        lines = data.split(b"\r\n")
        at = rng.randrange(len(lines))
        kind = rng.randrange(10)
        if kind == 0:
            return rng.choice(self._starts) + b"\r\n".join(lines[1:])
        if kind == 1 and len(lines) > 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, rng.choice(lines))
        elif kind == 3:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 4:
            lines[at] = lines[at].swapcase()
        else:
            lines.insert(max(1, at), b"%b: %b" % (rng.choice(NAMES), some(VALUES, rng)))
        return b"\r\n".join(lines)

    def _changed(self, data: bytes, rng: Random) -> bytes:
        """A token more, or instead; a piece less, or twice; another byte."""
        at = rng.randrange(len(data) + 1)
        until = min(len(data), at + rng.choice((0, 0, 1, 2, 8, 32)))
        kind = rng.randrange(6)
        if kind < 3:
            return data[:at] + rng.choice(self._tokens) + data[until:]
        if kind == 3:
            return data[:at] + data[until:]
        if kind == 4:
            return data[:until] + data[at:]
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def some(values: Sequence[bytes], rng: Random) -> bytes:
    """One of them, or two in a list."""
    one = rng.choice(values)
    return one if rng.random() < 0.8 else one + b", " + rng.choice(values)
