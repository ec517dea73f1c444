"""The signals of `serve`."""

import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from e2e.harness import Frontdoor, greeter, until

Serve = Callable[..., Frontdoor]


def is_refused(door: Frontdoor) -> bool:
    try:
        socket.create_connection(door.address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_waits_for_the_last_stream(serve: Serve, number: signal.Signals) -> None:
    door = serve()
    one, other = door.connect(), door.connect()
    assert (one.generation, other.generation) == ("v1#1", "v1#1")

    door.signal(number)
    assert door.logs("door.stopping")["streams"] == 2
    until(lambda: is_refused(door), "who comes now is refused")
    assert one.ask("still there?") == "still there?"
    one.close()
    assert other.ask("and you?") == "and you?"
    assert door.printed("v1#1") == []
    refused = door.run("swap", "v2")
    assert refused.returncode == 1
    assert "frontdoor is stopping" in refused.stderr
    other.close()
    assert door.ends() == 0
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]
    assert door.messages == []


def test_who_is_in_the_backlog_when_the_stop_comes_is_served(serve: Serve) -> None:
    door = serve()
    assert door.connect().generation == "v1#1"
    door_process = door.status()["door_pid"]
    os.kill(door_process, signal.SIGSTOP)
    queued = [door.connect() for _ in range(5)]  # by the kernel: nobody has accepted them
    door.signal(signal.SIGTERM)
    os.kill(door_process, signal.SIGCONT)
    door.logs("door.stopping")
    assert {client.ask("served?") for client in queued} == {"served?"}


def test_who_is_in_the_backlog_beyond_the_limit_is_served_too(serve: Serve) -> None:
    door = serve(limits={"connections": 1})
    inside = door.connect()
    assert inside.generation == "v1#1"
    waiting = door.connect()
    door.logs("limit.reached")
    door.signal(signal.SIGTERM)
    door.logs("door.stopping")
    inside.close()
    assert waiting.generation == "v1#1"


def test_a_second_stop_is_at_once(serve: Serve) -> None:
    door = serve()
    client = door.connect()
    assert client.generation == "v1#1"
    door.signal(signal.SIGTERM)
    door.logs("door.stopping")
    began = time.monotonic()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    assert time.monotonic() - began < 6
    assert client.hear() == ""


def test_a_third_stop_ends_even_who_ignores_everything(serve: Serve) -> None:
    door = serve(backends={"*": {"command": greeter("--ignore-sigterm"), "stop_timeout": "never"}})
    door.signal(signal.SIGTERM)
    door.logs("output", line="stop signal with 0 streams open")
    door.signal(signal.SIGINT)
    door.signal(signal.SIGTERM)
    assert door.ends() == 1
    assert door.messages == ["frontdoor: stopped three times: everything is ended now"]


def test_streams_that_outlast_the_shutdown_are_closed_at_its_end(serve: Serve) -> None:
    door = serve(drain={"shutdown_timeout": "800ms"})
    clients = [door.connect() for _ in range(3)]
    assert {client.generation for client in clients} == {"v1#1"}
    began = time.monotonic()
    door.signal(signal.SIGTERM)
    door.logs("door.stopping")
    assert {client.ask("still there?") for client in clients} == {"still there?"}
    assert [client.hear() for client in clients] == ["", "", ""]
    assert time.monotonic() - began > 0.7
    ledger = door.last_ledger()
    assert door.ends() == 0
    assert (ledger["accepted"], ledger["open"], ledger["ended"]) == (3, 0, {"shutdown": 3})
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]


def test_sighup_is_a_new_generation_of_the_active_version(anew: Serve) -> None:
    door = anew()
    old = door.connect()
    assert old.generation == "v1#1"
    door.signal(signal.SIGHUP)
    door.logs("swap.switched", to="v1#2")
    assert door.connect().generation == "v1#2"
    assert old.ask("still there?") == "still there?"


def test_sighup_in_the_middle_of_a_swap_follows_it(anew: Serve) -> None:
    door = anew(backends={"v2": {"command": greeter("--wait-for", "go")}})
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    door.signal(signal.SIGHUP)
    door.signal(signal.SIGHUP)
    door.logs("restart.waits")
    door.touch("go")
    assert swap.ended().returncode == 0
    door.logs("swap.switched", to="v2#3")
    assert door.connect().generation == "v2#3"


def test_sighup_with_a_broken_config_changes_nothing(anew: Serve) -> None:
    door = anew()
    door.write("listen = 3")
    door.signal(signal.SIGHUP)
    door.logs("restart.refused")
    assert door.connect().generation == "v1#1"


def test_sigusr1_where_there_is_no_log_file_to_reopen(anew: Serve) -> None:
    door = anew()
    client = door.connect()
    door.signal(signal.SIGUSR1)
    assert door.logs("log.reopened")["doors"] == []
    assert client.ask("still there?") == "still there?"


def test_a_stop_in_the_middle_of_a_swap_aborts_it(serve: Serve) -> None:
    door = serve(backends={"v2": {"command": greeter("--wait-for", "go")}})
    client = door.connect()
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    assert client.generation == "v1#1"
    door.signal(signal.SIGTERM)
    ended = swap.ended()
    assert ended.returncode == 1, "nobody has pressed Ctrl-C here"
    assert ended.stderr.splitlines()[-1] == (
        "frontdoor: the swap to v2#2 was aborted by the stop of frontdoor before the switch; frontdoor is being stopped"
    )
    assert client.ask("still there?") == "still there?"
    client.close()
    assert door.ends() == 0


def test_a_stop_before_anything_serves(prepare: Serve) -> None:
    door = prepare(backends={"v1": {"command": greeter("--wait-for", "never")}}).launch()
    door.logs("backend.starting")
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    assert door.messages == ["frontdoor: stopped before anything served"]


def test_the_verb_stop(serve: Serve) -> None:
    door = serve()
    client = door.connect()
    assert client.generation == "v1#1"
    stop = door.begin("stop")
    stop.shows("waiting for 1 stream")
    client.close()
    assert stop.ended().returncode == 0
    assert door.ends() == 0


def test_the_verb_stop_now(serve: Serve) -> None:
    door = serve()
    client = door.connect()
    assert client.generation == "v1#1"
    assert door.run("stop", "--now").returncode == 0
    assert door.ends() == 0
    assert client.hear() == ""
