import math
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest

from frontdoor.config import DoorSettings, parse
from frontdoor.door import entrance
from frontdoor.door.access_log import DoorAccessLog
from frontdoor.door.entrance import REFUSALS_SAID, Refusals, request_ids, visitor_number
from frontdoor.exchanges.rules import Rules
from frontdoor.observe.logs.log import Log
from frontdoor.policy.sticky import ByCookie, ByHeader


class Kept:
    """As much of a log as is used here."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.entries.append({"event": event, **fields})

    error = warning


def test_a_wrong_setting_that_refuses_every_client_is_a_line_now_and_then_and_none_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, now = Kept(), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    refused = Refusals("main", cast("Log", log))
    for _ in range(1000):
        refused(("192.0.2.7", 1234), "it begins with no PROXY header")
        now += REFUSALS_SAID / 1000
    (first,) = log.entries
    assert first == {
        "event": "proxy_header.refused",
        "door": "main",
        "client": "192.0.2.7:1234",
        "reason": "it begins with no PROXY header",
        "count": 1,
    }
    now = 1000.0 + REFUSALS_SAID
    refused(("192.0.2.8", 1235), "not whole within 5 s")
    assert [entry["count"] for entry in log.entries] == [1, 1000]
    assert (log.entries[1]["client"], log.entries[1]["reason"]) == ("192.0.2.8:1235", "not whole within 5 s")


# -- what holds for requests ------------------------------------------------------------------------------------------


def settings(more: str, protocol: str = "http") -> DoorSettings:
    text = f'listen = ["127.0.0.1:0"]\nactive = "v1"\nprotocol = "{protocol}"\nbackends.v1.command = ["app"]\n{more}'
    return parse(text, "/srv/config.toml").doors["main"]


def rules_of(wanted: DoorSettings, log: Kept) -> Rules | None:
    told = cast("Log", log)
    return entrance.rules(wanted, told, DoorAccessLog("main", told))


def test_a_door_of_tcp_has_no_rules_for_requests() -> None:
    assert rules_of(settings("", "tcp"), Kept()) is None


def test_the_rules_are_what_the_config_says() -> None:
    log = Kept()
    said = "http = { trust = ['10.0.0.0/8'], max_body = '1MiB', head_timeout = '3s', websocket_close = 1012 }"
    found = rules_of(settings(said), log)
    assert found is not None
    assert (found.head_timeout, found.body_timeout, found.answer_timeout) == (3, 60, 60)
    assert (found.keepalive_timeout, found.backend_keepalive) == (75, 30)
    assert (found.max_head, found.max_body, found.websocket_close) == (32768, 1 << 20, 1012)
    assert found.trust == (ip_network("10.0.0.0/8"),)
    by_default = rules_of(settings(""), log)
    assert by_default is not None
    assert (by_default.max_body, by_default.trust) == (math.inf, ())
    assert log.entries == []


def test_pages_that_have_gone_since_they_were_checked_are_replaced_by_plain_ones(tmp_path: Path) -> None:
    log = Kept()
    (tmp_path / "503.html").write_text("<h1>{message}</h1>")
    there = rules_of(settings(f"http.error_pages = '{tmp_path}'"), log)
    gone = rules_of(settings(f"http.error_pages = '{tmp_path}/gone'"), log)
    assert there is not None
    assert gone is not None
    assert there.pages.page(503, "Back at 5", close=False).endswith(b"<h1>Back at 5</h1>")
    assert b"<h1>" not in gone.pages.page(503, "Back at 5", close=False)
    (said,) = log.entries
    assert (said["event"], said["folder"]) == ("error_pages.unreadable", f"{tmp_path}/gone")


def test_no_two_requests_have_the_same_id() -> None:
    makers: list[Callable[[], bytes]] = [request_ids() for _ in range(50)]  # one for each door process
    ids = {make() for make in makers for _ in range(100)}
    assert len(ids) == 5000
    assert all(each.replace(b"-", b"").isalnum() and len(each) < 40 for each in ids)


def test_who_is_told_of_requests_and_how_visitors_are_told_apart(tmp_path: Path) -> None:
    log = Log()
    access_log = DoorAccessLog("main", log)
    found = entrance.rules(settings(""), log, access_log)
    assert found is not None
    assert (found.log, found.sticky) == (None, None)
    more = f"http.access_log = '{tmp_path}/a.log'\ncanary = {{ sticky = 'cookie', cookie = 'who' }}"
    found = entrance.rules(settings(more), log, access_log)
    assert found is not None
    assert found.log is access_log
    assert isinstance(found.sticky, ByCookie)
    assert repr(found.sticky) == "<ByCookie who>"
    found = entrance.rules(settings("canary = { sticky = 'header', header = 'X-Who' }"), log, access_log)
    assert found is not None
    assert (found.log, found.sticky) == (None, ByHeader(b"x-who"))
    assert entrance.rules(settings("", "tcp"), log, access_log) is None
    assert not access_log.reopen(), "a door that speaks tcp has none"


def test_no_two_visitors_have_the_same_number() -> None:
    numbers = {visitor_number() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(len(number) == 16 and int(number, 16) >= 0 for number in numbers)
