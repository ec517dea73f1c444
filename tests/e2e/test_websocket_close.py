"""`websocket_close`: a drain ends a WebSocket with a Close frame, between two frames of its app."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Request, TextMessage

from apps.frames import message
from e2e.harness import Frontdoor, until

Serve = Callable[..., Frontdoor]

APP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps", "frames.py")


def http_door(*, code: int = 1012, **changes: Any) -> dict[str, Any]:
    """What is different in the config of a door with that app behind it."""
    command = ["{python}", "-I", "-S", APP]
    return {
        "protocol": "http",
        "http": {"websocket_close": code},
        "backends": {"*": {"command": command}},
        "drain": {"close_grace": "10s"},
        **changes,
    }


class Page:
    """A WebSocket client that takes nothing which is against RFC 6455: wsproto says so then."""

    def __init__(self, address: tuple[str, int], path: str, *, slow: bool = False) -> None:
        self.sock = socket.socket()
        if slow:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(20)
        self.sock.connect(address)
        self._speaks = WSConnection(ConnectionType.CLIENT)
        self.messages: list[bytes] = []
        self._piece = b""
        self.close_frames: list[tuple[int, str | None]] = []
        self.ended = False
        self._say(self._speaks.send(Request(host="door.test", target=path)))
        self.hear_until(lambda: bool(self.messages), "the first message")
        self.generation = self.messages.pop(0).decode()

    def _say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def say(self, text: str) -> None:
        self._say(self._speaks.send(TextMessage(text)))

    def hear(self, most: int = 65536) -> None:
        """Take what comes next. A reset raises."""
        data = self.sock.recv(most)
        self.ended = not data
        self._speaks.receive_data(data or None)
        for event in self._speaks.events():
            if isinstance(event, CloseConnection):
                if data:
                    self.close_frames.append((int(event.code), event.reason))
                    self.answer = self._speaks.send(event.response())
            elif isinstance(event, Message):
                self._hear_message(event)
            else:
                assert isinstance(event, AcceptConnection), event

    def _hear_message(self, event: Message[Any]) -> None:
        assert isinstance(event, BytesMessage | TextMessage)
        self._piece += event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
        if event.message_finished:
            self.messages.append(self._piece)
            self._piece = b""

    def hear_until(self, come: Callable[[], bool], what: str) -> None:
        while not come():
            assert not self.ended, f"the end, before {what}"
            self.hear()

    def hear_messages(self, count: int) -> None:
        """So many more: of all sizes, in a stream."""
        wanted = len(self.messages) + count
        self.hear_until(lambda: len(self.messages) >= wanted, f"{count} messages")

    def hear_all(self) -> None:
        """Up to the end of the connection; then it answers, as it should, and closes."""
        while not self.ended:
            self.hear()
        if self.close_frames:
            self._say(self.answer)
        self.sock.close()

    @property
    def has_all(self) -> bool:
        """Every message of a stream is there and whole, from the first to the last one, and no part of another."""
        return not self._piece and self.messages == [message(number) for number in range(len(self.messages))]


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    with ExitStack() as stack:

        def opens(door: Frontdoor, path: str, **options: Any) -> Page:
            page = Page(door.address, path, **options)
            stack.enter_context(closing(page.sock))
            return page

        yield opens


Opens = Callable[..., Page]


def heard(door: Frontdoor, count: int) -> list[dict[str, Any]]:
    """What v1 has printed of so many clients."""
    until(lambda: len(door.printed("v1#1")) >= count, f"v1 says what it has heard of {count}")
    return [json.loads(line) for line in door.printed("v1#1")]


def ends_with(door: Frontdoor, **reasons: int) -> None:
    until(lambda: door.status()["streams"]["open"] == 0, "all streams have ended")
    assert door.status()["streams"]["ended"] == reasons


def test_in_a_paced_drain_each_websocket_gets_the_close_frame_behind_a_whole_message(
    anew: Serve, open_page: Opens
) -> None:
    door = anew(**http_door(), swap={"keep_warm": "5m"})
    streams = [open_page(door, "/stream") for _ in range(6)]
    quiet = [open_page(door, "/listen") for _ in range(2)]
    for page in quiet:
        page.say("hello")
    for page in streams:
        page.hear_messages(40)
    door.swap("v2")
    asked = door.begin("drain", "v1", "--over", "500ms")
    for page in (*streams, *quiet):
        page.hear_all()
    assert asked.ended().returncode == 0
    print(f"\n{[len(page.messages) for page in streams]} messages of a stream before the Close frame")
    for page in (*streams, *quiet):
        assert page.close_frames == [(1012, "service restart")]
        assert page.has_all
    after = heard(door, 8)
    assert {(client["code"], client["end"]) for client in after} == {(1012, "end")}
    assert sorted(client["heard"] for client in after) == [[]] * 6 + [["hello"]] * 2
    ends_with(door, drain_closed=8)
    assert door.logs("drain.finished", generation="v1#1")["closed"] == 8


def test_what_a_client_said_before_he_knew_is_heard_by_the_app(anew: Serve, open_page: Opens) -> None:
    door = anew(**http_door(), swap={"keep_warm": "5m"})
    page = open_page(door, "/listen")
    door.swap("v2")
    door.run("drain", "v1", "--now")
    for number in range(50):
        page.say(f"message {number}")
    page.hear_all()
    assert page.close_frames == [(1012, "service restart")]
    (client,) = heard(door, 1)
    assert client == {"heard": [f"message {number}" for number in range(50)], "code": 1012, "end": "end"}
    ends_with(door, drain_closed=1)


def test_without_the_setting_it_is_a_plain_end(anew: Serve, open_page: Opens) -> None:
    door = anew(**http_door(code=0))
    page = open_page(door, "/listen")
    door.swap("v2")
    door.run("drain", "v1", "--now")
    page.hear_all()
    assert page.close_frames == []
    ends_with(door, drain_closed=1)


def test_a_slow_reader_gets_all_that_was_on_its_way_and_then_the_close_frame(anew: Serve, open_page: Opens) -> None:
    door = anew(**http_door())
    page = open_page(door, "/stream", slow=True)

    def is_pressed_back() -> bool:
        before = down(door)
        time.sleep(0.05)
        return before == down(door)

    until(is_pressed_back, "nothing on the way takes any more")
    door.swap("v2")
    door.run("drain", "v1", "--now")
    on_the_way = down(door)
    while not page.ended:
        page.hear(4096)
    assert page.close_frames == [(1012, "service restart")]
    assert page.has_all
    got = sum(len(payload) for payload in page.messages)
    print(f"\n{on_the_way} B were taken from the app when the drain began, {got} B of messages were delivered")
    page.sock.close()
    ends_with(door, drain_closed=1)


def down(door: Frontdoor) -> int:
    """Bytes that frontdoor has taken from v1#1 for its clients."""
    return int(door.generation("v1#1")["bytes"]["down"])


def test_a_frame_that_is_never_finished_is_waited_for_as_long_as_the_grace(anew: Serve, open_page: Opens) -> None:
    door = anew(**http_door(drain={"close_grace": "600ms"}))
    page = open_page(door, "/half")
    until(lambda: down(door) > 1000, "its beginning is on the way")
    door.swap("v2")
    asked = time.monotonic()
    door.run("drain", "v1", "--now")
    page.hear_all()
    waited = time.monotonic() - asked
    print(f"\nFIN {waited:.2f} s after the drain was asked for, with a grace of 0.6 s")
    assert page.close_frames == []
    assert 0.6 < waited < 5
    ends_with(door, drain_closed=1)


def test_an_app_that_has_said_close_itself_is_not_doubled(anew: Serve, open_page: Opens) -> None:
    door = anew(**http_door())
    page = open_page(door, "/leave")
    page.hear_until(lambda: bool(page.close_frames), "the app's Close frame")
    door.swap("v2")
    door.run("drain", "v1", "--now")
    page.hear_all()
    assert page.close_frames == [(1001, "")] or page.close_frames == [(1001, None)]
    ends_with(door, drain_closed=1)


def test_after_a_crash_a_websocket_lives_on_and_ends_without_one(anew: Serve, open_page: Opens) -> None:
    door = anew(**http_door())
    page = open_page(door, "/stream")
    until(lambda: door.control.ask("/v1/status")["vault"]["streams"] == 1, "the keeper has a copy")
    page.hear_messages(40)
    killed = door.control.ask("/v1/status")["door_pid"]
    os.kill(killed, 9)
    page.hear_messages(2000)  # more than all that was on the way
    until(lambda: door.control.ask("/v1/status")["door_pid"] != killed, "another one serves")
    door.swap("v2")
    door.run("drain", "v1", "--now")
    page.hear_all()
    assert page.close_frames == []
    assert page.messages == [message(number) for number in range(len(page.messages))]
    ends_with(door, drain_closed=1)
