"""What a backend is told of its clients, and what of that it may believe."""

import socket
import struct
from collections.abc import Iterator

import pytest

from e2e.doors import Several, config_of
from e2e.wire import Wire, get, http_door, post

LIES = (
    b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: bank.test\r\n"
    b"Forwarded: for=6.6.6.6;proto=https\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Request-Id: chosen\r\n"
)
V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(scope="module")
def frontdoor() -> Iterator[Several]:
    """Four doors: one that believes nobody, one that believes its neighbours, and two behind load balancers."""
    doors = {
        "plain": http_door(listen=["127.0.0.1:0", "unix:public"]),
        "trusting": http_door(http={"trust": ["127.0.0.0/8"]}),
        "behind": http_door(accept_proxy=["127.0.0.0/8"]),
        "trusting-behind": http_door(accept_proxy=["127.0.0.0/8"], http={"trust": ["10.0.0.0/8"]}),
    }
    frontdoor = Several(config_of(doors)).start()
    yield frontdoor
    frontdoor.close()


class Told:
    """The head of a request as a backend got it."""

    def __init__(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")[1:-2]
        self.fields = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]

    def __getitem__(self, name: str) -> str:
        (value,) = (value for known, value in self.fields if known == name)
        return value

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.fields)


def told(frontdoor: Several, door: str, fields: bytes = b"", *, before: bytes = b"") -> Told:
    """What the backend of that door is told of a request with these fields; ``before``: what comes first."""
    with Wire(address(frontdoor, door)) as wire:
        return Told(wire.say(before + get("echo", fields=fields)).answer().body)


def address(frontdoor: Several, door: str) -> tuple[str, int]:
    host, _, port = frontdoor.door(door).address.rpartition(":")
    return host, int(port)


def test_a_backend_is_told_who_asks_and_what_for(frontdoor: Several) -> None:
    seen = told(frontdoor, "plain")
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == "door.test"
    assert seen["host"] == "door.test"
    assert seen["forwarded"] == 'for=127.0.0.1;host="door.test";proto=http'
    assert seen["x-request-id"]


def test_each_request_has_an_id_of_its_own(frontdoor: Several) -> None:
    with Wire(address(frontdoor, "plain")) as wire:
        ids = {Told(wire.ask(get("echo")).body)["x-request-id"] for _ in range(50)}
    ids |= {told(frontdoor, "plain")["x-request-id"] for _ in range(5)}
    assert len(ids) == 55
    assert all(id_.isascii() and 8 <= len(id_) <= 64 and " " not in id_ for id_ in ids), ids


def test_what_a_client_says_of_itself_is_not_believed(frontdoor: Several) -> None:
    seen = told(frontdoor, "plain", LIES)
    assert "6.6.6.6" not in str(seen.fields)
    assert "bank.test" not in str(seen.fields)
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-request-id"] != "chosen"


def test_what_a_client_says_of_itself_cannot_be_hidden_in_its_connection_either(frontdoor: Several) -> None:
    hidden = b"Connection: close, X-Forwarded-For, Forwarded, X-Request-Id, Cookie\r\nCookie: a=b\r\n"
    seen = told(frontdoor, "plain", hidden)
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["forwarded"].startswith("for=127.0.0.1")
    assert seen["x-request-id"]
    assert seen["cookie"] == "a=b"


def test_what_a_trusted_proxy_says_is_believed_and_added_to(frontdoor: Several) -> None:
    seen = told(frontdoor, "trusting", LIES.replace(b"X_Forwarded_For: 6.6.6.6\r\n", b""))
    assert seen["x-forwarded-for"] == "6.6.6.6, 127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-host"] == "bank.test"
    assert seen["forwarded"].startswith("for=6.6.6.6;proto=https, for=127.0.0.1;")
    assert seen["x-real-ip"] == "6.6.6.6"
    assert seen["x-request-id"] == "chosen"


def test_several_lines_of_a_trusted_proxy_are_one_list(frontdoor: Several) -> None:
    seen = told(frontdoor, "trusting", b"X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2, 3.3.3.3\r\n")
    assert seen["x-forwarded-for"] == "1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"


def test_a_request_id_that_is_none_is_replaced_though_its_sender_is_trusted(frontdoor: Several) -> None:
    for given in (b"a b", b"x" * 500, b"", b"\xff"):
        assert told(frontdoor, "trusting", b"X-Request-Id: %b\r\n" % given)["x-request-id"].encode("latin-1") != given


def test_the_client_s_address_is_that_of_the_proxy_header(frontdoor: Several) -> None:
    seen = told(frontdoor, "behind", LIES, before=b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n")
    assert seen["x-forwarded-for"] == "198.51.100.7"
    assert "6.6.6.6" not in str(seen.fields), "who has connected is the load balancer, and who asks is not trusted"
    six = socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack("!HH", 4711, 80)
    seen = told(frontdoor, "behind", before=V2 + struct.pack("!BBH", 0x21, 0x21, len(six)) + six)
    assert seen["x-forwarded-for"] == "2001:db8::7"
    assert seen["forwarded"].startswith('for="[2001:db8::7]";')


def test_trust_is_of_the_address_in_the_proxy_header(frontdoor: Several) -> None:
    seen = told(frontdoor, "trusting-behind", LIES, before=b"PROXY TCP4 10.1.2.3 127.0.0.1 4711 80\r\n")
    assert seen["x-forwarded-for"] == "6.6.6.6, 10.1.2.3"
    seen = told(frontdoor, "trusting-behind", LIES, before=b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n")
    assert seen["x-forwarded-for"] == "198.51.100.7"


def test_all_requests_of_a_connection_are_of_the_client_in_its_proxy_header(frontdoor: Several) -> None:
    with Wire(address(frontdoor, "behind")) as wire:
        wire.say(b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n")
        for _ in range(3):
            assert Told(wire.ask(get("echo")).body)["x-forwarded-for"] == "198.51.100.7"
    with Wire(address(frontdoor, "behind")) as wire:
        wire.say(b"PROXY TCP4 198.51.100.8 127.0.0.1 4711 80\r\n")
        seen = Told(wire.ask(get("echo")).body)
        assert seen["x-forwarded-for"] == "198.51.100.8", "though the backend's connection was another client's before"


def test_a_client_of_a_unix_socket_has_no_address(frontdoor: Several) -> None:
    with Wire(frontdoor.path("public")) as wire:
        seen = Told(wire.ask(get("echo", fields=LIES)).body)
    assert "x-forwarded-for" not in seen
    assert seen["forwarded"] == 'for=unknown;host="door.test";proto=http'


def test_the_body_is_never_touched(frontdoor: Several) -> None:
    with Wire(address(frontdoor, "trusting")) as wire:
        assert wire.ask(post("body", "echo", body=LIES, fields=LIES)).body.endswith(b"\r\n\r\n" + LIES)
