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
        ({"event": "swap.rolled_back", "to": "v1#1", "reason": "it exited"}, "rolled back to v1#1: it exited"),
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
