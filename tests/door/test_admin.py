"""`[frontdoor] admin`: where it is, and what is said of those who come there."""

import socket
from typing import Any

import pytest

from frontdoor.control.events import Bus
from frontdoor.door.admin import CONNECTIONS, Admin, Seldom


class Said:
    """A log that is read by the test, and a token that counts how often it is made sure of."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.made_sure = 0

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    def make_sure(self) -> None:
        self.made_sure += 1


def test_what_strangers_cause_is_said_seldom_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("frontdoor.door.admin.time.monotonic", lambda: now)
    said = Said()
    refused = Seldom(said, "admin.refused")  # type: ignore[arg-type]  # it says what a log does
    for number in range(100):
        refused(reason=f"no {number}")
    assert said.lines == [{"event": "admin.refused", "reason": "no 0", "count": 1}]
    now += 10
    refused(reason="once more")
    refused(reason="and again")
    assert said.lines[1:] == [{"event": "admin.refused", "reason": "once more", "count": 100}]


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_its_address_has_the_port_that_was_picked(host: str, family: socket.AddressFamily) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        admin = Admin([listener], Said(), Said())  # type: ignore[arg-type]  # as above
        port = listener.getsockname()[1]
        assert admin.address == (f"[::1]:{port}" if host == "::1" else f"127.0.0.1:{port}")
        assert repr(admin) == f"<Admin on {admin.address}>"
        assert admin.connections == CONNECTIONS


def test_two_listening_sockets_share_the_places() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        assert Admin([one, two], Said(), Said()).connections == CONNECTIONS // 2  # type: ignore[arg-type]  # as above


def test_a_reload_makes_sure_of_the_token_and_nothing_else_does() -> None:
    said, bus = Said(), Bus()
    Admin([], said, said).follow_reloads(bus)  # type: ignore[arg-type]  # as above
    for event in ("paused", "config.refused", "swap.switched"):
        bus.publish(event)
    assert said.made_sure == 0
    bus.publish("config.reloaded", changed=[])
    assert said.made_sure == 1
