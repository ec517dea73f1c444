from __future__ import annotations

from typing import Any

import pytest
import trio

from control.fakedoor import FakeDoor, ask, get, parse, until
from frontdoor.control.operation import MILESTONES
from frontdoor.control.server import Server
from frontdoor.policy.canary import Plan


async def test_status_is_the_operators(door: FakeDoor, path: str) -> None:
    assert await get(path, "/v1/status") == (200, door.state)


async def test_metrics_are_the_operators_in_the_format_that_is_asked_for(door: FakeDoor, path: str) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: frontdoor\r\nAccept: text/x\r\nConnection: close\r\n\r\n"
    head, _, body = (await ask(path, request)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
    assert body == b"frontdoor_uptime_seconds 12.5\n"
    assert door.calls == [("metrics", "text/x")]


async def test_the_reports_of_swaps(door: FakeDoor, path: str) -> None:
    status, answer = await get(path, "/v1/doors/main/reports")
    assert (status, [each["number"] for each in answer["reports"]]) == (200, [2, 1])
    assert (await get(path, "/v1/doors/-/reports/1"))[1]["number"] == 1
    assert (await get(path, "/v1/doors/-/reports/last"))[1]["number"] == 2
    assert door.calls[1:] == [("report", "main", 1, "json"), ("report", "main", None, "json")]
    request = b"GET /v1/doors/main/reports/2?format=%s HTTP/1.1\r\nHost: frontdoor\r\nConnection: close\r\n\r\n"
    for form, content_type in ((b"text", b"text/plain; charset=utf-8"), (b"svg", b"image/svg+xml")):
        head, _, body = (await ask(path, request % form)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-type: " + content_type + b"\r\n" in head
        assert body


@pytest.mark.parametrize(
    ("wrong", "status"),
    [("main/reports/9", 404), ("main/reports/-1", 404), ("main/reports/1?format=pdf", 400), ("side/reports", 404)],
)
async def test_a_report_that_there_is_not(door: FakeDoor, path: str, wrong: str, status: int) -> None:
    answered, answer = await get(path, f"/v1/doors/{wrong}")
    assert answered == status
    assert answer["error"]


async def test_healthz_follows_the_doors(door: FakeDoor, path: str) -> None:
    assert await get(path, "/healthz") == (200, {"healthy": True})
    door.is_healthy = False
    status, answer = await get(path, "/healthz")
    assert (status, answer["exit_code"], answer["healthy"]) == (503, 1, False)


async def test_a_swap_is_shown_as_it_happens_and_ends_with_its_outcome(door: FakeDoor, path: str) -> None:
    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.started.wait()
            door.say(door.operations[1], "swap.switched", streams=3)
            door.operations[1].reach("baked", "active", 0, "v2#2 is active", streams=3)
            door.say(door.operations[1], "drain.finished")

        nursery.start_soon(go)
        status, lines = await get(path, "/v1/doors/main/swap", "POST", {"version": "v2"})
    assert status == 200
    assert [line["event"] for line in lines] == ["swap.started", "swap.switched", "result"]
    assert lines[-1] | {"time": None} == {
        "event": "result",
        "time": None,
        "swap": 1,
        "result": "active",
        "exit_code": 0,
        "message": "v2#2 is active",
        "streams": 3,
    }
    # And again, by its number, further on.
    door.operations[1].reach("drained", "drained", 0, "v1#1 is drained")
    status, lines = await get(path, "/v1/doors/-/swaps/1?wait=drained")
    assert [line["event"] for line in lines] == ["swap.started", "swap.switched", "drain.finished", "result"]


async def test_a_swap_outlives_the_client_who_asked(door: FakeDoor, path: str, running: Server) -> None:
    stream = await trio.open_unix_socket(path)
    body = b'{"version": "v2", "wait": "drained"}'
    await stream.send_all(b"POST /v1/doors/-/swap HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n" + body)
    await door.started.wait()
    head = await stream.receive_some()
    assert b"frontdoor-swap: 1\r\n" in head.lower()
    await stream.aclose()
    await until(lambda: not running.connections, "the connection's end")
    assert not door.operations[1].finished
    door.operations[1].fail("failed", 4, "v2#2 exited; v1#1 still serves", output=["Traceback"])
    _, lines = await get(path, "/v1/doors/main/swaps/1")
    assert lines[-1]["exit_code"] == 4
    assert lines[-1]["output"] == ["Traceback"]


async def test_an_upgrade_has_a_number_of_its_own_by_which_it_is_found_again(door: FakeDoor, path: str) -> None:
    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.started.wait()
            door.upgrades[1].reach("drained", "upgraded", 0, "a new door process goes on")

        nursery.start_soon(go)
        answer = await ask(path, b"POST /v1/upgrade HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"frontdoor-upgrade: 1\r\n" in answer.lower()
    assert b"frontdoor-swap" not in answer.lower()
    status, lines = parse(answer)
    assert status == 200
    assert [line["event"] for line in lines] == ["upgrade.started", "result"]
    assert (lines[-1]["upgrade"], lines[-1]["exit_code"], "swap" in lines[-1]) == (1, 0, False)
    assert await get(path, "/v1/upgrades/1") == (200, lines)
    assert (await get(path, "/v1/upgrades/2"))[0] == 404


async def test_a_second_upgrade_is_refused(door: FakeDoor, path: str) -> None:
    door.upgrade()
    status, answer = await get(path, "/v1/upgrade", "POST", {})
    assert (status, answer["exit_code"]) == (409, 5)
    assert (await get(path, "/v1/upgrade", "POST", {"now": True}))[0] == 400


@pytest.mark.parametrize(
    ("call", "body", "asked"),
    [
        ("swap", {"version": "v2", "reuse": True}, ("swap", "main", "v2", True)),
        ("rollback", {"wait": "switched"}, ("rollback", "main")),
        ("rollback", None, ("rollback", "main")),
        ("restart", {}, ("restart", "main")),
    ],
)
async def test_what_is_a_swap_is_followed_like_one(
    call: str, body: Any, asked: tuple[Any, ...], door: FakeDoor, path: str
) -> None:
    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.started.wait()
            door.operations[1].reach("baked", "switched", 0, "done")

        nursery.start_soon(go)
        status, lines = await get(path, f"/v1/doors/-/{call}", "POST", body)
    assert (status, lines[-1]["exit_code"], lines[-1]["swap"]) == (200, 0, 1)
    assert door.calls == [asked]


@pytest.mark.parametrize(
    ("asked", "plan", "waits_until"),
    [
        ({"canary": "5%"}, Plan((500,)), "shared"),
        ({"canary": "0.25%", "by": "address"}, Plan((25,), None, "address"), "shared"),
        ({"canary": "5%, 25%", "every": 300}, Plan((500, 2500), 300.0), "shared"),
        ({"canary": "5%,25%,100%", "every": 0.5}, Plan((500, 2500, 10_000), 0.5), "baked"),
        ({"canary": "100%"}, Plan((10_000,)), "baked"),
        ({"canary": "5%", "wait": "switched"}, Plan((500,)), "switched"),
    ],
)
async def test_a_swap_may_begin_with_a_share(
    asked: dict[str, Any], plan: Plan, waits_until: str, door: FakeDoor, path: str
) -> None:
    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.started.wait()
            for milestone in MILESTONES:
                door.operations[1].reach(milestone, milestone, 0, "done")

        nursery.start_soon(go)
        status, lines = await get(path, "/v1/doors/-/swap", "POST", {"version": "v2", **asked})
    assert (status, lines[-1]["result"]) == (200, waits_until)
    assert door.calls == [("swap", "main", "v2", False, plan)]


async def test_a_canary_gets_another_share_and_is_promoted(door: FakeDoor, path: str) -> None:
    swap = door.swap("main", "v2", canary=Plan((500,)))
    swap.reach("shared", "canary", 0, "v2#2 gets 5%")
    status, lines = await get(path, "/v1/doors/main/canary", "POST", {"share": "25%"})
    assert (status, lines[0]["result"], lines[0]["message"]) == (200, "shared", "v2#2 gets 25% of the new streams")

    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.promoted.wait()
            door.say(swap, "swap.switched")
            swap.reach("switched", "switched", 0, "v2#2 is active")

        nursery.start_soon(go)
        request = b"POST /v1/doors/-/promote HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"
        answer = await ask(path, request + b'{"wait": "switched"}')
    # It is the same swap, and can be found again by its number; what was shown before is not shown again.
    assert b"frontdoor-swap: 1\r\n" in answer.lower()
    status, lines = parse(answer)
    assert (status, [line["event"] for line in lines]) == (200, ["swap.switched", "result"])
    assert door.calls[1:] == [("canary", "main", 2500), ("promote", "main")]

    status, refused = await get(path, "/v1/doors/main/promote", "POST")
    assert (status, refused["exit_code"]) == (409, 1)
    status, refused = await get(path, "/v1/doors/main/canary", "POST", {"share": "25%"})
    assert (status, refused["exit_code"]) == (409, 1)


async def test_all_of_the_streams_is_a_promotion(door: FakeDoor, path: str) -> None:
    swap = door.swap("main", "v2", canary=Plan((500,)))
    swap.reach("shared", "canary", 0, "v2#2 gets 5%")
    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.promoted.wait()
            swap.reach("baked", "switched", 0, "v2#2 is active")

        nursery.start_soon(go)
        _, lines = await get(path, "/v1/doors/main/canary", "POST", {"share": "100%"})
    assert lines[-1]["message"] == "v2#2 is active"
    assert door.calls[1:] == [("promote", "main")]


async def test_a_reload_has_no_number(door: FakeDoor, path: str) -> None:
    async with trio.open_nursery() as nursery:

        async def go() -> None:
            await door.started.wait()
            door.reloading.record(door.bus.publish("config.reloaded", changed=["active"]))
            door.reloading.reach("drained", "reloaded", 0, "reloaded: active")

        nursery.start_soon(go)
        request = b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = await ask(path, request)
    assert b"frontdoor-swap" not in answer.lower()
    status, lines = parse(answer)
    assert [line["event"] for line in lines] == ["config.reloaded", "result"]
    assert (lines[1]["exit_code"], "swap" in lines[1]) == (0, False)

    door.problems = ["config.toml:1: listen: missing", "config.toml:5: drain.timeot: unknown key"]
    status, refused = await get(path, "/v1/reload", "POST", {})
    assert (status, refused["exit_code"], refused["error"].splitlines()[1:]) == (400, 2, door.problems)


async def test_pause_and_resume_answer_at_once(door: FakeDoor, path: str) -> None:
    _, lines = await get(path, "/v1/doors/-/pause", "POST")
    assert (lines[0]["result"], lines[0]["exit_code"]) == ("paused", 0)
    _, lines = await get(path, "/v1/doors/main/resume", "POST", {})
    assert (lines[0]["result"], lines[0]["message"]) == ("resumed", "main accepts again")
    await get(path, "/v1/doors/main/pause", "POST", {"for": 30})
    assert door.calls == [("pause", "main"), ("resume", "main"), ("pause", "main", 30.0)]


async def test_maintenance_is_on_or_off(door: FakeDoor, path: str) -> None:
    _, lines = await get(
        path, "/v1/doors/-/maintenance", "POST", {"on": True, "message": "Back at 5", "retry_after": 9}
    )
    assert (lines[0]["result"], lines[0]["exit_code"]) == ("maintenance_on", 0)
    await get(path, "/v1/doors/main/maintenance", "POST", {"on": True})
    await get(path, "/v1/doors/main/maintenance", "POST", {"on": True, "retry_after": None})
    _, lines = await get(path, "/v1/doors/main/maintenance", "POST", {"on": False})
    assert (lines[0]["result"], lines[0]["message"]) == ("maintenance_off", "the door main is in maintenance no more")
    assert door.calls == [
        ("maintain", "main", "Back at 5", 9),
        ("maintain", "main", None, 120),
        ("maintain", "main", None, None),
        ("end_maintenance", "main"),
    ]


async def test_logs_are_the_last_lines_of_what_is_asked_for(door: FakeDoor, path: str) -> None:
    for n in range(3):
        door.prints(f"old {n}", "v1#1")
        door.prints(f"new {n}", "v2#2")
    for query, seen in [
        ("", []),
        ("&history=2", ["old 2", "new 2"]),
        ("&history=2&version=v1", ["old 1", "old 2"]),
        ("&history=99999999999&version=v2%232&door=-", ["new 0", "new 1", "new 2"]),
    ]:
        status, lines = await get(path, f"/v1/logs?follow=0{query}")
        assert (status, [line["line"] for line in lines]) == (200, seen)
    assert lines[0] == door.printed[1]


async def test_logs_are_followed_without_a_gap_and_nobody_elses(door: FakeDoor, path: str, running: Server) -> None:
    door.prints("first", "v1#1")
    stream = await trio.open_unix_socket(path)
    await stream.send_all(b"GET /v1/logs?history=9&version=v1&door=main HTTP/1.1\r\nHost: x\r\n\r\n")
    seen = b""
    while b'"first"' not in seen:
        seen += await stream.receive_some()
    door.prints("of another", "v2#2")
    door.prints("of another door", "v1#1", door="side")
    door.prints("second", "v1#1")
    while b'"second"' not in seen:
        seen += await stream.receive_some()
    assert b"another" not in seen
    assert seen.count(b'"line"') == 2
    await stream.aclose()
    await until(lambda: not door.outputs.followers and not running.connections, "the follower's end")


async def test_abort(door: FakeDoor, path: str) -> None:
    door.swap("main", "v2")
    status, lines = await get(path, "/v1/doors/main/abort", "POST", {"swap": 1})
    assert (status, lines[-1]["result"], lines[-1]["exit_code"]) == (200, "aborted", 130)
    status, answer = await get(path, "/v1/doors/main/abort", "POST", {"swap": 1})
    assert (status, answer["exit_code"]) == (409, 1)


async def test_events_history_and_follow(door: FakeDoor, path: str) -> None:
    for n in range(5):
        door.bus.publish("paused", door="main", n=n)
    _, lines = await get(path, "/v1/events?history=2&follow=0")
    assert [line["n"] for line in lines] == [3, 4]

    stream = await trio.open_unix_socket(path)
    await stream.send_all(b"GET /v1/events?history=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    seen = b""
    while b'"n": 4' not in seen:
        seen += await stream.receive_some()
    door.bus.publish("resumed", door="main", n=5)
    while b'"n": 5' not in seen:
        seen += await stream.receive_some()
    await stream.aclose()
    await until(lambda: not door.bus.followers, "the follower's end")


async def test_events_may_be_of_one_door(door: FakeDoor, path: str) -> None:
    door.doors = ("main", "side")
    door.bus.publish("paused", door="main")
    door.bus.publish("config.reloaded")
    door.bus.publish("resumed", door="side")
    _, lines = await get(path, "/v1/events?history=2&follow=0&door=main")
    assert [line["event"] for line in lines] == ["paused", "config.reloaded"]


async def test_followers_end_when_the_bus_is_closed(door: FakeDoor, path: str) -> None:
    async with trio.open_nursery() as nursery:

        async def close() -> None:
            await until(lambda: door.bus.followers, "a follower")
            door.bus.publish("door.stopping")
            door.bus.close()

        nursery.start_soon(close)
        status, lines = await get(path, "/v1/events")
    assert (status, [line["event"] for line in lines]) == (200, ["door.stopping"])


async def test_drain_and_stop_answer_at_once_in_the_shape_of_a_result(door: FakeDoor, path: str) -> None:
    status, lines = await get(path, "/v1/doors/-/drain", "POST", {"version": "v1", "over": 0})
    assert (status, lines[0]["result"], lines[0]["exit_code"]) == (200, "closed", 0)
    _, lines = await get(path, "/v1/doors/-/drain", "POST", {"version": "v1", "over": 600})
    assert lines[0]["result"] == "closing"
    status, answer = await get(path, "/v1/doors/-/drain", "POST", {"version": "v2", "over": 0})
    assert (status, answer["exit_code"]) == (409, 1)
    _, lines = await get(path, "/v1/stop", "POST")
    assert (lines[0]["result"], lines[0]["pid"]) == ("stopping", 4711)
    await get(path, "/v1/stop", "POST", {"now": True})
    assert door.calls == [
        ("drain", "main", "v1", 0.0),
        ("drain", "main", "v1", 600.0),
        ("drain", "main", "v2", 0.0),
        ("stop", False),
        ("stop", True),
    ]


async def test_streams_may_be_of_one_version(door: FakeDoor, path: str) -> None:
    door.open_streams = [{"id": 1, "generation": "v1#1"}, {"id": 2, "generation": "v2#2"}]
    assert await get(path, "/v1/streams") == (200, {"streams": door.open_streams})
    assert await get(path, "/v1/streams?version=v2%232&door=-") == (200, {"streams": door.open_streams[1:]})
    assert door.calls == [("streams", None, None), ("streams", "main", "v2#2")]


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "exit_code", "says"),
    [
        ("GET", "/", None, 404, 2, "dashboard is not built yet"),
        ("GET", "/metrics?name=x", None, 400, 2, "name"),
        ("POST", "/metrics", None, 405, 2, "POST is not what"),
        ("GET", "/v1/nothing", None, 404, 2, "nothing at /v1/nothing"),
        ("GET", "/v1/status/", None, 404, 2, "nothing at"),
        ("DELETE", "/v1/status", None, 405, 2, "DELETE is not what"),
        ("GET", "/v1/doors/main/swap", None, 405, 2, "GET is not what"),
        ("POST", "/v1/doors/main/swap", None, 400, 2, "not JSON"),
        ("POST", "/v1/doors/main/swap", b"{", 400, 2, "not JSON"),
        ("POST", "/v1/doors/main/swap", b"\xff\xfe", 400, 2, "not JSON"),
        ("POST", "/v1/doors/main/swap", b"[" * 60000, 400, 2, "not JSON"),
        ("POST", "/v1/doors/main/swap", b" " * 70000, 413, 2, "longer than 65536"),
        ("POST", "/v1/doors/main/swap", ["v2"], 400, 2, "not a JSON object"),
        ("POST", "/v1/doors/main/swap", {}, 400, 2, "version is missing"),
        ("POST", "/v1/doors/main/swap", {"version": 2}, 400, 2, "version is a text"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "wiat": "x"}, 400, 2, "no field 'wiat'"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "wait": "x"}, 400, 2, "wait is one of"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "wait": []}, 400, 2, "wait is one of"),
        ("POST", "/v1/doors/main/swap", {"version": "v9"}, 400, 2, "did you mean v2"),
        ("POST", "/v1/doors/side/swap", {"version": "v2"}, 404, 2, "no door 'side'; there is main"),
        ("POST", "/v1/doors/main/swap", {"version": "oops"}, 500, 1, "frontdoor made a mistake"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "reuse": 1}, 400, 2, "reuse is true or false"),
        ("POST", "/v1/doors/main/rollback", {"wait": "x"}, 400, 2, "wait is one of"),
        ("POST", "/v1/doors/main/restart", {"version": "v1"}, 400, 2, "no field 'version' here; there is wait"),
        ("POST", "/v1/doors/main/rollback", {"wait": "shared"}, 400, 2, "wait is one of switched, baked, drained"),
        ("POST", "/v1/doors/main/promote", {"wait": "shared"}, 400, 2, "wait is one of switched, baked, drained"),
        ("POST", "/v1/doors/main/promote", None, 409, 1, "the door main has no canary"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "wait": "shared"}, 400, 2, "this swap has no canary"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "every": 5}, 400, 2, "every is of a canary"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "by": "stream"}, 400, 2, "by is of a canary"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "canary": 5}, 400, 2, "canary is a text"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "canary": "101%"}, 400, 2, "canary: a share of 101%"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "canary": "9%,5%", "every": 5}, 400, 2, "must rise"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "canary": "5%,9%"}, 400, 2, "canary: several steps need"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "canary": "5%,9%", "every": 0}, 400, 2, "every is a number"),
        ("POST", "/v1/doors/main/swap", {"version": "v2", "canary": "5%", "by": "ip"}, 400, 2, "by is one of stream"),
        ("POST", "/v1/doors/main/canary", {}, 400, 2, "share is missing"),
        ("POST", "/v1/doors/main/canary", {"share": "-1%"}, 400, 2, "share: a share of -1% is too small"),
        ("POST", "/v1/doors/main/canary", {"share": "5"}, 400, 2, "is no share"),
        ("POST", "/v1/doors/main/pause", {"x": 1}, 400, 2, "no field 'x' here; there is for"),
        ("POST", "/v1/doors/main/pause", {"for": 0}, 400, 2, "for is a number above 0"),
        ("POST", "/v1/doors/main/pause", {"for": None}, 400, 2, "for is a number"),
        ("POST", "/v1/doors/main/resume", {"x": 1}, 400, 2, "no field 'x' here; there is none"),
        ("POST", "/v1/doors/main/maintenance", {}, 400, 2, "on is missing"),
        ("POST", "/v1/doors/main/maintenance", {"on": "yes"}, 400, 2, "on is true or false"),
        ("POST", "/v1/doors/main/maintenance", {"on": True, "message": ""}, 400, 2, "message is a text that is not"),
        (
            "POST",
            "/v1/doors/main/maintenance",
            {"on": True, "retry_after": -1},
            400,
            2,
            "retry_after is a number from 0",
        ),
        (
            "POST",
            "/v1/doors/main/maintenance",
            {"on": True, "retry_after": 1.5},
            400,
            2,
            "retry_after is a whole number",
        ),
        ("POST", "/v1/doors/main/maintenance", {"on": True, "retry-after": 1}, 400, 2, "no field 'retry-after' here"),
        ("POST", "/v1/doors/main/maintenance", {"on": False, "message": "x"}, 400, 2, "with on: true"),
        ("POST", "/v1/reload", [], 400, 2, "not a JSON object"),
        ("GET", "/v1/reload", None, 405, 2, "GET is not what"),
        ("GET", "/v1/logs?version=v9", None, 404, 2, "no generation of v9"),
        ("GET", "/v1/logs?door=side", None, 404, 2, "no door 'side'"),
        ("GET", "/v1/logs?history=x", None, 400, 2, "how many of the last"),
        ("GET", "/v1/events?door=side", None, 404, 2, "no door 'side'"),
        ("POST", "/v1/doors/main/drain", {"version": "v1"}, 400, 2, "over is missing"),
        ("POST", "/v1/doors/main/drain", {"version": "v1", "over": True}, 400, 2, "over is a number"),
        ("POST", "/v1/doors/main/drain", {"version": "v1", "over": -1}, 400, 2, "number from 0"),
        ("POST", "/v1/doors/main/drain", b'{"version": "v1", "over": NaN}', 400, 2, "number from 0"),
        ("POST", "/v1/doors/main/drain", b'{"version": "v1", "over": 1e999}', 400, 2, "number from 0"),
        ("POST", "/v1/doors/main/abort", {"swap": 1.5}, 400, 2, "whole number"),
        ("POST", "/v1/stop", {"now": "yes"}, 400, 2, "true or false"),
        ("GET", "/v1/doors/main/swaps/7", None, 404, 1, "swap 7 is not known"),
        ("GET", "/v1/doors/main/swaps/x", None, 404, 2, "nothing at"),
        ("GET", "/v1/doors/main/swaps/1?wait=soon", None, 400, 2, "wait is one of"),
        ("GET", "/v1/events?history=-1", None, 400, 2, "how many of the last"),
        ("GET", "/v1/events?follow=yes", None, 400, 2, "0 or 1"),
        ("GET", "/v1/status?x=1", None, 400, 2, "no parameter 'x'"),
        ("GET", "/v1/events?history=1&history=2", None, 400, 2, "given twice"),
    ],
)
async def test_what_is_refused_is_said_in_json(
    path: str, method: str, target: str, body: Any, status: int, exit_code: int, says: str
) -> None:
    got, answer = await get(path, target, method, body)
    assert (got, answer["exit_code"]) == (status, exit_code)
    assert says in answer["error"]
    assert (await get(path, "/v1/status"))[0] == 200


async def test_busy_says_who(door: FakeDoor, path: str) -> None:
    door.swap("main", "v2")
    status, answer = await get(path, "/v1/doors/main/swap", "POST", {"version": "v2"})
    assert (status, answer["exit_code"], answer["swap"]) == (409, 5, 1)


async def test_a_mistake_is_reported(path: str, errors: list[Exception]) -> None:
    await get(path, "/v1/doors/main/swap", "POST", {"version": "oops"})
    assert "a mistake of the door's" in repr(errors)


async def test_several_doors_must_be_named(door: FakeDoor, path: str) -> None:
    door.doors = ("main", "side")
    status, answer = await get(path, "/v1/doors/-/swap", "POST", {"version": "v2"})
    assert (status, answer["exit_code"], answer["doors"]) == (400, 2, ["main", "side"])
    assert "main, side" in answer["error"]


async def test_head_of_a_stream_does_not_follow_it(path: str) -> None:
    answer = await ask(path, b"HEAD /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_live_is_lines_for_a_program_and_server_sent_events_for_a_browser(
    door: FakeDoor, path: str, running: Server
) -> None:
    for accept, mark in (("*/*", b""), ("text/event-stream", b"data: ")):
        stream = await trio.open_unix_socket(path)
        await stream.send_all(f"GET /v1/live HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
        seen = b""
        while b'"live.past"' not in seen:
            seen += await stream.receive_some()
        door.lively.add({"event": "live.state", "status": {"pid": 1}})
        while b'"live.state"' not in seen:
            seen += await stream.receive_some()
        kind = b"text/event-stream" if mark else b"application/x-ndjson"
        assert b"content-type: " + kind in seen
        assert mark + b'{"event": "live.state", "status": {"pid": 1}}\n' + (b"\n" if mark else b"") in seen
        await stream.aclose()
    await until(lambda: not door.lively.followers and not running.connections, "the followers' end")
