from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from control.fakedoor import status
from frontdoor.cli.status_text import SLOW_MS, render
from frontdoor.policy.conduct import SLOW


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


def test_maintenance_is_seen_at_once() -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    text = shown(maintenance={"message": "Back\nat 5", "since": since.isoformat(), "retry_after": 120})
    assert text.splitlines()[3] == "  in maintenance for 5 m, requests are answered 503: Back\\nat 5"
    assert "maintenance" not in shown(maintenance=None)


def test_what_a_rollback_would_do() -> None:
    assert "  previous: v1#1 (a rollback starts it again)" in shown(generation={"state": "stopped"})
    assert "  previous: v0 (a rollback starts it again)" in shown(previous="v0")
    assert "previous" not in shown(previous=None)


CANARY: dict[str, Any] = {
    "generation": "v2#2",
    "base": "v1#1",
    "share": "5%",
    "by": "address",
    "steps": ["1%", "5%", "25%", "100%"],
    "every_s": 300.0,
    "next_step_s": 250.0,
    "sides": [
        {
            "generation": "v2#2",
            "streams": 50,
            "failed_dials": 2,
            "early_closes": 1,
            "crashes": 0,
            "dial_ms": {"mean": 0.0512, "slowest": 1.31},
        },
        {
            "generation": "v1#1",
            "streams": 950,
            "failed_dials": 0,
            "early_closes": 0,
            "crashes": 0,
            "dial_ms": {"mean": None, "slowest": None},
        },
    ],
}


def test_both_sides_of_a_canary_stand_next_to_each_other() -> None:
    lines = shown(canary=CANARY).splitlines()
    assert lines[3:7] == [
        "  canary: v2#2 gets 5% of new connections by address; 25% in 4 m 10 s, then 100%",
        "    CANARY  SHARE  STREAMS  FAILED DIALS  EARLY CLOSES  CRASHES  MEAN DIAL  SLOWEST DIAL",
        "    v2#2       5%       50             2             1        0   0.051 ms        1.3 ms",
        "    v1#1      95%      950             0             0        0          -             -",
    ]


def test_a_canary_that_waits_for_somebody_says_what_for() -> None:
    by_hand = shown(canary=CANARY | {"share": "0.05%", "by": "stream", "next_step_s": None})
    canary = "v2#2 gets 0.05% of new connections, until frontdoor canary, promote or rollback"
    assert f"\n  canary: {canary}\n" in by_hand
    assert [line.split()[:2] for line in by_hand.splitlines()[5:7]] == [["v2#2", "0.05%"], ["v1#1", "99.95%"]]


def test_the_unit_of_a_share_is_said() -> None:
    share = CANARY | {"share": "5%", "next_step_s": None}
    for known, said in (
        ({"by": "stream"}, "5% of new requests,"),
        ({"by": "stream", "sticky": None}, "5% of new requests,"),
        ({"by": "address"}, "5% of new requests by address,"),
        ({"by": "stream", "sticky": "cookie"}, "5% of new requests by cookie,"),
        ({"by": "address", "sticky": "header"}, "5% of new requests by header,"),
    ):
        assert f"\n  canary: v2#2 gets {said} until" in shown(protocol="http", canary=share | known)


def test_connections_of_a_door_whose_streams_are_requests() -> None:
    connections = "; 9 connections open, 3 of them idle; ended: "
    assert f" accepted, 9 open{connections}" in shown(connections={"open": 9, "idle": 3})
    assert "; 1 connection open, 0 of them idle" in shown(connections={"open": 1, "idle": 0})
    assert "connection" not in shown()


def test_a_probation_and_a_pause_say_how_long_they_last() -> None:
    swap = {"number": 3, "phase": "baking", "from": "v1#1", "to": "v2#2", "elapsed_s": 12.0, "bake_left_s": 18.0}
    text = shown(swap=swap, paused=True, paused_for_s=75.0)
    assert "\n  swap 3 under way: v1#1 → v2#2, baking for 12 s, 18 s of its probation left\n" in text
    assert "v2#2 is active, paused for another 1 m 15 s\n" in text


def test_what_a_generation_failed_at() -> None:
    assert SLOW_MS == 1000 * SLOW, "what makes a drain wait can be seen here"
    failures = {"dials": 2, "early_closes": 1, "crashes": 2}
    text = shown(generation={"failures": failures, "dial_ms": {"mean": 3.456, "slowest": 1500.0}})
    assert text.splitlines()[-1] == (
        "  v1#1: 2 dials failed, 1 stream closed early, 2 crashes, its slowest dial took 1.5 s, the mean is 3.5 ms"
    )
    nothing = {"dials": 0, "early_closes": 0, "crashes": 0}
    assert "v1#1:" not in shown(generation={"failures": nothing, "dial_ms": {"mean": 1.0, "slowest": 249.0}})
    assert "v1#1:" not in shown(generation={"failures": nothing, "dial_ms": {"mean": None, "slowest": None}})


def test_a_drain_that_waits_says_why_and_not_when() -> None:
    drain = {"closed": 2, "closes_from_s": 0.0, "deadline_s": 12.0, "waits": "a dial of v2#2 has failed"}
    assert shown(generation={"drain": drain}).splitlines()[-1] == (
        "  v1#1 drains: 6 streams left, 2 closed, closing waits: a dial of v2#2 has failed"
    )
    assert shown(generation={"drain": drain | {"waits": None}}).splitlines()[-1] == (
        "  v1#1 drains: 6 streams left, 2 closed, closing them now, all are closed in 12 s"
    )


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


def test_lines_that_the_log_has_lost_are_said() -> None:
    assert "log" not in render({"log": {"dropped": 0, "requests_dropped": 0}})
    text = render({"log": {"dropped": 310, "requests_dropped": 2}})
    assert text.splitlines()[1] == "the log has lost 312 lines: what it is written to is too slow, full or broken"
    assert "lost 1 line:" in render({"log": {"dropped": 1}})
