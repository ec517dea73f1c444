"""Who follows the control API: a thousand at once, who never reads, who vanishes. Traffic goes on beside them."""

import re
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from e2e.harness import Frontdoor, config, until
from e2e.round_trips import RoundTrips
from e2e.web import admin, ask, bearer, connect, request

PLACES = {"control": 128, "admin": 64}
"""For those who follow, at each of the two."""

CONNECTIONS = {"control": 256, "admin": 128}

FOLLOW = {"host": "localhost"}


@pytest.fixture(scope="module")
def door() -> Iterator[Frontdoor]:
    """One that all tests of this module share."""
    with closing(Frontdoor(config(frontdoor={"admin": "127.0.0.1:0"}))) as frontdoor:
        yield frontdoor.start()


def place(door: Frontdoor, which: str) -> str:
    return admin(door) if which == "admin" else door.path("run/control.sock")


def memory(door: Frontdoor) -> float:
    """What the door process has of it, in MiB."""
    with open(f"/proc/{door.status()['door_pid']}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS:"))


class Crowd:
    """So many who follow at once."""

    def __init__(self, address: str, path: str, size: int) -> None:
        self.socks = [connect(address) for _ in range(size)]
        self.heard = dict.fromkeys(self.socks, b"")
        for sock in self.socks:
            try:
                sock.sendall(request("GET", path, FOLLOW))
            except (BrokenPipeError, ConnectionResetError):
                pass  # turned away before it has said anything; the answer is there all the same
            sock.setblocking(False)

    def listen(self) -> None:
        """Take what has come for each of them."""
        poll = select.poll()
        by_number = {sock.fileno(): sock for sock in self.heard}
        for number in by_number:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(0):
            sock = by_number[number]
            try:
                data = sock.recv(65536)
            except (ConnectionResetError, BlockingIOError):
                data = b""
            self.heard[sock] += data
            if not data:
                self.heard[sock] += b"\r\nEND"
                poll.unregister(number)

    def answers(self) -> Counter[str]:
        """How many got which answer."""
        return Counter(said.split(b" ", 2)[1].decode() if said else "none" for said in self.heard.values())

    def answered(self) -> Counter[str]:
        """The same, when everybody has one."""

        def all_are() -> bool:
            self.listen()
            return all(self.heard.values())

        until(all_are, f"an answer for everybody, and there is {self.answers()}")
        return self.answers()

    def all_followers_hear(self, what: bytes, times: int = 1) -> bool:
        """Whether all have who were let in."""
        self.listen()
        return all(said.count(what) >= times for said in self.heard.values() if b" 200 " in said[:20])

    def all_refusals_are_whole(self) -> bool:
        self.listen()
        return all(b'"exit_code": 1}\n' in said for said in self.heard.values() if b" 503 " in said[:20])

    def leave(self) -> None:
        for sock in self.socks:
            sock.close()


@contextmanager
def crowd(door: Frontdoor, which: str, path: str, size: int = 1000) -> Iterator[Crowd]:
    """They leave, and their places are free again when it ends."""
    address = place(door, which)
    here = Crowd(address, path, size)
    try:
        yield here
    finally:
        here.leave()
        until(lambda: len(connections(door, which)) <= 1, "their places are free again")


def connections(door: Frontdoor, which: str) -> list[str]:
    """Those that the door process has open there, as the kernel shows them: ss(8) would do."""
    return _over_tcp(admin(door)) if which == "admin" else _over_unix(door.path("run/control.sock"))


def _over_tcp(address: str) -> list[str]:
    """Those whose server side has not been closed (proc(5), /proc/net/tcp): established, or closed by the client."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [row[2] for row in rows if row[1].endswith(port) and row[3] in ("01", "08")]


def _over_unix(path: str) -> list[str]:
    """Those that are connected, and bear the listener's name."""
    with open("/proc/net/unix") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [row[6] for row in rows if len(row) > 7 and row[7] == path and row[5] == "03"]


@pytest.mark.parametrize("path", ["/v1/live", "/v1/events"])
@pytest.mark.parametrize("which", ["control", "admin"])
def test_a_thousand_at_once(door: Frontdoor, which: str, path: str) -> None:
    before = memory(door)
    with RoundTrips(door) as traffic, crowd(door, which, path) as here:
        answers = here.answered()
        most = memory(door)
        assert answers.keys() == {"200", "503"}, "nobody is left without an answer"
        assert answers["200"] + answers["503"] == 1000
        assert answers["200"] == PLACES[which]
        # Whoever was turned away is told what to do.
        until(here.all_refusals_are_whole, "why not")
        refusals = Counter(
            re.sub(rb"^.*\"error\": \"([^\"]*)\".*$", rb"\1", said, flags=re.DOTALL).decode()
            for said in here.heard.values()
            if b" 503 " in said[:20]
        )
        hint = "; the control socket has places of its own: frontdoor status works" if which == "admin" else ""
        full = f"{CONNECTIONS[which]} control connections are open already; end one, or try again later{hint}"
        many = f"{PLACES[which]} clients follow already; end one, or try again later{hint}"
        assert refusals.keys() <= {full, many}

        # Whoever follows cannot keep out whoever asks.
        assert ask(place(door, which), "GET", "/v1/status").status == 200
        if which == "admin":
            swapped = door.run("swap", "v2")
            assert swapped.returncode == 0, swapped
            until(lambda: here.all_followers_hear(b"swap.switched"), "all see it")
    print(
        f"1000 followers of {path} on {which}: {dict(answers)}; {before:.0f} → {most:.0f} MiB, "
        f"{memory(door):.0f} when they have left; {traffic}"
    )
    assert most - before < 40
    assert traffic.worst < 1.0


def test_with_all_places_taken_over_tcp_the_control_socket_is_as_ever(door: Frontdoor) -> None:
    with crowd(door, "admin", "/v1/live", 64) as here:
        here.answered()
        refused = ask(admin(door), "POST", "/v1/doors/main/restart", {}, authorization=bearer(door))
        assert refused.status == 503, "who could not be told the outcome causes none"
        began = time.monotonic()
        swapped = door.run("swap", "v3")
        assert swapped.returncode == 0, swapped
        follower = door.begin("events", "-f")
        until(lambda: door.control.ask("/v1/status")["doors"][0]["active"].startswith("v3#"), "v3")
        assert door.run("pause").returncode == 0
        follower.prints('"paused"')
        assert door.run("resume").returncode == 0
    print(f"swap, follower, pause and resume beside 64 followers over TCP: {time.monotonic() - began:.1f} s")


@pytest.mark.parametrize("which", ["control", "admin"])
def test_who_never_reads_costs_little_and_holds_up_nobody(door: Frontdoor, which: str) -> None:
    """All that is kept of the past is sent to each of them at once, and more comes."""
    while len(list(door.control.stream("GET", "/v1/events?history=1000&follow=0"))) < 1000:
        pauses(door, 100)
    before, many = memory(door), 60
    with RoundTrips(door) as traffic:
        deaf = []
        for _ in range(many):
            sock = socket.socket(socket.AF_UNIX if which == "control" else socket.AF_INET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            where = place(door, which)
            sock.connect(where if which == "control" else ("127.0.0.1", int(where.rpartition(":")[2])))
            sock.sendall(request("GET", "/v1/events?history=1000", FOLLOW))
            deaf.append(sock)
        with crowd_of_one(door, which) as reader:
            pauses(door, 50)
            until(lambda: reader.all_followers_hear(b'"resumed"', 50), "who reads hears all")
        most = memory(door)
        assert len(connections(door, which)) >= many, "they are waited for"
    print(f"{many} who never read on {which}: {before:.0f} → {most:.0f} MiB; {traffic}")
    assert most - before < 60
    assert traffic.worst < 1.0
    for sock in deaf:
        sock.close()
    until(lambda: len(connections(door, which)) <= 1, "their places are free again")


def pauses(door: Frontdoor, count: int) -> None:
    """So many pauses, and as many events of their end."""
    for _ in range(count):
        for verb in ("pause", "resume"):
            assert door.control.post(f"/v1/doors/main/{verb}", {})[0] == 200


@contextmanager
def crowd_of_one(door: Frontdoor, which: str) -> Iterator[Crowd]:
    here = Crowd(place(door, which), "/v1/events", 1)
    here.answered()
    yield here
    here.leave()


@pytest.mark.parametrize("how", ["closed", "reset", "hidden behind another request"])
@pytest.mark.parametrize("which", ["control", "admin"])
def test_clients_that_vanish_leave_their_places(door: Frontdoor, which: str, how: str) -> None:
    more = request("GET", "/v1/status", FOLLOW) if how.startswith("hidden") else b""
    keep = request("GET", "/v1/live", FOLLOW).replace(b"Connection: close\r\n", b"") if more else b""

    def come_and_vanish() -> bool:
        """Whether all of them were let in."""
        socks = [connect(place(door, which)) for _ in range(50)]
        for sock in socks:
            sock.sendall((keep or request("GET", "/v1/live", FOLLOW)) + more)
        let_in = [sock.recv(12).endswith(b"200") for sock in socks]
        for sock in socks:
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        until(lambda: len(connections(door, which)) <= 1, "their connections are closed")
        return all(let_in)

    for _ in range(1 if more else 3):  # those are looked for every two seconds
        until(come_and_vanish, "there is a place for each of them")
    assert ask(place(door, which), "GET", "/v1/status").status == 200
