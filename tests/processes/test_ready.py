from __future__ import annotations

import os
import resource
import select
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from frontdoor.config import ReadyCheck, ReadySettings
from frontdoor.processes import ready
from frontdoor.processes.ready import CannotAsk, Notify, NotReady
from keeper.watching import descriptors

Answer = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        yield path


@pytest.fixture
def path(folder: str) -> str:
    return f"{folder}/0.sock"


@pytest.fixture
async def app(path: str, nursery: trio.Nursery) -> AsyncIterator[Callable[[Answer], None]]:
    """Start a server, which does that with each connection."""
    before = descriptors()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    accepting = trio.SocketListener(trio.socket.from_stdlib_socket(server))

    async def serve(answer: Answer) -> None:
        async def one(stream: trio.SocketStream) -> None:
            async with stream:
                await answer(stream)

        await trio.serve_listeners(one, [accepting])

    yield lambda answer: nursery.start_soon(serve, answer)
    nursery.cancel_scope.cancel()
    await accepting.aclose()
    with trio.CancelScope(shield=True), trio.fail_after(10):
        while descriptors() != before:
            await trio.sleep(0.002)


def says(*parts: bytes) -> Answer:
    """Read the request, and answer so, with a pause between the parts."""

    async def answer(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        assert request.startswith(b"GET /healthz?deep=1 HTTP/1.1\r\nHost: frontdoor\r\n")
        try:
            for part in parts:
                await stream.send_all(part)
                await trio.sleep(0.001)
        except trio.BrokenResourceError:
            pass  # the check has seen enough

    return answer


async def http(path: str) -> str:
    """What the check says: nothing when it is content."""
    with trio.fail_after(10):
        try:
            await ready.http(path, "/healthz?deep=1")
        except NotReady as problem:
            return str(problem)
    return ""


# -- connect ------------------------------------------------------------------------------------------------------


async def connect(path: str) -> str:
    with trio.fail_after(10):
        try:
            await ready.connect(path)
        except NotReady as problem:
            return str(problem)
    return ""


async def test_connect_wants_a_socket(path: str) -> None:
    assert await connect(path) == f"it has not made its socket yet ({path})"


async def test_connect_wants_somebody_who_listens(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        assert await connect(path) == f"nobody listens on its socket ({path})"
        sock.listen()
        assert await connect(path) == ""
    assert await connect(path) == f"nobody listens on its socket ({path})"


async def test_connect_wants_a_stream_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        assert await connect(path) == f"its socket cannot be reached: Protocol wrong type for socket ({path})"


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.close(os.open(path, os.O_CREAT))], ids=["folder", "file"])
async def test_connect_wants_a_socket_and_nothing_else(path: str, make: Callable[[str], None]) -> None:
    make(path)
    assert await connect(path) == f"what is there is not a socket ({path})"


async def test_without_a_descriptor_of_our_own_nothing_is_known_of_it(path: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(CannotAsk, match="Too many open files"):
            await ready.connect(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_connect_waits_for_room_in_the_backlog(path: str, nursery: trio.Nursery) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            with trio.move_on_after(0.05) as scope:
                await ready.connect(path)
            assert scope.cancelled_caught, "the backlog is full"

            async def make_room() -> None:
                server.accept()[0].close()

            nursery.start_soon(make_room)
            assert await connect(path) == ""


# -- http ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxy_protocol", "header"),
    [
        ("off", b""),
        ("v1", b"PROXY UNKNOWN\r\n"),
        ("v2", b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"),
    ],
)
async def test_http_says_first_that_it_is_frontdoor_itself_where_that_is_expected(
    app: Callable[[Answer], None], path: str, proxy_protocol: str, header: bytes
) -> None:
    async def strict(stream: trio.SocketStream) -> None:
        assert (await stream.receive_some()).startswith(header + b"GET /healthz HTTP/1.1\r\n")
        await stream.send_all(GOOD["204"])

    app(strict)
    with trio.fail_after(10):
        await ready.over_socket(ReadyCheck("http", "/healthz"), path, proxy_protocol)()


GOOD = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "299": b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n",
    "http/1.0": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "more than was asked for": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
}


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD.keys())
async def test_http_is_content_with_any_2xx(app: Callable[[Answer], None], path: str, answer: bytes) -> None:
    app(says(answer))
    assert await http(path) == ""


async def test_http_takes_an_answer_that_comes_byte_by_byte(app: Callable[[Answer], None], path: str) -> None:
    answer = GOOD["chunked"]
    app(says(*(answer[i : i + 1] for i in range(len(answer)))))
    assert await http(path) == ""


async def test_http_does_not_read_a_page_without_end(app: Callable[[Answer], None], path: str) -> None:
    sent = 0

    async def endless(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            while True:
                await stream.send_all(chunk)
                sent += 65536
        except trio.BrokenResourceError:
            pass  # the check has seen enough

    app(endless)
    assert await http(path) == ""
    assert sent < 3 * ready.MOST_BODY


BAD = {
    "500": (b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nsorry", "GET /healthz?deep=1 was answered with 500"),
    "302": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "GET /healthz?deep=1 was answered with 302"),
    "404 without a length": (b"HTTP/1.1 404 No\r\n\r\nno", "GET /healthz?deep=1 was answered with 404"),
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "answered with something that is not HTTP"),
    "binary": (b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n", "answered with something that is not HTTP"),
    "a head without end": (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000, "answered with something that is not HTTP"),
    "a bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "answered with something that is not HTTP"),
    "nothing": (b"", "the connection was closed before GET /healthz?deep=1 was answered"),
    "half a head": (
        b"HTTP/1.1 200 OK\r\nContent-",
        "the connection was closed before GET /healthz?deep=1 was answered",
    ),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha", "answered with something that is not HTTP"),
}


@pytest.mark.parametrize(("answer", "problem"), BAD.values(), ids=BAD.keys())
async def test_http_says_what_it_saw(app: Callable[[Answer], None], path: str, answer: bytes, problem: str) -> None:
    app(says(answer))
    assert problem in await http(path)


async def test_http_says_when_the_connection_is_closed_at_once(app: Callable[[Answer], None], path: str) -> None:
    async def close(stream: trio.SocketStream) -> None:
        pass

    app(close)
    for _ in range(20):  # before or after the request was sent
        assert await http(path) == "the connection was closed before GET /healthz?deep=1 was answered"


async def test_an_answer_counts_that_came_before_the_request_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()

    async def dial(path: str) -> int:
        return ours.detach()

    monkeypatch.setattr(ready, "_dial", dial)
    with theirs:
        theirs.sendall(GOOD["204"])
        theirs.shutdown(socket.SHUT_RD)  # whoever sends anything now gets EPIPE
        await ready.http("", "/drain", json=b"{}")


async def test_http_says_when_nobody_is_there(path: str) -> None:
    assert await http(path) == f"it has not made its socket yet ({path})"


# -- notify -------------------------------------------------------------------------------------------------------


@pytest.fixture
def notify(folder: str) -> Iterator[Notify]:
    before = descriptors()
    it = Notify(f"{folder}/0.notify")
    yield it
    it.close()
    assert os.listdir(folder) == []
    assert descriptors() == before


def tell(notify: Notify, *messages: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        for message in messages:
            sock.sendto(message, notify.path)


async def heard(notify: Notify) -> bool:
    """Whether it counts as ready once everything has been read."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notify.run)
        with trio.fail_after(10):
            while select.select([notify._sock], [], [], 0)[0]:
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return notify._said.is_set()


@pytest.mark.parametrize(
    ("messages", "is_ready"),
    [
        ([b"READY=1"], True),
        ([b"READY=1\n"], True),
        ([b"STATUS=nearly\nREADY=1\nMAINPID=5"], True),
        ([b"\xff\xfe\x00garbage", b"", b"READY=1"], True),
        ([b"READY=1", b"STOPPING=1"], True),
        ([], False),
        ([b"READY=0"], False),
        ([b"READY=10"], False),
        ([b"NOT_READY=1"], False),
        ([b"STATUS=READY=1"], False),
        ([b"ready=1"], False),
        ([b"x" * 10_000], False),
    ],
)
async def test_notify_hears_ready_and_nothing_else(notify: Notify, messages: list[bytes], is_ready: bool) -> None:
    tell(notify, *messages)
    assert await heard(notify) is is_ready


async def test_notify_waits(notify: Notify, nursery: trio.Nursery) -> None:
    nursery.start_soon(notify.run)
    with trio.fail_after(10):
        async with trio.open_nursery() as waiting:
            waiting.start_soon(notify.check)
            await trio.testing.wait_all_tasks_blocked()
            tell(notify, b"READY=1")
        await notify.check()  # it need not be said twice
    nursery.cancel_scope.cancel()


async def test_notify_reads_on_so_that_nobody_who_tells_it_more_has_to_wait(
    notify: Notify, nursery: trio.Nursery
) -> None:
    nursery.start_soon(notify.run)
    for _ in range(50):
        tell(notify, b"READY=1", b"WATCHDOG=1")  # raises BlockingIOError when nobody reads
        await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()


def test_notify_can_be_told_by_a_process_of_another_user(notify: Notify) -> None:
    assert oct(os.stat(notify.path).st_mode & 0o777) == "0o666"


def test_a_link_that_somebody_puts_in_its_place_changes_nothing(folder: str) -> None:
    with open(f"{folder}/secret", "w"):
        os.chmod(f"{folder}/secret", 0o600)
    os.symlink(f"{folder}/secret", f"{folder}/link")
    ready._open_to_all(f"{folder}/link")
    ready._open_to_all(f"{folder}/secret")
    assert oct(os.stat(f"{folder}/secret").st_mode & 0o777) == "0o600"


async def test_notify_takes_the_place_of_one_that_was_left_behind(folder: str) -> None:
    old = Notify(f"{folder}/0.notify")
    new = Notify(f"{folder}/0.notify")
    tell(new, b"READY=1")
    assert await heard(new)
    old._sock.close()
    new.close()


# -- asking again and again ---------------------------------------------------------------------------------------


class Asked:
    """A check that answers as it is told, and what came of it. Time is trio's mock clock."""

    def __init__(self, *answers: str | float) -> None:
        """For each time: what is wrong, or ""; or how many seconds it takes to be content."""
        self._answers = list(answers)
        self.seen: list[tuple[float, str]] = []
        self._began = trio.current_time()

    async def check(self) -> None:
        answer = self._answers.pop(0)
        if isinstance(answer, float):
            await trio.sleep(answer)
        elif answer:
            raise NotReady(answer)

    def good(self) -> bool:
        self.bad("good")
        return not self._answers

    def bad(self, problem: str) -> None:
        self.seen.append((round(trio.current_time() - self._began, 3), problem))

    async def prove(self, **settings: Any) -> list[tuple[float, str]]:
        await ready.prove(self.check, ReadySettings(**settings), self.good, self.bad)
        return self.seen


async def test_it_is_asked_until_it_is_content(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked("no socket", "nobody listens", "")
    assert await asked.prove(interval="250ms") == [(0, "no socket"), (0.25, "nobody listens"), (0.5, "good")]


async def test_it_is_asked_as_often_as_good_wants(autojump_clock: trio.testing.MockClock) -> None:
    assert [problem for _, problem in await Asked("", "no", "", "").prove()] == ["good", "no", "good", "good"]


async def test_an_answer_that_takes_too_long_is_none(autojump_clock: trio.testing.MockClock) -> None:
    asked = Asked(60.0, 1.5, "")
    assert await asked.prove(timeout="2s", interval="1s") == [
        (2, "no answer within 2 s"),
        (4.5, "good"),
        (5.5, "good"),
    ]


async def test_it_may_take_for_ever_where_the_config_says_so(autojump_clock: trio.testing.MockClock) -> None:
    assert await Asked(1e6).prove(timeout="never") == [(1e6, "good")]


async def test_an_app_that_never_answers_is_said_so(app: Callable[[Answer], None], path: str) -> None:
    async def never(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    app(never)
    problems: list[str] = []
    settings = ReadySettings(timeout="20ms", interval="1ms")  # type: ignore[arg-type]  # as the config writes them
    with trio.move_on_after(10) as scope:

        def bad(problem: str) -> None:
            problems.append(problem)
            scope.cancel()

        await ready.prove(lambda: ready.http(path, "/"), settings, lambda: True, bad)
    assert problems == ["no answer within 0.02 s"]
