from __future__ import annotations

import re
from pathlib import Path

import pytest

import frontdoor
from frontdoor.control.events import VOCABULARY, Bus
from frontdoor.control.feed import Event


def test_an_event_has_its_name_time_and_number_first() -> None:
    bus = Bus()
    said = bus.publish("swap.switched", door="main", version=None, swap=1, streams=0)
    assert list(said) == ["event", "time", "seq", "door", "swap", "streams"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert bus.publish("paused")["seq"] == said["seq"] + 1


def test_a_name_outside_the_vocabulary_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"swap\.swiched"):
        Bus().publish("swap.swiched")


def test_every_event_of_the_vocabulary_is_said_somewhere() -> None:
    told = ("events.py", "swap_progress.py")  # where they are listed, and where they are told
    sources = [path for path in Path(frontdoor.__file__).parent.rglob("*.py") if path.name not in told]
    said = "".join(path.read_text() for path in sources)
    assert [event for event in sorted(VOCABULARY) if f'"{event}"' not in said] == []


def test_subscribers_hear_everything_in_order() -> None:
    bus = Bus()
    heard: list[Event] = []
    bus.publish("paused")
    bus.subscribe(heard.append)
    expected = [bus.publish("resumed"), bus.publish("paused")]
    assert heard == expected
