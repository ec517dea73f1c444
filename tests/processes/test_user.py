"""Backends of another user. Python itself may be closed to that user, and so the app is Perl, which Debian has."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket

import pytest

from frontdoor.policy import backoff
from keeper.watching import children
from processes.house import House

APP = """
use IO::Socket::UNIX;
$| = 1;
print "$ENV{USER}\n";
my $listener = $ENV{LISTEN_FDS} ? IO::Socket::UNIX->new_from_fd(3, "r+")
    : IO::Socket::UNIX->new(Local => $ENV{FRONTDOOR_SOCKET}, Listen => 5);
$listener or die $!;
if ($ENV{NOTIFY_SOCKET}) {
    IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET})->send("READY=1") or die $!;
}
while (1) { $listener->accept() }
"""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("perl") is None, reason="only root can start something as another user"
)


@needs_root
@pytest.mark.parametrize(
    ("check", "more"), [("connect", ""), ("notify", 'group = "sys"'), ("connect", "listen_fd = true")], ids=str
)
async def test_it_runs_as_that_user_in_a_folder_of_his(
    house: House, check: str, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST", 0.01)
    os.chmod(house.folder, 0o711)  # as the runtime folder is
    user = pwd.getpwnam("daemon")
    backend = house.start(
        command=["perl", "-e", APP.replace("{", "{{").replace("}", "}}")],
        backend=f'user = "daemon"\ncwd = "/"\n{more}',
        ready=f'check = "{check}"',
    )
    await house.ready(backend)
    (process,) = backend.processes
    assert await house.line(backend) == "daemon"
    assert os.stat(f"/proc/{process.pid}").st_uid == user.pw_uid
    folder = os.stat(f"{house.folder}/g1")
    assert (folder.st_uid, oct(folder.st_mode & 0o777)) == (user.pw_uid, "0o700")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(process.seat.address)
    os.kill(process.pid, signal.SIGKILL)
    await house.said("backend.ready", 2)
    assert process.restarts == 1
    backend.stop()
    await house.ended(backend)
    assert children(house.keeper) == []
    assert not house.has("g1")


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ('user = "nobody-of-that-name"', "there is no user called 'nobody-of-that-name' on this machine"),
        ('group = "no-such-group"', "there is no group called 'no-such-group' on this machine"),
    ],
)
async def test_who_it_cannot_run_as_is_said(house: House, who: str, why: str) -> None:
    backend = house.start("listen", "wait", backend=who)
    assert await house.failed(backend) == f"it could not be started: {why}"
    await house.ended(backend)
    assert not house.has("g1")
