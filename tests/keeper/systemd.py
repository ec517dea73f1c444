"""systemd's side of it: a notify socket that a test reads, and sockets that a service is started with."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from typing import Self

from keeper.watching import PATIENCE


class NotifySocket:
    """The socket; ``address`` is what $NOTIFY_SOCKET says."""

    def __init__(self, path: str, *, abstract: bool = False) -> None:
        self.address = f"@fd-test-{os.getpid()}-{id(self)}" if abstract else path
        self.said = ""
        """The last STATUS= that was heard."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + self.address[1:] if abstract else path)

    def hear(self, within: float = PATIENCE) -> dict[str, str]:
        """The next message: its assignments."""
        assert select.select([self._sock], [], [], within)[0], "it says nothing"
        lines = self._sock.recv(65536).decode().split("\n")
        said = dict(line.split("=", 1) for line in lines)
        self.said = said.get("STATUS", self.said)
        return said

    def phases(self, last: str, within: float = PATIENCE) -> list[str]:
        """What it says up to that phase, ``"READY"``: the phases alone."""
        heard: list[str] = []
        while not heard or heard[-1] != last:
            said = self.hear(within)
            if "RELOADING" in said:
                assert said["MONOTONIC_USEC"].isdecimal()
            heard += [name for name in said if name in ("READY", "RELOADING", "STOPPING")]
        return heard

    def status(self, text: str, within: float = PATIENCE) -> str:
        """Wait for a STATUS= with this in it."""
        while text not in (said := self.hear(within).get("STATUS", "")):
            pass
        return said

    def quiet(self, seconds: float) -> bool:
        """Whether it says nothing for so long."""
        return not select.select([self._sock], [], [], seconds)[0]

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


LAUNCHER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as systemd:
    systemd.connect(sys.argv[1])
    names, fds, _, _ = socket.recv_fds(systemd, 4096, 100)
fds = [os.dup2(fd, 100 + number) for number, fd in enumerate(fds)]
for number, fd in enumerate(fds, 3):
    os.dup2(fd, number)
    os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": names.decode()}
os.execv(sys.argv[2], sys.argv[2:])
"""


class SocketUnit:
    """Sockets that are systemd's, with their names; a service that is started with ``before`` has them."""

    def __init__(self, folder: str, sockets: dict[str, list[socket.socket]]) -> None:
        self._names = ":".join(name for name, of in sockets.items() for _ in of)
        self._fds = [sock.fileno() for of in sockets.values() for sock in of]
        self._path = f"{folder}/systemd"
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(self._path)
        self._sock.listen()
        self._sock.settimeout(PATIENCE)

    @property
    def before(self) -> list[str]:
        """What runs the service's command, in the same process. It gets the sockets from here."""
        threading.Thread(target=self._pass).start()
        return [sys.executable, "-IS", "-c", LAUNCHER, self._path]

    def _pass(self) -> None:
        with self._sock.accept()[0] as service:
            socket.send_fds(service, [self._names.encode()], self._fds)

    def close(self) -> None:
        self._sock.close()
