"""`[frontdoor] admin`: the control API over TCP, for everybody to read, and for whoever has the token to change."""

import os
import signal
import socket
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from control.test_server import NASTY
from e2e.harness import Frontdoor, config, until
from e2e.round_trips import RoundTrips
from e2e.web import Got, admin, ask, bearer, connect, hear

Serve = Callable[..., Frontdoor]

ADMIN = {"admin": "127.0.0.1:0", "admin_hosts": ["deploy.example"]}


@pytest.fixture(scope="module")
def door() -> Iterator[Frontdoor]:
    """One that all tests of this module share."""
    with closing(Frontdoor(config(frontdoor=ADMIN))) as frontdoor:
        yield frontdoor.start()


@pytest.fixture(scope="module")
def address(door: Frontdoor) -> str:
    return admin(door)


def generation(door: Frontdoor) -> str:
    return str(door.status()["active"])


# -- the token ---------------------------------------------------------------------------------------------------------


def test_without_a_token_everything_is_read_and_nothing_changed(door: Frontdoor, address: str) -> None:
    whole = ask(address, "GET", "/v1/status")
    assert (whole.status, whole.json["pid"], whole.json["admin"]) == (200, door.pid, address)
    for path in ("/v1/streams", "/v1/events?history=5&follow=0", "/v1/logs?history=5&follow=0", "/healthz", "/metrics"):
        assert ask(address, "GET", path).status == 200, path
    assert ask(address, "GET", "/v1/admin").json == {"writable": False, "token_needed": True}

    before = generation(door)
    for path in ("/v1/doors/main/swap", "/v1/doors/main/restart", "/v1/reload", "/v1/upgrade", "/v1/stop", "/nothing"):
        got = ask(address, "POST", path, {"version": "v2"})
        assert (got.status, got.headers["www-authenticate"]) == (401, "Bearer")
        assert got.json["error"].endswith("the token is in run/admin.token on frontdoor's machine")
    assert generation(door) == before
    assert not door.logged("admin.asked")


def test_with_the_token_a_swap_is_done_and_seen(door: Frontdoor, address: str) -> None:
    token = bearer(door)
    assert ask(address, "GET", "/v1/admin", authorization=token).json == {"writable": True, "token_needed": True}
    before, client = generation(door), door.connect()
    assert client.generation == before
    page = {"origin": f"http://{address}", "host": address, "sec_fetch_site": "same-origin", "authorization": token}
    got = ask(address, "POST", "/v1/doors/main/swap", {"version": "v2"}, **page)
    assert (got.status, got.json["result"], got.json["exit_code"]) == (200, "switched", 0)
    assert got.headers["frontdoor-swap"]
    assert generation(door).startswith("v2#")
    assert client.ask("still there?") == "still there?", "it goes on where it was"
    assert door.logs("admin.asked")["asked"] == "POST /v1/doors/main/swap"


def test_a_wrong_token_is_refused_even_for_reading(door: Frontdoor, address: str) -> None:
    for method, path in (("GET", "/v1/status"), ("HEAD", "/v1/status"), ("POST", "/v1/stop")):
        got = ask(address, method, path, {}, authorization=bearer(door)[:-1])
        assert got.status == 401
    assert b"this is not the token" in ask(address, "GET", "/v1/admin", authorization="Bearer x").body


def test_the_token_is_for_its_owner_only(door: Frontdoor) -> None:
    found = os.stat(door.path("run/admin.token"))
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, os.geteuid())
    assert len(bearer(door)) == len("Bearer ") + 43
    said = door.logs("admin.token")
    assert (said["file"], said["reason"]) == ("run/admin.token", "it has a new token")
    assert bearer(door).removeprefix("Bearer ") not in door.log_text


def test_a_token_is_changed_without_a_restart(door: Frontdoor, address: str) -> None:
    def writable(token: str) -> bool:
        return ask(address, "GET", "/v1/admin", authorization=token).status == 200

    first = bearer(door)
    os.unlink(door.path("run/admin.token"))
    assert not writable(first), "from now on nobody has it"
    assert door.logged(
        "admin.token", reason="it is not there any more: no token is taken; frontdoor reload makes a new one"
    )
    assert door.run("reload").returncode == 0
    second = bearer(door)
    assert second != first
    assert (writable(first), writable(second)) == (False, True)

    door.write("chosen-by-somebody-who-knows-what-he-does\n", "run/admin.token")
    os.chmod(door.path("run/admin.token"), 0o600)
    assert (writable(second), writable(bearer(door))) == (False, True)

    os.chmod(door.path("run/admin.token"), 0o644)
    assert not writable(bearer(door)), "others may have read it"
    assert door.run("reload").returncode == 0
    assert stat.S_IMODE(os.stat(door.path("run/admin.token")).st_mode) == 0o600
    assert writable(bearer(door))
    assert "chosen" not in bearer(door)


# -- from where --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9900", "127.0.0.1.evil.example", "10.0.0.1"])
def test_a_name_that_is_not_ours_is_refused(door: Frontdoor, address: str, host: str) -> None:
    for method in ("GET", "POST"):
        got = ask(address, method, "/v1/status", None, host=host, authorization=bearer(door))
        assert (got.status, "admin_hosts" in got.json["error"]) == (421, True)


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8022", "deploy.example", "Deploy.Example:443"])
def test_names_of_ours(address: str, host: str) -> None:
    assert ask(address, "GET", "/v1/status", host=host).status == 200


def test_without_a_host_and_with_two(address: str) -> None:
    for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n"):
        for version in (b"1.0", b"1.1"):
            with connect(address) as sock:
                sock.sendall(b"GET /v1/status HTTP/%b\r\n%bConnection: close\r\n\r\n" % (version, hosts))
                assert hear(sock).status == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_a_page_from_elsewhere_is_refused(door: Frontdoor, address: str, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        got = ask(address, method, "/v1/status", host=address, origin=origin, authorization=bearer(door))
        assert got.status == 403
        assert "access-control-allow-origin" not in got.headers


def test_a_browser_is_led_to_the_dashboard_only(address: str) -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert ask(address, "GET", "/", **link).status != 403
    assert ask(address, "GET", "/v1/status", **link).status == 403
    assert ask(address, "GET", "/v1/status", sec_fetch_site="same-site").status == 403


def test_the_control_socket_is_checked_too_where_a_browser_asks(door: Frontdoor) -> None:
    """Somebody may reach it through ``ssh -L 8022:/run/frontdoor/control.sock``."""
    path = door.path("run/control.sock")
    assert ask(path, "GET", "/v1/admin", host="frontdoor").json == {"writable": True, "token_needed": False}
    browser = {"user_agent": "Mozilla/5.0", "accept_language": "en"}
    assert ask(path, "GET", "/v1/status", host="evil.example:8022", **browser).status == 421
    assert (
        ask(path, "POST", "/v1/stop", {}, host="localhost:8022", origin="http://evil.example", **browser).status == 403
    )
    page = {"host": "localhost:8022", "origin": "http://localhost:8022", "sec_fetch_site": "same-origin", **browser}
    assert ask(path, "POST", "/v1/doors/main/resume", {}, **page).status == 200


def test_no_answer_may_be_kept_framed_or_guessed_at(door: Frontdoor, address: str) -> None:
    for path in ("/v1/status", "/v1/events?follow=0", "/nothing", "/metrics"):
        for where in (address, door.path("run/control.sock")):
            headers = ask(where, "GET", path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
            assert (headers["cross-origin-resource-policy"], headers["cache-control"]) == ("same-origin", "no-store")


def test_refusals_are_in_the_log_a_few_times_and_not_a_thousand(door: Frontdoor, address: str) -> None:
    before = len(door.logged("admin.refused"))
    began = time.monotonic()
    for _ in range(200):
        assert ask(address, "GET", "/x\x7f", host="evil.example").status in (400, 421)
        assert ask(address, "GET", "/y", host="evil.example").status == 421
    most = 1 + (time.monotonic() - began) / 10 + 1
    assert len(door.logged("admin.refused")) - before <= most
    said = door.logged("admin.refused")[-1]
    assert said["client"].startswith("127.0.0.1:")
    assert said["count"] >= 1


def test_there_is_neither_a_websocket_nor_http_2(address: str) -> None:
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    for path in ("/", "/v1/live", "/v1/events"):
        with connect(address) as sock:
            head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in upgrade.items())
            key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}{key}\r\n".encode())
            assert hear(sock).status == 403


# -- the config --------------------------------------------------------------------------------------------------------


def test_names_can_be_added_by_a_reload_and_the_address_cannot(door: Frontdoor, address: str) -> None:
    assert ask(address, "GET", "/v1/status", host="new.example").status == 421
    door.write(config(frontdoor={**ADMIN, "admin_hosts": ["new.example"]}))
    assert door.run("reload").returncode == 0
    assert ask(address, "GET", "/v1/status", host="new.example").status == 200
    assert ask(address, "GET", "/v1/status", host="deploy.example").status == 421

    door.write(config(frontdoor={"admin": ""}))
    refused = door.run("reload")
    assert refused.returncode == 2
    assert "frontdoor.admin cannot be changed while frontdoor runs" in refused.stderr
    door.write(config(frontdoor=ADMIN))
    assert door.run("reload").returncode == 0
    assert ask(address, "GET", "/v1/status").status == 200


def test_the_status_says_where_it_is(door: Frontdoor, address: str) -> None:
    assert address.startswith("127.0.0.1:")
    assert not address.endswith(":0")
    assert f"dashboard: http://{address}/" in door.run("status").stdout
    assert door.logs("admin.listening")["address"] == address


def test_a_port_that_is_in_use_is_said_at_once(prepare: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        door = prepare(frontdoor={"admin": where}).launch()
        assert door.ends() == 1
    (message,) = door.messages
    assert message == (
        f"frontdoor: [frontdoor] admin: cannot listen on {where}: something else listens there. "
        "Stop that, or choose another address for it"
    )


def test_over_ipv6_beside_an_http_door_and_without_a_token(prepare: Serve) -> None:
    """Three things that need a start: a folder is in the place of the token's file."""
    door = prepare(protocol="http", frontdoor={"admin": "[::1]:0"})
    os.makedirs(door.path("run/admin.token"))
    os.chmod(door.path("run"), 0o711)
    door.start()
    where = admin(door)
    assert where.startswith("[::1]:")
    assert ask(where, "GET", "/v1/status", host=where).status == 200
    assert ask(where, "GET", "/v1/status", host=where, origin=f"http://{where}").status == 200
    assert ask(where, "GET", "/v1/status", host=where, origin=f"http://localhost:{where[6:]}").status == 403
    assert ask(where, "POST", "/v1/doors/main/pause", {}, host=where, authorization="Bearer ").status == 401
    reason = door.logs("admin.read_only")["reason"]
    assert reason.endswith("none can be made (Is a directory): over admin nothing can be changed")

    os.rmdir(door.path("run/admin.token"))
    assert door.run("reload").returncode == 0
    got = ask(where, "POST", "/v1/doors/main/resume", {}, host=where, authorization=bearer(door))
    assert (got.status, got.json["result"]) == (200, "resumed")


# -- crashes and upgrades ----------------------------------------------------------------------------------------------


class Visitor:
    """Asks again and again, each time over a new connection, in a thread of its own."""

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address, token
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaves.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._leaves.is_set():
            try:
                got = ask(self._address, "GET", "/v1/admin", authorization=self._token)
            except ConnectionRefusedError:
                self.seen["refused"] += 1
            except OSError as error:
                self.seen[type(error).__name__] += 1
            else:
                self.seen["writable" if got.status == 200 and got.json["writable"] else _word(got)] += 1
            time.sleep(0.002)


def _word(got: Got) -> str:
    return str(got.status) if got.status else "no answer"


def test_a_crash_and_an_upgrade_close_nothing(door: Frontdoor, address: str) -> None:
    token = bearer(door)
    with Visitor(address, token) as visitor:
        until(lambda: visitor.seen["writable"] > 20, "answers")
        killed = door.status()["door_pid"]
        os.kill(killed, signal.SIGKILL)
        until(lambda: door.status()["door_pid"] != killed, "the next door process")
        before = visitor.seen["writable"]
        until(lambda: visitor.seen["writable"] > before + 20, "answers after the crash")
        upgraded = door.run("upgrade")
        assert upgraded.returncode == 0, upgraded
        before = visitor.seen["writable"]
        until(lambda: visitor.seen["writable"] > before + 20, "answers after the upgrade")
    print("seen by a visitor of a crash and an upgrade:", dict(visitor.seen))
    assert not visitor.seen["refused"]
    assert not visitor.seen.keys() - {"writable", "no answer", "ConnectionResetError"}, "who was being answered then"
    assert visitor.seen.total() - visitor.seen["writable"] <= 4
    assert (admin(door), bearer(door)) == (address, token)


# -- who means no good -------------------------------------------------------------------------------------------------


def test_whatever_is_sent_there_traffic_goes_on(door: Frontdoor, address: str) -> None:
    with RoundTrips(door) as traffic:
        for nasty in NASTY.values():
            for leaves_at_once in (True, False):
                with connect(address, 0.1) as sock:
                    try:
                        sock.sendall(nasty)
                        while not leaves_at_once and sock.recv(65536):
                            pass
                    except (ConnectionResetError, BrokenPipeError, TimeoutError):
                        pass  # thrown out, or waited for: either will do
        assert ask(address, "GET", "/v1/status").status == 200
    print(f"beside garbage on admin: {traffic}")
    assert traffic.worst < 1.0
    door.excused.add("control.failed")  # hypercorn's own complaints, which are said


def test_who_never_ends_his_head_is_thrown_out(door: Frontdoor, address: str) -> None:
    """Slow loris: all places are taken by those who send a byte now and then, and are free again within seconds."""
    lorises = [connect(address) for _ in range(200)]
    began = time.monotonic()
    with RoundTrips(door) as traffic:
        for loris in lorises:
            try:
                loris.sendall(b"GET /v1/status HTTP/1.1\r\nHost: loc")
            except (ConnectionResetError, BrokenPipeError):
                pass  # turned away already
        full = until(lambda: ask(address, "GET", "/v1/status"), "an answer")
        assert full.status == 503
        assert full.json["error"] == (
            "128 control connections are open already; end one, or try again later; "
            "the control socket has places of its own: frontdoor status works"
        )
        assert door.run("status").returncode == 0

        def drip() -> bool:
            for loris in lorises:
                try:
                    loris.sendall(b"x")
                except OSError:
                    pass
            return ask(address, "GET", "/v1/status").status == 200

        until(drip, "a place")
    print(f"200 who never end their head hold admin for {time.monotonic() - began:.1f} s; {traffic}")
    assert traffic.worst < 1.0
    for loris in lorises:
        loris.close()
