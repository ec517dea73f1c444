"""A process is told that its generation drains: by a signal, or by a request on its socket."""

from __future__ import annotations

import errno
import json
import os
import signal

import pytest
import trio

from frontdoor.config import DrainNotify
from frontdoor.keeper.link import Refused
from frontdoor.policy import backoff
from frontdoor.processes.backend import Backend
from frontdoor.processes.member import Member
from frontdoor.processes.notice import give
from processes.house import House, until

USR1 = DrainNotify("signal", "SIGUSR1")
POST = DrainNotify("http", "/drain")
DRAINS = {"event": "drain.started", "door": "main", "version": "v1", "generation": "v1#1", "to": "v2#2"}


async def ready(house: House, *acts: str, **settings: str) -> tuple[Backend, Member]:
    backend = house.start(*acts, **settings)
    await house.ready(backend)
    (member,) = backend.processes
    return backend, member


# -- by a signal --------------------------------------------------------------------------------------------------


async def test_its_main_process_gets_the_signal_and_goes_on(house: House) -> None:
    backend, member = await ready(house, "hear:SIGUSR1", "helper", "listen", "wait", "wait", "wait")
    for number in (1, 2):
        assert await give(member, USR1, 5.0, DRAINS) == ""
        assert await house.line(backend, number) == f"heard {signal.SIGUSR1:d}"
    assert len(backend.ring) == 3, "and what else is in its group gets none"
    assert (backend.alive(), backend.generation.conduct.crashes) == (True, 0)


async def test_one_that_is_starting_gets_none_since_it_may_not_know_the_signal_yet(house: House) -> None:
    fifo = house.fifo()
    backend = house.start(f"read:{fifo}", "listen", "wait")
    (member,) = backend.processes
    await until(lambda: member.pid)
    assert await give(member, USR1, 5.0, DRAINS) == "it is not up"
    os.kill(member.pid, 0)
    backend.stop()
    await house.ended(backend)


async def test_one_that_has_crashed_gets_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST", 1000.0)
    backend, member = await ready(house, "listen", "wait")
    os.kill(member.pid, signal.SIGKILL)
    await house.said("backend.restarting")
    assert await give(member, USR1, 5.0, DRAINS) == "it is not up"
    member.seat.up = True  # nobody has heard of its end yet
    assert await give(member, USR1, 5.0, DRAINS) == "it does not run"
    backend.stop()
    await house.ended(backend)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (
            Refused(errno.EPERM, "Operation not permitted"),
            "SIGUSR1 could not be sent to it: it runs as a user whom the keeper may not signal",
        ),
        (
            Refused(errno.ENOSYS, "the keeper runs the code of an earlier version, which knows no 'tell'"),
            "SIGUSR1 could not be sent to it: the keeper runs the code of an earlier version, which knows no 'tell'",
        ),
    ],
)
async def test_why_the_keeper_does_not_send_it(
    house: House, monkeypatch: pytest.MonkeyPatch, refused: Refused, why: str
) -> None:
    _, member = await ready(house, "listen", "wait")

    async def tell(number: int) -> bool:
        raise refused

    monkeypatch.setattr(member, "tell", tell)
    assert await give(member, USR1, 5.0, DRAINS) == why


# -- by a request -------------------------------------------------------------------------------------------------

YES = r"HTTP/1.1 204 No\r\n\r\n"


async def test_a_request_has_the_event_as_its_body(house: House) -> None:
    backend, member = await ready(house, "listen", f"repeat:{YES}", backend='proxy_protocol = "v1"')
    assert await give(member, POST, 5.0, DRAINS) == ""
    await until(lambda: any(line.startswith("{") for line in backend.ring.last(20)))
    greeting, request, *headers, body = [line for line in backend.ring.last(20) if line]
    assert greeting == "PROXY UNKNOWN", "it is frontdoor itself"
    assert request == "POST /drain HTTP/1.1"
    assert {"Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"} <= set(headers)
    assert json.loads(body) == DRAINS


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (r"HTTP/1.1 503 No\r\n\r\n", "POST /drain was answered with 503"),
        (r"HTTP/1.1 302 Go\r\nLocation: /\r\n\r\n", "POST /drain was answered with 302"),
        ("", "the connection was closed before POST /drain was answered"),
        (r"never mind\r\n\r\n", "POST /drain was answered with something that is not HTTP (illegal status line"),
    ],
)
async def test_what_is_no_yes_is_said(house: House, answer: str, why: str) -> None:
    _, member = await ready(house, "listen", f"serve:{answer}")
    assert (await give(member, POST, 5.0, DRAINS)).startswith(why)


async def test_one_that_does_not_answer_is_not_waited_for(house: House) -> None:
    _, member = await ready(house, "listen", "wait")
    with trio.fail_after(3):
        assert await give(member, POST, 0.05, DRAINS) == "POST /drain was not answered within 0.05 s"


async def test_one_that_has_no_socket_any_more(house: House) -> None:
    _, member = await ready(house, "listen", "wait")
    os.unlink(member.seat.address)
    why = await give(member, POST, 5.0, DRAINS)
    assert why == f"it has not made its socket yet ({member.seat.address})"


async def test_somebody_else_s_app_can_be_told_by_a_request_alone(house: House) -> None:
    mine, _ = await ready(house, "listen", f"serve:{YES}")
    os.symlink(mine.processes[0].seat.address, f"{house.folder}/app.sock")
    backend = house.start(backend='socket = "app.sock"')
    await house.ready(backend)
    (member,) = backend.processes
    assert await give(member, POST, 5.0, DRAINS) == ""
    assert await give(member, USR1, 5.0, DRAINS) == "it does not run", "the config says so before it comes to that"
