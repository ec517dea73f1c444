from __future__ import annotations

import calendar
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.http.request_log import RequestLog
from frontdoor.sockets import show

NOON = calendar.timegm((2026, 11, 23, 12, 0, 0))
"""Of the day, in seconds since 1970."""

REQUEST: dict[str, Any] = {
    "epoch": NOON - 100.0,
    "client": ("192.0.2.7", 51234),
    "method": b"GET",
    "target": b"/news?page=2",
    "status": 200,
    "up": 0,
    "down": 5120,
    "began": 100.25,
    "seated": 100.2505,
    "dialled": 100.251,
    "first_byte": 100.255,
    "over": 100.262,
    "ended": "answered",
    "place": ("v1", "v1#7"),
    "request_id": b"b24f-1",
}


def log() -> RequestLog:
    return RequestLog("main", show)


def shown(**changes: Any) -> dict[str, Any]:
    line = log().line(**(REQUEST | changes))
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    said: dict[str, Any] = json.loads(line)
    return said


def test_a_line_says_all_there_is_to_say_of_a_request() -> None:
    assert shown() == {
        "event": "request",
        "time": "2026-11-23T12:00:00.250Z",
        "client": "192.0.2.7:51234",
        "method": "GET",
        "path": "/news",
        "query": "page=2",
        "status": 200,
        "bytes": {"up": 0, "down": 5120},
        "ms": {"queue": 0.5, "dial": 0.5, "first_byte": 5.0, "total": 12.0},
        "ended": "answered",
        "door": "main",
        "version": "v1",
        "generation": "v1#7",
        "request_id": "b24f-1",
    }


def test_on_a_connection_that_was_kept_nothing_was_dialled() -> None:
    said = shown(dialled=0.0)
    assert said["ms"] == {"queue": 0.5, "dial": None, "first_byte": 5.0, "total": 12.0}
    assert {**shown(), "ms": said["ms"]} == said


def test_what_did_not_happen_is_null() -> None:
    turned_away = shown(status=503, seated=0.0, dialled=0.0, first_byte=0.0, place=None, ended="no_backend")
    assert turned_away["ms"] == {"queue": None, "dial": None, "first_byte": None, "total": 12.0}
    assert (turned_away["version"], turned_away["generation"], turned_away["status"]) == (None, None, 503)
    gone = shown(status=0, first_byte=0.0, ended="client_reset")
    assert (gone["status"], gone["ended"]) == (None, "client_reset")
    assert gone["ms"] == {"queue": 0.5, "dial": 0.5, "first_byte": None, "total": 12.0}


def test_a_path_and_its_query() -> None:
    said = [shown(target=target) for target in (b"/", b"/?", b"/a?b?c=d", b"*", b"")]
    assert [each["path"] for each in said] == ["/", "/", "/a", "*", ""]
    assert [each["query"] for each in said] == [None, "", "b?c=d", None, None]


def test_what_json_cannot_have_is_escaped_and_what_is_no_utf_8_can_be_told() -> None:
    said = shown(target=b'/"\\\x01\xc3\xa9?\xff"\n', request_id=b'"} \x7f')
    assert said["path"] == '/"\\\x01é'
    assert said["query"] == '\\xff"\n'
    assert said["request_id"] == '"} \x7f'


def test_what_a_proxy_that_is_believed_has_said_of_the_client() -> None:
    assert "forwarded_for" not in shown()
    assert shown(forwarded_for=b'203.0.113.9, "odd"')["forwarded_for"] == '203.0.113.9, "odd"'


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (("192.0.2.7", 1), "192.0.2.7:1"),
        (("2001:db8::1", 443, 0, 0), "[2001:db8::1]:443"),
        (('fe80::1%"eth', 443, 0, 2), '[fe80::1%"eth]:443'),
        ("", "unix"),
    ],
)
def test_who_it_was(client: object, said: str) -> None:
    assert shown(client=client)["client"] == said


@given(st.floats(0, 2**31))
def test_the_time_is_when_it_began_to_the_millisecond(when: float) -> None:
    said = shown(epoch=when, began=100.0, seated=0.0, dialled=0.0, first_byte=0.0, over=100.0)["time"]
    whole, _, thousandths = said.removesuffix("Z").partition(".")
    assert len(thousandths) == 3
    assert calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + int(thousandths) / 1000 == pytest.approx(
        when + 100.0, abs=0.0011
    )


def test_seconds_go_by() -> None:
    one = log()
    times = [json.loads(one.line(**(REQUEST | {"began": began})))["time"] for began in (100.0, 100.999, 101.0, 100.5)]
    assert [said[17:23] for said in times] == ["00.000", "00.999", "01.000", "00.500"]


@given(
    st.fixed_dictionaries(
        {
            "target": st.binary(),
            "request_id": st.binary(max_size=40),
            "forwarded_for": st.binary(max_size=40),
            "client": st.tuples(st.text(max_size=20), st.integers(0, 65535)),
            "status": st.sampled_from([0, 200, 404]),
            "seated": st.sampled_from([0.0, 100.3]),
            "dialled": st.sampled_from([0.0, 100.3]),
            "first_byte": st.sampled_from([0.0, 100.4]),
            "place": st.sampled_from([None, ("v1", "v1#1")]),
        }
    )
)
def test_whatever_is_sent_the_line_is_one_line_of_json(changes: dict[str, Any]) -> None:
    said = shown(**changes)
    assert list(said)[:2] == ["event", "time"]
    assert said["status"] == (changes["status"] or None)


def test_many_clients_take_no_room_for_ever() -> None:
    one = log()
    for port in range(10_000):
        one.line(**(REQUEST | {"client": ("192.0.2.7", port)}))
    assert len(one._clients) <= 4096
    assert json.loads(one.line(**(REQUEST | {"client": ("192.0.2.7", 1)})))["client"] == "192.0.2.7:1"
