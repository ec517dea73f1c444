"""HAProxy in `mode tcp` or `mode http`, one thread."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from benchmark.files import open_files
from benchmark.peers import Place, Protocols, said_version
from benchmark.process import free_ports, running
from benchmark.target import Target

CONFIG = """
global
  nbthread 1
  maxconn {connections}
defaults
  mode {mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
"""
# A kept connection to the backend may be used for any client, and the backend learns who asks: as in frontdoor's doors.
REQUESTS = """
  timeout tunnel 1h
  http-reuse always
  option forwardfor
  unique-id-format %{+X}o%ci%cp%Ts%rt
  unique-id-header X-Request-Id
"""
RULES = """
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
"""
SERVICE = """
frontend {name}
  bind 127.0.0.1:{port} backlog 4096
  default_backend {name}{rules}
backend {name}
  server one unix@{socket}
"""


class HAProxy:
    """Debian's haproxy."""

    name = "haproxy"

    def __init__(self, mode: Protocols = "tcp") -> None:
        self._mode = mode

    def missing(self) -> str:
        """The package."""
        return "" if shutil.which("haproxy") else "apt-get install haproxy"

    def version(self) -> str:
        """Such as 2.6.12."""
        return said_version("haproxy", "-v")

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With a frontend for each backend."""
        http, raw = free_ports(2)
        path = os.path.join(place.folder, "haproxy.cfg")
        with open(path, "w") as file:
            # Two descriptors a stream, and some for itself.
            file.write(CONFIG.format(mode=self._mode, connections=(open_files() - 200) // 2))
            more, rules = (REQUESTS, RULES) if self._mode == "http" else ("", "")
            file.write(more)
            file.write(SERVICE.format(name="http", port=http, socket=place.web.socket, rules=rules))
            file.write(SERVICE.format(name="raw", port=raw, socket=place.raw.socket, rules=rules))
        log = os.path.join(place.folder, "haproxy.log")
        with running(["haproxy", "-db", "-f", path], log, [http, raw]) as pid:
            yield Target(self.name, http, raw, pid)
