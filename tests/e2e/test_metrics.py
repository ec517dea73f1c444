"""GET /metrics: what is scraped is what `status --json` shows, and to scrape costs clients nothing that they notice."""

import os
import resource
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from benchmark.cases.stall import Echo, silent
from benchmark.control import Order, Repeated, ask
from benchmark.loop import Loop
from benchmark.served import Served, served
from e2e.crowd import Crowd
from e2e.doors import OneDoor, tcp
from e2e.harness import Frontdoor, greeter, until
from e2e.scraping import OPENMETRICS, Scraped, scrape, scrape_at

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]


def adds_up(seen: Scraped, door: str) -> None:
    """In every scrape: who was accepted is still there, or has ended."""
    accepted = seen.value("frontdoor_streams_accepted_total", door=door)
    ended = seen.values("frontdoor_streams_ended_total", door=door)
    assert accepted == seen.value("frontdoor_streams_open", door=door) + sum(ended.values())


def agrees(seen: Scraped, door: dict[str, Any]) -> None:
    """It says what the door's part of the status says."""
    name, ledger = door["name"], door["streams"]
    adds_up(seen, name)
    assert seen.value("frontdoor_streams_accepted_total", door=name) == ledger["accepted"]
    ended = seen.values("frontdoor_streams_ended_total", door=name)
    assert {reason: count for (reason,), count in ended.items() if count} == ledger["ended"]
    assert {g["id"] for g in door["generations"]} == {
        id_ for id_, _ in seen.values("frontdoor_generation_streams_open", door=name)
    }
    for generation in door["generations"]:
        of = {"door": name, "generation": generation["id"], "version": generation["version"]}
        assert seen.value("frontdoor_generation_streams_open", **of) == generation["streams"]["open"]
        assert seen.value("frontdoor_generation_streams_total", **of) == generation["streams"]["total"]
        assert seen.value("frontdoor_dial_duration_seconds_count", **of) == generation["streams"]["total"]
        for direction in ("up", "down"):
            moved = seen.value("frontdoor_stream_bytes_total", direction=direction, **of)
            assert moved == generation["bytes"][direction]
        ((state, since),) = seen.values("frontdoor_generation_state_timestamp_seconds", **of).items()
        assert state == (generation["state"],)
        assert since > 1.7e9
        assert seen.value("frontdoor_generations", door=name, state=generation["state"]) >= 1


def test_a_scrape_says_what_status_says(only: Only) -> None:
    door = only()
    stays, leaves = door.connect(), door.connect()
    assert stays.ask("some bytes") == "some bytes"
    assert leaves.generation == "v1#1"
    leaves.close()
    door.swap("v2")
    new = door.connect()
    assert new.generation == "v2#2"
    until(lambda: door.status()["streams"]["open"] == 2, "the one who left has left")

    seen = scrape(door.frontdoor)
    agrees(seen, door.status())
    of_door = {"door": door.name}
    assert seen.value("frontdoor_door_up", **of_door) == 1
    assert seen.values("frontdoor_swaps_total", **of_door) == {
        ("aborted",): 0,
        ("failed",): 0,
        ("rolled_back",): 0,
        ("switched",): 1,
        ("vetoed",): 0,
    }
    assert seen.value("frontdoor_swap_duration_seconds_count", outcome="switched", **of_door) == 1
    assert seen.value("frontdoor_ready_duration_seconds_count", **of_door) == 2, "v1#1 and v2#2"
    old = {"generation": "v1#1", "version": "v1", **of_door}
    assert seen.value("frontdoor_drain_streams", **old) == 1
    assert 3500 < seen.value("frontdoor_drain_remaining_seconds", **old) <= 3600
    assert seen.value("frontdoor_stream_age_seconds_bucket", le="+Inf", **old) == 1
    assert seen.value("process_open_fds") < seen.value("process_max_fds")


def test_the_sums_agree_in_every_scrape_while_clients_come_and_go(only: Only) -> None:
    door = only()
    scrapes = []
    with Crowd(tcp(door.address), rate=100) as crowd:
        crowd.goes_on()
        for version in ("v2", "v3"):
            door.swap(version)
            scrapes += [scrape(door.frontdoor) for _ in range(10)]
            crowd.goes_on()
    for seen in scrapes:
        adds_up(seen, door.name)
    totals = [seen.value("frontdoor_streams_accepted_total", door=door.name) for seen in scrapes]
    assert totals == sorted(totals)
    assert totals[0] < totals[-1]


def test_old_generations_leave(only: Only) -> None:
    door = only()
    for number in range(2, 9):
        door.swap(f"v{number}")
    until(lambda: door.state("v7#7") == "stopped", "the last but one has ended")
    there = {
        id_ for id_, _ in scrape(door.frontdoor).values("frontdoor_stream_bytes_total", door=door.name, direction="up")
    }
    assert there == {f"v{number}#{number}" for number in range(3, 9)}, "five that have ended, and the active one"
    agrees(scrape(door.frontdoor), door.status())


def test_what_becomes_of_swaps_is_counted(only: Only) -> None:
    bad = {"command": greeter("--exit", "3")}
    door = only(backends={"bad": bad}, swap={"keep_warm": "1m"})
    failed = door.run("swap", "bad")
    assert failed.returncode == 4
    door.swap("v2")
    door.rollback()
    until(lambda: not door.status()["swap"], "nothing is under way")
    seen = scrape(door.frontdoor)
    swaps = seen.values("frontdoor_swaps_total", door=door.name)
    assert (swaps["failed",], swaps["switched",], swaps["rolled_back",]) == (1, 2, 0), "a rollback is a switch, too"
    assert seen.value("frontdoor_generations", door=door.name, state="failed") == 1


def test_a_crash_of_a_backend_is_counted(only: Only) -> None:
    door = only()
    client = door.connect()
    client.say("exit 9")
    assert client.hear() == "" or client.hear() == ""
    until(lambda: door.generation("v1#1")["processes"][0]["restarts"] == 1, "it was started again")
    seen, of = scrape(door.frontdoor), {"door": door.name, "generation": "v1#1"}
    assert seen.value("frontdoor_backend_crashes_total", **of) == 1
    assert seen.value("frontdoor_backend_restarts_total", **of) == 1


def test_the_format_is_the_one_that_is_asked_for(only: Only) -> None:
    frontdoor = only().frontdoor
    plain, open_ = scrape(frontdoor), scrape(frontdoor, OPENMETRICS)
    assert plain.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert open_.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert open_.text.endswith("\n# EOF\n")
    assert "EOF" not in plain.text
    assert open_.text.count("# EOF") == 1
    assert {family.name for family in open_.families} <= {family.name for family in plain.families}
    assert scrape(frontdoor, "application/openmetrics-text;version=nonsense").content_type == plain.content_type


def test_each_family_has_one_head(only: Only) -> None:
    for accept in ("", OPENMETRICS):
        heads = [line for line in scrape(only().frontdoor, accept).text.splitlines() if line.startswith("# TYPE")]
        assert len(heads) == len(set(heads)) > 40


def test_the_ledger_and_the_dials_live_through_a_crash_and_the_swaps_begin_anew(serve: Serve) -> None:
    door = serve()
    clients = [door.connect() for _ in range(3)]
    assert {client.generation for client in clients} == {"v1#1"}
    door.swap("v2")
    until(lambda: scrape(door).value("frontdoor_vault_streams") == 3, "they are protected")
    before = scrape(door)
    killed = door.status()["door_pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in door.processes(), "it is dead")
    until(lambda: door._serves(), "another one serves")
    after = scrape(door)
    adds_up(after, "main")
    for sample in ("frontdoor_streams_accepted_total", "frontdoor_streams_open"):
        assert after.value(sample, door="main") == before.value(sample, door="main") == 3
    old = {"door": "main", "generation": "v1#1", "version": "v1"}
    assert after.value("frontdoor_dial_duration_seconds_count", **old) == 3
    assert after.value("frontdoor_swaps_total", door="main", outcome="switched") == 0
    assert before.value("frontdoor_swaps_total", door="main", outcome="switched") == 1
    assert after.value("process_start_time_seconds") > before.value("process_start_time_seconds")


# -- what it costs -----------------------------------------------------------------------------------------------------

STREAMS = 9000
ROUNDS = 3
WINDOWS = 3
WINDOW = 0.4  # seconds

SCRAPE = 0.050
STALL = 0.020
"""Seconds that they may take."""


@pytest.fixture
def crowded() -> Iterator[tuple[Served, Loop]]:
    """A frontdoor with nine thousand open streams, half of which drain; and a loop for those who measure."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with served() as door, ExitStack() as stack:
            loop = stack.enter_context(closing(Loop()))
            room = ask(door.control, "/v1/status")["doors"][0]["limit"]["connections"]
            assert room > STREAMS, f"with {hard} descriptors only {room} streams fit: raise the limit (ulimit -n 20000)"
            for number in range(STREAMS):
                stack.enter_context(silent(door.port))
                if number == STREAMS // 2:
                    swap = Order(loop, door.control, "/v1/doors/main/swap", {"version": "v2"})
                    assert loop.run(20.0, lambda order=swap: order.ended)  # type: ignore[misc]  # a lambda's default
            yield door, loop
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.alone
def test_a_scrape_with_thousands_of_streams_is_quick_and_stalls_nobody(crowded: tuple[Served, Loop]) -> None:
    """Interleaved: with scrapes one after the other, and without, in turn. One hiccup of the machine does not count."""
    door, loop = crowded
    took: list[float] = []
    calm: list[float] = []
    stalls: list[float] = []
    with closing(Echo(loop, door.port, door.socket_of(2))) as echo:
        loop.run(2.0)  # until all of them are in the vault
        for _ in range(ROUNDS):
            calm += [echo.window(WINDOW).beyond for _ in range(WINDOWS)]
            with closing(Repeated(loop, door.control, "/metrics")) as scrapes:
                stalls += [echo.window(WINDOW).beyond for _ in range(WINDOWS)]
                took += scrapes.times
    as_prometheus = []
    for _ in range(10):
        began = time.perf_counter()
        seen = scrape_at(door.control, OPENMETRICS)
        as_prometheus.append(time.perf_counter() - began)
    assert seen.value("frontdoor_streams_open", door="main") == STREAMS
    assert seen.value("frontdoor_drain_streams", door="main", generation="v1#1", version="v1") > STREAMS / 3
    print(
        f"{STREAMS} streams, {len(took)} scrapes: {in_ms(took)}; as Prometheus asks: {in_ms(as_prometheus)};"
        f" the longest round trip of a client in {WINDOW:g} s, beyond that without the door: {in_ms(stalls)},"
        f" with no scrape {in_ms(calm)}"
    )
    assert statistics.median(took) < SCRAPE
    assert statistics.median(as_prometheus) < SCRAPE
    assert statistics.median(stalls) < STALL


def in_ms(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds) * 1e3:.1f} ms, at the most {max(seconds) * 1e3:.1f} ms"
