"""PROXY protocol: the app learns from frontdoor who its clients are, and frontdoor from the load balancer in front."""

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from e2e.doors import Changing, OneDoor, tcp
from e2e.harness import Client, greeter, until

Only = Callable[..., OneDoor]

V2 = b"\r\n\r\n\0\r\nQUIT\n"
TRUSTED = ["127.0.0.0/8"]
LONG_ENOUGH = 15.0
"""Seconds. Three times as long as a client may take to say its header."""


def introduced(version: str, *options: str) -> dict[str, object]:
    """A backend that wants to be told who its clients are."""
    return {"command": greeter("--proxy", *options), "proxy_protocol": version}


def ipv6() -> list[str]:
    """Where to listen for clients of IPv6: nowhere, if this machine has none."""
    with suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return ["[::1]:0"]
    return []


class From(Client):
    """A client of a certain address."""

    def __init__(self, source: str, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=20, source_address=(source, 0))
        self._lines = self.sock.makefile("rb")
        self._greeting: list[str] = []


def own_address(client: Client) -> str:
    """As the app says it."""
    name = client.sock.getsockname()
    return f"{name[0]} {name[1]}"


def unread(client: Client) -> int:
    """Bytes that this client has sent and frontdoor has not read yet (proc(5), /proc/net/tcp)."""
    ends = [f":{port:04X}" for _, port in (client.sock.getpeername(), client.sock.getsockname())]
    with open("/proc/net/tcp") as file:
        for line in file:
            words = line.split()
            if [words[1][-5:], words[2][-5:]] == ends:
                return int(words[4].partition(":")[2], 16)
    raise AssertionError("there is no such connection")


def is_turned_away(client: Client) -> bool:
    with suppress(ConnectionResetError):
        assert client.hear() == ""
    return True


@pytest.fixture(scope="module")
def changing() -> Iterator[Changing]:
    with closing(Changing(accept_proxy=TRUSTED)) as frontdoor:
        yield frontdoor.start()


@pytest.fixture(scope="module", autouse=True)
def silent(changing: Changing) -> Iterator[list[Client]]:
    """Clients that owe their header, at a door that no test touches, from the beginning of them all."""
    clients = [Client(tcp(changing.door("main").address)) for _ in range(2)]
    clients[1].say("PROXY TCP4 192.0.2.7")
    yield clients
    for client in clients:
        client.close()


# -- what the app is told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "nobody"), [("v1", "UNKNOWN"), ("v2", "UNSPEC")])
def test_the_app_is_told_its_clients_addresses(only: Only, version: str, nobody: str) -> None:
    door = only(listen=["127.0.0.1:0", *ipv6(), f"unix:{version}"], backends={"*": introduced(version)})
    for address in door.status()["listen"]:
        client = door.connect(address)
        assert client.ask("who") == (nobody if address.startswith("unix:") else own_address(client))
    assert door.printed("v1#1") == []


def test_a_ready_check_over_http_is_introduced_too(only: Only, changing: Changing) -> None:
    changing.write("200", "page")
    told = introduced("v2", "--http", "page")
    backends = {"v1": told, "v2": {**told, "proxy_protocol": "v1"}, "untold": {**told, "proxy_protocol": "off"}}
    ready = {"check": "http:/healthz"}
    door = only(backends=backends, ready=ready)
    for active in ("v1#1", "v2#2"):
        client = door.connect()
        client.say("GET / HTTP/1.1\r\nHost: x\r\n\r")
        *_, body = iter(client.hear, "")
        assert body == f"{active} {door.pid(active)} {own_address(client)}"
        if active == "v1#1":
            door.swap("v2")
    changing.change(door, backends=backends, ready={**ready, "deadline": "500ms"})
    assert changing.reload()["exit_code"] == 0
    failed = door.run("swap", "untold")
    assert failed.returncode == 4
    assert "GET /healthz was answered" in failed.stderr
    assert "no PROXY header: b'GET /healthz" in failed.stderr, "its own words"


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here: apt-get install nginx-light")
def test_nginx_behind_is_told_too(only: Only, changing: Changing) -> None:
    answer = 'return 200 "$proxy_protocol_addr $proxy_protocol_port\\n";'
    temporary = "".join(f"{kind}_temp_path tmp; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    changing.write(
        "daemon off; pid nginx.pid; error_log stderr; events {} "
        f"http {{ access_log off; {temporary} server {{ listen unix:SOCKET proxy_protocol; {answer} }} }}",
        "nginx.conf",
    )
    run = 'sed "s|SOCKET|$FRONTDOOR_SOCKET|" nginx.conf > $0.conf && exec nginx -p "$PWD" -c "$PWD/$0.conf"'
    nginx = {"command": ["sh", "-c", run, "nginx-{version}"]}
    versions = {version: {**nginx, "proxy_protocol": version} for version in ("v1", "v2")}
    door = only(backends=versions, ready={"check": "http:/"})
    for version in versions:
        if version != "v1":
            door.swap(version)
        client = door.connect()
        client.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r")
        assert list(iter(client.hear, ""))[-1] == own_address(client)


# -- what frontdoor is told -------------------------------------------------------------------------------------------


def test_the_address_in_a_header_is_the_client_s(only: Only) -> None:
    """What comes in as one version goes out as the other; what follows the header goes to the app."""
    backends = {"*": introduced("v2"), "v2": {"proxy_protocol": "v1"}}
    door = only(listen=["127.0.0.1:0", "unix:public"], accept_proxy=TRUSTED, backends=backends)
    one, other, itself, untrusted = door.connect(), door.connect(), door.connect(), door.connect("unix:public")
    one.sock.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\nright behind it\n")
    assert one.generation == "v1#1"
    assert one.hear() == "right behind it"
    assert one.ask("who") == "192.0.2.7 1234"

    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::7"), socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    header = V2 + struct.pack("!BBH16s16sHH", 0x21, 0x21, 36, *addresses, 4321, 443)
    for part in (header[:1], header[1:13], header[13:50]):  # as the network may cut it
        other.sock.sendall(part)
        until(lambda: unread(other) == 0, "it is taken")
    other.sock.sendall(header[50:] + b"who\n")
    assert other.generation == "v1#1"
    assert other.hear() == "2001:db8::7 4321"

    itself.sock.sendall(V2 + b"\x20\0\0\0")  # LOCAL: the load balancer speaks for itself
    assert itself.ask("who") == own_address(itself)
    assert untrusted.ask("who") == "UNSPEC"
    shown = door.run("streams").stdout
    for address in ("192.0.2.7:1234", "[2001:db8::7]:4321"):
        assert f"{address} " in shown
    assert door.generation("v1#1")["oldest"]["client"].startswith("unix")

    door.swap("v2")
    one = door.connect()
    one.sock.sendall(V2 + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, b"\xc0\0\2\7", b"\xc6\x33\x64\1", 999, 443))
    assert one.ask("who") == "192.0.2.7 999"


def test_who_says_something_else_gets_nowhere(only: Only) -> None:
    door = only(accept_proxy=TRUSTED)
    garbage = [
        b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.777 198.51.100.1 1234 443\r\nhello\n",
        V2 + b"\x21\x99\0\0hello\n",
    ]
    for data in garbage:
        client = door.connect()
        client.sock.sendall(data)
        assert is_turned_away(client)
    cut_short = door.connect()
    cut_short.sock.sendall(b"PROXY TCP4 192.0.2.7")
    cut_short.sock.shutdown(socket.SHUT_WR)
    assert is_turned_away(cut_short)
    door.connect().close()  # who only looks whether the port is open has done nothing wrong

    ended = {"proxy_header": len(garbage) + 1, "client_closed": 1}
    until(lambda: door.status()["streams"]["ended"] == ended, "all are counted")
    assert door.generation("v1#1")["streams"]["total"] == 0
    (said,) = door.logged("proxy_header.refused")
    assert (said["reason"], said["count"]) == ("it begins with no PROXY header", 1)
    assert said["client"].startswith("127.0.0.1:")
    client = door.connect()
    client.say("PROXY UNKNOWN\r")
    assert client.generation == "v1#1"


def test_clients_from_elsewhere_are_left_alone_and_a_reload_says_who_that_is(only: Only, changing: Changing) -> None:
    door = only(accept_proxy=["127.0.0.2"])
    elsewhere: Client = door.connect()
    trusted: Client = From("127.0.0.2", tcp(door.address))
    assert elsewhere.ask("PROXY TCP4 192.0.2.7 198.51.100.1 1234 443") == "PROXY TCP4 192.0.2.7 198.51.100.1 1234 443"
    trusted.sock.sendall(b"hello\n")
    assert is_turned_away(trusted)
    trusted.close()

    changing.change(door, accept_proxy=["127.0.0.1/32"])
    assert changing.run("reload").stdout == f"reloaded: doors.{door.name}.accept_proxy\n"
    elsewhere = From("127.0.0.2", tcp(door.address))
    assert elsewhere.generation == "v1#1"
    elsewhere.close()
    trusted = door.connect()
    trusted.say("PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r")
    assert trusted.generation == "v1#1"
    assert "192.0.2.7:1234" in [stream["client"] for stream in changing.control.ask("/v1/streams")["streams"]]


# -- a load balancer in front -----------------------------------------------------------------------------------------

HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen v1
    bind fd@{v1}
    server door {address} send-proxy check inter 50ms
listen v2
    bind fd@{v2}
    server door {address} send-proxy-v2 check inter 50ms
"""


@contextmanager
def haproxy(folder: str, address: str) -> Iterator[dict[str, tuple[str, int]]]:
    """In front of that address; where it listens, by the version of what it sends."""
    with socket.create_server(("127.0.0.1", 0)) as v1, socket.create_server(("127.0.0.1", 0)) as v2:
        config = os.path.join(folder, "haproxy.cfg")
        with open(config, "w") as file:
            file.write(HAPROXY.format(v1=v1.fileno(), v2=v2.fileno(), address=address))
        command = ["haproxy", "-q", "-db", "-f", config]
        with subprocess.Popen(command, pass_fds=[v1.fileno(), v2.fileno()]) as process:
            try:
                yield {"v1": v1.getsockname(), "v2": v2.getsockname()}
            finally:
                process.kill()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no HAProxy here: apt-get install haproxy")
def test_haproxy_in_front(only: Only, changing: Changing) -> None:
    door = only(accept_proxy=TRUSTED, backends={"*": introduced("v2")})
    with haproxy(changing.folder, door.address) as in_front:
        clients = [Client(address) for address in in_front.values()]
        for client in clients:
            assert client.ask("who") == own_address(client)
        # Its own health checks are connections, too.
        until(lambda: door.status()["streams"]["accepted"] > 6, "it looks whether the door is there")
        door.swap("v2")
        new = Client(in_front["v2"])
        assert (new.generation, new.ask("who")) == ("v2#2", own_address(new))
        for client in (*clients, new):
            assert client.ask("still there?") == "still there?"
            client.close()
    assert "proxy_header" not in door.status()["streams"]["ended"]
    assert not door.logged("proxy_header.refused")


# -- the last: it has had the time of all the others ------------------------------------------------------------------


def test_who_does_not_say_its_header_in_time_is_turned_away(changing: Changing, silent: list[Client]) -> None:
    main = changing.door("main")
    for client in silent:
        until(client.has_ended, "it is turned away", within=LONG_ENOUGH)
    streams = main.status()["streams"]
    assert (streams["open"], streams["ended"]) == (0, {"proxy_header": len(silent)})
    assert main.generation("v1#1")["streams"]["total"] == 0
    (said,) = main.logged("proxy_header.refused")
    assert said["reason"] == "not whole within 5 s"
