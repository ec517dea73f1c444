from __future__ import annotations

from typing import Any

import pytest

from frontdoor.cli.swap_progress import sentence
from frontdoor.control.events import VOCABULARY


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "swap.started", "swap": 3, "from": "v1#1", "to": "v2#2"}, "swap 3: v1#1 → v2#2"),
        ({"event": "swap.started", "swap": 3, "from": None, "to": "v2#2"}, "swap 3 to v2#2"),
        ({"event": "backend.exited", "generation": "v2#2", "reason": "exited with code 1"}, "v2#2 exited with code 1"),
        ({"event": "backend.restarting", "generation": "v2#2", "delay_s": 0.25}, "v2#2 is started again"),
        ({"event": "swap.rolled_back", "from": "v2#2", "to": "v1#1"}, "rolled back from v2#2 to v1#1"),
        # Why, is what the result says, and what it printed last.
        ({"event": "swap.rolled_back", "to": "v1#1", "reason": "it exited", "output": ["x"]}, "rolled back to v1#1"),
        ({"event": "swap.started", "swap": 3, "to": "v2#2", "canary": "5%"}, "swap 3 to v2#2, as a canary with 5%"),
        (
            {"event": "canary.share", "from": "v1#1", "to": "v2#2", "share": "25%"},
            "canary: v2#2 gets 25% of new connections, v1#1 the rest",
        ),
        (
            {"event": "swap.switched", "to": "v2#2", "bake_s": 90.0},
            "switched: new connections go to v2#2, on probation for 1 m 30 s",
        ),
        ({"event": "swap.stays", "to": "v2#2", "reason": "no process is up"}, "v2#2 stays: no process is up"),
        (
            {"event": "drain.waits", "generation": "v1#1", "reason": "a dial of v2#2 has failed"},
            "v1#1 waits before more of its streams are closed: a dial of v2#2 has failed",
        ),
        ({"event": "drain.resumed", "generation": "v1#1"}, "v1#1 goes on to close its streams"),
        (
            {"event": "drain.notify_failed", "generation": "v1#1", "reason": "it was not told: it answered 404"},
            "v1#1: it was not told: it answered 404",
        ),
        ({"event": "paused", "door": "main", "for_s": 30.0}, "paused: clients wait, for 30 s"),
        ({"event": "generation.warm", "generation": "v1#1", "for_s": 900.0}, "v1#1 kept warm for 15 m"),
        ({"event": "generation.warm", "generation": "v1#1"}, "v1#1 kept warm"),
        (
            {"event": "hook.failed", "hook": "switched", "reason": "exited with code 1", "output": ["\x1b[2J"]},
            "hook switched failed: exited with code 1\n    \\x1b[2J",
        ),
        ({"event": "config.reloaded", "changed": ["a.b", "c"]}, "config reloaded: a.b, c"),
        ({"event": "config.reloaded", "changed": []}, "config reloaded: nothing has changed"),
        ({"event": "paused", "door": "main"}, "paused: clients wait"),
        ({"event": "resumed", "door": "main"}, "resumed"),
        ({"event": "maintenance.on", "message": "Back\nat 5"}, "maintenance: requests are answered 503: Back\\nat 5"),
        ({"event": "maintenance.off", "message": "Back at 5"}, "maintenance is over"),
        (
            {"event": "maintenance.off", "message": "Back at 5", "reason": "the door speaks tcp now"},
            "maintenance is over: the door speaks tcp now",
        ),
        ({"event": "swap.vetoed", "reason": "said by the result"}, ""),
        ({"event": "config.refused", "reason": "said by the result"}, ""),
        ({"event": "limit.reached", "door": "main", "swap": 1, "connections": 5}, "limit.reached: main connections=5"),
    ],
)
def test_what_an_event_means(event: dict[str, Any], text: str) -> None:
    assert sentence(event) == text


@pytest.mark.parametrize("event", sorted(VOCABULARY))
def test_no_event_needs_all_of_its_fields(event: str) -> None:
    assert sentence({"event": event}).isprintable()
