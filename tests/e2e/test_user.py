"""Backends of another user: `user` and `group` of a version.

Python may be closed to that user, in root's home, and so the app is Perl, which Debian has.
"""

import grp
import os
import pwd
import shutil
import socket
import stat
from collections.abc import Callable

import pytest

from e2e.doors import Changing, OneDoor
from e2e.harness import Frontdoor, until
from nobody import without_rights

Only = Callable[..., OneDoor]
Serve = Callable[..., Frontdoor]

APP = """
use IO::Socket::UNIX;
$| = 1;
$SIG{PIPE} = "IGNORE";
my $listener = IO::Socket::UNIX->new(Local => $ENV{FRONTDOOR_SOCKET}, Listen => 50) or die $!;
print "I am $ENV{USER}\\n";
while (1) {
    my $client = $listener->accept() or next;
    print $client "$ENV{FRONTDOOR_VERSION}#$ENV{FRONTDOOR_GENERATION} $$\\n";
    while (<$client>) {
        if (/^become root/) { $! = 0; $> = 0; print $client "$!\\n"; }
        elsif (/^env (.*)/) { print $client "$ENV{$1}\\n"; }
    }
}
"""
PERL = {"command": ["perl", "-e", APP.replace("{", "{{").replace("}", "}}")]}

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("perl") is None,
    reason="only root can start something as another user, and that needs perl here",
)

SETPRIV = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SETPRIV += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # else it could not run what is in root's home
NOT_ROOT = SETPRIV if os.geteuid() == 0 else []


@pytest.fixture
def only(only: Only, changing: Changing) -> Only:
    os.chmod(changing.folder, 0o711)  # other users come through to the runtime folder
    return only


def ids(pid: int) -> dict[str, list[int]]:
    """Real, effective, saved and file system's user and group, and all groups (proc(5))."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {name: [int(word) for word in fields[name].split()] for name in ("Uid", "Gid", "Groups")} | {
        "CapEff": [int(fields["CapEff"], 16)]
    }


def groups(user: str, gid: int) -> list[int]:
    return sorted(os.getgrouplist(user, gid))


@needs_root
def test_it_runs_as_that_user_in_a_folder_of_his_own(only: Only, changing: Changing) -> None:
    door = only(backends={"v2": {**PERL, "user": "nobody"}})
    nobody = pwd.getpwnam("nobody")
    before = door.connect()
    socket_of_root = before.ask("env FRONTDOOR_SOCKET")
    assert door.run("swap", "v2").returncode == 0
    client = door.connect()
    assert client.generation == "v2#2"
    assert ids(client.pid) == {
        "Uid": [nobody.pw_uid] * 4,
        "Gid": [nobody.pw_gid] * 4,
        "Groups": groups("nobody", nobody.pw_gid),
        "CapEff": [0],
    }
    assert client.ask("become root") == "Operation not permitted"
    assert client.ask("env HOME") == nobody.pw_dir
    assert door.logs("output", generation="v2#2")["line"] == "I am nobody"

    folder = os.stat(os.path.dirname(client.ask("env FRONTDOOR_SOCKET")))
    assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (nobody.pw_uid, nobody.pw_gid, 0o700)
    folder = os.stat(os.path.dirname(socket_of_root))
    assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (0, 0o700)
    with without_rights(), socket.socket(socket.AF_UNIX) as other:
        for path in (socket_of_root, changing.path("run/control.sock")):
            with pytest.raises(PermissionError):
                other.connect(path)

    path = client.ask("env FRONTDOOR_SOCKET")
    client.close()
    door.swap("v3")
    door.logs("generation.stopped", generation="v2#2")
    assert not os.path.exists(os.path.dirname(path))
    assert before.ask("still there?") == "still there?"


@needs_root
def test_its_groups(only: Only) -> None:
    sys, nogroup = grp.getgrnam("sys").gr_gid, grp.getgrnam("nogroup").gr_gid
    daemon = pwd.getpwnam("daemon")
    both, alone = {"user": "daemon", "group": "sys"}, {"group": "nogroup"}
    door = only(backends={"both": {**PERL, **both}, "alone": {**PERL, **alone}})
    door.swap("both")
    found = ids(door.connect().pid)
    assert (found["Uid"], found["Gid"]) == ([daemon.pw_uid] * 4, [sys] * 4)
    assert found["Groups"] == groups("daemon", sys)
    door.frontdoor.hang_up()
    door.swap("alone")
    found = ids(door.connect().pid)
    assert (found["Uid"], found["Gid"], found["Groups"]) == ([0] * 4, [nogroup] * 4, [nogroup])


@needs_root
def test_it_is_started_again_as_that_user(only: Only, changing: Changing) -> None:
    door = only(backends={"*": {**PERL, "user": "nobody"}})
    pid = door.pid("v1#1")
    changing.kill_door_process()
    assert door.pid("v1#1") == pid
    os.kill(pid, 9)
    # One that is dying takes clients as long as its socket is there: who comes next is greeted once it is gone.
    until(lambda: door.generation("v1#1")["processes"][0]["pid"] not in (pid, None), "another process is there")
    again = door.connect()
    assert again.pid != pid
    assert set(ids(again.pid)["Uid"]) == {pwd.getpwnam("nobody").pw_uid}


def test_a_user_or_group_that_does_not_exist(only: Only) -> None:
    door = only(backends={"user": {"user": "nosuchuser"}, "group": {"group": "nosuchgroup"}})
    for number, kind in enumerate(("user", "group"), 2):
        failed = door.run("swap", kind)
        why = f"it could not be started: there is no {kind} called 'nosuch{kind}' on this machine"
        assert failed.returncode == 4
        assert failed.stderr.splitlines()[-1] == (
            f"frontdoor: {kind}#{number} did not become ready ({why}); v1#1 still serves"
        )
        assert door.connect().generation == "v1#1"
    door.swap("v2")
    assert door.connect().generation == "v2#4"


def test_a_frontdoor_that_is_not_root_s_says_so(prepare: Serve) -> None:
    door = prepare(backends={"v2": {"user": "nobody"}, "v3": {"group": "nogroup"}})
    if NOT_ROOT and shutil.which(NOT_ROOT[0]) is None:
        pytest.skip("no setpriv here, to become somebody else: apt-get install util-linux")
    if NOT_ROOT:
        for path in (door.folder, door.path("config.toml")):
            os.chown(path, 65534, 65534)
    door.start(*NOT_ROOT)
    assert 0 not in ids(door.pid)["Uid"]
    for version, who in (("v2", "user nobody"), ("v3", "group nogroup")):
        failed = door.run("swap", version)
        why = f"it could not be started: only root can start it as {who}, and frontdoor does not run as root"
        assert failed.returncode == 4
        assert f"did not become ready ({why}); v1#1 still serves" in failed.stderr
        assert door.connect().generation == "v1#1"
    until(lambda: [g["state"] for g in door.status()["generations"]] == ["failed", "failed", "active"], "no more")
