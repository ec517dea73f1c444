"""Who is left out, and what is said of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from frontdoor.door.quarantine import SAID, Quarantine, tell
from frontdoor.keeper.deaths import Death
from frontdoor.observe.logs.log import Log


class Lines:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.log = cast(Log, SimpleNamespace(error=lambda event, **more: self.said.append({"event": event, **more})))


CLIENT = ("192.0.2.7", 4321)


def deaths(*suspects: int) -> list[Death]:
    return [Death(second, -11, served=True, suspect=suspect) for second, suspect in enumerate(suspects)]


def test_one_that_was_in_hand_each_time() -> None:
    lines, quarantine = Lines(), Quarantine([7], deaths(7, 7, 7))
    assert not quarantine.takes(6, "main", CLIENT, lines.log)
    assert lines.said == []
    assert quarantine.takes(7, "main", CLIENT, lines.log)
    assert lines.said == [
        {
            "event": "stream.quarantined",
            "door": "main",
            "stream": 7,
            "client": "192.0.2.7:4321",
            "reason": "the door process died with it in hand, 3 times of late: it is closed, and the others go on",
        }
    ]


def test_all_of_them_are_said_but_not_thousands() -> None:
    lines, quarantine = Lines(), Quarantine("all", deaths(0, 0, 0))
    for number in range(SAID + 5):
        assert quarantine.takes(number, "main", CLIENT, lines.log)
    quarantine.say_rest(lines.log)
    assert len(lines.said) == SAID + 1
    assert {line["reason"] for line in lines.said} == {
        "the door process died again and again, and nobody knows of which stream: all are closed"
    }
    assert lines.said[-1]["more"] == 5
    quarantine.say_rest(lines.log)
    assert len(lines.said) == SAID + 1, "once"


def test_nobody_is_left_out_where_nobody_died() -> None:
    lines, quarantine = Lines(), Quarantine([])
    assert not quarantine.takes(1, "main", CLIENT, lines.log)
    quarantine.say_rest(lines.log)
    assert lines.said == []
    assert repr(quarantine) == "<Quarantine of nobody>"


def test_the_last_death_is_told() -> None:
    lines = Lines()
    tell([], lines.log)
    assert lines.said == []
    tell(deaths(0, 7), lines.log)
    tell(deaths(7, 0), lines.log)
    assert lines.said == [
        {"event": "door_process.died", "reason": "signal 11", "stream": 7},
        {"event": "door_process.died", "reason": "signal 11"},
    ]
