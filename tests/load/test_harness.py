from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from load import Clients, Load, relay, table

Serving = Callable[[str], AbstractAsyncContextManager[Any]]

EVERYTHING = Clients(websockets=4, new=2, keep_alive=2, slow=1, stream=1, upload=1)
WEBSOCKETS = Clients(websockets=2, new=0, keep_alive=0)
NEW = Clients(websockets=0, new=1, keep_alive=0)
KEPT = Clients(websockets=0, new=0, keep_alive=1)
SLOW = Clients(websockets=0, new=0, keep_alive=0, slow=1)
STREAM = Clients(websockets=0, new=0, keep_alive=0, stream=1)
UPLOAD = Clients(websockets=0, new=0, keep_alive=0, upload=1)


def load(address: str, clients: Clients, **options: Any) -> Load:
    return Load(address, clients, first="v1#1", pace=0.001, **options)


async def test_a_good_server_passes(serving: Serving) -> None:
    async with serving("") as server:
        run = load(server.address, EVERYTHING)
        async with run.running():
            await run.progress(3)
    result = run.result()
    assert result.ok, result.failures
    assert set(result.generations) == {"v1#1"}
    assert {kind: counts.clients for kind, counts in result.kinds.items()} == {
        "websocket": 4,
        "new": 2,
        "keep-alive": 2,
        "slow": 1,
        "stream": 1,
        "upload": 1,
    }
    assert result.total.rounds == sum(counts.rounds for counts in result.kinds.values()) >= 33
    assert result.kinds["upload"].moved > result.kinds["upload"].rounds << 20
    stays = next(row for row in result.clients if row.client == "ws-stays-1")
    assert stays.connections == 1


@pytest.mark.parametrize(
    ("fault", "clients", "reason"),
    [
        ("loses a message", WEBSOCKETS, "lost, doubled, changed or out of order"),
        ("doubles a message", WEBSOCKETS, "lost, doubled, changed or out of order"),
        ("swaps two messages", WEBSOCKETS, "lost, doubled, changed or out of order"),
        ("changes a message", WEBSOCKETS, "lost, doubled, changed or out of order"),
        ("closes a WebSocket", WEBSOCKETS, "closed by the other side: 1012"),
        ("cuts a WebSocket", WEBSOCKETS, "closed by the other side: 1006"),
        ("cuts the handshake", WEBSOCKETS, "before the WebSocket handshake was answered"),
        ("refuses the handshake", WEBSOCKETS, "ConnectionRejected"),
        ("does not say who it is", WEBSOCKETS, "wanted JSON with version and generation"),
        ("does not say who it is", NEW, "an answer without X-Served-By"),
        ("answers 500", NEW, "status 500"),
        ("answers 500", SLOW, "status 500"),
        ("cuts the body", NEW, "without sending complete message body"),
        ("cuts the body", STREAM, "without sending complete message body"),
        ("drops a byte", STREAM, "is not what was sent"),
        ("changes a byte", STREAM, "is not what was sent"),
        ("changes a byte", UPLOAD, "the server got something else"),
        ("sends more than one answer", NEW, "came behind the answer"),
        ("wants to close", KEPT, "wants to close a connection that was to be kept"),
        ("closes a kept connection", KEPT, "closed before it was answered"),
        ("moves to another generation", KEPT, "answered by v1#1, then by v1#2"),
    ],
)
async def test_every_fault_is_noticed(serving: Serving, fault: str, clients: Clients, reason: str) -> None:
    async with serving(fault) as server:
        run = load(server.address, clients, timeout=0.5)
        async with run.running():
            await run.progress(12)
    result = run.result()
    assert not result.ok
    assert any(reason in failure.reason for failure in result.failures), result.failures
    assert result.failed == sum(row.failures for row in result.clients)


async def test_a_server_that_is_not_there_is_noticed(serving: Serving) -> None:
    async with serving("") as server:
        address = server.address
    run = load(address, EVERYTHING)
    async with run.running():
        await run.progress(3)
    assert run.result().failed >= 33
    assert len(run.result().failures) == 20, "the first twenty are kept"
    assert not any(row.rounds for row in run.result().clients)


async def test_a_ping_that_crosses_the_goodbye_is_no_failure(serving: Serving) -> None:
    async with serving("pings into the goodbye") as server:
        run = load(server.address, Clients(websockets=4, staying=0, new=0, keep_alive=0))
        async with run.running():
            await run.progress(40)
    assert run.result().ok, run.result().failures
    assert run.result().total.connections > 4


async def test_a_server_that_never_answers_is_noticed_in_time(serving: Serving) -> None:
    async with serving("loses a message") as server:
        run = load(server.address, WEBSOCKETS, timeout=0.2)
        async with run.running():
            await run.progress(8)
    assert any(failure.reason == "no answer in time" for failure in run.result().failures), run.result().failures


async def test_a_new_connection_on_the_old_generation_is_noticed(serving: Serving) -> None:
    async with serving("") as server:
        run = load(server.address, NEW)
        async with run.running():
            await run.progress()
            run.switching()
            run.switched("v1#2")  # says the door, and still sends everybody to v1#1
            await run.progress(3)
    assert any(failure.reason == "answered by v1#1, wanted v1#2" for failure in run.result().failures)


async def test_who_stays_on_the_old_generation_is_right(serving: Serving) -> None:
    async with serving("") as server:
        run = load(server.address, EVERYTHING)
        async with run.running():
            for generation in ("v1#2", "v2#3"):
                await run.progress()
                run.switching()
                server.generation = generation
                run.switched(generation)
            await run.progress(2)
    result = run.result()
    assert result.ok, result.failures
    assert set(result.generations) == {"v1#1", "v1#2", "v2#3"}


async def test_requests_that_move_at_the_switch_are_right_for_a_door_that_speaks_http(serving: Serving) -> None:
    async with serving("none: it speaks HTTP") as server:
        run = load(server.address, EVERYTHING, per_request=True)
        async with run.running():
            for generation in ("v1#2", "v2#3"):
                await run.progress()
                run.switching()
                server.generation = generation
                run.switched(generation)
            await run.progress(2)
    result = run.result()
    assert result.ok, result.failures
    assert set(result.generations) == {"v1#1", "v1#2", "v2#3"}


async def test_a_request_on_the_old_generation_is_noticed_though_its_connection_is_older(serving: Serving) -> None:
    async with serving("") as server:
        run = load(server.address, Clients(websockets=0, new=0, keep_alive=20), per_request=True)
        async with run.running():
            await run.progress()
            run.switching()
            server.generation = "v1#2"  # new connections are right
            run.switched("v1#2")
            await run.progress(3)
    assert {failure.reason for failure in run.result().failures} == {"answered by v1#1, wanted v1#2"}


@pytest.mark.parametrize("cuts", [False, True])
async def test_a_door_that_cuts_streams_at_the_switch_is_noticed_and_a_fair_one_is_not(
    serving: Serving, cuts: bool
) -> None:
    async with serving("") as v1, serving("") as v2, relay(v1.address, cuts=cuts) as door:
        v2.generation = "v2#2"
        run = load(door.address, EVERYTHING)
        async with run.running():
            await run.progress(2)
            run.switching()
            door.switch(v2.address)
            run.switched("v2#2")
            await run.progress(2)
    result = run.result()
    assert result.ok != cuts, result.failures
    assert set(result.generations) == {"v1#1", "v2#2"}
    if cuts:
        assert all(row.failures for row in result.clients if row.client.startswith("ws-stays"))


@pytest.mark.parametrize(
    ("clients", "staying"), [(Clients(3), 2), (Clients(3, staying=1), 1), (Clients(3, staying=0), 0)]
)
async def test_so_many_websockets_stay_and_the_others_move(serving: Serving, clients: Clients, staying: int) -> None:
    async with serving("") as server:
        run = load(server.address, clients)
        async with run.running():
            await run.progress()
    names = [row.client for row in run.result().clients if row.kind == "websocket"]
    assert len(names) == 3
    assert sum(name.startswith("ws-stays-") for name in names) == staying


async def test_the_same_seed_sends_the_same_things(serving: Serving) -> None:
    seen = []
    for seed in (1, 1, 2):
        async with serving("") as server:
            run = load(server.address, Clients(websockets=1, new=0, keep_alive=0), seed=seed)
            async with run.running():
                await run.progress(4)
            seen.append(server.heard[:8])
    assert seen[0] == seen[1] != seen[2]


async def test_the_table_shows_every_client_the_sum_and_the_failures(serving: Serving) -> None:
    async with serving("answers 500") as server:
        run = load(server.address, Clients(websockets=2, new=1, keep_alive=0))
        async with run.running():
            await run.progress(2)
    shown = table(run.result()).splitlines()
    assert shown[0].split() == [
        "client",
        "conns",
        "rounds",
        "messages",
        "bytes",
        "failed",
        "answered",
        "by",
        "(connections)",
    ]
    assert [line.split()[0] for line in shown[2:5]] == ["ws-stays-1", "ws-moves-1", "new-1"]
    assert shown[6].startswith("all")
    assert "v1#1: " in shown[6]
    assert "new-1: status 500" in "\n".join(shown[7:])
    assert shown[-1] == "got nothing done: new-1"
