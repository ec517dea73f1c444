"""An nginx that answers every request with 12 bytes, as fast as it can: so that the proxy is what is measured."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from benchmark.backends import Backend
from benchmark.files import open_files
from benchmark.process import free_ports, running

CONFIG = """
daemon off; pid {folder}/web.pid; error_log {folder}/web.err; worker_processes 1; {user}
events {{ worker_connections {connections}; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
  client_body_temp_path {folder}/web-1; proxy_temp_path {folder}/web-2; fastcgi_temp_path {folder}/web-3;
  uwsgi_temp_path {folder}/web-4; scgi_temp_path {folder}/web-5;
  server {{
    listen unix:{folder}/web.sock backlog=4096;
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type text/plain; return 200 "hello world\\n"; }}
  }}
}}
"""


def missing() -> str:
    """What to install before it can run; "" when it can."""
    return "" if shutil.which("nginx") else "apt-get install nginx"


@contextlib.contextmanager
def serving(folder: str) -> Iterator[Backend]:
    """Run it, with all its files in the folder. Raises StartError."""
    (port,) = free_ports(1)
    path = os.path.join(folder, "web.conf")
    with open(path, "w") as file:
        file.write(CONFIG.format(folder=folder, port=port, user=user(), connections=open_files() - 100))
    with running(["nginx", "-p", folder, "-c", path], os.path.join(folder, "web.log"), [port]):
        yield Backend(os.path.join(folder, "web.sock"), port)


def user() -> str:
    """The directive that keeps an nginx of root's root: else its worker could not reach into our folders."""
    return "user root;" if os.geteuid() == 0 else ""
