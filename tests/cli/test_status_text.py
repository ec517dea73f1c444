from __future__ import annotations

from typing import Any

from control.fakedoor import status
from frontdoor.cli.status_text import render


def shown(doors: tuple[str, ...] = ("main",), generation: dict[str, Any] | None = None, **door: Any) -> str:
    state = status(doors, 4711)
    state["doors"][0] |= door
    state["doors"][0]["generations"][1] |= generation or {}
    return render(state)


def test_a_warm_generation_says_how_long_it_stays() -> None:
    text = shown(generation={"state": "warm", "warm_for_s": 852.0})
    assert "\n  previous: v1#1 (still runs: a rollback is instant)\n" in text
    assert text.splitlines()[-1] == "  v1#1 is warm, and stops in 14 m 12 s"
    for_ever = shown(generation={"state": "warm", "warm_for_s": None})
    assert for_ever.splitlines()[-1] == "  v1#1 is warm, until there is need of its room"


def test_what_a_rollback_would_do() -> None:
    assert "  previous: v1#1 (a rollback starts it again)" in shown(generation={"state": "stopped"})
    assert "  previous: v0 (a rollback starts it again)" in shown(previous="v0")
    assert "previous" not in shown(previous=None)


def test_a_door_in_trouble_and_one_that_is_not() -> None:
    trouble: dict[str, Any] = {
        "active": None,
        "state": "failed",
        "trouble": "v1#1 did not become ready\n  | \x1b[2Jboom",
    }
    text = shown(("main", "api"), None, **trouble, paused=True)
    assert "\ndoor main on 127.0.0.1:8080: nothing is active, failed, paused\n" in text
    assert "\n  v1#1 did not become ready\n    | \\x1b[2Jboom\n" in text
    assert "\ndoor api on 127.0.0.1:8080: v2#2 is active\n" in text


def test_an_external_backend_has_no_pid() -> None:
    processes = [{"pid": None, "state": "up", "restarts": 0, "socket": "/run/app.sock"}]
    assert shown(generation={"processes": processes}).splitlines()[-1].endswith("  - up")


def test_a_full_vault_is_said() -> None:
    assert "vault" not in render({"vault": {"streams": 9, "full": False}})
    text = render({"vault": {"streams": 9, "full": True}})
    assert text.splitlines()[1] == "the vault is full: 9 streams live through a crash, no more"
