"""How an old version's streams end, when they do not end by themselves."""

import itertools
import time
from collections.abc import Callable

import pytest

from e2e.crowded import come_of_age, kill_9
from e2e.doors import OneDoor
from e2e.harness import Client, Frontdoor, until

Serve = Callable[..., Frontdoor]
Only = Callable[..., OneDoor]


def ends_of(clients: list[Client]) -> list[float]:
    """Wait until all have ended; the seconds after the first look at which each was seen to."""
    began = time.monotonic()
    ends: dict[int, float] = {}

    def all_ended() -> bool:
        for number, client in enumerate(clients):
            if number not in ends and client.has_ended():
                ends[number] = time.monotonic() - began
        return len(ends) == len(clients)

    until(all_ended, f"all {len(clients)} end")
    return sorted(ends.values())


def opened(door: Frontdoor, count: int) -> list[Client]:
    clients = [door.connect() for _ in range(count)]
    assert {client.generation for client in clients} == {"v1#1"}
    return clients


def test_the_last_part_of_the_drain_closes_evenly_and_swap_says_6(serve: Serve) -> None:
    door = serve(drain={"timeout": "2500ms", "close_over": "1500ms"})
    clients = opened(door, 10)
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 10 streams")

    ends = ends_of(clients)
    assert ends[0] > 0.7, "nobody is closed in the first second"
    assert ends[-1] < 4.0
    assert ends[-1] - ends[0] > 0.9, f"not in one instant: {ends}"
    assert max(later - earlier for earlier, later in itertools.pairwise(ends)) < 0.8, f"evenly: {ends}"
    ended = swap.ended()
    assert ended.returncode == 6
    assert "v2#2 is active; 10 streams of v1#1 had to be closed" in ended.stderr
    until(lambda: door.status()["streams"]["ended"].get("drain_closed") == 10, "the ledger says why")


def test_streams_that_end_in_time_need_no_closing(serve: Serve) -> None:
    door = serve(drain={"timeout": "5m", "close_over": "1m"})
    (client,) = opened(door, 1)
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining")
    assert client.ask("bye") == "bye"
    client.close()
    assert swap.ended().returncode == 0
    assert door.status()["streams"]["ended"] == {"client_closed": 1}


def test_never_is_a_deadline_too(serve: Serve) -> None:
    door = serve(drain={"timeout": "never"})
    (client,) = opened(door, 1)
    door.swap("v2")
    assert door.generation("v1#1")["drain"] == {"closed": 0, "waits": None, "closes_from_s": None, "deadline_s": None}
    assert client.ask("still there?") == "still there?"


def test_drain_now(serve: Serve) -> None:
    door = serve()
    old = opened(door, 3)
    swap = door.begin("swap", "v2", "--wait", "drained")
    swap.shows("v1#1 draining with 3 streams")
    new = door.connect()
    assert new.generation == "v2#2"

    drained = door.run("drain", "v1", "--now")
    assert (drained.returncode, drained.stdout) == (0, "v1#1: 3 streams are being closed now\n")
    ends_of(old)
    assert swap.ended().returncode == 6
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]
    assert new.ask("and you?") == "and you?"


def test_drain_over_some_time(serve: Serve) -> None:
    door = serve()
    old = opened(door, 6)
    door.swap("v2")
    drained = door.run("drain", "v1#1", "--over", "1200ms")
    assert (drained.returncode, drained.stdout) == (0, "v1#1: 6 streams are being closed over 1.2 s\n")
    ends = ends_of(old)
    assert ends[-1] - ends[0] > 0.5, f"not in one instant: {ends}"


# -- a probation, and a crash of the door process ---------------------------------------------------------------------

SHORT = {"timeout": "600ms", "close_over": "400ms"}


def test_no_stream_is_closed_before_the_end_of_the_probation_and_then_there_is_as_much_time(serve: Serve) -> None:
    door = serve(drain=SHORT, swap={"bake": "2500ms"})
    clients = opened(door, 8)
    come_of_age()
    swap = door.begin("swap", "v2", "--wait", "drained")
    waits = door.logs("drain.waits", generation="v1#1")
    assert (waits["reason"], waits["streams"]) == ("the probation of the new generation", 8)
    assert door.generation("v1#1")["drain"]["waits"] == waits["reason"]
    kill_9(door)
    assert {client.ask("still there?") for client in clients} == {"still there?"}

    ends = ends_of(clients)
    (settled,), (resumed,) = door.logged("swap.settled"), door.logged("drain.resumed")
    assert settled["seq"] < resumed["seq"] < door.logs("drain.finished")["seq"]
    assert resumed["streams"] == 8, "all of them were there then"
    assert len(door.logged("drain.waits")) == 2, "the door process after the crash says it too"
    assert ends[-1] - ends[0] > 0.15, f"evenly, as if there had been no probation: {ends}"
    ended = swap.ended()
    assert ended.returncode == 6
    assert "8 streams of v1#1 had to be closed" in ended.stderr


def test_by_hand_and_now_is_in_a_probation_too(only: Only) -> None:
    door = only(swap={"bake": "60s"})
    clients = [door.connect() for _ in range(3)]
    assert {client.generation for client in clients} == {"v1#1"}
    door.swap("v2", wait="switched")
    door.run("drain", "v1", "--over", "100ms")
    door.logs("drain.waits", generation="v1#1")
    assert not any(client.has_ended() for client in clients)
    door.run("drain", "v1", "--now")
    ends_of(clients)
    assert door.state("v1#1") == "draining", "it stays, without a stream"
    assert door.run("rollback").returncode == 0
    assert door.connect().generation == "v1#1"


def test_now_waits_for_nothing_after_a_crash_of_the_door_process_either(serve: Serve) -> None:
    door = serve(drain={"close_grace": "1s"})
    (stays,) = opened(door, 1)
    come_of_age()
    door.swap("v2", "--wait", "switched")
    new = door.connect()
    assert new.generation == "v2#2"
    new.say("exit 3")
    door.logs("backend.exited", generation="v2#2")
    assert door.run("drain", "v1", "--now").returncode == 0
    assert stays.hear() == "", "it is told to go, and does not"
    kill_9(door)
    assert door.logged("door.restored")[0]["streams"] == 1, "and has not gone yet"
    door.logs("drain.finished", generation="v1#1")
    assert not door.logged("drain.waits"), "though there is trouble on the side of new streams"


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["v1", "--now"], 1, "nothing to drain: v1#1 is active: swap to another version first"),
        (["v9", "--now"], 2, "no generation of v9 runs: there is v1#1"),
        (["v1"], 2, "say either --now or --over a time"),
        (["v1", "--over", "10"], 2, "'10' is not a duration"),
        (["../v1", "--now"], 2, "is not the name of a version"),
    ],
)
def test_drain_of_what_does_not_drain_is_refused(
    idle_door: Frontdoor, arguments: list[str], code: int, why: str
) -> None:
    refused = idle_door.run("drain", *arguments)
    assert refused.returncode == code
    assert why in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert idle_door.connect().generation == "v1#1"
