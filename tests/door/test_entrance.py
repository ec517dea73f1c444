import time
from typing import Any, cast

import pytest

from frontdoor.door.entrance import REFUSALS_SAID, Refusals
from frontdoor.observe.log import Log


class Kept:
    """As much of a log as is used here."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.entries.append({"event": event, **fields})


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
