"""nginx, one worker: with its module `stream`, or as a reverse proxy of HTTP."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

from benchmark.backends.web import user
from benchmark.files import open_files
from benchmark.peers import Place, Protocols, said_version
from benchmark.process import free_ports, running
from benchmark.target import Target

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err; worker_processes 1; {user} {load}
events {{ worker_connections {connections}; }}
"""
STREAM = """
stream {{
  proxy_timeout 1h;
  server {{ listen 127.0.0.1:{http} backlog=4096; proxy_pass unix:{web}; }}
  server {{ listen 127.0.0.1:{raw} backlog=4096; proxy_pass unix:{other}; }}
}}
"""
# Connections are kept on both sides, bodies go on as they come and through no file, and the backend learns who asks: as
# in frontdoor's doors.
HTTP = """
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h;
  proxy_connect_timeout 5s; proxy_read_timeout 1h; proxy_send_timeout 1h;
  client_body_temp_path {folder}/nginx-1; proxy_temp_path {folder}/nginx-2; fastcgi_temp_path {folder}/nginx-3;
  uwsgi_temp_path {folder}/nginx-4; scgi_temp_path {folder}/nginx-5;
  client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
  proxy_http_version 1.1;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Request-Id $request_id;
  upstream web {{ server unix:{web}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  upstream raw {{ server unix:{other}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  server {{ listen 127.0.0.1:{http} backlog=4096; location / {{ proxy_pass http://web; }} }}
  server {{ listen 127.0.0.1:{raw} backlog=4096; location / {{ proxy_pass http://raw; }} }}
}}
"""


class Nginx:
    """Debian's nginx."""

    name = "nginx"

    def __init__(self, mode: Protocols = "tcp") -> None:
        self._mode = mode

    def missing(self) -> str:
        """The packages."""
        if shutil.which("nginx") is None:
            return "apt-get install nginx libnginx-mod-stream"
        can_stream = self._mode == "http" or os.path.exists(MODULE) or _has_it_built_in()
        return "" if can_stream else "apt-get install libnginx-mod-stream"

    def version(self) -> str:
        """Such as 1.22.1."""
        return said_version("nginx", "-v")

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With a server for each backend."""
        http, raw = free_ports(2)
        config = (CONFIG + (HTTP if self._mode == "http" else STREAM)).format(
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
