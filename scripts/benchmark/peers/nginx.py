"""nginx with its module `stream`, one worker."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from benchmark.backends.web import user
from benchmark.files import open_files
from benchmark.peers import Place, said_version
from benchmark.process import free_ports, running
from benchmark.target import Target

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err; worker_processes 1; {user} {load}
events {{ worker_connections {connections}; }}
stream {{
  proxy_timeout 1h;
  server {{ listen 127.0.0.1:{http} backlog=4096; proxy_pass unix:{web}; }}
  server {{ listen 127.0.0.1:{raw} backlog=4096; proxy_pass unix:{other}; }}
}}
"""


class Nginx:
    """Debian's nginx."""

    name = "nginx"

    def missing(self) -> str:
        """The packages."""
        if shutil.which("nginx") is None:
            return "apt-get install nginx libnginx-mod-stream"
        return "" if os.path.exists(MODULE) or _has_it_built_in() else "apt-get install libnginx-mod-stream"

    def version(self) -> str:
        """Such as 1.22.1."""
        return said_version("nginx", "-v")

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With a server for each backend."""
        http, raw = free_ports(2)
        config = CONFIG.format(
            folder=place.folder,
            user=user(),
            load=f"load_module {MODULE};" if os.path.exists(MODULE) else "",
            connections=open_files() - 100,
            http=http,
            raw=raw,
            web=place.web.socket,
            other=place.raw.socket,
        )
        path = os.path.join(place.folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(config)
        log = os.path.join(place.folder, "nginx.log")
        with running(["nginx", "-p", place.folder, "-c", path], log, [http, raw]) as pid:
            yield Target(self.name, http, raw, pid)


def _has_it_built_in() -> bool:
    ran = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False)
    return "--with-stream" in ran.stderr.split()
