"""Below systemd, which the test plays: what it is told and in which order, and the sockets that it passes."""

import os
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from e2e.codebase import Codebase
from e2e.harness import Frontdoor, config, greeter, until
from e2e.shared import Shared
from keeper.systemd import NotifySocket, SocketUnit
from nobody import open_to_all

Prepare = Callable[..., Frontdoor]

WAITS = {"backends": {"v2": {"command": greeter("--wait-for", "go")}}}
"""A version that becomes ready when the test says so."""


class Service:
    """A frontdoor, and who listens to it."""

    def __init__(self, door: Frontdoor, there: NotifySocket) -> None:
        self.door = door
        self.there = there

    def start(self, *before: str, **env: str) -> "Service":
        self.door.start(*before, NOTIFY_SOCKET=self.there.address, **env)
        assert self.there.phases("READY") == ["READY"]
        return self

    def phases(self, last: str) -> list[str]:
        return self.there.phases(last, 20)

    def kill_door(self) -> None:
        os.kill(self.door.status()["door_pid"], signal.SIGKILL)


@pytest.fixture
def service(prepare: Prepare) -> Iterator[Callable[..., Service]]:
    opened: list[NotifySocket] = []

    def make(**changes: Any) -> Service:
        door = prepare(**changes)
        opened.append(NotifySocket(door.path("notify")))
        return Service(door, opened[-1])

    yield make
    for there in opened:
        there.close()


@pytest.fixture(scope="module")
def there() -> Iterator[NotifySocket]:
    """Who listens to the frontdoor that tests share."""
    with tempfile.TemporaryDirectory() as folder, closing(NotifySocket(os.path.join(folder, "notify"))) as there:
        yield there


@pytest.fixture(scope="module")
def shared(there: NotifySocket) -> Iterator[Shared]:
    with closing(Shared(env={"NOTIFY_SOCKET": there.address})) as frontdoor:
        yield frontdoor


class Running(NamedTuple):
    """A frontdoor, which has said READY, and who listens to it."""

    door: Shared
    there: NotifySocket

    def phases(self, last: str) -> list[str]:
        return self.there.phases(last, 20)


@pytest.fixture
def running(anew: Callable[..., Shared], there: NotifySocket) -> Callable[..., Running]:
    """One that is as new; how it became that has been heard."""

    def make(**changes: Any) -> Running:
        door = anew(**changes)
        assert there.phases("READY", 20) in (["READY"], ["RELOADING", "READY"])
        return Running(door, there)

    return make


# -- sd_notify ------------------------------------------------------------------------------------------------------


def test_start_streams_and_stop(service: Callable[..., Service]) -> None:
    it = service()
    it.door.launch(NOTIFY_SOCKET=it.there.address)
    assert it.there.hear() == {"STATUS": "starting"}
    assert it.phases("READY") == ["READY"]
    if it.there.said != "v1#1 active, 0 streams":  # which of the two is said first is a matter of milliseconds
        it.there.status("v1#1 active, 0 streams", 20)
    client = it.door.connect()
    assert client.generation == "v1#1"
    it.there.status("v1#1 active, 1 stream", 20)
    began = time.monotonic()
    it.door.signal(signal.SIGTERM)
    assert it.phases("STOPPING") == ["STOPPING"]
    assert time.monotonic() - began < 10, "before the streams have ended"
    it.there.status("stopping, 1 stream left", 20)
    it.door.hang_up()
    assert it.door.ends() == 0
    while not it.there.quiet(0):
        assert it.there.hear().keys() == {"STATUS"}


def test_frontdoor_stop_is_said_too(service: Callable[..., Service]) -> None:
    it = service().start()
    assert it.door.run("stop").returncode == 0
    assert it.phases("STOPPING") == ["STOPPING"]
    assert it.door.ends() == 0


def test_reload(running: Callable[..., Running]) -> None:
    it = running()
    it.door.change(limits={"connections": 50})
    assert it.door.run("reload").returncode == 0
    assert it.phases("READY") == ["RELOADING", "READY"]


def test_a_reload_that_fails(running: Callable[..., Running]) -> None:
    it = running()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        it.door.change(listen=["127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}"])
        assert it.door.run("reload").returncode == 1
    assert it.phases("READY") == ["RELOADING", "READY"]


def test_sighup_is_a_reload_until_the_new_generation_serves(running: Callable[..., Running]) -> None:
    it = running()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    it.door.signal(signal.SIGHUP)
    while "RELOADING" not in (said := it.there.hear()):
        pass
    assert int(said["MONOTONIC_USEC"]) > before
    assert it.phases("READY") == ["READY"]
    assert it.door.status()["active"] == "v1#2"


def test_sighup_and_a_config_that_is_not_valid(running: Callable[..., Running]) -> None:
    it = running()
    it.door.write("listen = 5\n")
    it.door.signal(signal.SIGHUP)
    assert it.phases("READY") == ["RELOADING", "READY"]
    it.door.logs("config.refused")


def test_a_door_process_that_dies_in_a_reload(running: Callable[..., Running]) -> None:
    it = running(**WAITS)
    it.door.change(active="v2", **WAITS)
    reload = it.door.begin("reload")
    assert it.phases("RELOADING") == ["RELOADING"]
    it.there.status("swap to v2", 20)
    os.kill(it.door.status()["door_pid"], signal.SIGKILL)
    assert it.phases("READY") == ["READY"]
    assert it.door.status()["active"] == "v1#1"
    reload.ended()


def test_a_crash_is_said_in_words(service: Callable[..., Service]) -> None:
    it = service()
    with closing(Codebase()) as code:
        it.start(PYTHONPATH=code.path)
        it.there.status("v1#1 active", 20)
        code.begin_with("door/process.py", "import time; time.sleep(2)")  # a start that is slow enough to be said
        it.kill_door()
        it.there.status("the door process is started again", 20)
        it.there.status("v1#1 active", 20)
        assert it.door.run("reload").returncode == 0
        assert it.phases("READY") == ["RELOADING", "READY"], "the crash itself was none"


def test_upgrade(service: Callable[..., Service]) -> None:
    it = service().start()
    for _ in range(2):
        assert it.door.run("upgrade").returncode == 0
        assert it.phases("READY") == ["RELOADING", "READY"]
    it.door.signal(signal.SIGTERM)
    assert it.phases("STOPPING") == ["STOPPING"]
    assert it.door.ends() == 0


def test_an_upgrade_that_fails(service: Callable[..., Service]) -> None:
    it = service()
    with closing(Codebase()) as code:
        it.start(PYTHONPATH=code.path)
        code.begin_with("door/process.py", "raise SystemExit(7)")
        assert it.door.run("upgrade").returncode == 1
        assert it.phases("READY") == ["RELOADING", "READY"]


def test_the_watchdog_is_told_only_while_the_door_process_answers(service: Callable[..., Service]) -> None:
    it = service().start(WATCHDOG_USEC="1000000")
    for _ in range(3):
        while it.there.hear() != {"WATCHDOG": "1"}:
            pass
    stopped = it.door.status()["door_pid"]
    os.kill(stopped, signal.SIGSTOP)
    while not it.there.quiet(1.0):
        it.there.hear()
    os.kill(stopped, signal.SIGCONT)
    while it.there.hear() != {"WATCHDOG": "1"}:
        pass


# -- socket activation ------------------------------------------------------------------------------------------------


def tcp() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def greeting(place: Any, family: int = socket.AF_INET) -> str:
    with socket.socket(family) as client:
        client.settimeout(20)
        client.connect(place)
        with client.makefile() as lines:
            return lines.readline().split()[0]


def test_the_sockets_of_a_name_are_served_through_crash_upgrade_and_reload(prepare: Prepare) -> None:
    door = prepare(listen=["systemd:web", "127.0.0.1:0"])
    with tcp() as one, tcp() as other, closing(SocketUnit(door.folder, {"web": [one, other]})) as unit:
        door.start(*unit.before)
        places = [sock.getsockname() for sock in (one, other)]
        shown = [f"{host}:{port}" for host, port in places]
        assert door.status()["listen"][:2] == shown
        assert [greeting(place) for place in places] == ["v1#1", "v1#1"]
        client = door.connect()
        assert client.generation == "v1#1"

        until(lambda: door.status()["vault"]["streams"], "the stream is protected")
        os.kill(door.status()["door_pid"], signal.SIGKILL)
        assert [greeting(place) for place in places] == ["v1#1", "v1#1"], "after a crash"

        for _ in range(2):
            upgraded = door.run("upgrade")
            assert upgraded.returncode == 0, upgraded
            assert [greeting(place) for place in places] == ["v1#1", "v1#1"], "after an upgrade"

        door.write(config(listen=["127.0.0.1:0"]))
        assert door.run("reload").returncode == 0
        assert len(door.status()["listen"]) == 1
        with socket.create_connection(places[0], timeout=20) as waits:  # systemd listens on: nobody is refused
            door.write(config(listen=["systemd:web", "127.0.0.1:0"]))
            assert door.run("reload").returncode == 0
            with waits.makefile() as lines:
                assert lines.readline().split()[0] == "v1#1"
        assert shown == door.status()["listen"][:2]


def test_who_comes_while_frontdoor_is_stopped_waits_for_its_next_start(prepare: Prepare) -> None:
    door = prepare(listen=["systemd:web"])
    with tcp() as passed, closing(SocketUnit(door.folder, {"web": [passed]})) as unit:
        door.start(*unit.before)
        assert greeting(passed.getsockname()) == "v1#1"
        door.signal(signal.SIGTERM)
        assert door.ends() == 0
        with socket.create_connection(passed.getsockname(), timeout=20) as waits:
            door.start(*unit.before)
            with waits.makefile() as lines:
                assert lines.readline().split()[0] == "v1#2"


def test_a_unix_socket_of_systemd_is_left_where_it_is(prepare: Prepare) -> None:
    door = prepare(listen=["systemd:web"])
    path = door.path("web.sock")
    with socket.socket(socket.AF_UNIX) as passed, closing(SocketUnit(door.folder, {"web": [passed]})) as unit:
        passed.bind(path)
        passed.listen()
        door.start(*unit.before)
        assert door.status()["listen"] == [f"unix:{path}"]
        assert greeting(path, socket.AF_UNIX) == "v1#1"
        door.signal(signal.SIGTERM)
        assert door.ends() == 0
        assert stat.S_ISSOCK(os.stat(path).st_mode)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("api", socket.SOCK_STREAM, "systemd has passed no socket called 'web', but 'api'"),
        ("web", socket.SOCK_DGRAM, "'web' is no stream socket: write ListenStream="),
    ],
)
def test_what_is_of_no_use_is_said_and_the_exit_code_is_1(
    prepare: Prepare, name: str, kind: socket.SocketKind, said: str
) -> None:
    door = prepare(listen=["systemd:web"])
    with socket.socket(socket.AF_INET, kind) as passed, closing(SocketUnit(door.folder, {name: [passed]})) as unit:
        passed.bind(("127.0.0.1", 0))
        assert door.launch(*unit.before).ends() == 1
    assert f"cannot listen on systemd:web: {said}" in door.log_text


def test_outside_of_systemd_the_exit_code_is_1(prepare: Prepare) -> None:
    door = prepare(listen=["systemd:web"])
    assert door.launch().ends() == 1
    why = "there is no socket called 'web'. Systemd has passed none: is there a .socket unit of this service's name?"
    assert door.log_text == f"frontdoor: cannot listen on systemd:web: {why}\n"


def test_a_reload_that_names_a_socket_that_is_not_there_changes_nothing(prepare: Prepare) -> None:
    door = prepare().start()
    door.write(config(listen=["127.0.0.1:0", "systemd:web"]))
    reloaded = door.run("reload")
    assert reloaded.returncode == 1
    assert "there is no socket called 'web'" in reloaded.stderr
    assert len(door.status()["listen"]) == 1


def test_check_accepts_the_name_wherever_it_runs(prepare: Prepare) -> None:
    assert prepare(listen=["systemd:web"]).run("check", "config.toml").returncode == 0


# -- the user of the unit --------------------------------------------------------------------------------------------

NET_BIND_SERVICE = 1 << 10
"""CAP_NET_BIND_SERVICE, in the masks of /proc/PID/status (capabilities(7))."""

CAPABLE = "+net_bind_service,+dac_override"  # the second, else it could not run what is in root's home
AS_THE_UNIT = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
AS_THE_UNIT += [f"--inh-caps={CAPABLE}", f"--ambient-caps={CAPABLE}"]


def may_bind_low_ports(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        masks = dict(line.split(":", 1) for line in file)
    return any(int(masks[name], 16) & NET_BIND_SERVICE for name in ("CapEff", "CapPrm", "CapAmb"))


def low_port() -> int:
    for port in range(1023, 900, -1):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            pass  # somebody has it
    pytest.skip("no port below 1024 is free")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user with a capability")
def test_a_port_below_1024_takes_the_capability_alone_and_the_keeper_keeps_that_to_itself(prepare: Prepare) -> None:
    port = low_port()
    door = prepare(listen=[f"127.0.0.1:{port}"])
    os.chown(door.folder, 65534, 65534)
    door.start(*AS_THE_UNIT)
    assert greeting(("127.0.0.1", port)) == "v1#1"
    assert os.stat(f"/proc/{door.pid}").st_uid == 65534
    pids = (door.pid, door.status()["door_pid"], door.process("v1#1")["pid"])
    assert [may_bind_low_ports(pid) for pid in pids] == [True, False, False]
    upgraded = door.run("upgrade")
    assert upgraded.returncode == 0, upgraded
    assert may_bind_low_ports(door.pid), "another reload may want another port"


DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "systemd.md")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give rights away")
def test_as_root_with_a_user_it_needs_the_capabilities_that_the_docs_name(prepare: Prepare) -> None:
    with open(DOCS) as file:
        (named,) = [line.split("=")[1].split() for line in file if line.startswith("CapabilityBoundingSet=CAP_")]
    bounds = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in named)])
    door = prepare(listen=[f"127.0.0.1:{low_port()}"], frontdoor={"user": "nobody"})
    os.chmod(door.folder, 0o755)
    door.start(*open_to_all(), "setpriv", f"--bounding-set={bounds}", "--no-new-privs")
    assert door.connect().generation == "v1#1"
    until(lambda: os.stat(f"/proc/{door.status()['door_pid']}").st_uid == 65534, "the door process is nobody's")
    os.kill(door.status()["door_pid"], signal.SIGKILL)
    assert door.connect().generation == "v1#1"
    upgraded = door.run("upgrade")
    assert upgraded.returncode == 0, upgraded
