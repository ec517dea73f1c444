"""Heads of answers: how long the answer is, and what of it the client gets."""

import pytest

from frontdoor.http.head import CHUNKED, NONE, UNTIL_CLOSE, BadHead, parse_answer


def answer(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    return version + b" " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


BROKEN = {
    "no status line": b"hello\r\n\r\n",
    "HTTP/2.0": answer(version=b"HTTP/2.0"),
    "no status": answer(status=b""),
    "a status of two digits": answer(status=b"20 OK"),
    "a status of four digits": answer(status=b"2000 OK"),
    "a status below 100": answer(status=b"099 OK"),
    "a bare line feed": b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
    "NUL in the reason": answer(status=b"200 O\0K"),
    "both lengths": answer(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "two lengths": answer(b"Content-Length: 3", b"Content-Length: 4"),
    "the same length twice": answer(b"Content-Length: 3", b"Content-Length: 3"),
    "a length that is none": answer(b"Content-Length: x"),
    "a coding that is not known": answer(b"Transfer-Encoding: gzip, chunked"),
    "chunked in HTTP/1.0": answer(b"Transfer-Encoding: chunked", version=b"HTTP/1.0"),
    "a folded line": answer(b"X: a", b" b"),
    "a space in front of the colon": answer(b"X : a"),
    "no name": answer(b": a"),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_what_no_server_should_say(raw: bytes) -> None:
    with pytest.raises(BadHead) as caught:
        parse_answer(raw, b"GET")
    assert caught.value.status == 502
    assert caught.value.why


@pytest.mark.parametrize(
    ("raw", "method", "length"),
    [
        (answer(b"Content-Length: 5"), b"GET", 5),
        (answer(b"Content-Length: 0"), b"GET", NONE),
        (answer(b"Transfer-Encoding: chunked"), b"GET", CHUNKED),
        (answer(), b"GET", UNTIL_CLOSE),
        (answer(b"Content-Length: 5"), b"HEAD", NONE),
        (answer(b"Transfer-Encoding: chunked"), b"HEAD", NONE),
        (answer(b"Content-Length: 5", status=b"304 Not Modified"), b"GET", NONE),
        (answer(status=b"204 No Content"), b"GET", NONE),
        (answer(status=b"100 Continue"), b"POST", NONE),
        (answer(status=b"404"), b"GET", UNTIL_CLOSE),
        (answer(status=b"999 Odd"), b"GET", UNTIL_CLOSE),
    ],
)
def test_how_long_it_is(raw: bytes, method: bytes, length: int) -> None:
    assert parse_answer(raw, method).length == length


def test_it_goes_on_byte_for_byte() -> None:
    raw = answer(b"content-LENGTH:5", b"Set-Cookie: a", b"Set-Cookie:   b", b"X: \xe4", b"Empty:")
    head = parse_answer(raw, b"GET")
    assert head.forward is head.raw
    assert head.raw == raw
    assert head.keep_alive


def test_what_is_between_backend_and_frontdoor_stays_there() -> None:
    raw = answer(b"A: b", b"Connection: keep-alive, X-Own", b"Keep-Alive: timeout=5", b"X-Own: c", b"Content-Length: 0")
    assert parse_answer(raw, b"GET").forward == answer(b"A: b", b"Content-Length: 0")


def test_nobody_names_a_length_away() -> None:
    raw = answer(b"Connection: Content-Length", b"Content-Length: 5")
    assert parse_answer(raw, b"GET").forward == answer(b"Content-Length: 5")


def test_a_length_where_none_can_be_is_not_sent_on() -> None:
    raw = answer(b"Content-Length: 0", b"X: y", status=b"204 No Content")
    assert parse_answer(raw, b"GET").forward == answer(b"X: y", status=b"204 No Content")


@pytest.mark.parametrize("line", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_body_where_none_can_be_is_not_taken_for_the_next_answer(line: bytes) -> None:
    assert not parse_answer(answer(line, status=b"204 No Content"), b"GET").keep_alive
    assert parse_answer(answer(b"Content-Length: 0", status=b"204 No Content"), b"GET").keep_alive


def test_the_backend_of_http_1_0() -> None:
    head = parse_answer(answer(b"Content-Length: 1", version=b"HTTP/1.0"), b"GET")
    assert not head.keep_alive
    assert head.forward == answer(b"Content-Length: 1")
    assert parse_answer(answer(b"Connection: Keep-Alive", version=b"HTTP/1.0"), b"GET").keep_alive


def test_101_says_what_is_spoken_from_here_on() -> None:
    raw = answer(b"Connection: Upgrade", b"Upgrade: websocket", status=b"101 Switching Protocols")
    head = parse_answer(raw, b"GET")
    assert (head.status, head.length, head.forward) == (101, NONE, raw)
