"""Backends that somebody else runs: they are swapped like others, and never started, signalled or removed."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from e2e.doors import Changing, OneDoor
from e2e.harness import GREETER, Frontdoor, until

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]


class Outside:
    """A greeter that the test runs."""

    def __init__(self, folder: str, name: str) -> None:
        self.path = os.path.join(folder, f"{name}.sock")
        self._name = name
        self._output = os.path.join(folder, f"{name}.out")
        self.start()

    def start(self) -> None:
        env = {**os.environ, "FRONTDOOR_VERSION": self._name, "FRONTDOOR_GENERATION": "outside"}
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", GREETER, "--socket", self.path], env=env, stdout=output
            )
        until(lambda: os.path.exists(self.path), "it listens")

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_noticed_nothing(self) -> None:
        """It runs, its socket is where it was, and no signal has come."""
        assert self._process.poll() is None
        assert os.path.exists(self.path)
        with open(self._output) as output:
            assert output.read() == ""

    def crash(self) -> None:
        """Its socket stays behind, and nobody listens there."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        os.unlink(self.path)
        self.start()

    def close(self) -> None:
        self.crash()
        if os.path.exists(self.path):
            os.unlink(self.path)


Run = Callable[[str, str], Outside]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run one in that folder, under that name."""
    with ExitStack() as stack:
        yield lambda folder, name: stack.enter_context(closing(Outside(folder, name)))


def test_swaps_between_external_versions_and_a_started_one_and_back(only: Only, changing: Changing, run: Run) -> None:
    blue, green = run(changing.folder, "blue"), run(changing.folder, "green")
    external = {"blue": {"socket": "blue.sock"}, "green": {"socket": "green.sock"}}
    door = only(active="blue", backends=external, swap={"keep_warm": "15m"})
    first = door.connect()
    assert (first.generation, first.pid) == ("blue#outside", blue.pid)
    (process,) = door.generation("blue#1")["processes"]
    assert process == {"pid": None, "external": True, "state": "up", "restarts": 0, "socket": blue.path}

    swapped = door.run("swap", "green")
    assert (swapped.returncode, swapped.stdout) == (0, "green#2 is active; blue#1 drains 1 stream\n")
    assert "green#2 ready" in swapped.stderr
    assert door.connect().pid == green.pid
    assert first.ask("still there?") == "still there?"
    door.swap("v1")
    assert door.connect().generation == "v1#3"
    assert door.run("rollback").stdout == "green#2 is active; v1#3 drains 1 stream\n"
    assert door.connect().pid == green.pid
    first.close()
    door.becomes("blue#1", "warm")
    assert door.swap("blue", reuse=True).startswith("blue#1 is active")
    assert door.connect().pid == blue.pid
    assert re.search(r"blue#1 +active .* external up\n", door.run("status").stdout)
    assert not [entry for entry in door.logged("backend.exited") if entry["version"] != "v1"]

    changing.hang_up()
    only()
    until(lambda: not door.is_there, "the door is gone")
    blue.has_noticed_nothing()
    green.has_noticed_nothing()


def test_a_socket_that_cannot_be_reached_fails_the_swap_with_its_path(only: Only, changing: Changing) -> None:
    sockets = {"gone": "gone.sock", "file": "config.toml", "nobody": "nobody.sock"}
    external = {version: {"socket": path} for version, path in sockets.items()}
    door = only(backends=external, ready={"deadline": "500ms"})
    paths = {version: changing.path(path) for version, path in sockets.items()}
    problems = {
        "gone": f"there is no socket at {paths['gone']}",
        "file": f"what is there is not a socket ({paths['file']})",
        "nobody": f"nobody listens on its socket ({paths['nobody']})",
    }
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(paths["nobody"])
        for number, (version, problem) in enumerate(problems.items(), 2):
            failed = door.run("swap", version)
            why = f"{version}#{number} did not become ready (not ready within 0.5 s: {problem}); v1#1 still serves"
            assert (failed.returncode, failed.stderr.splitlines()[-1]) == (4, f"frontdoor: {why}")
            assert door.connect().generation == "v1#1"
        nobody.listen()
        door.swap("nobody")
        assert os.path.exists(paths["nobody"])
        assert os.path.exists(paths["file"])
    os.unlink(paths["nobody"])


def state(door: OneDoor, id_: str = "app#1") -> str:
    """Of the first process of that generation."""
    return str(door.generation(id_)["processes"][0]["state"])


def test_the_way_back_to_one_that_has_gone_is_not_taken(only: Only, changing: Changing, run: Run) -> None:
    app = run(changing.folder, "app")
    external = {"app": {"socket": "app.sock"}}
    door = only(active="app", backends=external, swap={"keep_warm": "15m"}, ready={"deadline": "300ms"})
    assert door.connect().pid == app.pid
    changing.hang_up()
    door.swap("v1", wait="drained")
    door.becomes("app#1", "warm")
    app.close()
    gone = f"did not become ready (not ready within 0.3 s: there is no socket at {app.path}); v1#2 still serves\n"
    for number, way_back in enumerate((["rollback"], ["swap", "--reuse", "app"]), 3):
        failed = door.run(*way_back)
        assert failed.returncode == 4, failed
        assert failed.stderr.endswith(f"frontdoor: app#{number} {gone}")
        assert door.connect().generation == "v1#2"
    assert (door.state("app#1"), state(door)) == ("warm", "down")

    app.start()
    until(lambda: state(door) == "up", "it is found again")
    assert door.rollback() == "app#1 is active; v1#2 drains 2 streams"
    assert door.connect().pid == app.pid


def test_its_process_restarts_while_clients_wait(only: Only, changing: Changing, run: Run) -> None:
    app = run(changing.folder, "app")
    door = only(active="app", backends={"app": {"socket": "app.sock"}})
    first = door.connect()
    assert first.pid == app.pid
    app.crash()
    assert first.hear() == ""
    first.close()
    waiting = [door.connect() for _ in range(5)]
    until(lambda: door.status()["streams"]["open"] == 5, "they wait")
    until(lambda: state(door) == "down", "the first of them has found it")
    assert changing.control.get("/healthz")[0] == 503
    why = f"did not take a client ({app.path})"
    assert door.logs("backend.exited")["reason"] == why
    app.restart()
    assert {client.pid for client in waiting} == {app.pid}
    assert state(door) == "up"
    assert changing.control.get("/healthz")[0] == 200

    changing.kill_door_process()
    assert door.connect().pid == app.pid
    assert door.generation("app#1")["processes"][0]["pid"] is None
    app.has_noticed_nothing()


def test_health_finds_that_one_of_two_is_down_and_that_it_is_up_again(only: Only, changing: Changing, run: Run) -> None:
    one, other = run(changing.folder, "app-0"), run(changing.folder, "app-1")
    external = {"socket": "app-{process}.sock", "processes": 2}
    health = {"interval": "50ms", "failures": 2}
    door = only(active="app", backends={"app": external}, health=health, ready={"timeout": "1s"})
    assert {door.connect().pid, door.connect().pid} == {one.pid, other.pid}

    def states() -> list[str]:
        return [process["state"] for process in door.generation("app#1")["processes"]]

    one.crash()
    until(lambda: states() == ["down", "up"], "it is found")
    why = f"failed its health check 2 times in a row: nobody listens on its socket ({one.path})"
    assert door.logs("backend.exited")["reason"] == why
    assert {door.connect().pid for _ in range(4)} == {other.pid}
    os.unlink(one.path)
    assert states() == ["down", "up"]
    one.start()
    until(lambda: states() == ["up", "up"], "it is found again")
    assert one.pid in {door.connect().pid for _ in range(8)}
    assert len(door.logged("backend.ready")) == 3
    assert len(door.logged("backend.exited")) == 1
    other.has_noticed_nothing()


def test_frontdoor_begins_with_one_and_leaves_it_alone(prepare: Serve, run: Run) -> None:
    door = prepare(active="app", backends={"app": {"socket": "app.sock"}}, ready={"deadline": "1s"})
    app = run(door.folder, "app")
    door.start()
    assert door.connect().pid == app.pid
    assert sorted(os.listdir(door.path("run"))) == ["control.sock", "frontdoor.pid", "state.json"]
    door.hang_up()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    app.has_noticed_nothing()

    app.close()
    door.launch()
    assert door.ends() == 4
    assert f"app#2 did not become ready (not ready within 1 s: there is no socket at {app.path})" in door.messages[0]
