"""A door process that was taken over, asks the keeper, which is root, for what is root's.

The test plays it: it has the wire, and on the files it has the rights of the user that the door process runs as. What
it may have is on the disk, in the config; what it tries here is to have more.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from frontdoor.keeper import wire
from frontdoor.keeper.identity import acting_as, look_up
from keeper.stage import Puppet, Stage, read_all
from keeper.stage import stage as open_stage
from keeper.watching import alive, descriptors, until
from nobody import open_to_all

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have somebody else take it over")

USER, OTHER = "daemon", "games"
DOOR = look_up(USER, "")

SECRET = "root's own"


HOST, PORT = "127.0.4.4", 8080
"""Where nothing else of these tests listens."""


def config(folder: str, *more: str) -> str:
    return "\n".join(
        [
            f'listen = ["{HOST}:{PORT}", "unix:run/public", "unix:{folder}/his/public", "unix:roots/public"]',
            'active = "v1"',
            'backends."*".command = ["app"]',
            f'backends.other.user = "{OTHER}"',
            'backends.all-powerful.user = "root"',
            *more,
            f'frontdoor = {{ user = "{USER}", group = "sys", runtime_dir = "run" }}',
        ]
    )


@pytest.fixture
def stage() -> Iterator[Stage]:
    assert DOOR is not None
    with open_stage(before=open_to_all(), config=config) as it:
        for name, uid in (("roots", 0), ("his", DOOR.uid)):
            os.mkdir(f"{it.folder}/{name}")
            os.chown(f"{it.folder}/{name}", uid, uid)
        with open(f"{it.folder}/roots/secret", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(SECRET)
        yield it
        # Whatever was tried, this is as it was.
        roots = os.stat(f"{it.folder}/roots")
        assert (roots.st_uid, roots.st_gid, stat.S_IMODE(roots.st_mode)) == (0, 0, 0o755)
        found = os.stat(f"{it.folder}/roots/secret")
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o600)
        assert it.keeper.poll() is None


@pytest.fixture
def intruder(stage: Stage) -> Puppet:
    puppet = stage.enter()
    puppet.greet()
    puppet.ask("served")
    return puppet


def refused(answer: wire.Message) -> str:
    """That it was refused, and how."""
    assert answer.fds == []
    return str(answer.body["error"])


def ids(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status") as file:
        return {name: value.strip() for name, value in (line.split(":", 1) for line in file)}


def output(intruder: Puppet, key: str, *argv: str, **fields: Any) -> str:
    _, fd = intruder.spawn(key, *argv, **fields)
    try:
        return read_all(fd).strip()
    finally:
        os.close(fd)


# -- who it is --------------------------------------------------------------------------------------------------------


def test_it_runs_as_that_user_for_good_and_so_does_the_one_after_it(stage: Stage, intruder: Puppet) -> None:
    user = pwd.getpwnam(USER)
    for number in (1, 2):
        found = ids(intruder.pid)
        assert found["Uid"].split() == [str(user.pw_uid)] * 4
        assert found["Gid"].split() == [str(user.pw_gid)] * 4
        assert sorted(map(int, found["Groups"].split())) == sorted(os.getgrouplist(USER, user.pw_gid))
        assert [int(found[caps], 16) for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0] * 4
        assert found["NoNewPrivs"] == "1", "a program with the set-user-ID bit gives it nothing"
        if number == 1:
            intruder.die()
            intruder = stage.enter()


# -- spawn ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ({"user": "root"}, "starts nothing as root (user root) while [frontdoor] user is set"),  # the config names it
        ({"user": "root", "group": "root"}, "starts nothing as user root and group root: the config"),
        ({"user": "nobody"}, "starts nothing as user nobody: the config"),
        ({"group": "sys"}, "starts nothing as group sys: the config"),  # that is the control socket's
        ({"group": "shadow"}, "starts nothing as group shadow: the config"),
        ({"user": OTHER, "group": "root"}, f"starts nothing as user {OTHER} and group root: the config"),
        ({"user": "0"}, "starts nothing as user 0: the config"),
        ({"user": ["root"]}, "TypeError"),
        ({"user": 0, "group": 0}, ""),  # as none: see below
    ],
    ids=str,
)
def test_it_starts_nothing_as_somebody_whom_the_config_does_not_name(
    intruder: Puppet, stage: Stage, who: dict[str, Any], why: str
) -> None:
    before = descriptors(stage.pid)
    answer = intruder.ask("spawn", key="a", argv=["id", "-u"], env={}, **who)
    if why:
        assert why in refused(answer)
        assert descriptors(stage.pid) == before
    else:
        (fd,) = answer.fds
        assert read_all(fd).strip() == str(pwd.getpwnam(USER).pw_uid)
        os.close(fd)


def test_it_starts_things_as_itself_and_as_the_users_of_the_config(intruder: Puppet) -> None:
    assert output(intruder, "a", "id", "-un") == USER
    assert output(intruder, "b", "id", "-un", user=OTHER) == OTHER
    assert output(intruder, "c", "cat", "/proc/self/status").count(f"Uid:\t{pwd.getpwnam(USER).pw_uid}\t") == 1


def test_what_it_starts_has_no_rights_of_root_left(intruder: Puppet, stage: Stage) -> None:
    for user in ("", OTHER):
        assert "Permission denied" in output(intruder, f"r{user}", "cat", f"{stage.folder}/roots/secret", user=user)
        found = output(intruder, f"s{user}", "cat", "/proc/self/status", user=user)
        assert "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000" in found


def test_its_environment_does_not_change_what_is_run_as_root(intruder: Puppet) -> None:
    # The dynamic linker and the shell read these before anything else; by then it is not root any more.
    env = {"LD_PRELOAD": "/tmp/evil.so", "PATH": "/tmp", "HOME": "/root"}
    assert output(intruder, "a", "/usr/bin/id", "-un", env=env).endswith(USER)


# -- listen -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.4.4:0",
        f"127.0.0.1:{PORT}",
        f"0.0.0.0:{PORT}",
        f"[::1]:{PORT}",
        f"localhost:{PORT}",
        f"{HOST}:{PORT + 65536}",
        f"{HOST}:{PORT}:1",
        "127.0.0.1:22",
        "systemd:web",
        "unix:/etc/public",
        "unix:{folder}/public",
        "unix:{folder}/run/../public",
        "unix:{folder}/run",
        "unix:run/public",
        "unix:",
        "",
    ],
)
def test_it_listens_nowhere_but_where_the_config_says(intruder: Puppet, stage: Stage, address: str) -> None:
    before = descriptors(stage.pid)
    answer = intruder.ask("listen", key="a", address=address.format(folder=stage.folder))
    assert "only if the config" in refused(answer)
    assert answer.body["errno"] == errno.EPERM
    assert descriptors(stage.pid) == before
    assert not os.path.lexists(f"{stage.folder}/public")


def test_it_listens_where_the_config_says_in_whatever_words(intruder: Puppet) -> None:
    (fd,) = intruder.ask("listen", key="a", address=f"{HOST}:0{PORT}").fds
    with socket.socket(fileno=fd) as sock:
        assert sock.getsockname() == (HOST, PORT)


def test_in_the_runtime_folder_it_listens_with_its_own_rights(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    run = f"{stage.folder}/run"
    (fd,) = intruder.ask("listen", key="a", address=f"unix:{run}/s", mode=0o600).fds
    os.close(fd)
    found = os.stat(f"{run}/s")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (DOOR.uid, DOOR.gid, 0o600)
    with acting_as(DOOR):
        os.symlink(f"{stage.folder}/roots", f"{run}/link")
    there = intruder.ask("listen", key="b", address=f"unix:{run}/link/s")
    assert f"the user {USER} may not make a socket there (Permission denied)" in refused(there)
    assert "is not a socket" in refused(intruder.ask("listen", key="b", address=f"unix:{run}/link/secret"))
    assert os.listdir(f"{stage.folder}/roots") == ["secret"]
    with acting_as(DOOR):
        os.symlink(f"{stage.folder}/roots/secret", f"{run}/secret")
    assert "error" in intruder.ask("listen", key="b", address=f"unix:{run}/secret").body


def test_where_others_can_write_a_socket_of_the_config_does_not_take_roots_rights(
    intruder: Puppet, stage: Stage
) -> None:
    assert DOOR is not None
    his, roots = f"{stage.folder}/his", f"{stage.folder}/roots"
    (fd,) = intruder.ask("listen", key="a", address=f"unix:{his}/public").fds
    os.close(fd)
    assert os.stat(f"{his}/public").st_uid == DOOR.uid
    intruder.ask("drop", keys=["a"])
    os.rename(his, f"{his}.old")  # as he could, if this folder were his, too
    os.symlink(roots, his)
    os.chown(his, DOOR.uid, DOOR.gid, follow_symlinks=False)
    assert f"the user {USER} may not make a socket there" in refused(
        intruder.ask("listen", key="a", address=f"unix:{his}/public")
    )
    assert os.listdir(roots) == ["secret"]


def test_where_root_alone_can_write_it_does(intruder: Puppet, stage: Stage) -> None:
    (fd,) = intruder.ask("listen", key="a", address=f"unix:{stage.folder}/roots/public").fds
    os.close(fd)
    assert os.stat(f"{stage.folder}/roots/public").st_uid == 0


def test_in_other_words_a_path_leads_nowhere_else(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    os.makedirs(f"{stage.folder}/elsewhere/a/b")
    os.makedirs(f"{stage.folder}/elsewhere/roots")
    with acting_as(DOOR):
        os.symlink(f"{stage.folder}/elsewhere/a/b", f"{stage.folder}/run/x")
    (fd,) = intruder.ask("listen", key="a", address=f"unix:{stage.folder}/run/x/../../roots/public").fds
    os.close(fd)
    assert os.listdir(f"{stage.folder}/elsewhere/roots") == []
    assert os.path.exists(f"{stage.folder}/roots/public"), "what was looked up is what was opened"


def test_the_group_of_the_control_socket_is_the_only_one_that_it_can_let_in(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    address = f"unix:{stage.folder}/run/control.sock"
    assert "lets group shadow in nowhere" in refused(
        intruder.ask("listen", key="c", address=address, mode=0o660, group="shadow")
    )
    (fd,) = intruder.ask("listen", key="c", address=address, mode=0o660, group="sys").fds
    os.close(fd)
    found = os.stat(f"{stage.folder}/run/control.sock")
    sys = grp.getgrnam("sys").gr_gid
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (DOOR.uid, sys, 0o660)


# -- folders ----------------------------------------------------------------------------------------------------------


def give(intruder: Puppet, folder: str, user: str = OTHER) -> wire.Message:
    """Have a folder given to somebody; the answer."""
    answer = intruder.ask("spawn", key="f", argv=["true"], env={}, user=user, folder=folder)
    for fd in answer.fds:
        os.close(fd)
    return answer


def test_a_folder_of_a_generation_is_given_to_its_user_and_its_own_comes_in(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    folder = f"{stage.folder}/run/g7"
    with acting_as(DOOR):
        os.mkdir(folder, 0o700)
    for key in ("first", "again"):  # a process that is started again
        assert output(intruder, key, "sh", "-c", "umask 77; touch made; id -un", cwd=folder, folder=folder, user=OTHER)
    other = look_up(OTHER, "")
    assert other is not None
    assert (os.stat(folder).st_uid, os.stat(folder).st_gid) == (other.uid, other.gid)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o770, "the group's bits are those of the list: it has none itself"
    with acting_as(look_up("nobody", "")), pytest.raises(PermissionError):
        os.listdir(folder)
    with acting_as(look_up("nobody", grp.getgrgid(other.gid).gr_name)), pytest.raises(PermissionError):
        os.listdir(folder)
    with acting_as(DOOR):
        assert os.listdir(folder) == ["made"]
        os.unlink(f"{folder}/made")


def test_folders_that_are_no_generations_are_not_given(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    run, roots = f"{stage.folder}/run", f"{stage.folder}/roots"
    os.mkdir(f"{roots}/g1")
    os.mkdir(f"{run}/g9")  # root's, whoever has put it there
    with acting_as(DOOR):
        os.symlink(roots, f"{run}/g7")
        os.symlink(roots, f"{run}/shop")
        os.mkdir(f"{run}/own")
        os.symlink(f"{roots}/g1", f"{run}/own/g2")
        os.mkdir(f"{run}/g8")
        os.mkdir(f"{run}/g8/g1")
    os.makedirs(f"{stage.folder}/home/g1")  # of whom it is to be given to: the door process would come into it
    for folder in (f"{stage.folder}/home", f"{stage.folder}/home/g1"):
        os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
    with acting_as(DOOR):
        os.symlink(f"{stage.folder}/home", f"{run}/g6")
        os.symlink(f"{stage.folder}/home", f"{run}/api")
    tried = [
        "/etc",
        roots,
        run,
        f"{run}/",
        f"{run}/g7",
        f"{run}/g7/",
        f"{run}/shop/g1",
        f"{run}/g6",
        f"{run}/api/g1",
        f"{run}/own/g2",
        f"{run}/own",
        f"{run}/g8/g1",
        f"{run}/g8/../../roots",
        f"{run}/own/../../roots/g1",
        f"{run}/g9",
        "run/g8",
        "",
    ]
    before = descriptors(stage.pid)
    for folder in tried:
        assert "error" in give(intruder, folder).body, folder
    assert descriptors(stage.pid) == before
    for path in (f"{roots}/g1", f"{run}/g9", "/etc", f"{run}/own"):
        assert os.stat(path).st_uid != pwd.getpwnam(OTHER).pw_uid
    assert os.listxattr(f"{stage.folder}/home") == os.listxattr(f"{stage.folder}/home/g1") == []
    assert "error" not in give(intruder, f"{run}/g8").body


def test_a_folder_of_one_user_is_not_given_to_another(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    with acting_as(DOOR):
        os.mkdir(f"{stage.folder}/run/g7")
    os.chown(f"{stage.folder}/run/g7", pwd.getpwnam("nobody").pw_uid, -1)  # as if the config had named him, too
    assert "belongs to another user (uid 65534)" in refused(give(intruder, f"{stage.folder}/run/g7"))


def test_it_is_let_into_the_sockets_of_a_generation_and_nowhere_else(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    folder, other = f"{stage.folder}/run/g7", look_up(OTHER, "")
    with acting_as(DOOR):
        os.mkdir(folder)
    give(intruder, folder)

    def make(name: str, *, by: str = OTHER, mode: int = 0o700) -> str:
        with acting_as(look_up(by, "")), socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{folder}/{name}")
            os.chmod(f"{folder}/{name}", mode)
        return f"{folder}/{name}"

    path = make("0.sock")
    with acting_as(DOOR):
        assert not os.access(path, os.W_OK, effective_ids=True)
    assert "error" not in intruder.ask("let_in", path=path).body
    with acting_as(DOOR):
        assert os.access(path, os.W_OK, effective_ids=True)
    with acting_as(other):
        os.symlink(f"{stage.folder}/roots/secret", f"{folder}/link")
        with open(f"{folder}/file", "w"):
            pass
    mine = make("mine", by=USER)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{stage.folder}/roots/socket")
    os.link(f"{stage.folder}/roots/socket", f"{folder}/second")
    twice = make("twice")
    os.link(twice, f"{stage.folder}/roots/elsewhere")
    for name in ("link", "file", "mine", "second", "twice", "nothing", "../control.sock", ".", "", "a/b"):
        assert "error" in intruder.ask("let_in", path=f"{folder}/{name}").body, name
    for path in (mine, f"{folder}/second", f"{folder}/file", twice):
        assert "system.posix_acl_access" not in os.listxattr(path), path


# -- signals, descriptors, configs ------------------------------------------------------------------------------------


def test_it_signals_its_own_children_and_nobody_else(intruder: Puppet, stage: Stage) -> None:
    roots = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        pid, fd = intruder.spawn("child", "sleep", "1000", user=OTHER)
        os.close(fd)
        for op in ("signal", "tell"):
            for key in (str(roots.pid), str(stage.pid), "1", "-1", "", "../child"):
                assert intruder.ask(op, key=key, number=signal.SIGKILL).body["sent"] is False
            for number in (roots.pid, stage.pid, 1, -1, 0):
                answer = intruder.ask(op, key=number, number=signal.SIGKILL).body
                assert answer.get("sent", False) is False
        assert roots.poll() is None
        assert intruder.ask("signal", key="child", number=signal.SIGKILL).body["sent"] is True
        until(lambda: not alive(pid))
        intruder.hear_of("exited")
        for op in ("signal", "tell"):
            assert intruder.ask(op, key="child", number=signal.SIGKILL).body["sent"] is False, "its number is free"
    finally:
        roots.kill()
        roots.wait()


def test_no_config_of_its_own_counts(intruder: Puppet, stage: Stage) -> None:
    text = 'listen = ["127.0.0.1:1"]\nbackends."*" = { command = ["a"], user = "nobody" }'
    intruder.ask("note", key="config", note=text)
    memory = os.memfd_create("config")
    os.write(memory, text.encode())
    intruder.put(("config", text, [memory]))
    os.close(memory)
    others: list[dict[str, Any]] = [{}, {"config": text}, {"text": text}, {"path": f"{stage.folder}/mine.toml"}]
    for fields in others:
        assert "error" in intruder.ask("listen", key="a", address="127.0.0.1:1", **fields).body
        assert "error" in intruder.ask("spawn", key="a", argv=["true"], env={}, user="nobody", **fields).body


def test_the_config_on_the_disk_counts_as_soon_as_it_is_there(intruder: Puppet, stage: Stage) -> None:
    asked: dict[str, Any] = {"key": "a", "argv": ["id", "-un"], "env": {}, "user": "nobody"}
    assert "error" in intruder.ask("spawn", **asked).body
    with open(f"{stage.config}.new", "w") as file:
        file.write(config(stage.folder, 'backends.v2.user = "nobody"'))
    os.rename(f"{stage.config}.new", stage.config)
    (fd,) = intruder.ask("spawn", **asked).fds
    assert read_all(fd).strip() == "nobody"
    os.close(fd)
    # What it named once counts on: a generation from before the reload may have to be started again.
    with open(stage.config, "w") as file:
        file.write("no config any more")
    intruder.hear_of("exited")
    assert output(intruder, "b", "id", "-un", user="nobody") == "nobody"


def test_a_config_that_it_could_have_written_is_not_read(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    os.chown(stage.config, DOOR.uid, -1)
    with acting_as(DOOR), open(stage.config, "w") as file:
        file.write(config(stage.folder, 'backends.v2.user = "nobody"'))
    assert "error" in intruder.ask("spawn", key="a", argv=["true"], env={}, user="nobody").body


def test_a_kept_descriptor_that_it_has_replaced_is_no_more_than_its_own(intruder: Puppet, stage: Stage) -> None:
    assert DOOR is not None
    with acting_as(DOOR), open(f"{stage.folder}/run/mine", "w+") as mine, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        mine.write("his own" * 10)
        mine.flush()
        for key in ("lock", f"listen/main/{HOST}:{PORT}", "words", "ledger/main"):
            intruder.put((key, {"in_hand": 8}, [mine.fileno()]))
        intruder.put(("socket/main/g1/0", None, [other.fileno()]))
    # The one that is passed on is passed to somebody who is not root; nobody writes to the others, or reads them.
    found = output(
        intruder, "a", "sh", "-c", "id -un; readlink /proc/self/fd/3", user=OTHER, listener="socket/main/g1/0"
    )
    assert found.startswith(f"{OTHER}\nsocket:")
    intruder.die()
    intruder = stage.enter()
    assert {"lock", "words", "ledger/main"} <= intruder.greet().keys()
    assert ids(intruder.pid)["Uid"].split() == [str(DOOR.uid)] * 4
    with open(f"{stage.folder}/run/mine") as file:
        assert file.read() == "his own" * 10
    assert os.stat(f"{stage.folder}/run/mine").st_uid == DOOR.uid
