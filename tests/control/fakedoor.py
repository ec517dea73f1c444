"""A door that is none: an Operator whose state the test writes, on a real control socket."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio

from frontdoor.control import api, server
from frontdoor.control.events import Bus
from frontdoor.control.feed import Event, Feed, Follower, timestamp
from frontdoor.control.operation import Operation
from frontdoor.control.operator import NOT_FOUND, Refused
from frontdoor.policy.canary import Plan


class FakeDoor:
    """Does what `frontdoor.door` will: a swap is started and then goes as the test tells it."""

    def __init__(self, doors: tuple[str, ...] = ("main",), pid: int = 4711) -> None:
        self.bus = Bus()
        self.outputs = Feed(history=0)
        self.lively = Feed(history=0)
        self.printed: list[Event] = []
        self.doors = doors
        self.closing: tuple[str, ...] = ()
        self.pid = pid
        self.operations: dict[int, Operation] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.is_healthy = True
        self.started = trio.Event()  # a swap was asked for
        self.promoted = trio.Event()
        self.aborted = trio.Event()
        self.stopped = trio.Event()
        self.state = status(doors, pid)
        self.open_streams: list[dict[str, Any]] = []
        self.slice = 50
        self.reported: list[int] = [1, 2]  # swaps that there are reports of
        self.problems: list[str] = []  # of the config that a reload would read
        self.reloading = Operation(0)
        self.upgrades: dict[int, Operation] = {}

    async def status(self) -> dict[str, Any]:
        return self.state

    def live(self) -> AbstractAsyncContextManager[Follower]:
        return self.lively.follow(past=[{"event": "live.past", "time": timestamp(), "samples": [], "events": []}])

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        self.calls.append(("metrics", accept))
        return b"frontdoor_uptime_seconds 12.5\n", "text/plain; version=0.0.4; charset=utf-8"

    async def reports(self, door: str) -> list[dict[str, Any]]:
        self.calls.append(("reports", door))
        return [summary(number) for number in reversed(self.reported)]

    async def report(self, door: str, number: int | None, form: str) -> tuple[bytes, str]:
        self.calls.append(("report", door, number, form))
        there = self.reported[-1] if number is None and self.reported else number
        if there not in self.reported:
            raise Refused(1, f"there is no report of swap {number} of the door {door}: there is 1", status=NOT_FOUND)
        if form == "svg":
            return b"<svg xmlns='http://www.w3.org/2000/svg'/>\n", "image/svg+xml"
        if form == "text":
            return f"Swap {there} of the door {door}: v1#1 → v2#2, switched\n".encode(), "text/plain; charset=utf-8"
        return json.dumps(summary(there)).encode(), "application/json"

    def healthy(self) -> bool:
        return self.is_healthy

    def streams(self, door: str | None, version: str | None) -> Iterable[list[dict[str, Any]]]:
        self.calls.append(("streams", door, version))
        there, size = self.open_streams, self.slice
        slices = (there[start : start + size] for start in range(0, len(there), size))
        return ([dict(s) for s in some if version in (None, s["generation"])] for some in slices)

    def prints(self, line: str, generation: str = "v2#2", door: str | None = None, **fields: Any) -> Event:
        """One of its backends prints a line."""
        version = generation.partition("#")[0]
        said: Event = {"time": timestamp(), "door": door or self.doors[0], "version": version}
        said |= {"generation": generation, "pid": 4720, "line": line, **fields}
        self.printed.append(said)
        self.outputs.add(said)
        return said

    def logs(self, door: str | None, version: str | None, history: int) -> list[dict[str, Any]]:
        self.calls.append(("logs", door, version, history))
        if version == "v9":
            raise Refused(2, "no generation of v9 runs: there is v1#1, v2#2", status=NOT_FOUND)
        lines = [line for line in self.printed if version in (None, line["version"], line["generation"])]
        lines = [line for line in lines if door in (None, line["door"])]
        return lines[-history:] if history else []

    def swap(self, door: str, version: str, *, reuse: bool = False, canary: Plan | None = None) -> Operation:
        self.calls.append(("swap", door, version, reuse) if canary is None else ("swap", door, version, reuse, canary))
        if version == "v9":
            raise Refused(2, "there is no version v9; did you mean v2?")
        if any(not operation.finished for operation in self.operations.values()):
            raise Refused(5, "another swap of main is under way: v1#1 → v2#2", extra={"swap": 1})
        if version == "oops":
            raise RuntimeError("a mistake of the door's")
        return self.begin("v1#1", "v2#2")

    def begin(self, old: str, new: str) -> Operation:
        operation = Operation(len(self.operations) + 1)
        self.operations[operation.number] = operation
        self.say(operation, "swap.started", **{"from": old, "to": new})
        self.started.set()
        return operation

    def canary(self, door: str, share: int) -> dict[str, Any]:
        self.calls.append(("canary", door, share))
        self._has_canary()
        return {"door": door, "share": f"{share / 100:g}%", "message": f"v2#2 gets {share / 100:g}% of the new streams"}

    def promote(self, door: str) -> Operation:
        self.calls.append(("promote", door))
        operation = self._has_canary()
        self.promoted.set()
        return operation

    def _has_canary(self) -> Operation:
        """The swap whose candidate is a canary: it has reached that milestone, and no other."""
        for operation in self.operations.values():
            if operation.outcome("shared") and not operation.outcome("switched"):
                return operation
        raise Refused(1, "the door main has no canary: no swap is under way; v1#1 still serves")

    def rollback(self, door: str) -> Operation:
        self.calls.append(("rollback", door))
        if not self.state["doors"][0]["previous"]:
            raise Refused(1, "there is nothing to go back to: v2#2 is the first that serves; it still does")
        return self.begin("v2#2", "v1#1")

    def restart(self, door: str) -> Operation:
        self.calls.append(("restart", door))
        return self.begin("v2#2", "v2#3")

    def reload(self) -> Operation:
        self.calls.append(("reload",))
        if self.problems:
            problems = "\n".join(self.problems)
            raise Refused(2, f"the config is not valid, nothing of it is applied; v2#2 still serves\n{problems}")
        self.reloading = Operation(0)
        self.started.set()
        return self.reloading

    def upgrade(self) -> Operation:
        self.calls.append(("upgrade",))
        if any(not operation.finished for operation in self.upgrades.values()):
            raise Refused(5, "an upgrade of frontdoor is under way: wait until it has ended, and try again")
        operation = self.upgrades[len(self.upgrades) + 1] = Operation(len(self.upgrades) + 1, noun="upgrade")
        operation.record(self.bus.publish("upgrade.started", upgrade=operation.number, version="0.1.0"))
        self.started.set()
        return operation

    def find_upgrade(self, number: int) -> Operation:
        if number not in self.upgrades:
            raise Refused(1, f"no upgrade {number} is known", status=NOT_FOUND)
        return self.upgrades[number]

    def say(self, operation: Operation, event: str, **fields: Any) -> None:
        operation.record(self.bus.publish(event, door=self.doors[0], swap=operation.number, **fields))

    def abort(self, door: str, swap: int) -> Operation:
        self.calls.append(("abort", door, swap))
        operation = self.operation(door, swap)
        if operation.outcome("switched"):
            raise Refused(1, "it has switched already", extra={"swap": swap})
        self.say(operation, "swap.aborted", generation="v2#2")
        operation.fail("aborted", 130, "the swap was aborted; v1#1 still serves")
        self.aborted.set()
        return operation

    def operation(self, door: str, number: int) -> Operation:
        if number not in self.operations:
            raise Refused(1, f"swap {number} is not known", status=NOT_FOUND)
        return self.operations[number]

    def drain(self, door: str, version: str, *, over: float) -> dict[str, Any]:
        self.calls.append(("drain", door, version, over))
        if version == "v2":
            raise Refused(1, "v2#2 is active: only a draining generation can be drained")
        return {"generation": "v1#1", "streams": 6, "message": "closed 6 streams of v1#1"}

    async def pause(self, door: str, *, seconds: float | None = None) -> dict[str, Any]:
        self.calls.append(("pause", door) if seconds is None else ("pause", door, seconds))
        return {"door": door, "message": f"{door} is paused: clients wait in the backlog"}

    async def resume(self, door: str) -> dict[str, Any]:
        self.calls.append(("resume", door))
        return {"door": door, "message": f"{door} accepts again"}

    async def maintain(self, door: str, message: str | None, retry_after: int | None) -> dict[str, Any]:
        self.calls.append(("maintain", door, message, retry_after))
        if door == "tcp":
            raise Refused(2, 'the door tcp has protocol = "tcp": it knows of no requests')
        return {"door": door, "on": True, "message": f"the door {door} is in maintenance"}

    async def end_maintenance(self, door: str) -> dict[str, Any]:
        self.calls.append(("end_maintenance", door))
        return {"door": door, "on": False, "message": f"the door {door} is in maintenance no more"}

    def stop(self, *, now: bool) -> None:
        self.calls.append(("stop", now))
        self.stopped.set()


def summary(number: int) -> dict[str, Any]:
    """Of a report."""
    ends = {"from": f"v1#{number}", "to": f"v2#{number + 1}"}
    times = {
        "started": "2026-11-22T09:00:00.000Z",
        "switched": "2026-11-22T09:00:01.200Z",
        "ended": "2026-11-22T09:12:03.000Z",
    }
    return {"number": number, "verb": "swap", **ends, "outcome": "switched", **times, "cut": 3}


def status(doors: tuple[str, ...], pid: int) -> dict[str, Any]:
    """The contract's sample, filled in."""
    generations = [
        {
            "id": "v2#2",
            "version": "v2",
            "generation": 2,
            "state": "active",
            "since": "2026-11-22T09:00:00Z",
            "streams": {"open": 3, "total": 10},
            "bytes": {"up": 1000, "down": 90000},
            "processes": [{"pid": 4720, "state": "up", "restarts": 0, "socket": "run/g2/0.sock"}],
            "warm_for_s": None,
        },
        {
            "id": "v1#1",
            "version": "v1",
            "generation": 1,
            "state": "draining",
            "since": "2026-11-22T08:00:00Z",
            "streams": {"open": 6, "total": 110},
            "bytes": {"up": 1000, "down": 90000},
            "oldest": {"client": "127.0.0.1:50000", "age_s": 3600.0},
            "processes": [{"pid": 4719, "state": "up", "restarts": 2, "socket": "run/g1/0.sock"}],
            "warm_for_s": None,
        },
    ]
    return {
        "frontdoor": "0.1.0",
        "pid": pid,
        "uptime_s": 12.5,
        "doors": [
            {
                "name": name,
                "listen": ["127.0.0.1:8080"],
                "protocol": "tcp",
                "active": "v2#2",
                "paused": False,
                "previous": "v1#1",
                "versions": ["v1", "v2", "v3"],
                "swap": None,
                "streams": {
                    "accepted": 120,
                    "open": 9,
                    "ended": {"client_closed": 80, "backend_closed": 30, "drain_closed": 1},
                },
                "generations": generations,
            }
            for name in doors
        ],
    }


@asynccontextmanager
async def control_socket(
    door: FakeDoor, path: str, errors: list[Exception] | None = None
) -> AsyncIterator[server.Server]:
    """Serve `door` at `path`, as the door process does."""
    with open_listener(path) as listener:
        async with door_process(door, listener, errors) as running:
            yield running


def open_listener(path: str) -> socket.socket:
    """Open the control socket, as the keeper does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(512)
    listener.setblocking(False)
    return listener


@asynccontextmanager
async def door_process(
    door: FakeDoor, listener: socket.socket, errors: list[Exception] | None = None
) -> AsyncIterator[server.Server]:
    """Serve `door` on a listener that may live longer."""
    running = server.Server(api.app(door), listener, ([] if errors is None else errors).append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.run)
        yield running
        nursery.cancel_scope.cancel()


async def ask(path: str, request: bytes) -> bytes:
    """Send `request` as it is, and return all that comes until the server closes."""
    stream = await trio.open_unix_socket(path)
    async with stream:
        await stream.send_all(request)
        answer = b""
        with trio.fail_after(10):
            async for data in stream:
                answer += data
    return answer


async def get(path: str, target: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """Return status and JSON of one call; of a stream of lines, a list."""
    payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: frontdoor\r\nConnection: close\r\nContent-Length: {len(payload)}"
    answer = await ask(path, head.encode() + b"\r\n\r\n" + payload)
    return parse(answer)


def parse(answer: bytes) -> tuple[int, Any]:
    import h11

    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    client.receive_data(b"")
    response, body = client.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    lines = [json.loads(line) for line in body.splitlines()]
    kind = dict(response.headers)[b"content-type"]
    assert kind in (b"application/json", b"application/x-ndjson")
    return response.status_code, lines if kind == b"application/x-ndjson" else lines[0]


async def until(condition: Any, what: str) -> None:
    """Wait until `condition()` holds."""
    with trio.move_on_after(10):
        while not condition():
            await trio.sleep(0.01)
        return
    raise AssertionError(f"in vain: {what}")
