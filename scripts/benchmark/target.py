"""What is measured: a proxy that runs, or the way to the backends without one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A proxy with a listener for each backend. Every listener is on 127.0.0.1."""

    name: str  # frontdoor, tcp-door, haproxy, nginx, envoy, caddy, direct
    http: int  # the port in front of backends/web
    raw: int  # the port in front of backends/raw
    pid: int | None  # the root of its process tree; None: direct
    control: str | None = None  # frontdoor's control socket
    config: str | None = None  # frontdoor's config file
    polite: int | None = None  # the port of frontdoor's door that has websocket_close, in front of backends/raw
