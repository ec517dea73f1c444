"""Started as root with ``[frontdoor] user``: what runs as whom, whose the files are, and who may do what with them."""

import grp
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.doors import OneDoor, Several
from e2e.harness import COMMAND, Frontdoor, config, door_table, environment, greeter, toml, until
from frontdoor.keeper.identity import Identity, acting_as, look_up
from nobody import open_to_all

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start something as another user")

USER, OTHER = "daemon", "games"

Prepare = Callable[..., Several]


def identity(user: str, group: str = "") -> Identity:
    found = look_up(user, group)
    assert found is not None
    return found


@pytest.fixture
def prepare() -> Iterator[Prepare]:
    """A config in a folder that is open to all, with these changes; nothing runs yet."""
    opened = []

    def prepared(*, frontdoor: dict[str, Any] | None = None, **changes: Any) -> Several:
        opened.append(Several(config(frontdoor={"user": USER, **(frontdoor or {})}, **changes)))
        os.chmod(opened[-1].folder, 0o711)
        return opened[-1]

    yield prepared
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def door() -> Iterator[OneDoor]:
    """One that the tests of this module share: v1 is of the user of the door process, and other is of another."""
    backends = {"other": {"user": OTHER}, "grouped": {"user": OTHER, "group": "sys"}, "alone": {"group": "sys"}}
    with closing(Several(config(frontdoor={"user": USER, "group": "sys"}, backends=backends))) as frontdoor:
        os.chmod(frontdoor.folder, 0o711)
        yield frontdoor.start(*open_to_all()).door("main")


def who(pid: int) -> tuple[set[int], set[int], list[int]]:
    """All users and groups that a process is (proc(5)), and those that it is in."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    uids, gids, groups = ([int(word) for word in fields[name].split()] for name in ("Uid", "Gid", "Groups"))
    assert int(fields["CapPrm"], 16) == 0
    return set(uids), set(gids), sorted(groups)


def as_(user: str, group: str = "") -> tuple[set[int], set[int], list[int]]:
    """What ``who`` says of a process of that user."""
    found = identity(user, group)
    return {found.uid}, {found.gid}, sorted(found.groups)


def files(folder: str, *but: str) -> dict[str, tuple[str, str, str]]:
    """Path → owner, group and rights of everything below a folder, and of the folder itself as "."."""
    found = {}
    for above, folders, names in os.walk(folder):
        for path in (os.path.join(above, name) for name in (*folders, *names)):
            found[os.path.relpath(path, folder)] = os.lstat(path)
    found["."] = os.stat(folder)
    return {
        name: (
            pwd.getpwuid(each.st_uid).pw_name,
            grp.getgrgid(each.st_gid).gr_name,
            f"{stat.S_IMODE(each.st_mode):04o}",
        )
        for name, each in found.items()
        if name not in but
    }


def asked_by(user: str, frontdoor: Frontdoor, group: str = "") -> int:
    """The exit code of ``frontdoor status``, asked by that user."""
    command = [*open_to_all(), "setpriv", f"--reuid={user}", f"--regid={group or user}", "--init-groups"]
    if group:
        command[-1] = f"--groups={group}"
    command += [COMMAND, "status", "--control", frontdoor.path("run/control.sock")]
    return subprocess.run(command, env=environment(), cwd="/", capture_output=True, check=False).returncode


# -- who runs as whom -------------------------------------------------------------------------------------------------


def test_the_keeper_is_root_the_door_process_is_not_and_nor_are_backends(door: OneDoor) -> None:
    frontdoor = door.frontdoor
    assert os.stat(f"/proc/{frontdoor.pid}").st_uid == 0
    assert who(frontdoor.control.ask("/v1/status")["door_pid"]) == as_(USER)
    assert who(door.connect().pid) == as_(USER)
    for version, user, group in (("other", OTHER, ""), ("grouped", OTHER, "sys")):
        door.swap(version)
        assert who(door.connect().pid) == as_(user, group)
    door.swap("alone")  # a group alone leaves the user, and takes all other groups away
    sys = grp.getgrnam("sys").gr_gid
    assert who(door.connect().pid) == (as_(USER)[0], {sys}, [sys])
    frontdoor.hang_up()


SHY = r"""
import contextlib, os, socket
os.umask(0o777)
if os.environ.get("LISTEN_FDS"):
    listener = socket.socket(fileno=3)
else:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen()
if "NOTIFY_SOCKET" in os.environ:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    client, _ = listener.accept()
    with contextlib.suppress(OSError), client:  # a ready check hangs up at once
        client.sendall(f"HTTP/1.0 204 {os.getuid()} {os.getpid()}\r\n\r\n".encode())
"""
"""An app whose socket nobody may use, by its rights, and that says who it is."""


@pytest.mark.parametrize("listen_fd", [False, True], ids=["own socket", "listen_fd"])
@pytest.mark.parametrize("check", ["connect", "http:/", "notify"])
def test_it_reaches_the_sockets_of_another_user_whatever_rights_they_have(
    door: OneDoor, listen_fd: bool, check: str
) -> None:
    frontdoor = door.frontdoor
    command = ["{python}", "-IS", "-c", SHY.replace("{", "{{").replace("}", "}}")]
    backends = {"*": {"command": command, "user": OTHER, "listen_fd": listen_fd}}
    new = frontdoor.door(f"{check[:4]}{int(listen_fd)}")
    with open(frontdoor.path("config.toml")) as file:
        before = file.read()
    frontdoor.write(before + "\n" + toml({"doors": {new.name: door_table(backends=backends, ready={"check": check})}}))
    try:
        outcome = frontdoor.reload()
        assert outcome["exit_code"] == 0, outcome
        for restarts in (0, 1):
            until(lambda: is_up(new, restarts), "it is up")  # noqa: B023 - it is called right here
            _, _, uid, pid = new.connect().hear().split()
            assert int(uid) == identity(OTHER).uid
            os.kill(int(pid), signal.SIGKILL)  # the next one makes another socket
    finally:
        frontdoor.write(before)
        frontdoor.reload()
        until(lambda: not new.is_there, "it is gone")
    assert not os.path.exists(frontdoor.path(f"run/{new.name}"))


def is_up(door: OneDoor, restarts: int) -> bool:
    """Whether the only process of its first generation is up, after so many restarts."""
    process = door.generation("v1#1")["processes"][0]
    return bool(process["restarts"] == restarts and process["state"] == "up")


# -- whose the files are ----------------------------------------------------------------------------------------------


def test_every_file_has_its_owner_and_its_rights(prepare: Prepare) -> None:
    frontdoor = prepare(
        frontdoor={"state_dir": "state", "admin": "127.0.0.1:0"},
        doors={
            "shop": {
                "listen": ["127.0.0.1:0"],
                "active": "v1",
                "backends": {"*": {"command": greeter(), "user": OTHER}},
            }
        },
    )
    frontdoor.start(*open_to_all())
    assert files(frontdoor.path("run")) == {
        ".": (USER, USER, "0711"),
        "admin.token": (USER, USER, "0600"),
        "control.sock": (USER, USER, "0600"),
        "frontdoor.pid": (USER, USER, "0644"),
        "g1": (USER, USER, "0700"),
        "g1/0.sock": (USER, USER, "0755"),
        "shop": (USER, USER, "0711"),
        # Of an access control list the group's bits are the most that anybody in it has; the group has nothing.
        "shop/g1": (OTHER, "games", "0770"),
        "shop/g1/0.sock": (OTHER, "games", "0660"),
    }
    assert files(frontdoor.path("state")) == {
        ".": (USER, USER, "0700"),
        "state.json": (USER, USER, "0600"),
    }
    for user in ("nobody", "games"):
        with acting_as(identity(user)), pytest.raises(PermissionError):
            os.listdir(frontdoor.path("run/g1"))
    with acting_as(identity("nobody", "games")), pytest.raises(PermissionError):
        os.listdir(frontdoor.path("run/shop/g1"))
    frontdoor.signal(signal.SIGTERM)
    assert frontdoor.ends() == 0
    assert files(frontdoor.path("run")) == {".": (USER, USER, "0711"), "admin.token": (USER, USER, "0600")}


def test_without_a_user_they_are_of_root(prepare: Prepare) -> None:
    frontdoor = prepare(frontdoor={"user": "", "state_dir": "state"}, backends={"*": {"user": OTHER}})
    frontdoor.start(*open_to_all())
    assert who_is(frontdoor) == 0
    assert files(frontdoor.path("run")) == {
        ".": ("root", "root", "0711"),
        "control.sock": ("root", "root", "0600"),
        "frontdoor.pid": ("root", "root", "0644"),
        "g1": (OTHER, "games", "0700"),
        "g1/0.sock": (OTHER, "games", "0755"),
    }
    assert files(frontdoor.path("state")) == {".": ("root", "root", "0711"), "state.json": ("root", "root", "0600")}


def who_is(frontdoor: Frontdoor) -> int:
    """The user of the door process."""
    return os.stat(f"/proc/{frontdoor.control.ask('/v1/status')['door_pid']}").st_uid


def test_root_as_the_user_is_as_none(prepare: Prepare) -> None:
    frontdoor = prepare(frontdoor={"user": "root"}).start(*open_to_all())
    assert who_is(frontdoor) == 0
    assert not frontdoor.logged("user.ignored")


def test_the_group_may_use_the_control_socket_and_nobody_else(door: OneDoor) -> None:
    path = door.frontdoor.path("run/control.sock")
    found = os.stat(path)
    assert (found.st_uid, grp.getgrgid(found.st_gid).gr_name) == (identity(USER).uid, "sys")
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert asked_by(USER, door.frontdoor) == 0
    assert asked_by("nobody", door.frontdoor, "sys") == 0
    assert asked_by(OTHER, door.frontdoor) != 0
    assert door.frontdoor.run("status").returncode == 0, "root may always"


def test_what_a_frontdoor_without_a_user_has_left_is_handed_down(prepare: Prepare) -> None:
    frontdoor = prepare(frontdoor={"user": "", "admin": "127.0.0.1:0"}).start(*open_to_all())
    frontdoor.swap("v2")
    frontdoor.signal(signal.SIGKILL)
    frontdoor.ends()
    assert {"g1", "g2", "state.json", "control.sock"} & set(os.listdir(frontdoor.path("run"))) >= {"g2", "state.json"}
    frontdoor.write(config(frontdoor={"user": USER, "admin": "127.0.0.1:0"}))
    frontdoor.start(*open_to_all())
    assert frontdoor.status()["active"] == "v2#3", "the state counts on"
    owned = {owner for owner, _, _ in files(frontdoor.path("run")).values()}
    assert owned == {USER}


# -- it goes on as that user ------------------------------------------------------------------------------------------


def test_it_stays_that_user_through_crash_and_upgrade(door: OneDoor) -> None:
    frontdoor = door.frontdoor
    door.swap("other")
    client = door.connect()
    assert client.ask("before")
    keeper, backend = frontdoor.pid, client.pid
    until(lambda: frontdoor.control.ask("/v1/status")["vault"]["streams"] == 1, "it is protected")
    frontdoor.kill_door_process()
    assert client.ask("after a crash")
    assert who_is(frontdoor) == identity(USER).uid
    upgraded = frontdoor.run("upgrade")
    assert upgraded.returncode == 0, upgraded
    assert client.ask("after an upgrade")
    assert who_is(frontdoor) == identity(USER).uid
    assert os.stat(f"/proc/{keeper}").st_uid == 0
    # The keeper's new code knows what may be asked for, too.
    door.swap("grouped")
    assert who(door.connect().pid) == as_(OTHER, "sys")
    os.kill(backend, signal.SIGKILL)
    frontdoor.hang_up()


def test_a_reload_reads_the_new_users_and_addresses_from_the_disk(prepare: Prepare) -> None:
    frontdoor = prepare().start(*open_to_all())
    client = frontdoor.connect()
    assert client.generation == "v1#1"
    table = {"listen": ["127.0.0.1:0", "127.0.9.4:0"], "active": "v2", "backends": {"v2": {"user": OTHER}}}
    frontdoor.write(config(frontdoor={"user": USER}, **table))
    outcome = frontdoor.reload()
    assert outcome["exit_code"] == 0, outcome
    door = frontdoor.door("main")
    assert who(door.connect(door.status()["listen"][1]).pid) == as_(OTHER)
    frontdoor.write(config(frontdoor={"user": OTHER}, **table))
    reload = frontdoor.run("reload")
    assert reload.returncode == 2
    assert "frontdoor.user cannot be changed while frontdoor runs" in reload.stderr


def test_hooks_run_as_that_user(prepare: Prepare) -> None:
    frontdoor = prepare(
        backends={"*": {"user": OTHER}}, hooks={"before_swap": ["id", "-un"], "switched": ["id", "-un"]}
    )
    frontdoor.start(*open_to_all())
    frontdoor.swap("v2")
    until(lambda: len(frontdoor.logged("hook.output")) + frontdoor.log_text.count(f'"line": "{USER}"') >= 2, "they ran")
    assert f'"line": "{OTHER}"' not in frontdoor.log_text


def test_a_low_port_is_the_keepers_to_open(prepare: Prepare) -> None:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        if int(file.read()) <= 99:
            pytest.skip("here anybody may listen at a low port")
    with socket.socket() as sock, acting_as(identity(USER)), pytest.raises(PermissionError):
        sock.bind(("127.0.9.4", 99))
    frontdoor = prepare(listen=["127.0.9.4:99"]).start(*open_to_all())
    assert frontdoor.connect().generation == "v1#1"
    frontdoor.kill_door_process()
    frontdoor.hang_up()
    assert frontdoor.connect().generation == "v1#1"


# -- what is refused --------------------------------------------------------------------------------------------------


def refused(frontdoor: Several, code: int) -> str:
    """What it says when it is started and does not."""
    assert frontdoor.launch(*open_to_all()).ends() == code
    assert "Traceback" not in frontdoor.log_text
    (line,) = frontdoor.messages
    return line.removeprefix("frontdoor: ")


def test_a_config_that_the_user_cannot_read(prepare: Prepare) -> None:
    frontdoor = prepare()
    os.chmod(frontdoor.path("config.toml"), 0o600)
    assert refused(frontdoor, 2) == (
        f"the config {frontdoor.path('config.toml')} cannot be read by the user {USER}, as whom the door process runs: "
        "give it to a group of his, with mode 0640, and let him pass the folders to it"
    )
    os.chown(frontdoor.path("config.toml"), 0, identity(USER).gid)
    os.chmod(frontdoor.path("config.toml"), 0o640)
    frontdoor.start(*open_to_all())
    os.chmod(frontdoor.path("config.toml"), 0o600)
    reload = frontdoor.run("reload")
    assert reload.returncode == 2
    assert "cannot be read: Permission denied" in reload.stderr
    assert frontdoor.connect().generation == "v1#1"


@pytest.mark.parametrize("what", ["config.toml", "."])
def test_a_config_that_the_user_can_change(prepare: Prepare, what: str) -> None:
    frontdoor = prepare()
    os.chown(os.path.normpath(frontdoor.path(what)), identity(USER).uid, -1)
    said = refused(frontdoor, 2)
    assert f"can be changed by the user {USER}, as whom the door process runs" in said
    assert said.endswith(f"chown root, and chmod go-w, {os.path.normpath(frontdoor.path(what))}")
    assert not os.path.exists(frontdoor.path("run"))


@pytest.mark.parametrize(("key", "kind"), [("user", "user"), ("group", "group")])
def test_a_user_or_a_group_that_does_not_exist(prepare: Prepare, key: str, kind: str) -> None:
    frontdoor = prepare(frontdoor={key: "nosuch"})
    said = refused(frontdoor, 2)
    assert said == f"[frontdoor] in {frontdoor.path('config.toml')}: there is no {kind} called 'nosuch' on this machine"


def test_a_runtime_folder_of_root_with_other_things_in_it(prepare: Prepare) -> None:
    frontdoor = prepare()
    os.mkdir(frontdoor.path("run"), 0o755)
    frontdoor.write("precious", "run/other.txt")
    said = refused(frontdoor, 1)
    assert f"{frontdoor.path('run')} belongs to root, and has other things in it (other.txt)" in said
    assert os.stat(frontdoor.path("run")).st_uid == 0


def test_a_runtime_folder_that_leads_elsewhere(prepare: Prepare) -> None:
    frontdoor = prepare(frontdoor={"runtime_dir": "his/run"})
    os.mkdir(frontdoor.path("his"))
    os.mkdir(frontdoor.path("roots"))
    os.symlink(frontdoor.path("roots"), frontdoor.path("his/run"))
    os.chown(frontdoor.path("his"), identity(USER).uid, -1)
    os.lchown(frontdoor.path("his/run"), identity(USER).uid, -1)
    assert "the way to it is not root's alone" in refused(frontdoor, 1)
    assert os.stat(frontdoor.path("roots")).st_uid == 0


def test_a_backend_of_root(prepare: Prepare) -> None:
    frontdoor = prepare(backends={"v2": {"user": "root"}}).start(*open_to_all())
    failed = frontdoor.run("swap", "v2")
    assert failed.returncode == 4
    assert "the keeper starts nothing as root (user root) while [frontdoor] user is set" in failed.stderr
    assert frontdoor.connect().generation == "v1#1"


def test_a_config_that_is_not_valid_is_said_as_ever(prepare: Prepare) -> None:
    frontdoor = prepare()
    frontdoor.write("listen = [\n")
    assert "config.toml:" in refused(frontdoor, 2)
    frontdoor.write(config(frontdoor={"user": USER}, protcol="tcp"))
    assert frontdoor.launch(*open_to_all()).ends() == 2
    assert "protcol" in frontdoor.log_text


def test_who_is_not_root_is_told_that_the_user_is_ignored(prepare: Prepare) -> None:
    frontdoor = prepare(frontdoor={"user": OTHER, "group": USER})
    os.chown(frontdoor.folder, identity(USER).uid, -1)
    frontdoor.start(*open_to_all(), "setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups")
    uid = identity(USER).uid
    assert frontdoor.logs("user.ignored")["reason"] == (
        f"only a frontdoor that is started by root can run as {OTHER}: it runs as uid {uid}"
    )
    assert files(frontdoor.path("run"), "g1/0.sock")["control.sock"] == (USER, USER, "0660")
    assert json.loads(frontdoor.run("status", "--json").stdout)["pid"] == frontdoor.pid
