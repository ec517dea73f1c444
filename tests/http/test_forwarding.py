"""What a backend gets of a request's head, and a client of an answer's."""

from ipaddress import ip_network
from itertools import count

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from frontdoor.http.fields import Fields
from frontdoor.http.forwarding import Client, Forwarding, answer
from frontdoor.http.head import BadHead, RequestHead, parse_answer, parse_request

numbers = count(1)
forwarding = Forwarding(request_id=lambda: b"made-%d" % next(numbers))
SOMEBODY = ("192.0.2.1", 5000)
PROXY = ("10.0.0.1", 5000)


def client(address: object = SOMEBODY) -> Client:
    return forwarding.client(address, [ip_network("10.0.0.0/8")])


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> RequestHead:
    return parse_request(b"".join(line + b"\r\n" for line in (first, b"Host: a.example", *lines)) + b"\r\n")


def sent(head: RequestHead, who: Client) -> Fields:
    """The fields that the backend gets, behind Host."""
    raw, _ = forwarding.request(head, who)
    got = parse_request(raw)
    assert (got.method, got.length, got.minor) == (head.method, head.length, 1)
    return got.fields[1:]


def test_a_client_of_one_s_own() -> None:
    head = request(b"Accept: */*")
    raw, request_id = forwarding.request(head, client())
    assert raw == (
        b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n"
        b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"
        b'Forwarded: for=192.0.2.1;host="a.example";proto=http\r\nX-Request-Id: ' + request_id + b"\r\n\r\n"
    )


def test_each_request_has_an_id_of_its_own() -> None:
    who, head = client(), request()
    assert forwarding.request(head, who)[1] != forwarding.request(head, who)[1]


@pytest.mark.parametrize(
    "claim",
    [
        b"X-Forwarded-For: 1.2.3.4",
        b"x_forwarded_for: 1.2.3.4",
        b"X-Forwarded_Proto: https",
        b"X-Forwarded-Host: evil.example",
        b"X-Forwarded-Port: 4711",
        b"Forwarded: for=1.2.3.4",
        b"X-Real-IP: 1.2.3.4",
        b"X-Request-ID: mine",
    ],
)
def test_nobody_says_for_himself_what_a_proxy_says(claim: bytes) -> None:
    names = {name.lower() for name, _ in sent(request(claim, b"Other: x"), client())}
    assert names == {
        b"other",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"forwarded",
        b"x-request-id",
    }
    said = b" ".join(value for _, value in sent(request(claim), client()))
    assert claim.partition(b": ")[2] not in said.replace(b"192.0.2.1", b"")


def test_a_trusted_proxy_is_believed_and_added_to() -> None:
    head = request(
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-For: 5.6.7.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop.example",
        b"Forwarded: for=1.2.3.4;proto=https",
        b"X-Real-IP: 1.2.3.4",
        b"X-Request-Id: theirs",
    )
    assert dict(sent(head, client(PROXY))) == {
        b"X-Real-IP": b"1.2.3.4",
        b"X-Forwarded-For": b"1.2.3.4, 5.6.7.8, 10.0.0.1",
        b"X-Forwarded-Proto": b"https",
        b"X-Forwarded-Host": b"shop.example",
        b"Forwarded": b'for=1.2.3.4;proto=https, for=10.0.0.1;host="a.example";proto=http',
        b"X-Request-Id": b"theirs",
    }


@pytest.mark.parametrize("given_id", [b"", b"a b", b"a" * 129, b"\xe4"])
def test_an_id_that_is_none_is_made_anew(given_id: bytes) -> None:
    _, request_id = forwarding.request(request(b"X-Request-Id: " + given_id), client(PROXY))
    assert request_id.startswith(b"made-")


@pytest.mark.parametrize("claim", [b"", b"X-Forwarded-Proto:https\r\n", b"x_real_ip: 1\r\n"])
@pytest.mark.parametrize("who", [SOMEBODY, PROXY])
def test_what_goes_on_does_so_byte_for_byte(claim: bytes, who: object) -> None:
    raw = b"GET / HTTP/1.1\r\nhost:a\r\nconnection:keep-alive\r\nA:b\r\n%bb:  c \r\nKEEP-ALIVE: 5\r\nC:\r\n\r\n" % claim
    told, _ = forwarding.request(parse_request(raw), client(who))
    assert told.startswith(b"GET / HTTP/1.1\r\nhost:a\r\nA:b\r\nb:  c \r\nC:\r\nX-Forwarded-For: ")


def test_there_is_one_id() -> None:
    for given_id in (b"theirs", b"two of", b""):
        fields = sent(request(b"X-Request-Id: " + given_id), client(PROXY))
        assert [name for name, _ in fields].count(b"X-Request-Id") == 1


def test_each_request_of_a_connection_is_told_of_as_it_is() -> None:
    who = client()
    for target, host in ((b"/a", b"a.example"), (b"/b", b"a.example"), (b"/b", b"b.example"), (b"/a", b"a.example")):
        raw, _ = forwarding.request(parse_request(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)), who)
        assert raw.startswith(b"GET %b HTTP/1.1\r\nHost: %b\r\nX-Forwarded-For: 192.0.2.1\r\n" % (target, host))
        assert b"\r\nX-Forwarded-Host: %b\r\n" % host in raw
        assert b'for=192.0.2.1;host="%b";proto=http\r\n' % host in raw


def test_ipv6() -> None:
    fields = dict(sent(request(), client(("2001:db8::7%eth0", 5000, 0, 3))))
    assert fields[b"X-Forwarded-For"] == b"2001:db8::7"
    assert fields[b"Forwarded"] == b'for="[2001:db8::7]";host="a.example";proto=http'
    assert dict(sent(request(), client(("::ffff:192.0.2.9", 1, 0, 0))))[b"X-Forwarded-For"] == b"192.0.2.9"


def test_an_ipv4_proxy_on_an_ipv6_socket_is_trusted() -> None:
    assert client(("::ffff:10.0.0.1", 1, 0, 0)).trusted


@pytest.mark.parametrize("address", ["", b"\0abstract", None])
def test_who_comes_over_a_unix_socket_has_no_address(address: object) -> None:
    fields = dict(sent(request(), client(address)))
    assert b"X-Forwarded-For" not in fields
    assert fields[b"Forwarded"] == b'for=unknown;host="a.example";proto=http'


def test_what_is_between_neighbours_goes() -> None:
    head = request(
        b"Connection: keep-alive, X-Own, TE",
        b"Keep-Alive: 5",
        b"TE: trailers",
        b"X-Own: a",
        b"Proxy-Connection: b",
        b"C: d",
    )
    assert [name for name, _ in sent(head, client())][:1] == [b"C"]


@pytest.mark.parametrize(
    "named", [b"Host", b"Content-Length", b"Cookie", b"Authorization", b"X-Forwarded-For", b"Forwarded"]
)
def test_nobody_names_away_who_is_asking_or_how_long_it_is(named: bytes) -> None:
    head = request(
        b"Connection: close, " + named,
        b"Content-Length: 5",
        b"Cookie: a",
        b"Authorization: b",
        first=b"POST / HTTP/1.1",
    )
    raw, _ = forwarding.request(head, client())
    assert b"\r\n" + named.lower() + b":" in raw.lower()


def test_an_upgrade_goes_on() -> None:
    head = request(b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x")
    fields = sent(head, client())
    assert (b"Connection", b"Upgrade") in fields
    assert (b"Upgrade", b"websocket") in fields


def test_an_upgrade_with_a_body_is_none() -> None:
    head = request(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", first=b"POST / HTTP/1.1")
    names = [name.lower() for name, _ in sent(head, client())]
    assert b"upgrade" not in names
    assert b"connection" not in names


def test_a_request_of_http_1_0_becomes_one_of_1_1() -> None:
    raw, _ = forwarding.request(parse_request(b"GET /a HTTP/1.0\r\nX: y\r\n\r\n"), client())
    assert raw.startswith(b"GET /a HTTP/1.1\r\nX: y\r\nHost:\r\n")


def test_an_absolute_target() -> None:
    raw, _ = forwarding.request(request(first=b"GET http://b.example/c HTTP/1.1"), client())
    assert raw.startswith(b"GET /c HTTP/1.1\r\nHost: b.example\r\n")
    assert b"a.example" not in raw


def test_a_proxy_that_speaks_one_way_is_not_made_to_speak_the_other() -> None:
    """Rack, for one, looks at Forwarded first: there it would find the proxy for the client, and http for https."""
    assert sent(request(b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https"), client(PROXY))[:-1] == [
        (b"X-Forwarded-For", b"1.2.3.4, 10.0.0.1"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"a.example"),
    ]
    assert sent(request(b"Forwarded: for=1.2.3.4;proto=https"), client(PROXY))[:-1] == [
        (b"Forwarded", b'for=1.2.3.4;proto=https, for=10.0.0.1;host="a.example";proto=http')
    ]


def test_a_trusted_client_that_speaks_for_itself_is_told_of_in_both_ways() -> None:
    assert sent(request(b"X-Forwarded-Proto:", b"X-Forwarded-For:"), client(PROXY))[:-1] == [
        (b"X-Forwarded-For", b"10.0.0.1"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"a.example"),
        (b"Forwarded", b'for=10.0.0.1;host="a.example";proto=http'),
    ]


@pytest.mark.parametrize(
    ("chain", "whole"),
    [
        (b"for=1.2.3.4", True),
        (b'For="[2001:db8::1]:47011";by=_a , for=unknown;host="a,b;\\"c"', True),
        (b", for=1.2.3.4,,", True),
        (b'for="1.2.3.4', False),
        (b'for=1.2.3.4;host="a\\"', False),
        (b"for=1.2.3.4 for=5.6.7.8", False),
        (b"for = 1.2.3.4", False),
        (b"1.2.3.4", False),
        (b"for=[::1]", False),
        (b'"' * 20_000 + b"for=a;" * 20_000, False),
    ],
)
def test_a_chain_is_gone_on_with_if_it_is_one(chain: bytes, whole: bool) -> None:
    """Behind a quotation mark too many, what frontdoor adds would be a part of what somebody else has said."""
    said = dict(sent(request(b"Forwarded: " + chain), client(PROXY)))[b"Forwarded"]
    added = b'for=10.0.0.1;host="a.example";proto=http'
    assert said == (chain + b", " + added if whole else added)


def test_what_a_trusted_proxy_has_from_somebody_else_goes() -> None:
    assert (b"X_Forwarded_User", b"root") not in sent(request(b"X_Forwarded_User: root"), client(PROXY))
    assert (b"X-Forwarded-User", b"jane") in sent(request(b"X-Forwarded-User: jane"), client(PROXY))


def test_a_trusted_proxy_that_passes_on_a_connection_field_keeps_its_own_word() -> None:
    abused = request(b"Connection: close, X-User, Own", b"X-User: jane", b"Own: a")
    assert (b"X-User", b"jane") in sent(abused, client(PROXY))
    assert all(name not in (b"X-User", b"Own") for name, _ in sent(abused, client())), "it was its own to name"
    assert all(name != b"Own" for name, _ in sent(abused, client(PROXY)))


def test_a_password_for_a_proxy_is_not_for_a_backend() -> None:
    names = [name for name, _ in sent(request(b"Proxy-Authorization: Basic abc", b"Authorization: a"), client())]
    assert b"Proxy-Authorization" not in names
    assert b"Authorization" in names


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ((b"Connection: TE", b"TE: trailers"), True),
        ((b"Connection: te", b"TE: gzip;q=0.5, Trailers"), True),
        ((b"Connection: te", b"TE: gzip"), False),
        ((b"TE: trailers",), False),
        ((b"Connection: te",), False),
    ],
)
def test_who_takes_trailers_gets_them(fields: tuple[bytes, ...], told: bool) -> None:
    got = [field for field in sent(request(*fields), client()) if field[0] in (b"TE", b"Connection")]
    assert got == ([(b"Connection", b"TE"), (b"TE", b"trailers")] if told else [])
    got = sent(request(*fields, first=b"GET / HTTP/1.0"), client())
    assert b"TE" not in dict(got), "HTTP/1.0 has no trailers"


@pytest.mark.parametrize("protocol", [b"h2c", b"H2C", b"HTTP/2.0", b"TLS/1.2", b"h2c, ", b"h3"])
def test_nobody_leaves_for_another_http(protocol: bytes) -> None:
    """Its requests would say of themselves who has sent them, and would be in no log."""
    settings = b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    head = request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, settings)
    names = {name.lower() for name, _ in sent(head, client())}
    assert not names & {b"upgrade", b"connection", b"http2-settings"}
    assert not head.upgrade, "so that a 101 is not believed either"
    assert request(b"Connection: Upgrade", b"Upgrade: h2c, websocket").upgrade == b"websocket"


def test_http_1_0_has_no_expect() -> None:
    lines = (b"Expect: 100-continue", b"Content-Length: 5")
    assert (b"Expect", b"100-continue") in sent(request(*lines, first=b"POST / HTTP/1.1"), client())
    assert (b"Expect", b"100-continue") not in sent(request(*lines, first=b"POST / HTTP/1.0"), client())


def test_a_long_head_is_not_kept() -> None:
    """Many clients may hold a connection each, and have said much on it."""
    who = client()
    forwarding.request(request(b"Cookie: a"), who)
    short = who.sent
    assert b"Cookie: a" in short
    forwarding.request(request(b"Cookie: " + b"a" * 4096), who)
    assert who.sent is short


# -- whatever is sent -------------------------------------------------------------------------------------------------

FIRST = st.sampled_from(
    [
        b"GET /a?b=c HTTP/1.1",
        b"GET / HTTP/1.0",
        b"POST //a HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"OPTIONS http://b.example:81 HTTP/1.1",
        b"PUT http://b.example/c?d HTTP/1.0",
        b"get /d HTTP/1.2",
    ]
)
CLAIMED = [
    b"X-Forwarded-For",
    b"x_forwarded_for",
    b"X-Forwarded_Host",
    b"x-forwarded-proto",
    b"X-Forwarded-User",
    b"FORWARDED",
    b"X-Real-IP",
    b"x_real-ip",
    b"X-Request-Id",
    b"x_request_id",
]
BETWEEN = [b"Connection", b"Keep-Alive", b"TE", b"Upgrade", b"Proxy-Connection", b"Proxy-Authorization"]
PLAIN = [b"Cookie", b"Authorization", b"A", b"X-User", b"Expect", b"Trailer", b"Content-Length", b"Transfer-Encoding"]
TOKENS = st.text("abcXYZ019-_.!~", min_size=1, max_size=12).map(str.encode)
OPTIONS = st.lists(
    st.sampled_from([each.lower() for each in CLAIMED + BETWEEN + PLAIN] + [b"close", b"Host", b"upgrade", b"te"])
).map(b", ".join)
VALUES = st.one_of(
    OPTIONS,
    st.sampled_from([b"chunked", b"7", b"trailers", b"websocket", b"h2c", b"for=6.6.6.6", b'for="', b"6.6.6.6"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")).map(
        lambda text: text.encode("latin-1").strip(b" \t")
    ),
)
SENT = st.lists(st.tuples(st.sampled_from(CLAIMED + BETWEEN + PLAIN) | TOKENS, VALUES), max_size=8)
WHO = st.sampled_from([SOMEBODY, PROXY, ("2001:db8::7", 1, 0, 0), ""])


def accepted(first: bytes, fields: Fields) -> RequestHead:
    try:
        return request(*(b"%b: %b" % field for field in fields), first=first)
    except BadHead:
        reject()


def is_said_by_proxies(name: bytes) -> bool:
    """As CGI would have it."""
    return name.upper().replace(b"-", b"_").startswith((b"X_FORWARDED_", b"X_REAL_IP", b"X_REQUEST_ID", b"FORWARDED"))


def words(fields: Fields, name: bytes) -> set[bytes]:
    lists = [value.split(b",") for each, value in fields if each.lower() == name]
    return {word.strip(b" \t").lower() for words in lists for word in words}


@given(FIRST, SENT, WHO)
def test_the_backend_reads_the_same_request(first: bytes, fields: Fields, address: object) -> None:
    who, head = client(address), accepted(first, fields)
    got = parse_request(forwarding.request(head, who)[0])
    for what in ("method", "target", "length", "host", "upgrade"):
        assert getattr(got, what) == getattr(head, what), what
    assert got.minor == 1
    named = words(fields, b"connection") - {
        b"cookie",
        b"authorization",
        b"expect",
        b"content-length",
        b"transfer-encoding",
    }
    if who.trusted:
        named = {name for name in named if not name.startswith(b"x-")}
    gone = named | {name.lower() for name in BETWEEN} | {b"host"} | ({b"expect"} if not head.minor else set())

    def end_to_end(of: RequestHead) -> Fields:
        return [(name, value) for name, value in of.fields if name.lower() not in gone and not is_said_by_proxies(name)]

    assert end_to_end(got) == end_to_end(head), "in their order"
    left = {name.lower() for name, _ in got.fields if not is_said_by_proxies(name)} & gone
    assert left <= {b"host", b"connection", b"upgrade", b"te"}
    assert words(got.fields, b"connection") <= {b"upgrade", b"te"}


@given(FIRST, SENT, st.sampled_from([SOMEBODY, ("2001:db8::7", 1, 0, 0), ""]))
def test_nothing_that_a_stranger_sends_changes_what_is_said_of_him(
    first: bytes, fields: Fields, address: object
) -> None:
    def said(head: RequestHead) -> Fields:
        got = parse_request(forwarding.request(head, client(address))[0])
        told = [(name, value) for name, value in got.fields if is_said_by_proxies(name)]
        assert told.pop()[1].startswith(b"made-"), "the id, which is never the same"
        return told

    assert said(accepted(first, fields)) == said(request(first=first))


@given(SENT)
def test_behind_a_trusted_proxy_only_what_it_said_is_in_front_of_its_address(fields: Fields) -> None:
    got = dict(sent(accepted(b"GET / HTTP/1.1", fields), client(PROXY)))
    before = b", ".join(value for name, value in fields if name.lower() == b"x-forwarded-for")
    if b"X-Forwarded-For" in got:
        assert got[b"X-Forwarded-For"] == (before + b", " if before else b"") + b"10.0.0.1"
    else:
        assert not before
        assert b"Forwarded" in got
    if b"Forwarded" in got:
        assert got[b"Forwarded"].endswith(b'for=10.0.0.1;host="a.example";proto=http')


# -- answers ----------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_an_answer_goes_on_as_it_is() -> None:
    head = parse_answer(OK, b"GET")
    assert answer(head, request(), close=False) is head.raw


def test_what_goes_on_of_an_answer_does_so_byte_for_byte() -> None:
    """As Node says of each connection how long it is kept."""
    raw = b"HTTP/1.1 200 OK\r\nX:y\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nlength:  z \r\n\r\n"
    told = answer(parse_answer(raw, b"GET"), request(), close=True)
    assert told == b"HTTP/1.1 200 OK\r\nX:y\r\nlength:  z \r\nConnection: close\r\n\r\n"


def test_the_last_answer_of_a_connection() -> None:
    told = answer(parse_answer(OK, b"GET"), request(), close=True)
    assert told == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"


def test_a_client_of_http_1_0_that_keeps_its_connection() -> None:
    told = answer(parse_answer(OK, b"GET"), request(b"Connection: keep-alive", first=b"GET / HTTP/1.0"), close=False)
    assert told.endswith(b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\n")


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    head = parse_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nA: b\r\n\r\n", b"GET")
    told = answer(head, request(first=b"GET / HTTP/1.0"), close=True)
    assert told == b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n"


def test_what_a_backend_says_to_its_neighbour_no_client_of_http_1_0_hears_either() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-Own: a\r\nConnection: close, X-Own\r\nKeep-Alive: b\r\nC:d\r\n"
    for length in (b"", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"):
        head = parse_answer(raw + length + b"\r\n", b"GET")
        told = answer(head, request(first=b"GET / HTTP/1.0"), close=True)
        assert [name for name, _ in parse_answer(told, b"GET").fields if name != b"Content-Length"] == [
            b"C",
            b"Connection",
        ]


def test_a_cookie_of_frontdoor_s_own() -> None:
    told = answer(parse_answer(OK, b"GET"), request(), close=False, cookie=b"a=b; Path=/")
    assert told == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b; Path=/\r\n\r\n"


def test_a_client_of_http_1_0_gets_no_coding_where_there_is_no_body_either() -> None:
    head = parse_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HEAD")
    told = answer(head, request(first=b"HEAD / HTTP/1.0"), close=True)
    assert told == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def test_an_answer_that_asks_for_an_upgrade_says_to_what() -> None:
    ask = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, X\r\nX: y\r\n"
    told = answer(parse_answer(ask + b"Keep-Alive: 5\r\nContent-Length: 0\r\n\r\n", b"GET"), request(), close=False)
    assert told == (
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\nConnection: Upgrade\r\n\r\n"
    )
    for named, told in ((b"Connection: close\r\n", b"Connection: Upgrade\r\n"), (b"", b"")):
        ask = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n%bKeep-Alive: 5\r\n\r\n" % named
        heard = answer(parse_answer(ask, b"GET"), request(), close=False)
        assert heard == b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n%b\r\n" % told
    offer = b"HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
    told = answer(parse_answer(offer, b"GET"), request(), close=False)
    assert told == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "Apache offers that with each answer"


def test_what_a_backend_asks_of_proxies_is_between_the_two() -> None:
    asks = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
    told = answer(parse_answer(asks, b"GET"), request(), close=False)
    assert told == b"HTTP/1.1 407 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
