"""Maintenance, as one door has it."""

from __future__ import annotations

import json
from types import SimpleNamespace as Some
from typing import Any

import pytest

from frontdoor.control.events import Bus
from frontdoor.control.operator import USAGE, Refused
from frontdoor.door.maintaining import LONGEST_MESSAGE, LONGEST_WAIT, MESSAGE, Maintaining
from frontdoor.traffic.gate import Maintenance


class Door:
    """As much of a door as its maintenance looks at."""

    def __init__(self, protocol: str = "http") -> None:
        self.name = "main"
        self.settings = Some(protocol=protocol)
        self.gate = Some(maintenance=None)
        self.bus = Bus()
        self.maintaining = Maintaining(self)  # type: ignore[arg-type]

    def say(self, event: str, **fields: Any) -> None:
        self.bus.publish(event, **fields)

    @property
    def said(self) -> list[dict[str, Any]]:
        """The events so far, each without the time and the number that all have."""
        events = self.bus.history(100)
        return [{key: value for key, value in each.items() if key not in ("time", "seq")} for each in events]


def test_it_begins_and_ends_once() -> None:
    door = Door()
    assert door.maintaining.now is None
    assert door.maintaining.begin("Back at 5", 120)
    assert not door.maintaining.begin("Back at 5", 120), "that is so already"
    now = door.gate.maintenance
    assert now is not None
    assert (now.message, now.retry_after) == ("Back at 5", 120)
    assert door.maintaining.end()
    assert not door.maintaining.end()
    assert door.gate.maintenance is None
    assert door.said == [
        {"event": "maintenance.on", "message": "Back at 5"},
        {"event": "maintenance.off", "message": "Back at 5"},
    ]


def test_another_message_takes_the_place_of_the_first_and_it_began_when_it_began() -> None:
    door = Door()
    door.maintaining.restore(Maintenance("Back at 5", 120, 1.5))
    assert door.said == [], "that was said when it began"
    assert door.maintaining.begin("Back at 6", None)
    assert door.gate.maintenance == Maintenance("Back at 6", None, 1.5)


def test_without_a_message_visitors_read_a_general_one() -> None:
    door = Door()
    door.maintaining.begin(None, 0)
    assert door.said == [{"event": "maintenance.on", "message": MESSAGE}]


def test_a_door_of_tcp_refuses_it_and_has_none_of_before() -> None:
    door = Door("tcp")
    with pytest.raises(Refused, match="frontdoor pause") as refused:
        door.maintaining.begin("Back at 5", 120)
    assert refused.value.exit_code == USAGE
    door.maintaining.restore(Maintenance("Back at 5", 120, 1.5))
    assert (door.gate.maintenance, door.said) == (None, [])


@pytest.mark.parametrize(
    ("message", "wait", "why"),
    [
        ("x" * (LONGEST_MESSAGE + 1), 120, "1 to 1000 characters"),
        ("Back\r\nSet-Cookie: x", 120, "cannot be printed"),
        ("\x1b[2J", 120, "cannot be printed"),
        (json.loads('"\\udc80"'), 120, "cannot be printed"),  # what a command line in another encoding makes
        ("Back at 5", LONGEST_WAIT + 1, "which is a month"),
    ],
)
def test_what_cannot_be_told_to_visitors_changes_nothing(message: str, wait: int, why: str) -> None:
    door = Door()
    with pytest.raises(Refused, match=why) as refused:
        door.maintaining.begin(message, wait)
    assert refused.value.exit_code == USAGE
    assert (door.gate.maintenance, door.said) == (None, [])


def test_lines_and_other_languages_are_text() -> None:
    assert Door().maintaining.begin("Wartung bis 5.\n维护中 🛠", 120)
