"""Request heads: each is refused, or has one reading that is the same for whoever reads it next."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.http.head import CHUNKED, NONE, BadHead, is_hopeless, parse_request

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


def refused(raw: bytes) -> tuple[int, str]:
    """With which status, and why."""
    with pytest.raises(BadHead) as caught:
        parse_request(raw)
    return caught.value.status, caught.value.why


REFUSED = {
    "no request line": (b"\r\n\r\n", 400),
    "two empty lines first": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\n", 505),
    "HTTP/3.1": (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", 505),
    "a version of two digits": (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    "no version": (b"GET / \r\nHost: a\r\n\r\n", 400),
    "http in lower case": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a tab for a space": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space in front": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a space behind the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    "a bare line feed behind the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "a bare carriage return in the request line": (b"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method that is no token": (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target beyond ASCII": (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a control character in the target": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a fragment": (b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a relative target": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an authority as the target": (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an asterisk": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "an absolute target without a host": (b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target with a user": (b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target of another scheme": (b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (GET + b"Host: b\r\n\r\n", 400),
    "the same Host twice": (GET + b"host: a\r\n\r\n", 400),
    "a Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "a Host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "two Hosts in one": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "two Hosts in one, without a space": (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    "a Host that is but a port": (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
    "a Host with a bracket too few": (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    "an absolute target that is but a port": (b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target, and no Host": (b"GET http://b/ HTTP/1.1\r\n\r\n", 400),
    "an absolute target, and two Hosts": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a Host with a port that is none": (b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400),
    "a space in front of the colon": (GET + b"X : b\r\n\r\n", 400),
    "a tab in front of the colon": (GET + b"X\t: b\r\n\r\n", 400),
    "Content-Length with a space": (GET + b"Content-Length : 3\r\n\r\n", 400),
    "a line that is folded": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a first line that is folded": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "a line without a colon": (GET + b"X\r\n\r\n", 400),
    "no name": (GET + b": b\r\n\r\n", 400),
    "a name beyond ASCII": (GET + b"X\xff: b\r\n\r\n", 400),
    "NUL in a name": (GET + b"X\0Y: b\r\n\r\n", 400),
    "NUL in a value": (GET + b"X: a\0b\r\n\r\n", 400),
    "a bare carriage return in a value": (GET + b"X: a\rb\r\n\r\n", 400),
    "a bare line feed in a value": (GET + b"X: a\nY: b\r\n\r\n", 400),
    "a bare line feed behind a value": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "DEL in a value": (GET + b"X: a\x7f\r\n\r\n", 400),
    "both lengths": (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "both lengths the other way round": (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    "two lengths": (GET + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    "the same length twice": (GET + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
    "two lengths in one": (GET + b"Content-Length: 3, 3\r\n\r\n", 400),
    "a length with a sign": (GET + b"Content-Length: +3\r\n\r\n", 400),
    "a negative length": (GET + b"Content-Length: -3\r\n\r\n", 400),
    "a length in hex": (GET + b"Content-Length: 0x3\r\n\r\n", 400),
    "a length with an underscore": (GET + b"Content-Length: 1_0\r\n\r\n", 400),
    "a length of other digits": (GET + "Content-Length: \N{ARABIC-INDIC DIGIT THREE}\r\n\r\n".encode(), 400),
    "no length": (GET + b"Content-Length:\r\n\r\n", 400),
    "a length past all measure": (GET + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "a transfer coding that is not known": (GET + b"Transfer-Encoding: xchunked\r\n\r\n", None),
    "chunked, and not at the end": (GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n", None),
    "chunked twice": (GET + b"Transfer-Encoding: chunked, chunked\r\n\r\n", None),
    "chunked in two fields": (GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    "identity": (GET + b"Transfer-Encoding: identity\r\n\r\n", None),
    "gzip and chunked": (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "chunked with a parameter": (GET + b"Transfer-Encoding: chunked;a=b\r\n\r\n", None),
    "chunked in quotes": (GET + b'Transfer-Encoding: "chunked"\r\n\r\n', None),
    "chunked with a vertical tab": (GET + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "a coding on a line of its own": (GET + b"Transfer-Encoding:\r\n chunked\r\n\r\n", 400),
    "a tab in front of chunked": (GET + b"Transfer-Encoding:\tchunked\r\n\r\n", 400),
    "a tab behind chunked": (GET + b"Transfer-Encoding: chunked\t\r\n\r\n", 400),
    "a space behind chunked": (GET + b"Transfer-Encoding: chunked \r\n\r\n", 400),
    "two spaces in front of chunked": (GET + b"Transfer-Encoding:  chunked\r\n\r\n", 400),
    "nothing, and chunked": (GET + b"Transfer-Encoding: , chunked\r\n\r\n", 501),
    "a length and chunked, and the length is 0": (
        GET + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "too many fields": (GET + b"X: y\r\n" * 300 + b"\r\n", 431),
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_more_than_one_reading_is_refused(raw: bytes, status: int | None) -> None:
    found, why = refused(raw)
    assert found == status or (status is None and found in (400, 501))
    assert why
    assert "\n" not in why


def test_a_plain_request() -> None:
    head = parse_request(b"GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nX-Y:  z\t \r\nEmpty:\r\nText: \xe4\r\n\r\n")
    assert (head.method, head.target, head.minor, head.host) == (b"GET", b"/a?b=c", 1, b"a.example:80")
    assert head.fields == [(b"Host", b"a.example:80"), (b"X-Y", b"z"), (b"Empty", b""), (b"Text", b"\xe4")]
    assert (head.length, head.keep_alive, head.upgrade, head.hop, head.claims, head.line) == (
        NONE,
        True,
        b"",
        False,
        False,
        b"",
    )


def test_an_empty_line_left_from_the_request_before() -> None:
    assert parse_request(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").raw.startswith(b"GET")


def test_a_method_that_nobody_has_heard_of() -> None:
    assert parse_request(b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n").method == b"BREW"


@pytest.mark.parametrize("host", [b"a", b"", b"a-b.c_d:8080", b"127.0.0.1", b"[::1]", b"[::1]:80", b"a:", b"xn--a"])
def test_hosts(host: bytes) -> None:
    assert parse_request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").host == host


@pytest.mark.parametrize(
    ("method", "target", "path"),
    [
        (b"GET", b"http://b.example/c?d", b"/c?d"),
        (b"GET", b"HTTPS://b.example:443", b"/"),
        (b"GET", b"http://b.example?d", b"/?d"),
        (b"OPTIONS", b"http://b.example", b"*"),
    ],
)
def test_an_absolute_target_is_sent_on_as_a_path(method: bytes, target: bytes, path: bytes) -> None:
    head = parse_request(b"%b %b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" % (method, target))
    assert head.line == b"%b %b HTTP/1.1\r\n" % (method, path)
    assert head.host.startswith(b"b.example"), "whatever the Host said (RFC 9112 §3.2.2)"
    assert head.fields == [(b"Host", head.host), (b"X", b"y")]


@pytest.mark.parametrize(
    ("line", "connection", "keeps"),
    [
        (b"HTTP/1.1", b"", True),
        (b"HTTP/1.1", b"Connection: close\r\n", False),
        (b"HTTP/1.1", b"Connection: Keep-Alive, CLOSE\r\n", False),
        (b"HTTP/1.1", b"Connection: x\r\nConnection: close\r\n", False),
        (b"HTTP/1.0", b"", False),
        (b"HTTP/1.0", b"Connection: keep-alive\r\n", True),
        (b"HTTP/1.7", b"", True),
    ],
)
def test_who_wants_to_keep_the_connection(line: bytes, connection: bytes, keeps: bool) -> None:
    head = parse_request(b"GET / " + line + b"\r\nHost: a\r\n" + connection + b"\r\n")
    assert head.keep_alive is keeps
    assert head.hop is bool(connection)


def test_a_request_of_http_1_0_needs_no_host() -> None:
    head = parse_request(b"GET / HTTP/1.0\r\n\r\n")
    assert (head.minor, head.host, head.line) == (0, b"", b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (b"Content-Length: 0\r\n", NONE),
        (b"Content-Length: 007\r\n", 7),
        (b"content-length: 12 \r\n", 12),
        (b"Transfer-Encoding: Chunked\r\n", CHUNKED),
    ],
)
def test_lengths(fields: bytes, length: int) -> None:
    assert parse_request(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n").length == length


@pytest.mark.parametrize(
    ("request_line", "fields", "upgrade"),
    [
        (b"GET / HTTP/1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"websocket"),
        (b"GET / HTTP/1.1", b"Connection: keep-alive, upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", b"a, b"),
        (b"GET / HTTP/1.1", b"Upgrade: websocket\r\n", b""),
        (b"GET / HTTP/1.1", b"Connection: Upgrade\r\n", b""),
        (b"GET / HTTP/1.0", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b""),
        (b"POST / HTTP/1.1", b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", b""),
        (b"POST / HTTP/1.1", b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n", b""),
    ],
)
def test_who_may_speak_something_else(request_line: bytes, fields: bytes, upgrade: bytes) -> None:
    head = parse_request(request_line + b"\r\nHost: a\r\n" + fields + b"\r\n")
    assert head.upgrade == upgrade
    assert head.hop


def test_what_only_a_proxy_may_say() -> None:
    head = parse_request(GET + b"X-Forwarded-For: b\r\nx-forwarded-for: c\r\nCookie: d=e\r\ncookie: f=g\r\n\r\n")
    assert head.claims
    assert head.known == {b"x-forwarded-for": b"b, c", b"cookie": b"d=e; f=g"}
    assert parse_request(GET + b"X_Forwarded_For: b\r\n\r\n").claims, "an app may take it for the other"
    assert not parse_request(GET + b"Cookie: b\r\n\r\n").claims


def test_the_same_bytes_are_read_once() -> None:
    assert parse_request(GET + b"\r\n") is parse_request(GET + b"\r\n")


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET /\rx",
        b"\x16\x03\x01\x02",
        b" ",
        b"\n",
        b"{}",
        b"GET / HTTP/1.1\r\nA: b\r\r\n",
    ],
)
def test_what_can_be_no_request_is_not_waited_for(begun: bytes) -> None:
    assert is_hopeless(begun)


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n"]), max_size=12).map(b"".join), st.integers(1, 4))
def test_bytes_that_come_later_are_looked_at_all_the_same(data: bytes, step: int) -> None:
    known = 0
    for end in range(step, len(data) + step, step):
        if is_hopeless(data[:end]):
            assert is_hopeless(data[:end], max(0, known - 3)), "it was not before, so it is by what is new"
            return
        assert not is_hopeless(data[:end], max(0, known - 3))
        known = end


@pytest.mark.parametrize(("begun", "more", "hopeless"), [(b"GET / HTTP/1.1\r", b"X", True), (b"GET /\r", b"\n", False)])
def test_what_is_behind_a_carriage_return_is_looked_at_with_it(begun: bytes, more: bytes, hopeless: bool) -> None:
    assert not is_hopeless(begun)
    assert is_hopeless(begun + more, len(begun)) is hopeless


def test_a_name_that_is_only_like_one_of_a_length_is_no_length() -> None:
    assert parse_request(GET + b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n").length == NONE


@given(st.integers(0, 60))
def test_the_beginning_of_a_request_is_waited_for(cut: int) -> None:
    assert not is_hopeless(b"\r\nPOST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n"[:cut])


TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=20).map(
    lambda value: bytes(byte for byte in value if byte == 9 or 32 <= byte != 127).strip(b" \t")
)


@given(
    TOKEN,
    st.lists(st.tuples(TOKEN, VALUE), max_size=8),
    st.sampled_from([b"", b" ", b"\t "]),
    st.sampled_from([b"", b"Content-Length: 12\r\n", b"Transfer-Encoding: chunked\r\n"]),
)
def test_another_reader_reads_the_same(
    method: bytes, fields: list[tuple[bytes, bytes]], space: bytes, length: bytes
) -> None:
    lines = b"".join(b"%b:%b%b%b\r\n" % (name, space, value, space) for name, value in fields)
    raw = b"%b /path HTTP/1.1\r\nHost: a\r\n%b%b\r\n" % (method, length, lines)
    try:
        head = parse_request(raw)
    except BadHead:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(raw)
    request = other.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (head.method, head.target)
    assert [(name.lower(), value) for name, value in head.fields] == [(name, value) for name, value in request.headers]


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_read(data: bytes) -> None:
    for raw in (data + b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n"):
        try:
            head = parse_request(raw)
        except BadHead:
            continue
        assert head.raw.endswith(b"\r\n\r\n")
        assert b"\0" not in head.raw
