"""Many swaps of an http door under load: no request fails, and none goes to the old version once a swap is over."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import trio

from e2e.harness import Frontdoor, until
from e2e.swarm import ROOT, Outcome, swaps_under_load
from e2e.wire import Backend, Wire, get, http_door
from load import Clients, table

Serve = Callable[..., Frontdoor]

QUICK = ["{python}", "-I", "-S", os.path.join(ROOT, "scripts", "load", "quick.py")]
"""It prints, at its stop signal, how many connections are open: none may be."""

SWAPS = 100 if os.environ.get("FRONTDOOR_LONG") else 20
CLIENTS = Clients(websockets=10, staying=4, new=2, keep_alive=24, upload=2)
BEHIND_NGINX = Clients(websockets=0, new=4, keep_alive=24, upload=2)
PACE = 0.05
NGINX = shutil.which("nginx")


def quick_door(serve: Serve) -> Frontdoor:
    return serve(
        protocol="http",
        backends={"*": {"command": QUICK}},
        drain={"timeout": "never"},
        swap={"max_generations": SWAPS + 1},
    )


def versions(count: int) -> tuple[str, ...]:
    return tuple(itertools.islice(itertools.cycle(("v2", "v1")), count))


def figures(outcome: Outcome) -> str:
    total, swaps = outcome.result.total, sorted(outcome.swaps)
    return (
        f"{len(swaps)} swaps in {outcome.seconds:.1f} s under {total.rounds} requests and rounds on {total.connections}"
        f" connections; a swap took {swaps[len(swaps) // 2]:.2f} s (median), {swaps[-1]:.2f} s at the most;"
        f" {outcome.result.failed} failures"
    )


def nothing_was_lost(door: Frontdoor, outcome: Outcome) -> None:
    print(figures(outcome))
    assert outcome.result.ok, f"a client saw what it must not see:\n{table(outcome.result)}"
    assert len(outcome.swaps) == SWAPS
    assert len(outcome.result.generations) == SWAPS + 1, "each of them served"
    until(lambda: len(door.logged("generation.stopped")) == SWAPS, "every generation but the last is stopped", 60)
    assert door.logged("answer.broken") == []
    assert door.logged("output") == [], "no backend was stopped with a connection open"
    ledger = until(lambda: (found := door.status()["streams"])["open"] == 0 and found, "all have left")
    assert ledger["accepted"] == sum(ledger["ended"].values())


@pytest.mark.long
def test_many_swaps_under_clients_that_keep_their_connections(anew: Serve) -> None:
    door = quick_door(anew)
    outcome = trio.run(lambda: swaps_under_load(door, CLIENTS, versions(SWAPS), pace=PACE, per_request=True))
    nothing_was_lost(door, outcome)
    stayed = [row for row in outcome.result.clients if row.client.startswith("ws-stays")]
    assert {tuple(row.generations.items()) for row in stayed} == {(("v1#1", 1),)}, "a WebSocket is never moved"
    ended = door.status()["streams"]["ended"]
    assert ended["answered"] > sum(row.rounds for row in outcome.result.clients if row.kind == "keep-alive")


@pytest.mark.skipif(NGINX is None, reason="no nginx here: apt-get install nginx")
def test_many_swaps_behind_a_load_balancer_that_keeps_its_connections(anew: Serve) -> None:
    door = quick_door(anew)
    with nginx(door) as address:
        outcome = trio.run(
            lambda: swaps_under_load(door, BEHIND_NGINX, versions(SWAPS), pace=PACE, per_request=True, address=address)
        )
        nothing_was_lost(door, outcome)


@contextlib.contextmanager
def nginx(door: Frontdoor) -> Iterator[str]:
    """An nginx in front of that door which keeps connections to it, and never asks a second time; its address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    host, behind = door.address
    door.write(NGINX_CONF.format(folder=door.folder, port=port, backend=f"{host}:{behind}"), "nginx.conf")
    assert NGINX is not None
    process = subprocess.Popen(
        [NGINX, "-c", door.path("nginx.conf"), "-p", door.folder], stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        until(lambda: _listens(port), "nginx listens")
        yield f"127.0.0.1:{port}"
        with open(door.path("nginx.errors")) as file:
            assert file.read() == "", "nginx has complained of frontdoor"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


NGINX_CONF = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.errors error;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/nginx.body;
  proxy_temp_path {folder}/nginx.proxy;
  fastcgi_temp_path {folder}/nginx.fastcgi;
  uwsgi_temp_path {folder}/nginx.uwsgi;
  scgi_temp_path {folder}/nginx.scgi;
  keepalive_requests 1000000;
  upstream frontdoor {{ server {backend}; keepalive 32; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://frontdoor;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream off;
      proxy_request_buffering off;
    }}
  }}
}}
"""


# -- the drain --------------------------------------------------------------------------------------------------------


def test_a_drain_takes_as_long_as_the_longest_request_though_its_client_keeps_the_connection(anew: Serve) -> None:
    door = anew(**http_door())
    backend = Backend(door)
    idle = [Wire(door.address).say(get("wait=together", "who")) for _ in range(5)]
    until(lambda: len(backend.heads("wait=together")) == 5, "five requests are under way at once")
    door.touch("together")
    for wire in idle:
        assert wire.answer().body == b"v1#1\n"
    slow = Wire(door.address).say(get("wait=go", "who"))
    until(lambda: backend.heads("wait=go"), "the slow request is there")
    assert backend.still_open() == 5, "they are kept"

    door.swap("v2")
    until(lambda: backend.still_open() == 1, "at the switch its idle connections are closed")
    assert door.generation("v1#1")["streams"]["open"] == 1
    assert door.generation("v1#1")["state"] == "draining"
    for wire in idle:
        assert wire.ask(get()).body == b"v2#2\n", "on the connection that v1 was asked on"
    began = time.monotonic()
    door.touch("go")
    assert slow.answer().body == b"v1#1\n"
    door.logs("drain.finished", generation="v1#1")
    print(f"drained {time.monotonic() - began:.3f} s after the last answer was allowed")
    assert time.monotonic() - began < 1.5
    assert slow.ask(get()).body == b"v2#2\n", "and its connection goes on"
    (drained,) = door.logged("drain.finished", generation="v1#1")
    assert drained["closed"] == 0
    for wire in (*idle, slow):
        wire.close()


def test_no_request_is_answered_by_the_old_version_after_the_swap_has_returned(anew: Serve) -> None:
    """Without a pause between two requests, on each of a few connections."""
    door = anew(**http_door())
    door.address  # noqa: B018 - asked for before the threads ask
    returned, leave = {"v1#1": 0.0}, threading.Event()
    answers: list[tuple[float, str]] = []
    failures: list[str] = []

    def client() -> None:
        try:
            with Wire(door.address) as wire:
                while not leave.is_set():
                    sent = time.monotonic()
                    answers.append((sent, wire.ask(get()).body.decode().strip()))
        except (OSError, AssertionError) as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in versions(5):
        generation = door.swap(version).split()[0]
        returned[generation] = time.monotonic()
        met = len(answers)
        until(lambda met=met: len(answers) > met + 50, "they go on")  # type: ignore[misc]
    leave.set()
    for thread in threads:
        thread.join()
    assert failures == []
    order = list(returned)
    for sent, by in answers:
        known = [each for each in order if returned[each] <= sent]
        assert order.index(by) >= len(known) - 1, f"{by} answered what was asked after {known[-1]} was switched to"
    assert {by for _, by in answers} == set(order)
