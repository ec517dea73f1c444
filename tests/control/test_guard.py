"""The guard: what goes through, by method, path and headers."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from control.fakedoor import FakeDoor
from frontdoor.control import api
from frontdoor.control.guard import POLICY, Asked, Guard, Rules, Verdict, harden, judge, routes

TOKEN = b"d9rT-7Pq2_kXw0aYb3cZ4eV5fU6gS8hR1iQjMnLoKpE"
BEARER = b"Bearer " + TOKEN

TCP = Rules(tcp=True, is_token=lambda given: given == TOKEN, where="run/admin.token", hosts=lambda: ("deploy.example",))
SOCKET = Rules(tcp=False, hosts=lambda: ("deploy.example",))


def asked(method: str = "GET", path: str = "/v1/status", *, local: str = "127.0.0.1", **fields: Any) -> Asked:
    """A request: the fields in Python's spelling, ``sec_fetch_site="none"``."""
    sent = {"host": "127.0.0.1:9900", **fields}
    headers = [
        (name.replace("_", "-").encode(), value.encode() if isinstance(value, str) else value)
        for name, value in sent.items()
        if value != ""
    ]
    return Asked(method, path, headers, local)


# -- the token ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_without_a_token_everything_can_be_read(method: str) -> None:
    assert judge(asked(method), TCP) == Verdict(writable=False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "X"])
def test_without_a_token_nothing_can_be_changed(method: str) -> None:
    verdict = judge(asked(method, "/v1/doors/main/swap"), TCP)
    assert verdict.status == 401
    assert "Authorization: Bearer TOKEN" in verdict.error
    assert "run/admin.token" in verdict.error


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"Bearer "])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_with_the_token_everything_goes(method: str, scheme: bytes) -> None:
    assert judge(asked(method, authorization=scheme + b" " + TOKEN), TCP) == Verdict(writable=True)


@pytest.mark.parametrize(
    "given",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer x",
        BEARER[:-1],
        BEARER + b"x",
        BEARER + b"\n",
        BEARER.upper(),
        b"Bearer \xff\xfe",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_wrong_token_is_refused_whatever_is_asked(method: str, given: bytes) -> None:
    verdict = judge(asked(method, authorization=given), TCP)
    assert (verdict.status, "this is not the token" in verdict.error) == (401, True)


@pytest.mark.parametrize("given", [b"Basic " + TOKEN, TOKEN, b"Bearer" + TOKEN, b"Token " + TOKEN])
def test_what_is_no_bearer_token_is_none(given: bytes) -> None:
    assert judge(asked("GET", authorization=given), TCP) == Verdict(writable=False)
    assert judge(asked("POST", authorization=given), TCP).status == 401


def test_two_tokens_are_refused_even_if_both_are_right() -> None:
    headers = [(b"host", b"localhost"), (b"authorization", BEARER), (b"authorization", BEARER)]
    assert judge(Asked("GET", "/", headers, "127.0.0.1"), TCP).status == 401


def test_where_there_is_no_token_none_is_right() -> None:
    nothing = Rules(tcp=True)
    assert judge(asked("GET"), nothing) == Verdict(writable=False)
    for some in (b"Bearer", b"Bearer ", BEARER):
        assert judge(asked("POST", authorization=some), nothing).status == 401


# -- the host ----------------------------------------------------------------------------------------------------------

OWN = [
    "localhost",
    "LOCALHOST:9900",
    "localhost:1",
    "127.0.0.1",
    "127.0.0.1:8022",
    "[::1]",
    "[::1]:9900",
    "[0:0::0:1]:9900",
    "deploy.example",
    "Deploy.Example:443",
]
FOREIGN = [
    "evil.example",
    "evil.example:9900",
    "deploy.example.evil.example",
    "xdeploy.example",
    "localhost.evil.example",
    "localhost.",
    "127.0.0.1.nip.io",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "0.0.0.0:9900",
    "::1",
    "[::]",
    "[127.0.0.1]",
    "[localhost]",
    "192.0.2.7",
    "user@localhost",
    "localhost:",
    "localhost:99x",
    "localhost:999999",
    "localhost localhost",
    "localhost,evil.example",
    "localhost/",
    "\xff",
    " ",
]


@pytest.mark.parametrize("host", OWN)
def test_own_names_are_taken(host: str) -> None:
    assert judge(asked(host=host), TCP) == Verdict()
    assert judge(asked(host=host, origin="null", local=""), SOCKET).status == 403, "the host was not what it is about"


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_names_are_refused_with_the_token_too(host: str) -> None:
    for authorization in ("", BEARER):
        for method in ("GET", "POST"):
            verdict = judge(asked(method, host=host.encode("latin-1"), authorization=authorization), TCP)
            assert (verdict.status, verdict.writable) == (421, False)
            assert "admin_hosts" in verdict.error


@pytest.mark.parametrize(
    ("local", "host"),
    [
        ("192.0.2.7", "192.0.2.7:9900"),
        ("2001:db8::7", "[2001:DB8:0::7]:9900"),
        ("fe80::7%eth0", "[fe80::7]:9900"),
    ],
)
def test_the_address_that_it_came_in_on_is_taken_and_no_other(local: str, host: str) -> None:
    assert judge(asked(host=host, local=local), TCP) == Verdict()
    assert judge(asked(host=host, local="192.0.2.8"), TCP).status == 421


def test_a_request_has_one_host() -> None:
    for headers in ([], [(b"host", b"localhost")] * 2, [(b"host", b"localhost"), (b"host", b"evil.example")]):
        verdict = judge(Asked("GET", "/", headers, "127.0.0.1"), TCP)
        assert verdict.status == 400


# -- where it is from --------------------------------------------------------------------------------------------------

SAME = [
    ("127.0.0.1:9900", "http://127.0.0.1:9900"),
    ("localhost:8022", "http://localhost:8022"),
    ("[::1]:9900", "http://[::1]:9900"),
    ("deploy.example", "https://deploy.example"),
    ("deploy.example", "http://deploy.example"),
    ("deploy.example:443", "https://deploy.example"),
    ("deploy.example:8443", "https://deploy.example:8443"),
]
OTHERS = [
    ("127.0.0.1:9900", "null"),
    ("127.0.0.1:9900", "http://127.0.0.1:9901"),
    ("127.0.0.1:9900", "http://localhost:9900"),
    ("127.0.0.1:9900", "http://127.0.0.1"),
    ("127.0.0.1:9900", "http://evil.example"),
    ("127.0.0.1:9900", "http://127.0.0.1:9900.evil.example"),
    ("127.0.0.1:9900", "http://127.0.0.1:9900@evil.example"),
    ("127.0.0.1:9900", "ftp://127.0.0.1:9900"),
    ("127.0.0.1:9900", "chrome-extension://127.0.0.1:9900"),
    ("127.0.0.1:9900", "http://127.0.0.1:9900/"),
    ("127.0.0.1:9900", "http://127.0.0.1:9900 http://evil.example"),
    ("127.0.0.1:9900", " "),
    ("deploy.example", "https://deploy.example:8443"),
    ("deploy.example:443", "http://deploy.example"),
]


@pytest.mark.parametrize(("host", "origin"), SAME)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_own_pages_may(method: str, host: str, origin: str) -> None:
    page = asked(method, host=host, origin=origin, sec_fetch_site="same-origin", authorization=BEARER)
    assert judge(page, TCP) == Verdict(writable=True)


@pytest.mark.parametrize(("host", "origin"), OTHERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_from_elsewhere_may_not_with_the_token_neither(method: str, host: str, origin: str) -> None:
    assert judge(asked(method, host=host, origin=origin, authorization=BEARER), TCP).status == 403
    assert judge(asked(method, host=host, origin=origin, local=""), SOCKET).status == 403


def test_of_two_origins_both_must_be_ours() -> None:
    origins = [(b"origin", b"http://localhost"), (b"origin", b"http://evil.example")]
    assert judge(Asked("GET", "/", [(b"host", b"localhost"), *origins], "127.0.0.1"), TCP).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "nonsense"])
@pytest.mark.parametrize("path", ["/", "/v1/status", "/metrics"])
def test_a_browser_that_asks_for_another_page_is_refused(path: str, site: str) -> None:
    status = judge(asked(path=path, sec_fetch_site=site, sec_fetch_mode="no-cors"), TCP).status
    assert status == (403 if site else 0)


def test_who_follows_a_link_is_shown_the_dashboard_and_nothing_else() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert judge(asked(path="/", **link), TCP) == Verdict()
    assert judge(asked(path="/v1/status", **link), TCP).status == 403
    assert judge(asked("POST", "/", **link, authorization=BEARER), TCP).status == 403
    assert judge(asked(path="/", **{**link, "sec_fetch_dest": "iframe"}), TCP).status == 403
    assert judge(asked(path="/", **link, host="evil.example"), TCP).status == 421
    assert judge(asked(path="/v1/status", **{**link, "sec_fetch_site": "none"}), TCP) == Verdict(), "it was typed in"


# -- the control socket ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["frontdoor", "x", "evil.example", ""])
def test_over_the_socket_curl_may_all_whatever_it_calls_us(host: str) -> None:
    curl = asked("POST", "/v1/stop", local="", host=host, user_agent="curl/8.14.1", accept="*/*")
    assert judge(curl, SOCKET) == Verdict(writable=True)


REBOUND = {"host": "evil.example:8022", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept_language": "de"}


@pytest.mark.parametrize(
    "mark",
    [
        {"origin": "http://evil.example:8022"},
        {"referer": "http://evil.example:8022/"},
        {"sec_fetch_mode": "cors"},
        {"user_agent": REBOUND["user_agent"]},
        {"accept_language": "de"},
        {"cookie": "a=b"},
    ],
)
def test_over_the_socket_a_browser_that_a_tunnel_lets_in_is_checked(mark: dict[str, str]) -> None:
    assert judge(asked(local="", host="evil.example:8022", **mark), SOCKET).status == 421
    assert judge(asked(local="", host="", **mark), SOCKET).status == 400
    if "origin" not in mark:
        assert judge(asked("POST", local="", host="localhost:8022", **mark), SOCKET) == Verdict(writable=True)


# -- whatever a request has --------------------------------------------------------------------------------------------

_HOSTS = st.sampled_from([*OWN, *FOREIGN]) | st.text(st.characters(max_codepoint=255), max_size=20)
_VALUES = {
    b"host": _HOSTS,
    b"origin": _HOSTS.map(lambda host: f"http://{host}") | st.sampled_from(["null", "", "https://localhost"]),
    b"authorization": st.sampled_from(["Bearer", "Bearer ", "Bearer x", "Basic x", "bearer,x"]) | st.text(max_size=5),
    b"sec-fetch-site": st.sampled_from(["none", "same-origin", "cross-site", "same-site", "x"]),
    b"sec-fetch-mode": st.sampled_from(["navigate", "cors", "no-cors", "x"]),
    b"sec-fetch-dest": st.sampled_from(["document", "iframe", "empty"]),
    b"x-http-method-override": st.sampled_from(["GET", "POST"]),
    b"x-forwarded-host": _HOSTS,
    b"forwarded": _HOSTS.map(lambda host: f"host={host}"),
    b"cookie": st.just(TOKEN.decode()),
}


@st.composite
def headers(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    names = draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=6))
    return [(name, draw(_VALUES[name]).encode("latin-1", "replace")) for name in names]


@given(st.sampled_from(["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "get", ""]), headers())
@example("POST", [(b"host", b"localhost"), (b"sec-fetch-site", b"same-origin")])
def test_nothing_is_changed_without_the_token_whatever_else_is_there(
    method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    verdict = judge(Asked(method, "/v1/doors/main/swap", headers, "127.0.0.1"), TCP)
    assert verdict.status in (400, 401, 403, 421)
    assert not verdict.writable


@given(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from(["/", "/v1/status"]),
    headers(),
    st.sampled_from(FOREIGN),
    st.booleans(),
    st.booleans(),
)
def test_nothing_goes_through_for_a_foreign_host_or_origin(
    method: str, path: str, others: list[tuple[bytes, bytes]], foreign: str, of_host: bool, has_token: bool
) -> None:
    wrong = foreign.encode("latin-1")
    mark = (b"host", wrong) if of_host else (b"origin", b"http://" + wrong)
    sent = [*others, mark, *([(b"authorization", BEARER)] if has_token else [])]
    assert judge(Asked(method, path, sent, "127.0.0.1"), TCP).status in (400, 403, 421)
    if not of_host:
        assert judge(Asked(method, path, sent, ""), SOCKET).status in (400, 403, 421)


@settings(max_examples=30)
@given(headers())
def test_with_the_token_own_pages_get_through(others: list[tuple[bytes, bytes]]) -> None:
    """So that the two above do not hold because nothing ever does."""
    decided = (b"host", b"origin", b"authorization", b"sec-fetch-site")
    sent = [(name, value) for name, value in others if name not in decided]
    ours = [(b"host", b"localhost:1"), (b"origin", b"http://localhost:1"), (b"authorization", BEARER)]
    assert judge(Asked("POST", "/v1/stop", [*sent, *ours], "127.0.0.1"), TCP) == Verdict(writable=True)


# -- the application ---------------------------------------------------------------------------------------------------


class Door:
    """A guarded application, called as a server would."""

    def __init__(self, rules: Rules) -> None:
        self.door = FakeDoor()
        self.refused: list[tuple[object, int, str]] = []
        self.changed: list[str] = []
        self.guard = Guard(
            api.app(self.door, routes()),
            rules,
            lambda client, verdict, asked: self.refused.append((client, verdict.status, asked.path)),
            lambda client, asked: self.changed.append(asked.path),
        )

    async def ask(
        self, method: str, path: str, *headers: tuple[bytes, bytes], kind: str = "http", version: str = "1.1"
    ) -> tuple[int, dict[str, str], bytes]:
        scope: dict[str, Any] = {
            "type": kind,
            "http_version": version,
            "path": path,
            "headers": [(b"host", b"localhost"), *headers],
        }
        scope |= {"query_string": b"", "root_path": "", "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 9900)}
        sent: list[Any] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        with suppress(ZeroDivisionError):  # it is for the server's log, and behind the answer
            await self.guard({**scope, "method": method} if kind == "http" else scope, receive, send)
        if sent[0]["type"] == "websocket.close":
            return 403, {}, b""
        assert not [name for name, _ in sent[0]["headers"] if isinstance(name, str)]
        names = [name for name, _ in sent[0]["headers"]]
        assert len(names) == len(set(names)), "no field is there twice"
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/status", 200),
        ("GET", "/nothing", 404),
        ("GET", "/v1/stop", 405),
        ("POST", "/v1/stop", 401),
        ("POST", "/nothing", 401),
    ],
)
async def test_every_answer_is_hardened(method: str, path: str, status: int) -> None:
    got, headers, body = await Door(TCP).ask(method, path)
    assert got == status
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert status == 200 or {"error", "exit_code"} <= json.loads(body).keys()


async def test_a_mistake_of_ours_is_hardened_too() -> None:
    door = Door(TCP)
    door.door.healthy = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]  # it is to fail
    status, headers, _ = await door.ask("GET", "/healthz")
    assert (status, headers["content-security-policy"]) == (500, POLICY)


def test_an_answer_may_say_otherwise() -> None:
    own = [(b"Cache-Control", b"max-age=60"), (b"content-security-policy", b"default-src 'none'")]
    assert [name for name, _ in harden(own)] == [
        b"Cache-Control",
        b"content-security-policy",
        b"x-content-type-options",
        b"referrer-policy",
        b"cross-origin-resource-policy",
    ]


def test_a_picture_may_bring_its_style_and_nothing_else() -> None:
    policy = dict(harden([(b"content-type", b"image/svg+xml")]))[b"content-security-policy"]
    assert policy == b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


async def test_what_a_connection_may_do() -> None:
    right, wrong = (b"authorization", BEARER), (b"authorization", b"Bearer x")
    over_tcp, over_socket = Door(TCP), Door(SOCKET)
    assert json.loads((await over_tcp.ask("GET", "/v1/admin"))[2]) == {"writable": False, "token_needed": True}
    assert json.loads((await over_tcp.ask("GET", "/v1/admin", right))[2]) == {"writable": True, "token_needed": True}
    assert (await over_tcp.ask("GET", "/v1/admin", wrong))[0] == 401
    assert json.loads((await over_socket.ask("GET", "/v1/admin"))[2]) == {"writable": True, "token_needed": False}
    assert (await over_tcp.ask("POST", "/v1/admin", right))[0] == 405


async def test_who_was_refused_and_who_has_changed_something_is_told() -> None:
    door = Door(TCP)
    await door.ask("POST", "/v1/stop")
    await door.ask("GET", "/v1/status", (b"origin", b"null"))
    await door.ask("GET", "/v1/status")
    assert (door.refused, door.changed) == (
        [(("127.0.0.1", 50000), 401, "/v1/stop"), (("127.0.0.1", 50000), 403, "/v1/status")],
        [],
    )
    assert (await door.ask("POST", "/v1/stop", (b"authorization", BEARER)))[0] == 200
    assert door.changed == ["/v1/stop"]
    assert door.door.stopped.is_set()


async def test_there_is_no_websocket_with_the_token_neither() -> None:
    for rules in (TCP, SOCKET):
        door = Door(rules)
        assert (await door.ask("GET", "/v1/live", (b"authorization", BEARER), kind="websocket"))[0] == 403
        assert door.refused


async def test_over_tcp_http_2_is_not_spoken() -> None:
    assert (await Door(TCP).ask("GET", "/v1/status", version="2"))[0] == 505
    assert (await Door(SOCKET).ask("GET", "/v1/status", version="2"))[0] == 200
