"""What is left of an old version is sent away at a pace, when it does no harm, and in order."""

import base64
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from e2e.doors import OneDoor, tcp
from e2e.harness import GREETER, Client, Frontdoor, until
from frontdoor.door.trouble import TROUBLED_FOR

Serve = Callable[..., Frontdoor]
Only = Callable[..., OneDoor]

WEBSOCKETS = ["{python}", "-I", "-S", os.path.join(os.path.dirname(GREETER), "websockets.py")]


# -- a thousand WebSockets --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Page:
    """A WebSocket, and those that come after it: whoever is sent away comes back at once."""

    sock: socket.socket
    connected: float
    """When it began to connect, of the monotonic clock."""
    heard: bytes = b""
    generation: str = ""


class Pages:
    """So many WebSockets at one door, all in one thread."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._poll = select.epoll()
        self._pages: dict[int, Page] = {}
        self.closed: list[float] = []
        """When each of them was sent away."""
        self.back: list[float] = []
        """Seconds from there to the first message of the new generation."""
        self.failures: list[str] = []
        """What went wrong when one came."""
        while len(self._pages) < count:
            self._connect()
            if len(self._pages) % 50 == 0:
                self.look(0)
        self.look_until(lambda: self.on("v1#1") == count, "all are there")

    def close(self) -> None:
        for page in self._pages.values():
            page.sock.close()
        self._poll.close()

    def on(self, generation: str) -> int:
        """How many are there that were greeted by that generation."""
        return sum(page.generation == generation for page in self._pages.values())

    def look_until(self, come: Callable[[], bool], what: str, within: float = 30.0) -> None:
        deadline = time.monotonic() + within
        while not come():
            assert time.monotonic() < deadline, f"not within {within:g} s: {what}; {self.failures}"
            self.look(0.1)

    def look(self, wait: float) -> None:
        """See what has happened, after so many seconds if nothing has."""
        for fd, _ in self._poll.poll(wait):
            page = self._pages[fd]
            try:
                said = page.sock.recv(4096)
            except OSError as error:
                self.failures.append(f"{page.generation or 'a new one'}: {errno.errorcode[error.errno or 0]}")
                said = b""
            if said:
                self._hear(page, said)
            else:
                self._leave(fd, page)

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        page = Page(sock, time.monotonic())
        sock.connect(self._address)  # the kernel takes it at once: its backlog has room, or this raises
        sock.setblocking(False)
        key = base64.b64encode(struct.pack("<QQ", sock.fileno(), 7)).decode()
        head = ("GET /chat HTTP/1.1", "Host: chat.test", "Upgrade: websocket", "Connection: Upgrade")
        version = "Sec-WebSocket-Version: 13"
        sock.send("\r\n".join((*head, f"Sec-WebSocket-Key: {key}", version, "", "")).encode())
        self._pages[sock.fileno()] = page
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _hear(self, page: Page, said: bytes) -> None:
        page.heard += said
        head, end, message = page.heard.partition(b"\r\n\r\n")
        if not end or page.generation:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            self.failures.append(head.decode())
        elif len(message) >= 2 and len(message) == 2 + message[1]:
            page.generation = message[2:].decode()
            if page.generation != "v1#1":
                self.back.append(time.monotonic() - page.connected)

    def _leave(self, fd: int, page: Page) -> None:
        if page.generation == "v1#1":
            self.closed.append(time.monotonic())
        else:
            self.failures.append(f"{page.generation or 'a new one'} was closed")
        self._poll.unregister(fd)
        del self._pages[fd]
        page.sock.close()
        self._connect()


def most_in(seconds: float, moments: list[float]) -> int:
    """The most of these that were in any stretch of so many seconds."""
    return max(sum(first <= other < first + seconds for other in moments) for first in moments)


def test_a_thousand_websockets_are_sent_to_the_new_version_over_twenty_seconds(serve: Serve) -> None:
    door = serve(backends={"*": {"command": WEBSOCKETS}})
    count, over = 1000, 20.0
    even = count / over
    with closing(Pages(door.address, count)) as pages:
        door.swap("v2")
        assert pages.on("v1#1") == count
        began = time.monotonic()
        asked = door.begin("drain", "v1", "--over", "20s")
        pages.look_until(lambda: len(pages.closed) == count, "all are sent away", within=60)
        pages.look_until(lambda: pages.on("v2#2") == count, "all are back")
        assert asked.ended().returncode == 0
        took = pages.closed[-1] - began
        whole = [
            sum(began + second <= at < began + second + 1 for at in pages.closed) for second in range(1, int(took))
        ]
        slowest = max(pages.back) * 1000
        print(
            f"\n{count} WebSockets in {took:.1f} s: {min(whole)} to {max(whole)} in a second of the clock, at the most "
            f"{most_in(1.0, pages.closed)} in any second, where {even:g} are even and {1.5 * even:g} allowed; "
            f"the longest pause {max(b - a for a, b in pairwise(pages.closed)) * 1000:.0f} ms; back with v2 after "
            f"{sorted(pages.back)[count // 2] * 1000:.1f} ms (median), {slowest:.0f} ms at the most; "
            f"{len(pages.failures)} failures; it waited {len(door.logged('drain.waits'))} times"
        )
        assert pages.failures == []
        assert most_in(1.0, pages.closed) <= 1.5 * even
        assert took > 0.9 * over
        assert len(pages.back) == count
        streams = door.status()["streams"]
        assert (streams["open"], streams["ended"]) == (count, {"drain_closed": count})


# -- the pace of a few ------------------------------------------------------------------------------------------------


def opened(door: OneDoor, count: int) -> list[Client]:
    clients = [door.connect() for _ in range(count)]
    assert len({client.generation for client in clients}) == 1
    return clients


def ends_of(clients: list[Client]) -> list[tuple[float, int]]:
    """(when it ended, of the monotonic clock; which one it was) of all of them, in that order."""
    ends: dict[int, float] = {}

    def all_ended() -> bool:
        for number, client in enumerate(clients):
            if number not in ends and client.has_ended():
                ends[number] = time.monotonic()
        return len(ends) == len(clients)

    until(all_ended, f"all {len(clients)} end", within=30)
    return sorted((at, number) for number, at in ends.items())


def test_the_oldest_go_first(only: Only) -> None:
    door = only()
    clients = opened(door, 5)
    clients[0].ask("I am busy")
    door.swap("v2")
    door.run("drain", "v1", "--over", "500ms")
    assert [number for _, number in ends_of(clients)] == [0, 1, 2, 3, 4]


def test_or_those_that_have_been_idle_for_longest(only: Only) -> None:
    door = only(drain={"close_first": "idle"})
    clients = opened(door, 5)
    for number in (3, 0, 4, 1):
        assert clients[number].ask("I am busy") == "I am busy"
    door.swap("v2")
    door.run("drain", "v1", "--over", "500ms")
    assert [number for _, number in ends_of(clients)] == [2, 3, 0, 4, 1]


def test_a_rate_wins_over_the_time(only: Only) -> None:
    door = only(drain={"close_rate": 10})
    clients = opened(door, 16)
    door.swap("v2")
    door.run("drain", "v1", "--over", "200ms")
    ends = [at for at, _ in ends_of(clients)]
    print(f"\n16 streams at 10 a second in {ends[-1] - ends[0]:.2f} s: {most_in(1.0, ends)} in a second at the most")
    assert ends[-1] - ends[0] > 1.3
    assert most_in(0.9, ends) <= 10


# -- at a bad moment --------------------------------------------------------------------------------------------------


def test_while_the_new_version_is_in_trouble_nobody_is_sent_to_it(only: Only) -> None:
    door = only()
    old = opened(door, 8)
    door.swap("v2", wait="switched")
    door.run("drain", "v1", "--over", "2s")
    until(lambda: old[1].has_ended(), "two are closed")
    door.connect().say("exit 3")
    crashed = time.monotonic()
    waits = door.logs("drain.waits")
    assert "has exited" in waits["reason"] or "is up" in waits["reason"], waits
    assert door.generation("v1#1")["drain"]["waits"]
    gone = sum(client.has_ended() for client in old)
    later = [at - crashed for at, _ in ends_of(old)[gone:]]
    took = later[-1] - later[0]
    print(f"\n{gone} closed before the crash, none for {later[0]:.2f} s, the other {len(later)} in {took:.2f} s")
    assert 2 <= gone <= 5
    assert later[0] > TROUBLED_FOR - 0.3
    assert most_in(0.5, later) <= 3, "it goes on at its pace: four a second"
    assert len(door.logged("drain.resumed")) == 1


def test_now_waits_for_nothing(only: Only) -> None:
    door = only()
    old = opened(door, 4)
    door.swap("v2", wait="switched")
    door.connect().say("exit 3")
    door.logs("backend.exited", generation="v2#2")
    door.run("drain", "v1", "--now")
    asked = time.monotonic()
    assert ends_of(old)[-1][0] - asked < TROUBLED_FOR / 2


# -- in order ---------------------------------------------------------------------------------------------------------


MORE_THAN_FITS = 8_000_000
"""Bytes: more than all buffers between a backend and a client hold (tcp_wmem of tcp(7) ends at 4 MiB)."""


@contextmanager
def slow_reader(door: OneDoor) -> Iterator[socket.socket]:
    """A client that takes little at once, and has a copy with the keeper."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(tcp(door.address))
        assert sock.recv(100).startswith(b"v1#1 ")
        until(lambda: door.frontdoor.control.ask("/v1/status")["vault"]["streams"] == 1, "the keeper has a copy")
        yield sock


def down(door: OneDoor) -> int:
    """Bytes that frontdoor has taken from v1#1 for its clients."""
    return int(door.generation("v1#1")["bytes"]["down"])


def test_what_is_on_its_way_is_delivered_and_then_comes_the_end(only: Only) -> None:
    door = only(swap={"keep_warm": "5m"})
    with slow_reader(door) as client:
        greeting = down(door)
        client.sendall(b"x" * MORE_THAN_FITS + b"\n")
        until(lambda: down(door) > greeting + 65536, "the answer stands in the pipes")
        door.swap("v2")
        door.run("drain", "v1", "--now")
        on_the_way = down(door) - greeting
        heard = b""
        while said := client.recv(4096):  # a reset would raise
            heard += said
    print(f"\n{on_the_way} B were on their way, {len(heard)} B were delivered")
    assert heard == b"x" * on_the_way
    assert on_the_way < MORE_THAN_FITS, "it was closed in the middle of the answer"
    assert down(door) == greeting + on_the_way


@pytest.mark.parametrize(
    ("reads", "error"),
    [
        pytest.param(True, errno.EPIPE, id="the end has been read"),  # so Linux calls a RST behind a FIN
        pytest.param(False, errno.ECONNRESET, id="nothing is read"),
    ],
)
def test_who_does_not_leave_is_reset_after_a_grace(only: Only, *, reads: bool, error: int) -> None:
    door = only(drain={"close_grace": "600ms"})
    with slow_reader(door) as client:
        if not reads:
            client.sendall(b"x" * MORE_THAN_FITS + b"\n")
            until(lambda: down(door) > 65536, "the answer stands in the pipes")
        door.swap("v2")
        asked = time.monotonic()
        door.run("drain", "v1", "--now")
        if reads:
            assert client.recv(100) == b""
        poll = select.poll()
        poll.register(client, 0)  # POLLERR and POLLHUP come unasked (poll(2))
        assert poll.poll(15_000), "it stays open for ever"
        after = time.monotonic() - asked
        print(f"\nRST {after:.2f} s after the drain was asked for")
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == error
        assert after > 0.6
        door.logs("drain.finished", generation="v1#1", closed=1)
