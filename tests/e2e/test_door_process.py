"""What the door process costs, and what it must not do after its start."""

import contextlib
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable

import pytest

from e2e.harness import Frontdoor, config, greeter, until
from e2e.scraping import OPENMETRICS, scrape

Serve = Callable[..., Frontdoor]

CLK_TCK = os.sysconf("SC_CLK_TCK")

STREAMS = 1000
WATCHED_FOR = 5.0


def test_nothing_is_imported_after_the_start(prepare: Serve) -> None:
    """A virtual environment that is replaced under a running frontdoor would break what is imported late."""
    door = prepare(
        backends={"bad": {"command": greeter("--exit", "1")}, "v3": {"command": greeter("--wait-for", "go")}}
    )
    door.start(PYTHONPROFILEIMPORTTIME="1")  # -X importtime, for the keeper and the door process alike
    door.logs("door.started")
    before = door.log_text
    assert re.search(r"\| +trio\n", before), "it does list imports"

    old = door.connect()
    assert old.generation == "v1#1"
    follower = door.begin("events", "-f")
    assert door.run("swap", "v2", "--json").returncode == 0
    assert door.run("swap", "bad").returncode == 4
    assert door.run("swap", "..").returncode == 2
    aborted = door.begin("swap", "v3")
    aborted.shows("v3#4 starting")
    aborted.interrupt()
    assert aborted.ended().returncode == 130
    assert door.run("status").returncode == 0
    assert door.run("streams", "v1").returncode == 0
    assert door.run("drain", "v1", "--now").returncode == 0
    until(old.has_ended, "it was drained")
    assert door.control.get("/healthz")[0] == 200
    for shown in ("--list", "--json", "--svg=-"):
        assert door.run("report", shown).returncode == 0
    assert door.run("report", "1").returncode == 0
    assert scrape(door).families != scrape(door, OPENMETRICS).families
    assert door.control.get("/nowhere")[0] == 404
    assert door.control.post("/v1/doors/main/swap", {"version": 7})[0] == 400
    with socket.socket(socket.AF_UNIX) as garbage:
        garbage.connect(door.path("run/control.sock"))
        garbage.sendall(bytes(range(256)))
    new = door.connect()
    assert new.generation == "v2#2"
    new.sock.send(b"!", socket.MSG_OOB)
    new.say("exit 1")
    until(new.has_ended, "its backend has crashed")
    assert door.connect().generation == "v2#2"
    door.signal(signal.SIGHUP)
    door.logs("swap.switched", to="v2#5")
    for broken in ("listen = [3]\nactiv = 1", "listen = [", config(active="v7", drain={"timeout": "soon"})):
        door.write(broken)
        assert door.run("swap", "v2", "--control", "run/control.sock").returncode == 2
    door.hang_up()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    follower.ended()

    late = [line for line in door.log_text[len(before) :].splitlines() if line.startswith("import time:")]
    assert late == []


def test_a_door_process_that_was_restored_imports_nothing_late_either(prepare: Serve) -> None:
    door = prepare().start(PYTHONPROFILEIMPORTTIME="1")
    killed = door.status()["door_pid"]
    os.kill(killed, signal.SIGKILL)
    door.logs("door.restored")
    assert door.status()["door_pid"] != killed  # the control API is what is loaded last
    before = door.log_text
    assert door.run("swap", "v2").returncode == 0
    assert door.connect().generation == "v2#2"
    assert door.run("status").returncode == 0
    door.hang_up()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    late = [line for line in door.log_text[len(before) :].splitlines() if line.startswith("import time:")]
    assert late == []


def test_a_thousand_silent_streams_cost_next_to_nothing(serve: Serve) -> None:
    """The relay lingers only while there is traffic."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * STREAMS:
        pytest.skip(f"a process may open {hard} files here: too few for {STREAMS} streams")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the backend's comes from here, too
    try:
        door = serve()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(door.address)) for _ in range(STREAMS)]
            for client in clients:
                assert client.recv(100).startswith(b"v1#1 ")
            pid = door.status()["door_pid"]
            until(lambda: idles(pid), "it has come to rest")
            before, began = cpu(pid), time.monotonic()
            time.sleep(WATCHED_FOR)  # not for something to happen: the longer, the finer the figure
            share = (cpu(pid) - before) / (time.monotonic() - began)
            assert door.status()["streams"]["open"] == STREAMS
        print(f"door process with {STREAMS} silent streams: {share:.2%} of a core, {resident(pid) >> 10} MiB resident")
        assert share < 0.02
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cpu(pid: int) -> float:
    """Seconds of CPU so far: fields 14, user, and 15, system, behind a name that may have spaces (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLK_TCK


def idles(pid: int) -> bool:
    """Whether it uses no CPU worth counting for a tenth of a second."""
    before = cpu(pid)
    time.sleep(0.1)
    return cpu(pid) - before < 0.02


def resident(pid: int) -> int:
    """KiB of memory."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
