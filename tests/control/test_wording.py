from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.control.wording import clock, count, describe, line, printable


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"door": "main", "from": "v1#1", "to": "v2#2", "streams": 1}, "main v1#1 → v2#2 (1 stream)"),
        (
            {"event": "swap.switched", "from": "v1#1", "to": "v2#2", "streams": 9},
            "v1#1 → v2#2 (9 streams left on v1#1)",
        ),
        ({"event": "swap.switched", "to": "v2#2", "streams": 9}, "v2#2 (9 streams)"),
        ({"door": "main", "from": None, "to": "v1#1"}, "main v1#1"),
        (
            {"door": "main", "version": "v2", "generation": "v2#2", "swap": 3, "pid": 7, "after_s": 0.84},
            "main v2#2 swap 3 pid 7 after 0.8 s",
        ),
        ({"generation": "v1#1", "closed": 4, "note": "a b"}, "v1#1 (4 closed) note='a b'"),
        ({"door": "main", "streams": 9, "lost": 2, "closed": 0}, "main (9 streams, 2 lost)"),
        ({"door": "main", "swap": 1, "hook": "ready", "process": 0}, "main swap 1 process 0 hook ready"),
        ({"delay_s": 0.25, "status": -9, "reason": "signal 9"}, "in 0.2 s: signal 9"),
        ({"for_s": 900.0, "status": 0, "doors": []}, "for 900 s status=0"),
        ({"for_s": "long", "rollback": True, "share": "5%", "forced": False}, "for_s=long rollback share=5%"),
        ({"door": "main", "reason": "exit code 1", "output": ["a", "b"]}, "main: exit code 1\n    a\n    b"),
        ({"reason": "not valid", "problems": ["config.toml:1: x", "y"]}, "not valid\n    config.toml:1: x\n    y"),
        ({"changed": ["active", "limits.connections"], "streams": 0}, "(0 streams) changed=active,limits.connections"),
        ({"message": "only this"}, "only this"),
        ({"streams": {"open": 1}}, "streams=\"{'open': 1}\""),
        ({}, ""),
    ],
)
def test_what_an_event_says(event: dict[str, Any], text: str) -> None:
    assert describe({"event": "x", "time": "", "seq": 1, **event}) == text


def test_a_line_begins_with_time_and_name() -> None:
    assert line({"event": "paused", "time": "no time", "door": "main"}) == "no time paused main"
    assert len(clock("2026-11-22T09:00:00.123Z")) == 8


def test_numbers() -> None:
    assert [count(n, "stream") for n in (0, 1, 2)] == ["0 streams", "1 stream", "2 streams"]


@given(st.text())
def test_whatever_a_backend_writes_stays_on_its_line(text: str) -> None:
    assert printable(text).isprintable()
    words = describe({"door": text, "generation": text, "reason": text, text: text})
    assert words.isprintable()


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_no_event_is_too_strange_to_be_said(event: dict[str, Any]) -> None:
    line(event)
