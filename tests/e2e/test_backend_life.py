"""What happens to backends: their crashes, their stops, their children."""

import os
import signal
import threading
import time
from collections.abc import Callable

from e2e.harness import Frontdoor, greeter, until

Serve = Callable[..., Frontdoor]


def test_a_crash_is_healed_and_who_comes_meanwhile_waits(anew: Serve) -> None:
    door = anew()
    first = door.connect()
    pid = first.pid
    first.say("exit 3")
    assert first.hear() == ""
    # The kernel closes a dying process' sockets one after the other: who dials between two of them is in a queue that
    # nobody will read. From here on nobody listens.
    door.logs("backend.exited")

    waiting = door.connect()
    assert waiting.generation == "v1#1", "the same generation"
    assert waiting.pid != pid, "another process"
    assert door.process("v1#1")["restarts"] == 1
    assert door.logged("backend.exited", pid=pid)[0]["status"] == 3
    first.close()
    until(lambda: door.status()["streams"]["ended"] == {"backend_gone": 1}, "the ledger says why")


def test_many_who_wait_for_a_backend_are_all_served(anew: Serve) -> None:
    door = anew()
    os.kill(door.process("v1#1")["pid"], signal.SIGKILL)
    door.logs("backend.exited")  # who is dialled to it while it dies is lost with it
    served: list[str] = []

    def visit() -> None:
        served.append(door.connect().generation)

    visitors = [threading.Thread(target=visit) for _ in range(50)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert served == ["v1#1"] * 50


def test_who_waits_too_long_is_closed_and_counted(anew: Serve) -> None:
    door = anew(backends={"*": {"restart": "never"}}, limits={"hold_timeout": "300ms"})
    door.connect().say("exit 1")
    until(lambda: door.process("v1#1")["state"] == "exited", "it is not restarted")
    began = time.monotonic()
    client = door.connect()
    assert client.hear() == ""
    assert time.monotonic() - began >= 0.3
    until(lambda: door.status()["streams"]["ended"].get("no_backend") == 1, "the ledger says why")
    assert door.control.get("/healthz")[0] == 503

    door.swap("v2")
    assert door.connect().generation == "v2#2", "a good swap heals it"


def test_who_waits_when_a_swap_comes_goes_to_the_new_version(anew: Serve) -> None:
    door = anew(backends={"v1": {"restart": "never"}})
    door.connect().say("exit 1")
    until(lambda: door.process("v1#1")["state"] == "exited", "it is not restarted")
    door.hang_up()
    client = door.connect()
    until(lambda: door.status()["streams"]["open"] == 1, "it waits")
    door.swap("v2")
    assert client.generation == "v2#2"


def test_one_of_two_processes_crashes_and_the_other_serves_on(anew: Serve) -> None:
    door = anew(backends={"*": {"processes": 2}})
    one, other = door.connect(), door.connect()
    assert one.pid != other.pid
    one.say("exit 1")
    assert one.hear() == ""
    assert other.ask("and you?") == "and you?"
    assert door.connect().pid == other.pid
    until(lambda: [p["state"] for p in door.generation("v1#1")["processes"]] == ["up", "up"], "both are up again")


def test_a_backend_that_ignores_its_stop_signal_is_killed(anew: Serve) -> None:
    door = anew(backends={"v1": {"command": greeter("--ignore-sigterm"), "stop_timeout": "300ms"}})
    pid = door.process("v1#1")["pid"]
    door.swap("v2")
    door.logs("generation.stopped", generation="v1#1")
    assert door.printed("v1#1") == ["stop signal with 0 streams open"]
    assert door.logged("backend.exited", pid=pid)[0]["status"] == -signal.SIGKILL
    assert pid not in door.processes()


def test_the_stop_signal_is_that_of_the_config(anew: Serve) -> None:
    door = anew(backends={"v1": {"stop_signal": "SIGUSR1"}})
    pid = door.process("v1#1")["pid"]
    door.swap("v2")
    door.logs("generation.stopped", generation="v1#1")
    assert door.logged("backend.exited", pid=pid)[0]["status"] == -signal.SIGUSR1


def test_what_a_backend_started_ends_with_it(anew: Serve) -> None:
    door = anew(backends={"v1": {"command": greeter("--child", "child.pid")}})
    child = pid_in(door, "child.pid")
    assert child in door.processes()
    door.swap("v2")
    door.logs("generation.stopped", generation="v1#1")
    until(lambda: child not in door.processes(), "its child is gone")


def test_what_a_backend_that_crashed_had_started_ends_too(anew: Serve) -> None:
    door = anew(backends={"v1": {"command": greeter("--child", "child.pid")}})
    child = pid_in(door, "child.pid")
    door.connect().say("exit 1")
    until(lambda: child not in door.processes(), "its child is gone")
    assert door.connect().generation == "v1#1"


def test_a_flood_of_output_hangs_nobody(anew: Serve) -> None:
    door = anew(backends={"v2": {"command": greeter("--flood", "5000")}})
    door.swap("v2")
    assert door.connect().ask("do you hang?") == "do you hang?"


def pid_in(door: Frontdoor, name: str) -> int:
    with open(door.path(name)) as file:
        return int(file.read())


def test_backends_live_in_sessions_of_their_own(anew: Serve) -> None:
    door = anew()
    backend, keeper = door.process("v1#1")["pid"], door.pid
    sessions = {os.getsid(pid) for pid in (backend, keeper, door.status()["door_pid"])}
    assert len(sessions) == 3
    assert os.getpgid(backend) == backend
