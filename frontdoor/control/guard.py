"""The guard of the control API: who may ask, and who may change something.

On the control socket the file's permissions have decided that. Over TCP (``[frontdoor] admin``) anybody who gets there
may read, and whoever changes something brings the token.

What no permission and no token decides is what a browser does for a stranger: a page from anywhere may send requests to
this address (CSRF), and one whose name is made to point to this address may even read the answers (DNS rebinding). A
browser says where its page is from, and by which name it came here: in ``Origin``, ``Sec-Fetch-Site`` (W3C Fetch
Metadata) and ``Host``. Whoever forges those is no browser, and gains nothing by it: they refuse, and never permit.

The invariant of :func:`judge`: over TCP nothing but GET and HEAD goes through without the token, and nothing at all for
a foreign Host or Origin, whatever else a request has.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .answers import Answer, refusal
from .asked import query
from .operator import BAD_REQUEST, FAILED

UNAUTHORIZED = 401
FORBIDDEN = 403
MISDIRECTED = 421
VERSION_NOT_SUPPORTED = 505

READING = ("GET", "HEAD")

_MAY = "frontdoor.may"
"""The key of a scope: what this request may do, for :func:`admin`."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names that lead to this machine wherever they are looked up, so nobody can have them point elsewhere."""

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?\Z")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\s]+)\Z")
_PORTS = {"http": "80", "https": "443"}
_BEARER = re.compile(rb"bearer(?: +(.*))?\Z", re.IGNORECASE | re.DOTALL)

_MARKS = frozenset({b"origin", b"referer", b"accept-language", b"cookie"})
"""Fields that browsers send and curl does not. To a plain http address they send no Sec-Fetch-*, and no Origin with a
GET to the page's own host, which is what a page with a rebound name sends."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a browser lets the dashboard do: load what is its own, ask where it is from, and nothing else (CSP Level 3)."""

_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""For a picture (SVG) that is looked at by itself: it brings its style along, and can do nothing."""

_HARDENED = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

Headers = Collection[tuple[bytes, bytes]]
"""As ASGI has them: names in small letters, in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as the guard is concerned.

    `local` is the address that it came in on, "" for the control socket.
    """

    method: str
    path: str
    headers: Headers = ()
    local: str = ""

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of each field of that name."""
        return [value for known, value in self.headers if known == name]

    @property
    def from_browser(self) -> bool:
        """Whether a browser has made it, as far as it shows."""
        return any(
            name in _MARKS or name.startswith(b"sec-") or (name == b"user-agent" and value.startswith(b"Mozilla/"))
            for name, value in self.headers
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request. `status` 0: it goes on to who answers it; else `error` says why it does not."""

    status: int = 0
    error: str = ""
    writable: bool = False
    """It may change something."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one listener."""

    tcp: bool
    """A token is needed to change something. Else the file's permissions have decided."""
    is_token: Callable[[bytes], bool] = lambda _: False
    where: str = ""
    """The token's file, as people know it."""
    hosts: Callable[[], Collection[str]] = tuple
    """Further names by which it is reached: in small letters, addresses without brackets."""


def judge(asked: Asked, rules: Rules) -> Verdict:
    """Decide."""
    if (rules.tcp or asked.from_browser) and (refused := _foreign(asked, rules)) is not None:
        return refused
    if not rules.tcp:
        return Verdict(writable=True)
    return _bearer(asked, rules)


def _foreign(asked: Asked, rules: Rules) -> Verdict | None:
    """Return the refusal of what was not sent to us by one of our own pages, or by no page at all."""
    hosts = asked.all(b"host")
    if len(hosts) != 1:
        return Verdict(BAD_REQUEST, f"a request has one Host, not {len(hosts) or 'none'}")
    host = _place(_text(hosts[0]))
    if host is None or host[0] not in (*_LOOPBACK, *_own(asked.local), *rules.hosts()):
        name = _shown(hosts[0])
        error = f"{name} is no name of this frontdoor; if it is to be one, add it to [frontdoor] admin_hosts"
        return Verdict(MISDIRECTED, error)
    for origin in asked.all(b"origin"):
        if not _same(_text(origin), host):
            return Verdict(FORBIDDEN, f"this was sent by a page of {_shown(origin)}, and only pages from here may")
    sites = asked.all(b"sec-fetch-site")
    if any(site not in (b"same-origin", b"none") for site in sites) and not _is_visit(asked):
        error = (
            f"this was sent by a page from elsewhere ({_shown(sites[0])}), and only pages from here may: open / itself"
        )
        return Verdict(FORBIDDEN, error)
    return None


def _bearer(asked: Asked, rules: Rules) -> Verdict:
    """Judge the token of a request over TCP."""
    where = f"the token is in {rules.where} on frontdoor's machine"
    brought = [found[1] or b"" for value in asked.all(b"authorization") if (found := _BEARER.match(value))]
    if len(brought) > 1:
        return Verdict(UNAUTHORIZED, f"more than one token was given; {where}")
    if brought:
        if rules.is_token(brought[0].rstrip(b" ")):
            return Verdict(writable=True)
        return Verdict(UNAUTHORIZED, f"this is not the token; {where}")
    if asked.method not in READING:
        how = "over [frontdoor] admin everything can be read, and changed only with Authorization: Bearer TOKEN"
        return Verdict(UNAUTHORIZED, f"{how}; {where}")
    return Verdict()


def _is_visit(asked: Asked) -> bool:
    """Whether somebody follows a link to the dashboard, from whatever page: he is shown it, and no page sees that."""
    return (
        (asked.method, asked.path) == ("GET", "/")
        and asked.all(b"sec-fetch-mode") == [b"navigate"]
        and asked.all(b"sec-fetch-dest") in ([], [b"document"])
    )


def _place(text: str) -> tuple[str, str] | None:
    """Return name and port ("" for none) of a Host, in one form; None: it is none."""
    found = _HOST.match(text)
    if found is None:
        return None
    port = found["port"] or ""
    name = found["ipv6"] or found["name"]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return (name.lower(), port) if found["name"] else None
    return (str(address), port) if (address.version == 6) == bool(found["ipv6"]) else None


def _own(local: str) -> list[str]:
    """Return the address that a connection has come in on, in one form."""
    try:
        return [str(ipaddress.ip_address(local.partition("%")[0]))]
    except ValueError:
        return []  # the control socket has none


def _same(origin: str, host: tuple[str, str]) -> bool:
    """Whether an Origin is a page of that Host. It may be https: a proxy in front of us has decrypted it."""
    found = _ORIGIN.match(origin)
    place = _place(found["host"]) if found else None
    if found is None or place is None:
        return False  # "null" is nobody's page: a sandboxed frame, a file
    usual = _PORTS[found["scheme"]]
    return (place[0], place[1] or usual) == (host[0], host[1] or usual)


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _shown(value: bytes) -> str:
    """What somebody has sent, for people."""
    text = _text(value[:100])
    return repr(text) if text else "nothing"


# -- the application ---------------------------------------------------------------------------------------------------

Scope = MutableMapping[str, Any]
OnRefused = Callable[[object, Verdict, Asked], object]
OnChange = Callable[[object, Asked], object]


class Guard:
    """An ASGI application in front of another one: lets through what may pass, and hardens all answers."""

    def __init__(self, app: Any, rules: Rules, on_refused: OnRefused, on_change: OnChange = lambda *_: None) -> None:
        """Both are told the client's address, and may not raise.

        `on_refused` hears of what does not pass, `on_change` of what does, came over TCP, and may change something.
        """
        self._app = app
        self._rules = rules
        self._on_refused = on_refused
        self._on_change = on_change

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request."""
        local = scope.get("server") or ("",)
        asked = Asked(scope.get("method", "GET"), scope["path"], scope["headers"], str(local[0]))
        verdict = self._judge(scope, asked)
        client = scope.get("client")
        if verdict.status:
            self._on_refused(client, verdict, asked)
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # before it is accepted: that is a 403
            return

        async def hardened(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*harden(list(message.get("headers", ())))]}
            await send(message)

        if verdict.status:
            await _refuse(verdict)(scope, receive, hardened)
            return
        if self._rules.tcp and asked.method not in READING:
            self._on_change(client, asked)
        scope[_MAY] = {"writable": verdict.writable, "token_needed": self._rules.tcp}
        await self._app(scope, receive, hardened)

    def _judge(self, scope: Scope, asked: Asked) -> Verdict:
        if scope["type"] != "http":
            return Verdict(FORBIDDEN, "there is no WebSocket here; GET /v1/live is a stream of events")
        if self._rules.tcp and not scope["http_version"].startswith("1"):
            # It would let one connection have a hundred requests under way.
            return Verdict(VERSION_NOT_SUPPORTED, "here HTTP/1.1 is spoken, and not HTTP/2")
        return judge(asked, self._rules)


def _refuse(verdict: Verdict) -> Answer:
    answer = refusal(verdict.error, FAILED, verdict.status)
    if verdict.status == UNAUTHORIZED:
        answer.headers["www-authenticate"] = "Bearer"  # RFC 6750, section 3
    return answer


def harden(headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Give the headers of an answer, and behind them those of these that are not among them."""
    yield from headers
    there = {name.lower(): value for name, value in headers}
    for name, value in _HARDENED:
        if name not in there:
            yield name, value
    if b"content-security-policy" not in there:
        is_picture = there.get(b"content-type", b"").startswith(b"image/svg+xml")
        yield b"content-security-policy", (_PICTURE_POLICY if is_picture else POLICY).encode()


async def admin(request: Request) -> Response:
    """GET /v1/admin: what may be done over this connection with the token that this request has."""
    query(request, ())
    return Answer(request.scope[_MAY])


def routes() -> Iterable[Route]:
    """Return what the application behind a guard answers about it."""
    return [Route("/v1/admin", admin)]
