"""Heads: what a request and an answer begin with, read strictly (RFC 9112).

What is accepted here has one reading, whoever reads it after us: two lengths, a folded line, a bare line feed, a name
with a space behind it are errors, and not something to be put right.
"""

import re
from functools import lru_cache

from frontdoor.http.fields import TOKEN, BadHead, Fields, as_lines, options, read_fields, remover

__all__ = [
    "CHUNKED",
    "NONE",
    "UNTIL_CLOSE",
    "AnswerHead",
    "BadHead",
    "RequestHead",
    "is_hopeless",
    "parse_answer",
    "parse_request",
]

NONE, CHUNKED, UNTIL_CLOSE = 0, -1, -2
"""``length`` of a body: so many bytes, or one of these."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"upgrade",
    }
)
"""Fields that are between two neighbours (RFC 9110 §7.6.1). Transfer-Encoding goes on with the body, as it came.

Those of proxy authentication are for the proxy that has asked for it (§11.7): that is never frontdoor, and a backend
has no business with such a password."""

remove_hops = remover(b"ckptu", b"|".join(sorted(HOP_BY_HOP)))

CLAIMS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
        b"x-real-ip",
        b"x-request-id",
    }
)
"""What a proxy says of the client. From a client itself it is a lie, or may be one."""

REMEMBERED, LONGEST_REMEMBERED = 256, 2048
"""So many heads of at most so many bytes are remembered: a client says the same again and again, and so does a backend
within the second of its Date. To read a browser's head costs as much as all else that is done for its request."""

_HTTP_AGAIN = (b"h2", b"h3", b"http", b"tls")
"""What the names of protocols begin with in which requests would come that nobody here sees."""

_REQUEST = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])\r\n" % TOKEN)
_STATUS = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+;=]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
"""As RFC 3986 §3.2.2 has it, but for the comma: in X-Forwarded-Host it would divide two hosts. It is never empty in
front of a port (RFC 9110 §4.2.1)."""
_CODED = re.compile(rb"\r\ntransfer-encoding: ?chunked\r\n", re.IGNORECASE)
"""A tab, or another space, is white space too, but there are servers that would not see the coding behind it."""
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_BEGINS = re.compile(rb"(?:\r(?:\n|\Z))?(?:%b|\Z)" % TOKEN.removesuffix(b"+"))

_LOOKED_AT = HOP_BY_HOP | CLAIMS | {b"cookie", b"host", b"content-length", b"transfer-encoding", b"expect"}
_PASSED_BY = (
    b"Accept,Accept-Encoding,Accept-Language,Authorization,Cache-Control,Content-Type,DNT,If-Modified-Since,If-None-Match,"
    b"Origin,Pragma,Priority,Range,Referer,Sec-Fetch-Dest,Sec-Fetch-Mode,Sec-Fetch-Site,Sec-Fetch-User,Sec-GPC,"
    b"Upgrade-Insecure-Requests,User-Agent"
).split(b",")
_SPELLED = (
    {low: low for low in _LOOKED_AT}
    | {low.title(): low for low in _LOOKED_AT}
    | {name: b"" for known in _PASSED_BY for name in (known, known.lower())}
)
"""How names are mostly written → in lower case, or empty when they are not looked at: most are found here at once."""

_USUAL = {value: frozenset(options(value)) for value in (b"keep-alive", b"close", b"Upgrade", b"keep-alive, Upgrade")}
"""What Connection mostly says."""


class RequestHead:
    """A request's. It is shared by all requests that begin with the same bytes, and does not change."""

    __slots__ = (
        "claims",
        "expects",
        "fields",
        "hop",
        "host",
        "keep_alive",
        "known",
        "length",
        "line",
        "method",
        "minor",
        "options",
        "raw",
        "target",
        "upgrade",
    )

    def __init__(self, raw: bytes, method: bytes, target: bytes, minor: int, fields: Fields) -> None:
        self.raw = raw
        """As it came."""
        self.method = method
        self.target = target
        """As it is sent on: a path, or ``*``."""
        self.minor = minor
        """0: who asks speaks HTTP/1.0, 1: HTTP/1.1."""
        self.fields = fields
        self.line = b""
        """The first line as it is sent on; empty: as it came."""
        self.host = b""
        self.length = NONE
        self.keep_alive = minor == 1
        """The client wants to go on with this connection."""
        self.options: frozenset[bytes] = frozenset()
        """What its Connection fields name, in lower case."""
        self.upgrade = b""
        """The protocols that it would rather speak; empty: none, or it may not (RFC 9110 §7.8)."""
        self.expects = False
        """It waits for 100 (Continue) before it sends the body."""
        self.hop = False
        """Some of its fields are not sent on."""
        self.claims = False
        """Some of its fields are what only a proxy may say."""
        self.known: dict[bytes, bytes] = {}
        """Name in lower case → value, of cookies and of what a proxy says; several are joined."""

    def __repr__(self) -> str:
        return f"<RequestHead {self.method.decode()} {self.target.decode()}>"


class AnswerHead:
    """An answer's. It is shared by all answers that begin with the same bytes, and does not change."""

    __slots__ = ("fields", "forward", "keep_alive", "length", "minor", "raw", "status")

    def __init__(self, raw: bytes, minor: int, status: int, fields: Fields) -> None:
        self.raw = raw
        self.minor = minor
        self.status = status
        self.fields = fields
        self.length = NONE
        self.keep_alive = minor == 1
        """The backend goes on with its connection."""
        self.forward = raw
        """As it is sent to a client of HTTP/1.1 whose connection goes on."""

    def __repr__(self) -> str:
        return f"<AnswerHead {self.status}>"


def is_claim(name: bytes) -> bool:
    """Whether an app may take a field of that name, in lower case, for what a proxy says.

    Many servers make the same of ``-`` and ``_`` (RFC 3875 §4.1.18). And X-Forwarded-… is said of much: a scheme, a
    user, a certificate.
    """
    alike = name.replace(b"_", b"-")
    return alike in CLAIMS or alike.startswith(b"x-forwarded-")


def is_hopeless(data: bytes, start: int = 0) -> bool:
    """Whether no head can come of what so begins, whatever follows: it is not worth waiting for the rest.

    ``start``: all in front of it has been looked at before. A client that sends byte by byte is to cost little.
    """
    start -= data[start - 1 : start] == b"\r"  # what is behind it says whether it is one too many
    pairs = data.count(b"\r\n", start)
    bare = data.count(b"\n", start) != pairs or data.count(b"\r", start) - data.endswith(b"\r") != pairs
    return bare or _BEGINS.match(data) is None


# -- requests ---------------------------------------------------------------------------------------------------------


def parse_request(raw: bytes) -> RequestHead:
    """One whole head, up to and with its empty line. Raises BadHead."""
    return _remembered_request(raw) if len(raw) <= LONGEST_REMEMBERED else _parse_request(raw)


def _parse_request(raw: bytes) -> RequestHead:
    # An empty line in front of it is left from the request before (RFC 9112 §2.2).
    raw = raw.removeprefix(b"\r\n")
    found = _REQUEST.match(raw)
    if found is None:
        raise BadHead(400, "the first line is not that of a request")
    method, target, version = found.groups()
    if version[:1] != b"1":
        raise BadHead(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if method == b"CONNECT":
        raise BadHead(501, "CONNECT is not for servers like this one")
    # A later minor version is one that can be spoken to as 1.1 (RFC 9110 §2.5).
    head = RequestHead(raw, method, target, int(version != b"1.0"), read_fields(raw[found.end() :]))
    _look_at_fields(head)
    if target[:1] != b"/" or b"#" in target:
        _look_at_target(head)
    if version != b"1.1" or head.target != target:
        head.line = b"%b %b HTTP/1.1\r\n" % (method, head.target)
    return head


def _look_at_fields(head: RequestHead) -> None:
    found: dict[bytes, list[bytes]] = {}
    hosts = 0
    spelled = _SPELLED.get
    for name, value in head.fields:
        low = spelled(name)
        if low is None:
            low = name.lower()
            if low not in _LOOKED_AT:
                if low[:1] == b"x" and is_claim(low):
                    head.claims = True
                continue
        if not low:
            continue
        if low == b"host":
            hosts += 1
            head.host = value
        elif low in found:
            found[low].append(value)
        else:
            found[low] = [value]
    if hosts > 1 or (not hosts and head.minor):
        raise BadHead(400, "a request has one Host" if hosts else "the request has no Host")
    if head.host and _HOST.fullmatch(head.host) is None:
        raise BadHead(400, "the Host is none")
    if found:
        _look_at_found(head, found)


def _look_at_found(head: RequestHead, found: dict[bytes, list[bytes]]) -> None:
    """Name in lower case → values, of the fields that are looked at, but for Host."""
    for low, values in found.items():
        if low == b"connection":
            _look_at_connection(head, values)
        elif low in HOP_BY_HOP:
            head.hop = True
        elif low == b"cookie":
            head.known[low] = b"; ".join(values)
        elif low in CLAIMS:
            head.known[low], head.claims = b", ".join(values), True
    if b"content-length" in found:
        head.length = _length(found[b"content-length"][0])  # there is but one, or llhttp would have said so
    if b"transfer-encoding" in found:
        head.length = _coded(found[b"transfer-encoding"], head.minor)
        if _CODED.search(head.raw) is None:
            raise BadHead(400, "there is more white space around the Transfer-Encoding than one space")
    if b"expect" in found:
        head.expects = [value.lower() for value in found[b"expect"]] == [b"100-continue"]
    # One with a body is sent on as if it had not asked: a backend that takes it would have to read the body first, and
    # one that does not would go on with HTTP, and nobody could tell which it is before the answer. And one to another
    # HTTP is none at all: requests would go to the backend that say of themselves who has sent them, and are in no log.
    if b"upgrade" in found and b"upgrade" in head.options and head.minor and head.length == NONE:
        wanted = [each.strip(b" \t") for each in b",".join(found[b"upgrade"]).split(b",")]
        head.upgrade = b", ".join(each for each in wanted if each and not each.lower().startswith(_HTTP_AGAIN))


def _look_at_connection(head: RequestHead, values: list[bytes]) -> None:
    head.hop = True
    usual = _USUAL.get(values[0]) if len(values) == 1 else None
    head.options = usual or frozenset(option for value in values for option in options(value))
    if b"close" in head.options:
        head.keep_alive = False
    elif not head.minor:
        head.keep_alive = b"keep-alive" in head.options


def _look_at_target(head: RequestHead) -> None:
    """One that is no path, or has a fragment."""
    target = head.target
    if b"#" in target:
        raise BadHead(400, "the target of the request has a fragment")
    if target == b"*":
        if head.method != b"OPTIONS":
            raise BadHead(400, "only OPTIONS is of the whole server")
        return
    found = _ABSOLUTE.fullmatch(target)
    if found is None or not found[1] or _HOST.fullmatch(found[1]) is None:
        raise BadHead(400, "the target of the request is neither a path nor an address")
    # Whatever its Host says (RFC 9112 §3.2.2).
    head.host = found[1]
    path = found[2] or (b"*" if head.method == b"OPTIONS" else b"/")
    head.target = path if path[:1] in (b"/", b"*") else b"/" + path
    head.fields = [(b"Host", head.host), *(field for field in head.fields if field[0].lower() != b"host")]


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadHead(400, "the Content-Length is no length")
    return int(value)


def _coded(values: list[bytes], minor: int) -> int:
    if not minor:
        raise BadHead(400, "HTTP/1.0 knows no Transfer-Encoding")
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise BadHead(501, "of all transfer codings only chunked is known here, alone and once")
    return CHUNKED


# -- answers ----------------------------------------------------------------------------------------------------------


def parse_answer(raw: bytes, method: bytes) -> AnswerHead:
    """One whole head of an answer to a request of that method. Raises BadHead."""
    return _remembered_answer(raw, method) if len(raw) <= LONGEST_REMEMBERED else _parse_answer(raw, method)


def _parse_answer(raw: bytes, method: bytes) -> AnswerHead:
    found = _STATUS.match(raw)
    if found is None:
        raise BadHead(502, f"its first line is none of HTTP/1.1: {raw[:60]!r}")
    try:
        fields = read_fields(raw[found.end() :])
    except BadHead as error:
        raise BadHead(502, f"the head of its answer is wrong: {error.why}") from None
    head = AnswerHead(raw, min(int(found[1]), 1), int(found[2]), fields)
    dropped = _look_at_answer(head, method)
    if dropped or found[1] != b"1":
        head.forward = b"HTTP/1.1" + raw[8:]
        if dropped <= HOP_BY_HOP and head.status not in (101, 426):
            head.forward = remove_hops(b"", head.forward)
        elif dropped:
            kept = [field for field in fields if field[0].lower() not in dropped]
            if head.status == 426 and b"connection" in dropped:
                kept.append((b"Connection", b"Upgrade"))
            head.forward = b"HTTP/1.1" + raw[8 : found.end()] + as_lines(kept) + b"\r\n"
    return head


def _look_at_answer(head: AnswerHead, method: bytes) -> set[bytes]:
    """Returns the names, in lower case, of the fields that are not sent on."""
    dropped: set[bytes] = set()
    named: list[bytes] = []
    lengths: set[bytes] = set()
    coded: list[bytes] = []
    for name, value in head.fields:
        low = name.lower()
        if low in HOP_BY_HOP:
            dropped.add(low)
        if low == b"connection":
            named += options(value)
        elif low == b"content-length":
            lengths.add(value)
        elif low == b"transfer-encoding":
            coded.append(value)
    head.keep_alive = b"close" not in named if head.minor else b"keep-alive" in named
    try:
        length = min((_length(value) for value in lengths), default=UNTIL_CLOSE)
        length = _coded(coded, head.minor) if coded else length
    except BadHead as error:
        raise BadHead(502, f"the head of its answer is wrong: {error.why}") from None
    if head.status == 101:
        dropped -= {b"connection", b"upgrade"}
    elif head.status == 426:
        dropped.discard(b"upgrade")  # it is what this answer says (RFC 9110 §15.5.22)
    if head.status < 200 or head.status == 204:
        dropped |= {b"content-length", b"transfer-encoding"} if lengths or coded else set()  # RFC 9110 §8.6
        head.keep_alive &= length in (NONE, UNTIL_CLOSE)  # it may send a body that cannot be: nobody is to read it
        length = NONE
    head.length = NONE if method == b"HEAD" or head.status == 304 else length
    # What a Connection names is between the backend and us; never what says how long the answer is.
    return dropped | (set(named) - {b"close", b"keep-alive", b"upgrade", b"content-length", b"transfer-encoding"})


_remembered_request = lru_cache(REMEMBERED)(_parse_request)
_remembered_answer = lru_cache(REMEMBERED)(_parse_answer)
